/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/log.h"
#include "worker/leftover.h"
#include "worker/worker-internal.h"

static const char *const state_names[] = {
        [WORKER_STATE_STOPPED] = "stopped",
        [WORKER_STATE_STARTING] = "starting",
        [WORKER_STATE_READY] = "ready",
        [WORKER_STATE_STOPPING] = "stopping",
};
static_assert(ELEMENTSOF(state_names) == _WORKER_STATE_MAX, "a state has no name");

static const char *const cause_names[] = {
        [WORKER_EXIT_ASKED] = "asked",
        [WORKER_EXIT_CRASHED] = "crashed",
        [WORKER_EXIT_CANNOT_EXEC] = "cannot-exec",
        [WORKER_EXIT_START_TIMEOUT] = "start-timeout",
        [WORKER_EXIT_WATCHDOG] = "watchdog",
        [WORKER_EXIT_TIMEOUT] = "timeout",
        [WORKER_EXIT_MEMORY] = "memory",
        [WORKER_EXIT_OOM] = "oom",
        [WORKER_EXIT_PROTOCOL] = "protocol",
};
static_assert(ELEMENTSOF(cause_names) == _WORKER_EXIT_CAUSE_MAX, "a cause has no name");

const char *worker_state_to_string(WorkerState state)
{
        return state >= 0 && state < _WORKER_STATE_MAX ? state_names[state] : NULL;
}

const char *worker_exit_cause_to_string(WorkerExitCause cause)
{
        return cause >= 0 && cause < _WORKER_EXIT_CAUSE_MAX ? cause_names[cause] : NULL;
}

void worker_set_state(Worker *worker, WorkerState state)
{
        static const bool may[_WORKER_STATE_MAX][_WORKER_STATE_MAX] = {
                [WORKER_STATE_STOPPED] = { [WORKER_STATE_STARTING] = true },
                [WORKER_STATE_STARTING] = { [WORKER_STATE_READY] = true,
                                            [WORKER_STATE_STOPPING] = true,
                                            [WORKER_STATE_STOPPED] = true },
                [WORKER_STATE_READY] = { [WORKER_STATE_STOPPING] = true,
                                         [WORKER_STATE_STOPPED] = true },
                [WORKER_STATE_STOPPING] = { [WORKER_STATE_STOPPED] = true },
        };

        if (worker->state == state)
                return;
        assert(may[worker->state][state]);
        log_event(LOG_DEBUG, (&(LogFields){ .pool = worker->config->name, .worker = worker->name }),
                  "is now %s", state_names[state]);
        worker->state = state;
}

void worker_report(Worker *worker, const WorkerReport *report)
{
        if (worker->freed)
                return;
        worker->callback(worker, report, worker->userdata);
}

void worker_become_ready(Worker *worker)
{
        worker_set_state(worker, WORKER_STATE_READY);
        worker_report(worker, &(WorkerReport){ .event = WORKER_READY });
}

void worker_complain(Worker *worker, const char *format, ...)
{
        LogFields fields = { .pool = worker->config->name, .worker = worker->name };
        char text[512];
        va_list args;

        worker->n_ignored++;
        if (!output_log_admit(&worker->log))
                return;
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        (void)log_full(LOG_WARNING, 0, &fields, "%s", text);
}

int worker_new(Worker **ret, WorkerContext *context, ConfigPool *config, unsigned index,
               worker_callback_t callback, void *userdata)
{
        Worker *worker;
        int r;

        worker = calloc(1, sizeof(*worker));
        if (!worker)
                return -ENOMEM;
        worker->context = context;
        worker->config = config_pool_ref(config);
        worker->mode = config->handler.mode == HANDLER_PER_TASK ? &worker_mode_per_task
                                                                : &worker_mode_persistent;
        worker->callback = callback;
        worker->userdata = userdata;
        worker->index = index;
        worker->stderr_fd = -EBADF;
        worker->message = BUFFER_NULL(TASK_LINE_MAX);
        worker->kill_cause = _WORKER_EXIT_CAUSE_INVALID;
        worker->n_pins = 1;
        list_init(&worker->tasks);
        list_init(&worker->spare);

        r = asprintf(&worker->name, "%s/%u", config->name, index) < 0 ? -ENOMEM : 0;
        if (r >= 0) {
                output_log_init(&worker->log, config->name, worker->name);
                worker_forget_process(worker);
                r = worker_clock_init(worker);
        }
        if (r < 0) {
                (void)worker_free(worker);
                return r;
        }
        *ret = worker;
        return 0;
}

