/* SPDX-License-Identifier: Apache-2.0 */

/* Every deadline of a worker behind one timer.
 *
 * The timer is set for the earliest deadline there was when it was set, and only ever moved
 * forward when an earlier one comes up; deadlines that have moved away since are found when it
 * fires. So a worker that takes a hundred thousand tasks a second sets it once a watchdog interval,
 * and an idle one not at all. */

#include <stdio.h>
#include "base/json.h"
#include "base/log.h"
#include "base/parse.h"
#include "worker/tree.h"
#include "worker/worker-internal.h"

/* The memory of a process tree is looked at this often, where there is a limit to it. */
#define MEMORY_INTERVAL_USEC USEC_PER_SEC

/* A loop pass that comes later than this has stood still itself (a stopped or starved daemon), and
 * says nothing about the worker. With a watchdog it is half of that. */
#define LATE_USEC (5 * USEC_PER_SEC)

/* What is read of a worker before it is judged: more than its pipe can hold. */
#define READ_BEFORE_JUDGING ((size_t)1024 * 1024)

static int worker_on_timer(sd_event_source *source, uint64_t usec, void *userdata);

int worker_clock_init(Worker *worker)
{
        int r;

        worker->timer_usec = USEC_INFINITY;
        r = sd_event_add_time(worker->context->event, &worker->timer, CLOCK_MONOTONIC, 0,
                              10 * USEC_PER_MSEC, worker_on_timer, worker);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(worker->timer, worker->name);
        return sd_event_source_set_enabled(worker->timer, SD_EVENT_OFF);
}

void worker_arm(Worker *worker, usec_t usec)
{
        int r;

        if (usec >= worker->timer_usec)
                return;
        r = sd_event_source_set_time(worker->timer, usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(worker->timer, SD_EVENT_ONESHOT);
        if (r >= 0)
                worker->timer_usec = usec;
        else
                log_full(LOG_ERR, r, &(LogFields){ .worker = worker->name },
                         "cannot set its timer: %m");
}

uint64_t worker_read_memory(const Worker *worker)
{
        uint64_t bytes;

        if (!worker->child || worker->child->pid <= 0 || tree_rss(worker->child->pid, &bytes) < 0)
                return 0;
        return bytes;
}

static bool worker_limits_memory(const Worker *worker)
{
        bool by_kernel =
                worker->cgroup && (cgroups_controllers(worker->context->cgroups) & CGROUP_MEMORY);

        return worker->config->limits.memory > 0 && !by_kernel && worker->child &&
               worker->child->pid > 0;
}

void worker_watch_memory(Worker *worker, usec_t now_usec)
{
        if (!worker_limits_memory(worker))
                return;
        worker->memory_usec = now_usec + MEMORY_INTERVAL_USEC;
        worker_arm(worker, worker->memory_usec);
}

static void worker_check_memory(Worker *worker, usec_t now_usec)
{
        char used[FORMAT_MAX], limit[FORMAT_MAX];
        uint64_t bytes;

        if (!worker_limits_memory(worker)) {
                worker->memory_usec = USEC_INFINITY;
                return;
        }
        if (worker->memory_usec != USEC_INFINITY && worker->memory_usec > now_usec)
                return;
        worker->memory_usec = now_usec + MEMORY_INTERVAL_USEC;
        bytes = worker_read_memory(worker);
        if (bytes > worker->config->limits.memory)
                worker_terminate(worker, WORKER_EXIT_MEMORY,
                                 "its memory of %s is over limits.memory (%s)",
                                 format_size(used, bytes / 1024 * 1024),
                                 format_size(limit, worker->config->limits.memory));
}

static bool worker_is_watched(const Worker *worker)
{
        return worker->config->watchdog_usec > 0 && worker->n_tasks > 0 && worker->end < END_TERM;
}

static usec_t worker_watchdog_deadline(const Worker *worker)
{
        usec_t alive_usec = MAX(worker->heartbeat_usec, worker->held_usec);

        if (!worker_is_watched(worker))
                return USEC_INFINITY;
        return MAX(usec_add(alive_usec, worker->config->watchdog_usec),
                   worker->watchdog_extended_usec);
}

static void worker_check_watchdog(Worker *worker, usec_t now_usec)
{
        char interval[FORMAT_MAX];

        if (worker_watchdog_deadline(worker) <= now_usec)
                worker_terminate(worker, WORKER_EXIT_WATCHDOG, "no sign of life for %s",
                                 format_duration(interval, worker->config->watchdog_usec));
}

/* Nothing here takes a task out of hand: the list stays as it is. */
static void worker_check_tasks(Worker *worker, usec_t now_usec)
{
        LIST_FOREACH (i, &worker->tasks) {
                HeldTask *held = LIST_ENTRY(i, HeldTask, link);

                if (held_task_progress_usec(held) <= now_usec)
                        worker_report_progress(worker, held, now_usec);
                if (worker->freed)
                        return;
                if (held->answer_usec <= now_usec) {
                        held->answer_usec = USEC_INFINITY;
                        held->overdue = true;
                        worker_end_grace(worker);
                }
                if (held->fate == FATE_NONE && held_task_timeout_usec(worker, held) <= now_usec) {
                        held->fate = FATE_TIMED_OUT;
                        worker->mode->cancel(worker, held);
                }
        }
}

static void worker_judge(Worker *worker, usec_t now_usec)
{
        char timeout[FORMAT_MAX];

        if (worker->state == WORKER_STATE_STARTING && worker->start_deadline_usec <= now_usec)
                worker_terminate(worker, WORKER_EXIT_START_TIMEOUT, "not ready within %s",
                                 format_duration(timeout, worker->config->start_timeout_usec));
        if (worker->end_deadline_usec <= now_usec)
                worker_escalate(worker);
        worker_check_watchdog(worker, now_usec);
        worker_check_memory(worker, now_usec);
        worker_check_tasks(worker, now_usec);
}

static usec_t worker_next_deadline(const Worker *worker)
{
        usec_t next = MIN(worker->end_deadline_usec, worker_watchdog_deadline(worker));

        if (worker->state == WORKER_STATE_STARTING && worker->end < END_TERM)
                next = MIN(next, worker->start_deadline_usec);
        next = MIN(next, worker->memory_usec);
        LIST_FOREACH (i, (ListLink *)&worker->tasks) {
                const HeldTask *held = LIST_ENTRY(i, HeldTask, link);

                next = MIN(next, held->answer_usec);
                next = MIN(next, held_task_progress_usec(held));
                if (held->fate == FATE_NONE)
                        next = MIN(next, held_task_timeout_usec(worker, held));
        }
        return next;
}

static void restart(usec_t *deadline_usec, usec_t now_usec, usec_t timeout_usec)
{
        if (*deadline_usec != USEC_INFINITY)
                *deadline_usec = usec_add(now_usec, timeout_usec);
}

/* The loop stood still: what it did not see in that time counts for nobody. */
static void worker_restart_deadlines(Worker *worker, usec_t now_usec)
{
        const ConfigPool *config = worker->config;

        worker->heartbeat_usec = now_usec;
        restart(&worker->start_deadline_usec, now_usec, config->start_timeout_usec);
        restart(&worker->end_deadline_usec, now_usec, config->stop_timeout_usec);
        LIST_FOREACH (i, &worker->tasks) {
                HeldTask *held = LIST_ENTRY(i, HeldTask, link);

                held->forgiven_usec = now_usec - held->started_usec;
                restart(&held->answer_usec, now_usec, config->stop_timeout_usec);
        }
}

static int worker_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Worker *worker = userdata;
        usec_t now_usec = clock_monotonic_usec(), late_usec = LATE_USEC;

        worker_pin(worker);
        worker->timer_usec = USEC_INFINITY;
        if (worker->config->watchdog_usec > 0)
                late_usec = worker->config->watchdog_usec / 2;
        if (now_usec > usec && now_usec - usec > late_usec)
                worker_restart_deadlines(worker, now_usec);

        if (worker->notify)
                notify_socket_read(worker->notify);
        if (!worker->freed && worker->stream)
                stream_read_now(worker->stream, READ_BEFORE_JUDGING);
        if (!worker->freed)
                worker_judge(worker, now_usec);
        if (!worker->freed)
                worker_arm(worker, worker_next_deadline(worker));
        worker_unpin(worker);
        return 0;
}

