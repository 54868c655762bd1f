#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The cgroup of one worker: limits, figures, how it ended. Owned by the worker; every process it
 * starts is born there, so that nothing of its tree gets away. Of a persistent worker each process
 * has a group of its own, of a per-task command all processes of the slot have one. */

#include "config/config.h"
#include "worker/cgroups.h"

typedef struct WorkerCgroup WorkerCgroup;

/* limits.processes was reached: n forks were refused since the group was made. */
typedef void (*worker_cgroup_callback_t)(uint64_t n, void *userdata);

/* Makes the group, and writes the limits of config. */
int worker_cgroup_new(WorkerCgroup **ret, Cgroups *cgroups, sd_event *event,
                      const ConfigPool *config, unsigned index, worker_cgroup_callback_t callback,
                      void *userdata);
/* Kills what is in it. */
WorkerCgroup *worker_cgroup_free(WorkerCgroup *cgroup);
DEFINE_CLEANUP(WorkerCgroup *, worker_cgroup_free);

/* Other values of live keys. 0 or the first error; the rest is written all the same. */
int worker_cgroup_apply(WorkerCgroup *cgroup, const ConfigPool *config);
/* Its launcher, for which there is room until then, has gone. */
void worker_cgroup_drop_launcher(WorkerCgroup *cgroup, const ConfigPool *config);
void worker_cgroup_kill(WorkerCgroup *cgroup);

const char *worker_cgroup_path(const WorkerCgroup *cgroup);
/* Whether a process lives in it but this one and those of a process group. */
bool worker_cgroup_has_others(const WorkerCgroup *cgroup, pid_t pid, pid_t group);

typedef enum WorkerOom {
        WORKER_OOM_NONE,
        WORKER_OOM_LIMIT,  /* by its own limit */
        WORKER_OOM_OUTSIDE /* the service's or the machine's memory ran out */
} WorkerOom;

/* Whether processes of it were killed for want of memory since the last call. */
WorkerOom worker_cgroup_take_oom(WorkerCgroup *cgroup);