void worker_unpin(Worker *worker)
{
        assert(worker->n_pins > 0);
        if (--worker->n_pins > 0)
                return;
        held_tasks_free(worker);
        if (worker->mode->release)
                worker->mode->release(worker);
        (void)child_free(worker->child);
        (void)worker_cgroup_free(worker->cgroup);
        (void)notify_socket_free(worker->notify);
        (void)sd_event_source_disable_unref(worker->timer);
        output_log_deinit(&worker->log);
        buffer_deinit(&worker->message);
        (void)config_pool_unref(worker->config);
        free(worker->status_text);
        free(worker->name);
        free(worker);
}

Worker *worker_free(Worker *worker)
{
        if (!worker)
                return NULL;
        worker->freed = true;
        worker_unpin(worker);
        return NULL;
}

int worker_start(Worker *worker)
{
        int r;

        if (worker->state != WORKER_STATE_STOPPED)
                return -EBUSY;
        worker_forget_process(worker);
        worker_pin(worker);
        r = worker->mode->start(worker);
        worker_unpin(worker);
        return r;
}

/* A name that says in `ss` which pool it is. A number keeps it apart from that of a worker of the
 * same name that is just going. */
static int worker_open_notify_socket(Worker *worker)
{
        _cleanup_free_ char *name = NULL;

        if (asprintf(&name, "%s.%u.%" PRIu64, worker->config->name, worker->index,
                     ++worker->context->n_names) < 0) {
                name = NULL;
                return -ENOMEM;
        }
        for (char *p = name; *p; p++) {
                if (*p == '/')
                        *p = '_';
        }
        return notify_socket_new(&worker->notify, worker->context->event,
                                 worker->context->runtime_dir, name, worker_on_notify, worker);
}

static int worker_set_environment(Worker *worker, Environment *environment)
{
        const ConfigPool *config = worker->config;
        char number[24];
        int r;

        r = environment_set(environment, ENVIRONMENT_NOTIFY_SOCKET,
                            notify_socket_path(worker->notify));
        if (r < 0)
                return r;
        (void)snprintf(number, sizeof(number), "%" PRIu64, config->watchdog_usec);
        r = environment_set(environment, ENVIRONMENT_WATCHDOG_USEC,
                            config->watchdog_usec > 0 ? number : NULL);
        if (r < 0)
                return r;
        if (config->handler.mode != HANDLER_LIBRARY)
                return 0;
        (void)snprintf(number, sizeof(number), "%" PRIu64, config->task_timeout_usec);
        r = environment_set(environment, ENVIRONMENT_TASK_TIMEOUT,
                            config->task_timeout_usec != USEC_INFINITY ? number : NULL);
        if (r < 0)
                return r;
        return environment_set(environment, ENVIRONMENT_HANDLER_CONFIG, config->handler.config);
}

/* The token tells the processes of this start from all others, so that what one leaves behind can
 * be found. A pool that lets children stay has none. */
static int worker_set_token(Worker *worker)
{
        char token[LEFTOVER_TOKEN_SIZE];
        int n;

        if (worker->config->handler.mode == HANDLER_PER_TASK && worker->config->leave_children)
                return environment_set(worker->child->environment, ENVIRONMENT_WORKER, NULL);
        n = snprintf(token, sizeof(token), "%s/%s/%" PRIu64, worker->context->instance,
                     worker->name, ++worker->context->n_names);
        if (n >= (int)sizeof(token))
                return -ENAMETOOLONG;
        return environment_set(worker->child->environment, ENVIRONMENT_WORKER, token);
}

static void worker_on_child(Child *child, ChildEvent event, void *userdata)
{
        Worker *worker = userdata;

        worker_pin(worker);
        if (event == CHILD_STARTED)
                worker_note_launched(worker);
        if (event == CHILD_EXITED)
                worker_check_oom(worker);
        worker->mode->on_child(worker, event);
        worker_unpin(worker);
}

int worker_prepare_child(Worker *worker)
{
        _cleanup_(environment_freep) Environment *environment = NULL;
        int r;

        if (!worker->notify) {
                r = worker_open_notify_socket(worker);
                if (r < 0)
                        return r;
        }
        if (!worker->child) {
                r = child_new(&worker->child, worker->context->spawner, worker->context->reaper,
                              worker_on_child, worker);
                if (r < 0)
                        return r;
        }
        if (worker->child->config != worker->config) {
                r = environment_new(&environment, worker->context->environment,
                                    worker->config->environment);
                if (r < 0)
                        return r;
                r = worker_set_environment(worker, environment);
                if (r < 0)
                        return r;
                (void)environment_free(worker->child->environment);
                worker->child->environment = TAKE_PTR(environment);
                child_set_config(worker->child, worker->config);
        }
        r = worker_set_token(worker);
        return r < 0 ? r : worker_enter_cgroup(worker);
}