void worker_alive(Worker *worker, usec_t now_usec)
{
        worker->heartbeat_usec = now_usec;
        worker->watchdog_extended_usec = 0;
}

/* The most that one EXTEND_TIMEOUT_USEC gives: a worker that needs longer is alive to say it again,
 * one that is stuck after it is not kept for ever. */
#define EXTEND_MAX_USEC (10 * USEC_PER_MINUTE)

/* As EXTEND_TIMEOUT_USEC does for a service: whatever deadline runs now lies at least that far
 * away. */
static void worker_extend(Worker *worker, usec_t extend_usec, usec_t now_usec)
{
        usec_t until_usec = usec_add(now_usec, MIN(extend_usec, EXTEND_MAX_USEC));

        if (worker->state == WORKER_STATE_STARTING)
                worker->start_deadline_usec = MAX(worker->start_deadline_usec, until_usec);
        if (worker->end != END_NONE)
                worker->end_deadline_usec = MAX(worker->end_deadline_usec, until_usec);
        worker->watchdog_extended_usec = until_usec;
}

/* For a per-task command this is all it can report. */
static void worker_take_status(Worker *worker, const char *status)
{
        HeldTask *held = LIST_FIRST(&worker->tasks, HeldTask, link);
        char *copy = strdup(status);

        if (!copy)
                return;
        free(worker->status_text);
        worker->status_text = copy;
        if (!held || worker->mode != &worker_mode_per_task)
                return;
        buffer_clear(&held->progress);
        if (buffer_append_string(&held->progress, "{\"message\":") < 0 ||
            json_append_string(&held->progress, slice_from_string(status)) < 0 ||
            buffer_append_byte(&held->progress, '}') < 0)
                buffer_clear(&held->progress);
        else
                worker_progressed(worker, held);
}

void worker_on_notify(NotifySocket *socket, const NotifyMessage *message, void *userdata)
{
        Worker *worker = userdata;
        usec_t now_usec = clock_monotonic_usec();

        /* Left over from a process that is gone. READY=1 may come before the spawner's answer. */
        if (worker->process_usec == 0 && !(worker->child && child_is_active(worker->child)))
                return;

        worker_pin(worker);
        worker_alive(worker, now_usec);
        if (message->extend_timeout_usec > 0)
                worker_extend(worker, message->extend_timeout_usec, now_usec);
        if (message->watchdog_trigger)
                worker_terminate(worker, WORKER_EXIT_WATCHDOG, "it sent WATCHDOG=trigger");
        if (message->status)
                worker_take_status(worker, message->status);
        if (message->stopping && worker->state == WORKER_STATE_READY && worker->end == END_NONE &&
            worker->mode == &worker_mode_persistent) {
                worker->leaving = true;
                worker_set_end(worker, END_TASKS, USEC_INFINITY);
                worker->mode->advance(worker);
        }
        if (message->ready && !worker->freed && worker->state == WORKER_STATE_STARTING &&
            worker->end == END_NONE)
                worker_become_ready(worker);
        worker_unpin(worker);
}
