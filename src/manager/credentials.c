/* SPDX-License-Identifier: Apache-2.0 */

#include "manager/credentials.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/strv.h"

static void drop_unwanted(DIR *folder, char *const *wanted)
{
        struct dirent *entry;

        while ((entry = readdir(folder)))
                if (entry->d_name[0] != '.' && !strv_contains(wanted, entry->d_name))
                        (void)unlinkat(dirfd(folder), entry->d_name, 0);
}

static int link_one(int folder, const char *target_folder, const char *name)
{
        char target[PATH_MAX], present[PATH_MAX];
        ssize_t n;

        if (snprintf(target, sizeof(target), "%s/%s", target_folder, name) >= (int)sizeof(target))
                return -ENAMETOOLONG;
        n = readlinkat(folder, name, present, sizeof(present));
        if (n == (ssize_t)strlen(target) && memcmp(present, target, n) == 0)
                return 0;
        if (n >= 0 && unlinkat(folder, name, 0) < 0)
                return -errno;
        return symlinkat(target, folder, name) < 0 ? -errno : 0;
}

static int make_folder(const char *path)
{
        return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int fill(const char *path, char *const *credentials)
{
        const char *target = getenv("CREDENTIALS_DIRECTORY");
        DIR *folder;
        int r;

        r = make_folder(path);
        if (r < 0)
                return r;
        folder = opendir(path);
        if (!folder)
                return -errno;
        drop_unwanted(folder, credentials);
        STRV_FOREACH (name, credentials) {
                r = target ? link_one(dirfd(folder), target, *name) : -ENOENT;
                if (r < 0)
                        break;
        }
        (void)closedir(folder);
        return r;
}

static void empty(const char *path)
{
        char *const nothing[] = { NULL };
        DIR *folder = opendir(path);

        if (!folder)
                return;
        drop_unwanted(folder, nothing);
        (void)closedir(folder);
        (void)rmdir(path);
}

int credentials_link(const char *state_dir, const ConfigPool *pool)
{
        _cleanup_free_ char *parent = NULL, *path = NULL;
        int r;

        if (asprintf(&parent, "%s/credentials", state_dir) < 0) {
                parent = NULL;
                return -ENOMEM;
        }
        if (asprintf(&path, "%s/%s", parent, pool->name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (!pool->credentials || !pool->credentials[0]) {
                empty(path);
                return 0;
        }
        r = make_folder(parent);
        return r < 0 ? r : fill(path, pool->credentials);
}

void credentials_clean(const char *state_dir, const Config *config)
{
        _cleanup_free_ char *parent = NULL;
        struct dirent *entry;
        DIR *folder;

        if (asprintf(&parent, "%s/credentials", state_dir) < 0) {
                parent = NULL;
                return;
        }
        folder = opendir(parent);
        if (!folder)
                return;
        while ((entry = readdir(folder))) {
                char path[PATH_MAX];

                if (entry->d_name[0] == '.' || config_find_pool(config, entry->d_name))
                        continue;
                if (snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name) <
                    (int)sizeof(path))
                        empty(path);
        }
        (void)closedir(folder);
}