int worker_dispatch(Worker *worker, Task *task)
{
        HeldTask *held;
        int r;

        assert(worker_free_slots(worker) > 0);
        r = held_task_new(worker, task, &held);
        if (r < 0)
                return r;
        r = worker->mode->dispatch(worker, held);
        if (r < 0) {
                held_task_release(worker, held);
                return r;
        }
        worker_arm(worker, held_task_timeout_usec(worker, held));
        if (worker->config->watchdog_usec > 0)
                worker_arm(worker, usec_add(held->started_usec, worker->config->watchdog_usec));
        return 0;
}

static void worker_cancel_held(Worker *worker, HeldTask *held, TaskFate fate)
{
        if (held->fate == FATE_NONE || fate == FATE_CANCELLED)
                held->fate = fate;
        if (held->answer_usec == USEC_INFINITY && !held->overdue)
                worker->mode->cancel(worker, held);
}

void worker_cancel(Worker *worker, Task *task)
{
        LIST_FOREACH (i, &worker->tasks) {
                HeldTask *held = LIST_ENTRY(i, HeldTask, link);

                if (held->task == task) {
                        worker_cancel_held(worker, held, FATE_CANCELLED);
                        return;
                }
        }
}

void worker_drain(Worker *worker)
{
        worker_pin(worker);
        if (worker->state == WORKER_STATE_STARTING || worker->state == WORKER_STATE_READY) {
                worker_set_state(worker, WORKER_STATE_STOPPING);
                worker->mode->drain(worker);
                if (worker->end < END_TASKS)
                        worker_set_end(worker, END_TASKS, USEC_INFINITY);
                worker->mode->advance(worker);
        }
        worker_unpin(worker);
}

void worker_stop(Worker *worker)
{
        worker_pin(worker);
        worker_drain(worker);
        if (!worker->freed && worker->state == WORKER_STATE_STOPPING) {
                if (worker->n_tasks > 0 && worker->end < END_CANCEL)
                        worker_set_end(worker, END_CANCEL, worker->config->stop_timeout_usec);
                LIST_FOREACH (i, &worker->tasks)
                        worker_cancel_held(worker, LIST_ENTRY(i, HeldTask, link), FATE_RETURN);
        }
        worker_unpin(worker);
}

void worker_kill(Worker *worker)
{
        worker_pin(worker);
        worker_drain(worker);
        if (!worker->freed && worker->state == WORKER_STATE_STOPPING) {
                LIST_FOREACH (i, &worker->tasks) {
                        HeldTask *held = LIST_ENTRY(i, HeldTask, link);

                        if (held->fate == FATE_NONE)
                                held->fate = FATE_RETURN;
                }
                worker_set_end(worker, END_KILL, USEC_INFINITY);
                if (worker->child)
                        child_signal(worker->child, SIGKILL);
        }
        worker_unpin(worker);
}

void worker_apply(Worker *worker, ConfigPool *config)
{
        (void)config_pool_ref(config);
        (void)config_pool_unref(worker->config);
        worker->config = config;
        worker_apply_cgroup(worker);
        worker->log.pool = config->name;
        worker_arm(worker, clock_monotonic_usec());
}

const char *worker_name(const Worker *worker)
{
        return worker->name;
}

WorkerState worker_state(const Worker *worker)
{
        return worker->state;
}

unsigned worker_free_slots(const Worker *worker)
{
        unsigned concurrency = worker->config->concurrency;

        if (worker->state != WORKER_STATE_READY || worker->end != END_NONE ||
            worker->n_tasks >= concurrency || !worker->mode->has_room(worker))
                return 0;
        return concurrency - worker->n_tasks;
}

unsigned worker_n_tasks(const Worker *worker)
{
        return worker->n_tasks;
}

void worker_get_status(Worker *worker, WorkerStatus *ret)
{
        pid_t pid = worker->child ? worker->child->pid : 0;

        *ret = (WorkerStatus){
                .pid = pid,
                .started_usec = worker->process_usec,
                .heartbeat_usec = worker->heartbeat_usec,
                .memory_bytes = worker_read_memory(worker),
                .cgroup = worker->cgroup ? worker_cgroup_path(worker->cgroup) : NULL,
                .status_text = worker->status_text,
                .n_done = worker->n_done,
                .n_done_total = worker->n_done_total,
                .n_ignored = worker->n_ignored,
                .n_starts = worker->n_starts,
                .last_exit = worker->last_exit,
                .last_exit_msec = worker->last_exit_msec,
        };
}

void worker_visit_tasks(Worker *worker, worker_task_visitor_t visitor, void *userdata)
{
        LIST_FOREACH (i, &worker->tasks) {
                HeldTask *held = LIST_ENTRY(i, HeldTask, link);
                WorkerTaskStatus status = {
                        .task = held->task,
                        .started_usec = held->started_usec,
                        .progress = buffer_slice(&held->progress),
                        .cancelled = held->fate == FATE_CANCELLED,
                        .stuck = worker->end == END_KILL,
                };

                visitor(&status, userdata);
        }
}
