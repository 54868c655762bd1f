/* SPDX-License-Identifier: Apache-2.0 */

/* The group that a daemon was given, and what a predecessor left in it. */

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/macro.h"

/* Where cgroup v2 is, if it is alone. */
#define CGROUP_MOUNT "/sys/fs/cgroup"

/* For all leftovers together: a killed process that is not gone by then hangs in the kernel. */
#define GONE_WAIT_USEC USEC_PER_SEC

/* Groups of ours are two deep; the rest is what workers made. */
#define DEPTH_MAX 8

/* The share of a busy CPU that the daemon has beside its pools, which have 100 each: they wait for
 * it, not it for them. */
#define SUPERVISOR_WEIGHT 1000

static const struct {
        const char *text;
        const char *remedy;
} obstacles[] = {
        [CGROUP_OBSTACLE_VERSION] = { "this machine has cgroup v1 or a mixture",
                                      "boot it with systemd.unified_cgroup_hierarchy=1" },
        [CGROUP_OBSTACLE_HIDDEN] = { "the daemon's own group is not visible in /sys/fs/cgroup",
                                     "give the container a cgroup namespace of its own" },
        [CGROUP_OBSTACLE_READ_ONLY] = { "/sys/fs/cgroup is read-only",
                                        "remove ProtectControlGroups= from the service, or mount "
                                        "the container's cgroup writable" },
        [CGROUP_OBSTACLE_DELEGATION] = { "not delegated: Delegate= is missing",
                                         "run it as a service with 'Delegate=memory pids cpu'" },
        [CGROUP_OBSTACLE_CONTROLLERS] = { "none of the controllers memory, pids and cpu is "
                                          "delegated",
                                          "run it as a service with 'Delegate=memory pids cpu'" },
        [CGROUP_OBSTACLE_SHARED] = { "other processes live in the daemon's group",
                                     "start the daemon alone in a group, as a service does" },
        [CGROUP_OBSTACLE_KERNEL] = { "the kernel has no cgroup.kill", "run Linux 5.14 or newer" },
        [CGROUP_OBSTACLE_ERROR] = { "the daemon's group cannot be used", NULL },
};
_Static_assert(ELEMENTSOF(obstacles) == _CGROUP_OBSTACLE_MAX, "a text for each obstacle");

const char *cgroup_obstacle_to_string(CgroupObstacle obstacle)
{
        return obstacle >= 0 && obstacle < _CGROUP_OBSTACLE_MAX ? obstacles[obstacle].text : NULL;
}

const char *cgroup_obstacle_remedy(CgroupObstacle obstacle)
{
        return obstacle >= 0 && obstacle < _CGROUP_OBSTACLE_MAX ? obstacles[obstacle].remedy : NULL;
}

/* Finding it */

/* What stands behind "0::" in /proc/self/cgroup. */
static int read_own(char *ret, size_t size)
{
        _cleanup_free_ char *line = NULL;
        size_t capacity = 0;
        ssize_t n;
        FILE *file;
        int r = -ENOENT;

        file = fopen("/proc/self/cgroup", "re");
        if (!file)
                return -errno;
        while (r < 0 && (n = getline(&line, &capacity, file)) > 0) {
                if (line[n - 1] == '\n')
                        line[n - 1] = '\0';
                if (strncmp(line, "0::", 3) == 0)
                        r = snprintf(ret, size, "%s", line + 3) < (int)size ? 0 : -ENAMETOOLONG;
        }
        (void)fclose(file);
        return r;
}

static bool has_attribute(const char *path, const char *attribute)
{
        char file[CGROUP_PATH_SIZE + 32];

        (void)snprintf(file, sizeof(file), "%s/%s", path, attribute);
        return access(file, F_OK) >= 0;
}

static bool has_mark(const char *path, const char *name)
{
        char value = '\0';

        return getxattr(path, name, &value, 1) == 1 && value == '1';
}

/* systemd marks what it gave away; the root of a cgroup namespace belongs to who lives in it. The
 * root of all has no type. */
static bool is_given(const char *path)
{
        return has_mark(path, "user.delegate") || has_mark(path, "trusted.delegate") ||
               (streq(path, CGROUP_MOUNT) && has_attribute(path, "cgroup.type"));
}

