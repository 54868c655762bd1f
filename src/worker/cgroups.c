/* SPDX-License-Identifier: Apache-2.0 */

#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/list.h"
#include "worker/cgroups.h"

/* A worker's group that is still dying has its name: that many may be at a time. More are a machine
 * on which nothing dies. */
#define NAMES_MAX 64

/* At the daemon's end, for all together. */
#define GONE_WAIT_USEC (500 * USEC_PER_MSEC)

struct Cgroups {
        sd_event *event; /* borrowed: it outlives us */
        CgroupDelegation delegation;
        CgroupObstacle obstacle;
        int error;
        unsigned n_leftovers;
        ListLink dying;
};

/* A group that was killed and is not empty yet. */
typedef struct Dying {
        ListLink link;
        Cgroups *cgroups;
        char *path;
        int fd; /* its cgroup.events */
        sd_event_source *source;
        bool pool_gone; /* then that group goes, too */
} Dying;

int cgroups_new(Cgroups **ret, sd_event *event)
{
        Cgroups *cgroups = calloc(1, sizeof(*cgroups));
        int n;

        if (!cgroups)
                return -ENOMEM;
        cgroups->event = event;
        list_init(&cgroups->dying);
        cgroups->obstacle = cgroup_take_over(&cgroups->delegation, &cgroups->error);
        if (cgroups->obstacle == CGROUP_OBSTACLE_NONE) {
                n = cgroup_remove_leftovers(cgroups->delegation.path);
                cgroups->n_leftovers = (unsigned)MAX(n, 0);
        }
        *ret = cgroups;
        return 0;
}

static Dying *dying_free(Dying *dying)
{
        if (list_is_linked(&dying->link))
                list_remove(&dying->link);
        (void)sd_event_source_disable_unref(dying->source);
        (void)close_fd(dying->fd);
        free(dying->path);
        free(dying);
        return NULL;
}

static bool dying_try_remove(Dying *dying)
{
        if (cgroup_remove(dying->path) < 0)
                return false;
        if (dying->pool_gone) {
                *strrchr(dying->path, '/') = '\0';
                (void)rmdir(dying->path);
        }
        return true;
}

static int dying_on_change(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Dying *dying = userdata;
        char text[64];

        (void)pread(fd, text, sizeof(text), 0);
        if (dying_try_remove(dying))
                (void)dying_free(dying);
        return 0;
}

static int dying_watch(Dying *dying)
{
        char text[64];
        int r;

        dying->fd = cgroup_open(dying->path, "cgroup.events");
        if (dying->fd < 0)
                return dying->fd;
        if (pread(dying->fd, text, sizeof(text), 0) < 0)
                return -errno;
        r = sd_event_add_io(dying->cgroups->event, &dying->source, dying->fd, EPOLLPRI,
                            dying_on_change, dying);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(dying->source, "cgroup-dying");
        return 0;
}

void cgroups_discard(Cgroups *cgroups, char *path)
{
        Dying *dying;

        if (!path)
                return;
        (void)cgroup_kill(path);
        if (cgroup_remove(path) >= 0) {
                free(path);
                return;
        }
        dying = calloc(1, sizeof(*dying));
        if (!dying) {
                free(path); /* the next start of a daemon removes it */
                return;
        }
        *dying = (Dying){ .cgroups = cgroups, .path = path, .fd = -EBADF };
        list_append(&cgroups->dying, &dying->link);
        /* It may have become empty before it was watched. */
        if (dying_watch(dying) < 0 || dying_try_remove(dying))
                (void)dying_free(dying);
}

Cgroups *cgroups_free(Cgroups *cgroups)
{
        usec_t deadline_usec = usec_add(clock_monotonic_usec(), GONE_WAIT_USEC);
        ListLink *link;

        if (!cgroups)
                return NULL;
        while ((link = list_pop_first(&cgroups->dying))) {
                Dying *dying = LIST_ENTRY(link, Dying, link);
                struct pollfd poll_fd = { .fd = dying->fd, .events = POLLPRI };
                usec_t now = clock_monotonic_usec();

                if (!dying_try_remove(dying) && now < deadline_usec) {
                        (void)poll(&poll_fd, 1, (int)((deadline_usec - now) / USEC_PER_MSEC) + 1);
                        (void)dying_try_remove(dying);
                }
                (void)dying_free(dying);
        }
        free(cgroups);
        return NULL;
}

