/* SPDX-License-Identifier: Apache-2.0 */

/* The tasks of a pool: from the source to a worker, and what became of them back. This is the hot
 * path: no timer, no allocation and no formatting for a task that completes. */

#include "pool/pool-internal.h"

#include <limits.h>
#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"

/* For a task that failed. */
#define REMEDY_QUEUE_TASK                                                                          \
        "yardctl task show ID tells all of it; what FAILED for good runs again with yardctl task " \
        "retry ID"
#define REMEDY_SERVER_TASK                                                                     \
        "its workflow at the server tells all of it; what its definition there retries comes " \
        "again"

bool pool_takes_tasks(const Pool *pool)
{
        return !pool->paused && !pool->draining;
}

static void release_task(Pool *pool, Task *task, const char *worker, const char *reason)
{
        pool->stats.total.n_handed_back++;
        log_event(LOG_INFO,
                  (&(LogFields){ .pool = pool->config->name,
                                 .worker = worker,
                                 .task_id = task->id,
                                 .task_type = task->type,
                                 .status = "HANDED_BACK" }),
                  "task %s (%s) handed back: %s", task->id, task->type, reason);
        pool_emit(pool, EVENT_TASK_HANDED_BACK, worker, task, NULL, reason);
        source_release(pool->subscription, task, reason);
}

/* The least loaded worker that has a slot free; the search begins behind the last one found, so
 * that equals take turns. */
static Slot *find_free_slot(Pool *pool)
{
        Slot *best = NULL;
        unsigned best_load = UINT_MAX;
        size_t best_at = 0;

        for (size_t i = 0, at = pool->next_slot; i < pool->n_slots; i++, at++) {
                Slot *slot;
                unsigned load;

                if (at >= pool->n_slots)
                        at = 0;
                slot = pool->slots[at];
                if (slot->surplus || slot->replacing || worker_free_slots(slot->worker) == 0)
                        continue;
                load = worker_n_tasks(slot->worker);
                if (load >= best_load)
                        continue;
                best = slot;
                best_load = load;
                best_at = at;
                if (load == 0)
                        break;
        }
        if (best)
                pool->next_slot = best_at + 1 < pool->n_slots ? best_at + 1 : 0;
        return best;
}

/* Out of fds or memory, or a worker that is just going. The task goes back, and nothing is fetched
 * for a moment: it would come again at once. */
static void on_not_taken(Pool *pool, const Slot *slot, Task *task, int error)
{
        const char *name = worker_name(slot->worker);
        char message[128];
        int n;

        n = snprintf(message, sizeof(message), "%.64s does not take a task: %s", name,
                     strerror(-error));
        pool_stats_set_error(&pool->stats, message, MIN((size_t)MAX(n, 0), sizeof(message) - 1),
                             NULL);
        log_full(LOG_WARNING, error,
                 &(LogFields){ .pool = pool->config->name, .worker = name, .task_id = task->id },
                 "does not take task %s: %m", task->id);
        pool->error_backoff_usec = MAX(pool->error_backoff_usec,
                                       usec_add(clock_monotonic_usec(), POOL_NOT_TAKEN_PAUSE_USEC));
        release_task(pool, task, name, "the worker did not take it");
}

/* Hands task to a worker; false if none is free. */
static bool dispatch_task(Pool *pool, Task *task)
{
        Slot *slot = find_free_slot(pool);
        int r;

        if (!slot)
                return false;
        pool->n_running_tasks++;
        if (pool_wants(pool, EVENT_TASK_STARTED))
                pool_emit(pool, EVENT_TASK_STARTED, worker_name(slot->worker), task, NULL, NULL);
        r = worker_dispatch(slot->worker, task);
        if (r < 0) {
                pool->n_running_tasks--;
                on_not_taken(pool, slot, task, r);
        }
        return true;
}

void pool_dispatch_queue(Pool *pool)
{
        while (pool->n_queue > 0 && pool_takes_tasks(pool)) {
                Task *task = LIST_FIRST(&pool->queue, Task, link);

                list_remove(&task->link);
                if (!dispatch_task(pool, task)) {
                        list_prepend(&pool->queue, &task->link);
                        return;
                }
                pool->n_queue--;
                task_unref(task);
        }
}

void pool_release_queue(Pool *pool, const char *reason)
{
        ListLink *link;

        while ((link = list_pop_first(&pool->queue))) {
                Task *task = LIST_ENTRY(link, Task, link);

                pool->n_queue--;
                release_task(pool, task, NULL, reason);
                task_unref(task);
        }
}

