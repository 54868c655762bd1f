/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include "worker/worker-cgroup.h"

/* A quota is given out anew this often: the kernel's own default. */
#define CPU_PERIOD_USEC 100000

/* cpu.weight where nothing is configured: the kernel's own default. */
#define CPU_WEIGHT_DEFAULT 100

/* Processes that are looked at one by one; where there are more, some are others. */
#define OTHERS_MAX 64

struct WorkerCgroup {
        Cgroups *cgroups; /* borrowed */
        char *path;
        char *pool;
        bool has_launcher; /* one more process than the worker's own */

        worker_cgroup_callback_t callback;
        void *userdata;
        int events_fd; /* pids.events */
        sd_event_source *events_source;

        uint64_t n_oom_kills; /* as last looked at */
        uint64_t n_ooms;
};

static int write_limit(const char *path, const char *attribute, uint64_t value, uint64_t none)
{
        return cgroup_write_uint(path, attribute, value == none ? CGROUP_MAX : value);
}

static int apply_memory(const char *path, const ConfigPool *config)
{
        int r, s;

        r = write_limit(path, "memory.high", config->limits.memory_high, 0);
        s = write_limit(path, "memory.swap.max", config->limits.swap, UINT64_MAX);
        if (r >= 0 && s != -ENOENT) /* a kernel without swap has none to limit */
                r = s;
        s = write_limit(path, "memory.max", config->limits.memory, 0);
        return r < 0 ? r : s;
}

static int apply_cpu(const char *path, const char *pool, const ConfigPool *config)
{
        char text[48];
        int r, s;

        if (config->limits.cpu_quota > 0)
                (void)snprintf(text, sizeof(text), "%" PRIu64 " %d",
                               (uint64_t)config->limits.cpu_quota * (CPU_PERIOD_USEC / 100),
                               CPU_PERIOD_USEC);
        else
                (void)snprintf(text, sizeof(text), "max %d", CPU_PERIOD_USEC);
        r = cgroup_write(path, "cpu.max", text);
        s = cgroup_write_uint(pool, "cpu.weight",
                              config->limits.cpu_weight > 0 ? config->limits.cpu_weight
                                                            : CPU_WEIGHT_DEFAULT);
        return r < 0 ? r : s;
}

static int apply_processes(const WorkerCgroup *cgroup, const ConfigPool *config)
{
        uint64_t n = config->limits.processes;

        return write_limit(cgroup->path, "pids.max", n > 0 ? n + cgroup->has_launcher : 0, 0);
}

int worker_cgroup_apply(WorkerCgroup *cgroup, const ConfigPool *config)
{
        unsigned controllers = cgroups_controllers(cgroup->cgroups);
        int r = 0, s;

        if (controllers & CGROUP_MEMORY)
                r = apply_memory(cgroup->path, config);
        if (controllers & CGROUP_PIDS) {
                s = apply_processes(cgroup, config);
                r = r < 0 ? r : s;
        }
        if (controllers & CGROUP_CPU) {
                s = apply_cpu(cgroup->path, cgroup->pool, config);
                r = r < 0 ? r : s;
        }
        return r;
}

static uint64_t read_forks_refused(const WorkerCgroup *cgroup)
{
        uint64_t n;

        return cgroup_read_key(cgroup->path, "pids.events", "max", &n) < 0 ? 0 : n;
}

static int worker_cgroup_on_events(sd_event_source *source, int fd, uint32_t revents,
                                   void *userdata)
{
        WorkerCgroup *cgroup = userdata;
        char text[64];

        (void)pread(fd, text, sizeof(text), 0);
        cgroup->callback(read_forks_refused(cgroup), cgroup->userdata);
        return 0;
}

static int watch_forks(WorkerCgroup *cgroup, sd_event *event)
{
        char text[64];
        int r;

        cgroup->events_fd = cgroup_open(cgroup->path, "pids.events");
        if (cgroup->events_fd < 0)
                return cgroup->events_fd;
        if (pread(cgroup->events_fd, text, sizeof(text), 0) < 0)
                return -errno;
        r = sd_event_add_io(event, &cgroup->events_source, cgroup->events_fd, EPOLLPRI,
                            worker_cgroup_on_events, cgroup);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(cgroup->events_source, "cgroup-pids");
        return 0;
}