CgroupObstacle cgroups_obstacle(const Cgroups *cgroups, int *ret_error)
{
        *ret_error = cgroups->error;
        return cgroups->obstacle;
}

unsigned cgroups_controllers(const Cgroups *cgroups)
{
        return cgroups && cgroups->obstacle == CGROUP_OBSTACLE_NONE
                       ? cgroups->delegation.controllers
                       : 0;
}

const char *cgroups_path(const Cgroups *cgroups)
{
        return cgroups->delegation.path;
}

unsigned cgroups_n_leftovers(const Cgroups *cgroups)
{
        return cgroups->n_leftovers;
}

int cgroups_pool_path(const Cgroups *cgroups, const char *pool, char ret[CGROUP_PATH_SIZE])
{
        char name[CGROUP_NAME_SIZE];
        int r;

        r = cgroup_escape(pool, name);
        if (r < 0)
                return r;
        return snprintf(ret, CGROUP_PATH_SIZE, "%s/%s", cgroups->delegation.path, name) <
                               CGROUP_PATH_SIZE
                       ? 0
                       : -ENAMETOOLONG;
}

static int enable_controllers(const Cgroups *cgroups, const char *path)
{
        static const unsigned controllers[] = { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU };
        char word[16];
        int r;

        for (size_t i = 0; i < ELEMENTSOF(controllers); i++) {
                if (!(cgroups->delegation.controllers & controllers[i]))
                        continue;
                (void)snprintf(word, sizeof(word), "+%s",
                               cgroup_controller_to_string(controllers[i]));
                r = cgroup_write(path, "cgroup.subtree_control", word);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int make_pool(const Cgroups *cgroups, const char *path)
{
        int r;

        if (mkdir(path, 0755) < 0)
                return errno == EEXIST ? 0 : -errno;
        r = enable_controllers(cgroups, path);
        if (r < 0)
                (void)rmdir(path);
        return r;
}

/* Of worker n: "N", or "N.2" and so on while that is still dying. */
static int make_worker(const char *parent, unsigned n, char *path, size_t size)
{
        for (unsigned i = 1; i <= NAMES_MAX; i++) {
                int length = i == 1 ? snprintf(path, size, "%s/%u", parent, n)
                                    : snprintf(path, size, "%s/%u.%u", parent, n, i);

                if (length >= (int)size)
                        return -ENAMETOOLONG;
                if (mkdir(path, 0755) >= 0)
                        return 0;
                if (errno != EEXIST)
                        return -errno;
        }
        return -EBUSY;
}

int cgroups_make(Cgroups *cgroups, const char *pool, unsigned n, char **ret_path)
{
        char parent[CGROUP_PATH_SIZE], path[CGROUP_PATH_SIZE];
        int r;

        r = cgroups_pool_path(cgroups, pool, parent);
        if (r >= 0)
                r = make_pool(cgroups, parent);
        if (r >= 0)
                r = make_worker(parent, n, path, sizeof(path));
        if (r < 0)
                return r;
        *ret_path = strdup(path);
        if (*ret_path)
                return 0;
        (void)rmdir(path);
        return -ENOMEM;
}

void cgroups_forget_pool(Cgroups *cgroups, const char *pool)
{
        char path[CGROUP_PATH_SIZE];

        if (cgroups_controllers(cgroups) == 0 || cgroups_pool_path(cgroups, pool, path) < 0 ||
            rmdir(path) >= 0)
                return;
        LIST_FOREACH (link, &cgroups->dying) {
                Dying *dying = LIST_ENTRY(link, Dying, link);
                size_t length = strlen(path);

                if (strncmp(dying->path, path, length) == 0 && dying->path[length] == '/')
                        dying->pool_gone = true;
        }
}