static void on_tasks(Subscription *subscription, Task **tasks, size_t n, void *userdata)
{
        Pool *pool = userdata;

        pool->credit -= (unsigned)MIN(n, pool->credit);
        if (pool->config->rate_count > 0)
                ratelimit_take(&pool->rate, n, clock_monotonic_usec());

        for (size_t i = 0; i < n; i++) {
                Task *task = tasks[i];

                if (!pool_takes_tasks(pool)) {
                        release_task(pool, task, NULL,
                                     pool->paused ? "the pool is paused" : "the pool is draining");
                        task_unref(task);
                } else if (pool->n_queue > 0 || !dispatch_task(pool, task)) {
                        list_append(&pool->queue, &task->link);
                        pool->n_queue++;
                } else
                        task_unref(task);
        }
        pool_mark(pool);
}

/* Credit: what the workers have free, less what rate, backoff and switches forbid. */

static unsigned free_slots(const Pool *pool)
{
        unsigned n = 0;

        for (size_t i = 0; i < pool->n_slots; i++)
                if (!pool->slots[i]->surplus && !pool->slots[i]->replacing)
                        n += worker_free_slots(pool->slots[i]->worker);
        return n;
}

static unsigned limit_by_failure(const Pool *pool, unsigned credit, usec_t now, usec_t *wake)
{
        if (pool->failure != POOL_FAILURE_EXEC)
                return credit;
        if (now < pool->probe_usec) {
                *wake = MIN(*wake, pool->probe_usec);
                return 0;
        }
        return pool->n_running_tasks + pool->n_queue > 0 ? 0 : MIN(credit, 1U);
}

static unsigned limit_by_rate(Pool *pool, unsigned credit, usec_t now, usec_t *wake)
{
        uint64_t tokens;

        if (pool->config->rate_count == 0 || credit == 0)
                return credit;
        tokens = ratelimit_available(&pool->rate, now);
        if (tokens == 0)
                *wake = MIN(*wake, ratelimit_next_usec(&pool->rate, now));
        return (unsigned)MIN(tokens, (uint64_t)credit);
}

void pool_update_credit(Pool *pool, usec_t now_usec, usec_t *wake_usec)
{
        unsigned credit = 0;

        if (pool_takes_tasks(pool)) {
                credit = limit_by_failure(pool, free_slots(pool), now_usec, wake_usec);
                if (now_usec < pool->error_backoff_usec) {
                        credit = 0;
                        *wake_usec = MIN(*wake_usec, pool->error_backoff_usec);
                }
                credit = limit_by_rate(pool, credit, now_usec, wake_usec);
        }
        if (credit == pool->credit && !pool->credit_stale)
                return;
        pool->credit_stale = false;
        pool->credit = credit;
        source_set_credit(pool->subscription, credit);
}

/* What became of a task */

static void log_task_end(const Pool *pool, const Slot *slot, const Task *task,
                         const Outcome *outcome, usec_t run_usec)
{
        bool failed = outcome->status == TASK_FAILED ||
                      outcome->status == TASK_FAILED_WITH_TERMINAL_ERROR;
        int level = failed ? LOG_NOTICE : LOG_INFO;
        const char *status = task_status_to_string(outcome->status);

        if (level > log_level())
                return;
        log_event(level,
                  (&(LogFields){ .pool = pool->config->name,
                                 .worker = worker_name(slot->worker),
                                 .task_id = task->id,
                                 .task_type = task->type,
                                 .status = status,
                                 .message_id = failed ? LOG_ID_TASK_FAILED : NULL }),
                  "task %s (%s) %s after %.6gs%s%.*s", task->id, task->type, status,
                  (double)run_usec / (double)USEC_PER_SEC, outcome->reason.size > 0 ? ": " : "",
                  (int)MIN(outcome->reason.size, (size_t)1000),
                  outcome->reason.size > 0 ? outcome->reason.data : "");
}

/* Failed executions in a row, and the pause that follows. */
static void count_failure(Pool *pool, const Task *task, const Outcome *outcome)
{
        const ConfigPool *config = pool->config;
        char message[2 * sizeof(pool->stats.error)]; /* where it is cut, at a character */
        usec_t now;
        int n;

        pool->stats.total.n_failed++;
        n = snprintf(message, sizeof(message), "task %s: %.*s", task->id,
                     (int)MIN(outcome->reason.size, sizeof(message)),
                     outcome->reason.size > 0 ? outcome->reason.data : "");
        pool_stats_set_error(&pool->stats, message, MIN((size_t)MAX(n, 0), sizeof(message) - 1),
                             source_type(pool->source) == SOURCE_QUEUE ? REMEDY_QUEUE_TASK
                                                                       : REMEDY_SERVER_TASK);

        pool->n_errors_in_row++;
        if (config->error_backoff.after == 0 || pool->n_errors_in_row < config->error_backoff.after)
                return;
        now = clock_monotonic_usec();
        if (now < pool->error_backoff_usec)
                return;
        pool->error_backoff_usec =
                usec_add(now, backoff_delay(&config->error_backoff.backoff,
                                            ++pool->n_error_backoffs, random_u64()));
        log_event(LOG_WARNING,
                  (&(LogFields){ .pool = config->name, .message_id = LOG_ID_ERROR_BACKOFF }),
                  "%u tasks failed in a row: fetching no new one for %.3gs", pool->n_errors_in_row,
                  (double)(pool->error_backoff_usec - now) / (double)USEC_PER_SEC);
}