static int prepare(WorkerCgroup *cgroup, sd_event *event, const ConfigPool *config)
{
        unsigned controllers = cgroups_controllers(cgroup->cgroups);
        int r;

        /* What is left to live on may be kept alive by its neighbours in the tree: the whole goes.
         * Children that may stay are nobody's tree. */
        if (controllers & CGROUP_MEMORY) {
                r = cgroup_write_uint(cgroup->path, "memory.oom.group", !config->leave_children);
                if (r < 0)
                        return r;
        }
        r = worker_cgroup_apply(cgroup, config);
        if (r < 0)
                return r;
        return controllers & CGROUP_PIDS ? watch_forks(cgroup, event) : 0;
}

int worker_cgroup_new(WorkerCgroup **ret, Cgroups *cgroups, sd_event *event,
                      const ConfigPool *config, unsigned index, worker_cgroup_callback_t callback,
                      void *userdata)
{
        _cleanup_(worker_cgroup_freep) WorkerCgroup *cgroup = calloc(1, sizeof(*cgroup));
        char pool[CGROUP_PATH_SIZE];
        int r;

        if (!cgroup)
                return -ENOMEM;
        cgroup->cgroups = cgroups;
        cgroup->has_launcher = true;
        cgroup->callback = callback;
        cgroup->userdata = userdata;
        cgroup->events_fd = -EBADF;
        r = cgroups_pool_path(cgroups, config->name, pool);
        if (r < 0)
                return r;
        cgroup->pool = strdup(pool);
        if (!cgroup->pool)
                return -ENOMEM;
        r = cgroups_make(cgroups, config->name, index, &cgroup->path);
        if (r < 0)
                return r;
        r = prepare(cgroup, event, config);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(cgroup);
        return 0;
}

WorkerCgroup *worker_cgroup_free(WorkerCgroup *cgroup)
{
        if (!cgroup)
                return NULL;
        (void)sd_event_source_disable_unref(cgroup->events_source);
        (void)close_fd(cgroup->events_fd);
        cgroups_discard(cgroup->cgroups, cgroup->path);
        free(cgroup->pool);
        free(cgroup);
        return NULL;
}

void worker_cgroup_drop_launcher(WorkerCgroup *cgroup, const ConfigPool *config)
{
        cgroup->has_launcher = false;
        if (cgroups_controllers(cgroup->cgroups) & CGROUP_PIDS)
                (void)apply_processes(cgroup, config);
}

void worker_cgroup_kill(WorkerCgroup *cgroup)
{
        (void)cgroup_kill(cgroup->path);
}

const char *worker_cgroup_path(const WorkerCgroup *cgroup)
{
        return cgroup->path;
}

bool worker_cgroup_has_others(const WorkerCgroup *cgroup, pid_t pid, pid_t group)
{
        pid_t pids[OTHERS_MAX];
        int n = cgroup_read_pids(cgroup->path, pids, ELEMENTSOF(pids));

        for (int i = 0; i < MIN(n, OTHERS_MAX); i++) {
                if (pids[i] != pid && getpgid(pids[i]) != group)
                        return true;
        }
        return n > OTHERS_MAX;
}

WorkerOom worker_cgroup_take_oom(WorkerCgroup *cgroup)
{
        uint64_t n_kills = 0, n_ooms = 0;
        WorkerOom oom = WORKER_OOM_NONE;

        if (cgroup_read_key(cgroup->path, "memory.events", "oom_kill", &n_kills) < 0 ||
            cgroup_read_key(cgroup->path, "memory.events", "oom", &n_ooms) < 0)
                return WORKER_OOM_NONE;
        if (n_kills > cgroup->n_oom_kills)
                oom = n_ooms > cgroup->n_ooms ? WORKER_OOM_LIMIT : WORKER_OOM_OUTSIDE;
        cgroup->n_oom_kills = n_kills;
        cgroup->n_ooms = n_ooms;
        return oom;
}