static char *find_last_name(char *path)
{
        char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

/* The group that is the daemon's; DelegateSubgroup= of systemd 254 may have put us in place
 * already. */
static CgroupObstacle find_own(char path[CGROUP_PATH_SIZE], bool *ret_aside, int *ret_error)
{
        char own[CGROUP_PATH_SIZE - sizeof(CGROUP_MOUNT)], *name;
        struct statfs fs;
        int r;

        if (statfs(CGROUP_MOUNT, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
                return CGROUP_OBSTACLE_VERSION;
        r = read_own(own, sizeof(own));
        if (r < 0) {
                *ret_error = r;
                return r == -ENOENT ? CGROUP_OBSTACLE_VERSION : CGROUP_OBSTACLE_ERROR;
        }
        (void)snprintf(path, CGROUP_PATH_SIZE, "%s%s", CGROUP_MOUNT, streq(own, "/") ? "" : own);
        if (strncmp(own, "/..", 3) == 0 || access(path, F_OK) < 0)
                return CGROUP_OBSTACLE_HIDDEN;
        *ret_aside = false;
        name = find_last_name(path);
        if (streq(name, CGROUP_SUPERVISOR) && !is_given(path)) {
                name[-1] = '\0';
                *ret_aside = true;
        }
        return CGROUP_OBSTACLE_NONE;
}

static CgroupObstacle check_own(const char *path)
{
        char file[CGROUP_PATH_SIZE + 32];

        (void)snprintf(file, sizeof(file), "%s/cgroup.subtree_control", path);
        if (access(file, W_OK) < 0 && errno == EROFS)
                return CGROUP_OBSTACLE_READ_ONLY;
        if (access(file, W_OK) < 0 || !is_given(path))
                return CGROUP_OBSTACLE_DELEGATION;
        return has_attribute(path, "cgroup.kill") ? CGROUP_OBSTACLE_NONE : CGROUP_OBSTACLE_KERNEL;
}

/* Taking it */

static CgroupObstacle enable_controllers(const char *path, unsigned *ret, int *ret_error)
{
        static const char *const switches[] = { "+memory", "+pids", "+cpu" };
        unsigned enabled = 0;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(switches); i++) {
                r = cgroup_write(path, "cgroup.subtree_control", switches[i]);
                if (r >= 0)
                        enabled |= 1u << i;
                else if (r == -EBUSY)
                        return CGROUP_OBSTACLE_SHARED;
                else if (r != -ENOENT) /* it has no such controller */
                        *ret_error = r;
        }
        *ret = enabled;
        if (enabled > 0)
                return CGROUP_OBSTACLE_NONE;
        return *ret_error < 0 ? CGROUP_OBSTACLE_ERROR : CGROUP_OBSTACLE_CONTROLLERS;
}

CgroupObstacle cgroup_take_over(CgroupDelegation *ret, int *ret_error)
{
        char path[CGROUP_PATH_SIZE], aside[CGROUP_PATH_SIZE + sizeof(CGROUP_SUPERVISOR)];
        CgroupObstacle obstacle;
        bool is_aside = false;
        unsigned controllers = 0;
        int r;

        *ret_error = 0;
        obstacle = find_own(path, &is_aside, ret_error);
        if (obstacle == CGROUP_OBSTACLE_NONE)
                obstacle = check_own(path);
        if (obstacle != CGROUP_OBSTACLE_NONE)
                return obstacle;

        (void)snprintf(aside, sizeof(aside), "%s/%s", path, CGROUP_SUPERVISOR);
        /* Another daemon's place as well: what is beside it is not ours to remove. */
        if (is_aside && cgroup_read_pids(aside, NULL, 0) != 1)
                return CGROUP_OBSTACLE_SHARED;
        if (!is_aside) {
                r = mkdir(aside, 0755) < 0 && errno != EEXIST ? -errno : 0;
                if (r >= 0)
                        r = cgroup_write(aside, "cgroup.procs", "0");
                if (r < 0) {
                        *ret_error = r;
                        return CGROUP_OBSTACLE_ERROR;
                }
        }
        obstacle = enable_controllers(path, &controllers, ret_error);
        if (obstacle != CGROUP_OBSTACLE_NONE) {
                if (!is_aside && cgroup_write(path, "cgroup.procs", "0") >= 0)
                        (void)rmdir(aside);
                return obstacle;
        }
        (void)cgroup_write_uint(aside, "cpu.weight", SUPERVISOR_WEIGHT);
        (void)strcpy(ret->path, path);
        ret->controllers = controllers;
        return CGROUP_OBSTACLE_NONE;
}

/* Leftovers */

static void closedirp(DIR **directory)
{
        if (*directory)
                (void)closedir(*directory);
}

static void wait_for_end(const char *path, usec_t deadline_usec)
{
        _cleanup_close_ int fd = cgroup_open(path, "cgroup.events");
        char text[64];
        usec_t now;

        while (cgroup_is_populated(path) > 0 && (now = clock_monotonic_usec()) < deadline_usec) {
                struct pollfd poll_fd = { .fd = fd, .events = POLLPRI };

                if (fd < 0 || pread(fd, text, sizeof(text), 0) < 0)
                        return;
                if (cgroup_is_populated(path) <= 0)
                        return;
                (void)poll(&poll_fd, 1, (int)((deadline_usec - now) / USEC_PER_MSEC) + 1);
        }
}

typedef int (*visitor_t)(const char *path, unsigned depth, void *userdata);

/* Beside the groups of ours, not below them. */
static bool is_kept(const char *name, unsigned depth)
{
        if (depth == 0)
                return name[0] == '.' || streq(name, CGROUP_SUPERVISOR);
        return streq(name, ".") || streq(name, "..");
}

static int visit_groups(const char *path, unsigned depth, visitor_t visitor, void *userdata)
{
        _cleanup_(closedirp) DIR *directory = opendir(path);
        const struct dirent *entry;
        char child[CGROUP_PATH_SIZE];
        int n = 0, r;

        if (!directory)
                return -errno;
        while ((entry = readdir(directory))) {
                if (entry->d_type != DT_DIR || is_kept(entry->d_name, depth))
                        continue;
                if (snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >=
                    (int)sizeof(child))
                        return -ENAMETOOLONG;
                r = visitor(child, depth, userdata);
                if (r < 0)
                        return r;
                n += r;
        }
        return n;
}

/* Children first. */
static int remove_group(const char *path, unsigned depth, void *userdata)
{
        const usec_t *deadline_usec = userdata;
        int n;

        if (depth == 0) {
                (void)cgroup_kill(path);
                wait_for_end(path, *deadline_usec);
        }
        if (depth == DEPTH_MAX)
                return 0;
        n = visit_groups(path, depth + 1, remove_group, userdata);
        if (n < 0)
                return n == -ENOENT ? 0 : n;
        return rmdir(path) < 0 ? n : n + 1;
}

int cgroup_remove(const char *path)
{
        if (rmdir(path) >= 0 || errno == ENOENT)
                return 0;
        (void)visit_groups(path, 1, remove_group, NULL);
        return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_remove_leftovers(const char *path)
{
        usec_t deadline_usec = usec_add(clock_monotonic_usec(), GONE_WAIT_USEC);

        return visit_groups(path, 0, remove_group, &deadline_usec);
}