static void count_outcome(Pool *pool, const Task *task, const Outcome *outcome, usec_t run_usec)
{
        bool failed = outcome->status == TASK_FAILED ||
                      outcome->status == TASK_FAILED_WITH_TERMINAL_ERROR;

        pool_stats_add(&pool->stats, failed, run_usec);
        if (failed) {
                count_failure(pool, task, outcome);
                return;
        }
        if (outcome->status == TASK_COMPLETED)
                pool->stats.total.n_completed++;
        pool->n_errors_in_row = pool->n_error_backoffs = 0;
        pool->error_backoff_usec = 0;
        if (pool->failure == POOL_FAILURE_CRASHES)
                pool_recover(pool);
}

/* Remembers what someone wants to be told once the source has accepted it. */
static void remember_outcome(Pool *pool, const Slot *slot, Task *task, const Outcome *outcome)
{
        Pending *pending;

        if (outcome->status == TASK_COMPLETED && !pool_wants(pool, EVENT_TASK_COMPLETED))
                return;
        pending = calloc(1, sizeof(Pending));
        if (!pending)
                return; /* an event is lost, no task */
        pending->task = task_ref(task);
        pending->status = outcome->status;
        (void)snprintf(pending->worker, sizeof(pending->worker), "%s", worker_name(slot->worker));
        (void)snprintf(pending->reason, sizeof(pending->reason), "%.*s",
                       (int)MIN(outcome->reason.size, sizeof(pending->reason)),
                       outcome->reason.size > 0 ? outcome->reason.data : "");
        list_append(&pool->pending, &pending->link);
}

static void pending_free(Pending *pending)
{
        list_remove(&pending->link);
        task_unref(pending->task);
        free(pending);
}

static void on_done(Pool *pool, Slot *slot, const WorkerReport *report)
{
        Task *task = report->task;
        Outcome *outcome = report->outcome;
        int64_t now_msec = clock_epoch_msec();
        Settlement settlement = {
                .worker = worker_name(slot->worker),
                .started_msec = now_msec - (int64_t)(report->run_usec / USEC_PER_MSEC),
                .ended_msec = now_msec,
        };

        log_task_end(pool, slot, task, outcome, report->run_usec);
        count_outcome(pool, task, outcome, report->run_usec);
        remember_outcome(pool, slot, task, outcome);
        pool->credit_stale = true;
        source_settle(pool->subscription, task, outcome, &settlement);

        /* the command has run, so it can be run */
        if (pool->failure == POOL_FAILURE_EXEC && pool->config->handler.mode == HANDLER_PER_TASK)
                pool_recover(pool);
}

/* Of the process of one task. What it returned by itself is the task's result, and no more. */
static void note_process_exit(Pool *pool, const char *worker, const WorkerExit *exit)
{
        if (exit->cause == WORKER_EXIT_CRASHED && exit->code == CLD_EXITED)
                return;
        pool->stats.total.n_exits[exit->cause]++;
        if (exit->cause == WORKER_EXIT_OOM)
                log_event(LOG_WARNING,
                          (&(LogFields){ .pool = pool->config->name,
                                         .worker = worker,
                                         .task_id = exit->task_id,
                                         .message_id = LOG_ID_WORKER_OOM }),
                          "%s", exit->text);
}

void pool_on_task(Slot *slot, const WorkerReport *report)
{
        Pool *pool = slot->pool;
        const char *name = worker_name(slot->worker);

        pool->n_running_tasks--;
        if (report->exit)
                note_process_exit(pool, name, report->exit);
        switch (report->event) {
        case WORKER_TASK_DONE:
                slot->n_tasks++;
                on_done(pool, slot, report);
                slot_check_recycle(slot);
                break;
        case WORKER_TASK_RETURNED:
                release_task(pool, report->task, name, report->reason);
                break;
        case WORKER_TASK_DROPPED:
                pool->stats.total.n_canceled++;
                log_event(LOG_INFO,
                          (&(LogFields){ .pool = pool->config->name,
                                         .worker = name,
                                         .task_id = report->task->id,
                                         .task_type = report->task->type,
                                         .status = "CANCELED" }),
                          "task %s (%s) stopped, its result is not wanted any more",
                          report->task->id, report->task->type);
                break;
        default:
                break;
        }
        pool_mark(pool);
}

