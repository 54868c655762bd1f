/* SPDX-License-Identifier: Apache-2.0 */

#include "base/own-unit.h"

#include <stdio.h>

/* Of /proc/self/cgroup: a dozen hierarchies, and a path of the length that a path may have. */
#define CGROUP_TEXT_MAX 8192

/* Whether the hierarchy is one in which systemd keeps its units: "0::" or "1:name=systemd:". */
static bool is_systemds(const char *line, size_t length)
{
        const char *colon = memchr(line, ':', length);
        size_t rest = colon ? length - (size_t)(colon - line) : 0;
        const char *named = ":name=systemd:";

        return (rest > 1 && colon[1] == ':') ||
               (rest > strlen(named) && memcmp(colon, named, strlen(named)) == 0);
}

static bool ends_with(const char *text, size_t length, const char *suffix)
{
        size_t n = strlen(suffix);

        return length > n && memcmp(text + length - n, suffix, n) == 0;
}

/* The innermost service: below user@1000.service there are the user's own. */
static int find_service(const char *path, size_t length, char **ret, bool *ret_user)
{
        const char *end = path + length, *found = NULL;
        size_t found_length = 0;
        bool user = false, manager = false;

        while (path < end) {
                const char *slash = memchr(path, '/', (size_t)(end - path));
                size_t n = (size_t)((slash ?: end) - path);

                if (ends_with(path, n, ".service")) {
                        user = manager;
                        manager |=
                                n > strlen("user@") && memcmp(path, "user@", strlen("user@")) == 0;
                        found = path;
                        found_length = n;
                }
                path = slash ? slash + 1 : end;
        }
        if (!found)
                return -ENODATA;
        *ret = strndup(found, found_length);
        if (!*ret)
                return -ENOMEM;
        *ret_user = user;
        return 0;
}

int own_unit_from_text(const char *text, char **ret, bool *ret_user)
{
        while (*text) {
                size_t length = strcspn(text, "\n");
                const char *slash = memchr(text, '/', length);

                if (slash && is_systemds(text, length)) {
                        int r = find_service(slash, length - (size_t)(slash - text), ret, ret_user);

                        if (r != -ENODATA)
                                return r;
                }
                text += length + (text[length] == '\n');
        }
        return -ENODATA;
}

int own_unit(char **ret, bool *ret_user)
{
        char text[CGROUP_TEXT_MAX];
        FILE *file = fopen("/proc/self/cgroup", "re");
        size_t n;

        if (!file)
                return -errno;
        n = fread(text, 1, sizeof(text) - 1, file);
        text[n] = '\0';
        (void)fclose(file);
        return own_unit_from_text(text, ret, ret_user);
}
