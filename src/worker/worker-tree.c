/* SPDX-License-Identifier: Apache-2.0 */

/* The cgroup of a worker: when it has one, and what is made of what the kernel tells of it. */

#include <inttypes.h>
#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"
#include "base/parse.h"
#include "worker/worker-internal.h"

/* A worker whose forks are refused has refusals all the time. */
#define FORKS_TOLD_INTERVAL_USEC USEC_PER_MINUTE

static void worker_on_forks_refused(uint64_t n, void *userdata)
{
        Worker *worker = userdata;
        usec_t now = clock_monotonic_usec();

        if (n == 0 || (worker->forks_told_usec > 0 &&
                       now - worker->forks_told_usec < FORKS_TOLD_INTERVAL_USEC))
                return;
        worker->forks_told_usec = now;
        log_event(LOG_WARNING,
                  (&(LogFields){ .pool = worker->config->name,
                                 .worker = worker->name,
                                 .message_id = LOG_ID_WORKER_PROCESSES }),
                  "has as many processes as limits.processes allows (%" PRIu64
                  "), further ones are refused to it: raise the limit, or see what its handler "
                  "starts",
                  worker->config->limits.processes);
}

/* A persistent worker's next process has a group of its own: new figures, and nobody in it. */
int worker_enter_cgroup(Worker *worker)
{
        WorkerContext *context = worker->context;
        LauncherOptions options = {
                .event = context->event,
                .spawner = context->spawner,
                .reaper = context->reaper,
                .program = context->launcher_path,
        };
        int r;

        if (cgroups_controllers(context->cgroups) == 0 || worker->cgroup)
                return 0;
        r = worker_cgroup_new(&worker->cgroup, context->cgroups, context->event, worker->config,
                              worker->index, worker_on_forks_refused, worker);
        if (r < 0)
                return r;
        options.cgroup = worker_cgroup_path(worker->cgroup);
        r = child_set_cgroup(worker->child, &options);
        if (r < 0)
                worker->cgroup = worker_cgroup_free(worker->cgroup);
        return r;
}

/* A persistent worker's launcher goes when it has started the process. */
void worker_note_launched(Worker *worker)
{
        if (worker->cgroup && worker->config->handler.mode != HANDLER_PER_TASK)
                worker_cgroup_drop_launcher(worker->cgroup, worker->config);
}

void worker_leave_cgroup(Worker *worker)
{
        if (!worker->cgroup)
                return;
        (void)child_set_cgroup(worker->child, NULL);
        worker->cgroup = worker_cgroup_free(worker->cgroup);
}

void worker_apply_cgroup(Worker *worker)
{
        int r;

        if (!worker->cgroup)
                return;
        r = worker_cgroup_apply(worker->cgroup, worker->config);
        if (r < 0)
                log_full(LOG_WARNING, r,
                         &(LogFields){ .pool = worker->config->name, .worker = worker->name },
                         "cannot change its limits: %m");
}

/* What is in the leader's process group has been killed with it. */
void worker_end_tree(Worker *worker)
{
        const Child *child = worker->child;

        if (!worker->cgroup || (worker->config->leave_children && child->code == CLD_EXITED))
                return;
        if (worker_cgroup_has_others(worker->cgroup, launcher_pid(child->launcher),
                                     child->last_pid))
                worker_cgroup_kill(worker->cgroup);
}

void worker_check_oom(Worker *worker)
{
        uint64_t limit = worker->config->limits.memory;
        char text[FORMAT_MAX];
        WorkerOom oom;

        if (!worker->cgroup)
                return;
        /* Taken in any case: what this process survived is not why the next one ends. */
        oom = worker_cgroup_take_oom(worker->cgroup);
        if (oom == WORKER_OOM_NONE || worker->kill_cause >= 0 ||
            (worker->child->code == CLD_EXITED && worker->child->value == 0))
                return;
        worker->kill_cause = WORKER_EXIT_OOM;
        if (oom == WORKER_OOM_LIMIT && limit > 0)
                (void)snprintf(worker->why, sizeof(worker->why),
                               "out of memory, limits.memory is %s", format_size(text, limit));
        else
                (void)snprintf(worker->why, sizeof(worker->why),
                               "out of memory, the service's (MemoryMax=) or the machine's");
}