static Pending *find_pending(Pool *pool, const Task *task)
{
        /* sources accept in order, so it is one of the first */
        LIST_FOREACH (link, &pool->pending) {
                Pending *pending = LIST_ENTRY(link, Pending, link);

                if (pending->task == task)
                        return pending;
        }
        return NULL;
}

static void tell_settled(Pool *pool, const Pending *pending, const Task *task, TaskStatus status)
{
        const char *word = task_status_to_string(status);
        EventType type;

        switch (status) {
        case TASK_COMPLETED:
                type = EVENT_TASK_COMPLETED;
                break;
        case TASK_SCHEDULED:
                if (pending->status != TASK_FAILED)
                        return; /* put back by its handler */
                pool->stats.total.n_retried++;
                type = EVENT_TASK_RETRIED;
                break;
        case TASK_FAILED:
        case TASK_FAILED_WITH_TERMINAL_ERROR:
                type = EVENT_TASK_FAILED;
                break;
        default:
                return;
        }
        pool_emit(pool, type, pending->worker, task, word,
                  pending->reason[0] != '\0' ? pending->reason : NULL);
}

static void on_settled(Subscription *subscription, Task *task, TaskStatus status, void *userdata)
{
        Pool *pool = userdata;
        Pending *pending = NULL;

        if (!list_is_empty(&pool->pending))
                pending = find_pending(pool, task);
        if (status == _TASK_STATUS_INVALID)
                log_event(LOG_NOTICE,
                          (&(LogFields){ .pool = pool->config->name,
                                         .task_id = task->id,
                                         .task_type = task->type }),
                          "the result of task %s (%s) was refused: it is not this execution's any "
                          "more",
                          task->id, task->type);
        else if (pending)
                tell_settled(pool, pending, task, status);
        if (pending)
                pending_free(pending);
        if (pool->draining)
                pool_mark(pool);
}

/* Cancel: in the queue, or in a worker's hands. */

typedef struct Holder {
        const Task *task;
        Task *found;
        bool stuck;
} Holder;

static void match_task(const WorkerTaskStatus *status, void *userdata)
{
        Holder *holder = userdata;

        if (status->task != holder->task)
                return;
        holder->found = status->task;
        holder->stuck = status->stuck;
}

static Worker *find_worker(const Pool *pool, const Task *task, Holder *ret)
{
        *ret = (Holder){ .task = task };
        for (size_t i = 0; i < pool->n_slots; i++) {
                worker_visit_tasks(pool->slots[i]->worker, match_task, ret);
                if (ret->found)
                        return pool->slots[i]->worker;
        }
        return NULL;
}

static bool drop_queued(Pool *pool, Task *task)
{
        LIST_FOREACH (link, &pool->queue) {
                if (link != &task->link)
                        continue;
                list_remove(link);
                pool->n_queue--;
                pool->stats.total.n_canceled++;
                task_unref(task);
                return true;
        }
        return false;
}

static void on_cancel(Subscription *subscription, Task *task, CancelCause cause, void *userdata)
{
        Pool *pool = userdata;
        Worker *worker;
        Holder holder;

        pool_mark(pool);
        /* a queue tells of those that nobody held, too, and so of all */
        if (source_type(pool->source) != SOURCE_QUEUE)
                pool_emit(pool, EVENT_TASK_CANCELED, NULL, task,
                          task_status_to_string(cause == CANCEL_DEADLINE ? TASK_TIMED_OUT
                                                                         : TASK_CANCELED),
                          NULL);
        if (drop_queued(pool, task))
                return;
        worker = find_worker(pool, task, &holder);
        if (worker)
                worker_cancel(worker, holder.found);
}

static bool is_stuck(Subscription *subscription, const Task *task, void *userdata)
{
        Holder holder;

        return find_worker(userdata, task, &holder) && holder.stuck;
}

const SubscriptionCallbacks pool_subscription_callbacks = {
        .on_tasks = on_tasks,
        .on_cancel = on_cancel,
        .on_settled = on_settled,
        .is_stuck = is_stuck,
};

void pool_free_tasks(Pool *pool)
{
        ListLink *link;

        while ((link = list_pop_first(&pool->queue)))
                task_unref(LIST_ENTRY(link, Task, link));
        pool->n_queue = 0;
        while (!list_is_empty(&pool->pending))
                pending_free(LIST_FIRST(&pool->pending, Pending, link));
}
