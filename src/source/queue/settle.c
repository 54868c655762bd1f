/* SPDX-License-Identifier: Apache-2.0 */

/* Settlements and releases: collected during a pass of the loop, one job. What is to become of a
 * task is decided on the loop; the storage thread does it if the row is still this execution's.
 *
 * When a job fails (disk full), its holdings go back to the head of the list and are tried again
 * later: there are never more of them than tasks that pools had in hand. */

#include "source/queue/internal.h"

typedef struct SettleJob {
        QueueJob job;
        ListLink holdings;
        int64_t step_msec;
} SettleJob;

/* The storage thread */

static int store_result(QueueStore *store, const Holding *holding)
{
        const Outcome *outcome = holding->outcome;
        bool keep = outcome->status == TASK_IN_PROGRESS || holding->flags & TASK_FLAG_OUTPUT_KEPT;
        sqlite3_stmt *set;
        int r = db_prepare(store->db, SQL_RESULT_SET, &set);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(set, 1, holding->task->row);
        (void)db_bind_slice(set, 2, slice_from_string(holding->worker));
        (void)db_bind_slice(set, 3, outcome->reason);
        (void)db_bind_slice(set, 4, slice_from_string(holding->progress));
        (void)db_bind_slice(set, 5, outcome->output);
        (void)db_bind_slice(set, 6, outcome->logs);
        (void)sqlite3_bind_int(set, 7, keep);
        return db_run(store->db, set);
}

static int store_attempt(QueueStore *store, const Holding *holding, const char *status,
                         Slice reason)
{
        return queue_store_add_attempt(store, &(AttemptRow){
                                                      .row = holding->task->row,
                                                      .poll_count = holding->task->poll_count,
                                                      .attempt = holding->task->retry_count + 1,
                                                      .status = status,
                                                      .worker = slice_from_string(holding->worker),
                                                      .reason = reason,
                                                      .started_msec = holding->started_msec,
                                                      .ended_msec = holding->ended_msec,
                                              });
}

static int store_release(Holding *holding, QueueStore *store)
{
        sqlite3_stmt *release;
        int r = db_prepare(store->db, SQL_RELEASE, &release);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(release, 1, holding->task->row);
        (void)sqlite3_bind_int64(release, 2, holding->task->poll_count);
        r = db_run(store->db, release);
        if (r < 0)
                return r;
        holding->accepted = sqlite3_changes(db_handle(store->db)) > 0;
        if (!holding->accepted || !holding->reason)
                return 0;
        return store_attempt(store, holding, ATTEMPT_HANDED_BACK,
                             slice_from_string(holding->reason));
}

static unsigned attempts_after(const Holding *holding)
{
        return holding->task->retry_count + (holding->outcome->status != TASK_IN_PROGRESS);
}

static int update_ended(const Holding *holding, QueueStore *store)
{
        sqlite3_stmt *end;
        int r = db_prepare(store->db, SQL_END, &end);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(end, 1, holding->task->row);
        (void)sqlite3_bind_int64(end, 2, holding->task->poll_count);
        (void)sqlite3_bind_int64(end, 3, holding->state);
        (void)sqlite3_bind_int64(end, 4, attempts_after(holding));
        (void)sqlite3_bind_int64(end, 5, holding->started_msec);
        (void)sqlite3_bind_int64(end, 6, holding->ended_msec);
        return db_run(store->db, end);
}

static int update_again(const Holding *holding, QueueStore *store, int64_t step_msec)
{
        sqlite3_stmt *later;
        int r = db_prepare(store->db, SQL_RETRY_LATER, &later);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(later, 1, holding->task->row);
        (void)sqlite3_bind_int64(later, 2, holding->task->poll_count);
        (void)sqlite3_bind_int64(later, 3, holding->state);
        (void)sqlite3_bind_int64(later, 4, attempts_after(holding));
        (void)sqlite3_bind_int64(
                later, 5, holding->outcome->status == TASK_IN_PROGRESS ? TASK_FLAG_OUTPUT_KEPT : 0);
        (void)sqlite3_bind_int64(later, 6, holding->started_msec);
        (void)sqlite3_bind_int64(later, 7, holding->ended_msec);
        (void)sqlite3_bind_int64(later, 8, holding->scheduled_msec);
        (void)sqlite3_bind_int64(later, 9, step_msec);
        return db_run(store->db, later);
}

static int store_settlement(Holding *holding, QueueStore *store, int64_t step_msec)
{
        int r = holding->state >= STATE_ENDED ? update_ended(holding, store)
                                              : update_again(holding, store, step_msec);

        if (r < 0)
                return r;
        holding->accepted = sqlite3_changes(db_handle(store->db)) > 0;
        if (!holding->accepted)
                return 0;
        r = store_result(store, holding);
        if (r >= 0 && holding->state < STATE_ENDED && holding->outcome->status == TASK_FAILED)
                r = store_attempt(store, holding, "FAILED", holding->outcome->reason);
        return r;
}

static int settle_one(Holding *holding, SettleJob *settle, QueueStore *store)
{
        Tally *tally = &settle->job.tally;
        int r;

        holding->accepted = false;
        if (holding->end == HOLDING_STALE)
                return 0;
        r = holding->end == HOLDING_RELEASED ? store_release(holding, store)
                                             : store_settlement(holding, store, settle->step_msec);
        if (r < 0 || !holding->accepted)
                return r;
        if (holding->state == STATE_DELAYED)
                tally_alarm(tally, ALARM_DUE, holding->scheduled_msec);
        if (holding->state >= STATE_ENDED)
                tally_alarm(tally, ALARM_PURGE, holding->ended_msec);
        return tally_move(tally, holding->type, STATE_RUNNING, holding->state);
}

static int settle_run(QueueJob *job, QueueStore *store)
{
        SettleJob *settle = container_of(job, SettleJob, job);

        LIST_FOREACH (i, &settle->holdings) {
                int r = settle_one(LIST_ENTRY(i, Holding, link), settle, store);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The loop */

static void tell_listener(Queue *queue, const Holding *holding)
{
        TaskStatus status = state_to_status(holding->state);
        bool ended = task_status_is_final(status);

        if (!queue->listener || (!ended && holding->outcome->status != TASK_FAILED))
                return;
        queue->listener(&queue->source,
                        &(QueueEvent){
                                .kind = ended ? QUEUE_EVENT_ENDED : QUEUE_EVENT_RETRIED,
                                .id = holding->task->id,
                                .type = holding->task->type,
                                .status = status,
                        },
                        queue->listener_userdata);
}

/* Its holding is gone before the pool is told: the subscription may be quiet now. */
static void finish_holding(Queue *queue, Holding *holding)
{
        QueueSubscription *subscription = subscription_ref(holding->subscription);
        Task *task = task_ref(holding->task);
        bool released = holding->end == HOLDING_RELEASED;
        TaskStatus status =
                holding->accepted ? state_to_status(holding->state) : _TASK_STATUS_INVALID;

        if (!released && holding->accepted) {
                queue->n_settled++;
                tell_listener(queue, holding);
        }
        (void)holding_free(holding);
        if (released && subscription->callbacks.on_released)
                subscription->callbacks.on_released(&subscription->subscription, task,
                                                    subscription->userdata);
        if (!released && subscription->callbacks.on_settled)
                subscription->callbacks.on_settled(&subscription->subscription, task, status,
                                                   subscription->userdata);
        (void)task_unref(task);
        subscription_unref(subscription);
}

static void settle_done(QueueJob *job, int error)
{
        SettleJob *settle = container_of(job, SettleJob, job);
        Queue *queue = job->queue;

        if (error < 0 && !queue->closing) {
                ListLink later = LIST_INIT(later);

                list_splice(&later, &settle->holdings);
                list_splice(&later, &queue->settling);
                list_splice(&queue->settling, &later);
        }
        for (ListLink *i; (i = list_pop_first(&settle->holdings));) {
                Holding *holding = LIST_ENTRY(i, Holding, link);

                holding->accepted = holding->accepted && error >= 0;
                finish_holding(queue, holding);
        }
        queue_job_deinit(job);
        free(settle);
}

void queue_post_settling(Queue *queue)
{
        SettleJob *settle;

        if (list_is_empty(&queue->settling))
                return;
        settle = malloc(sizeof(*settle));
        if (!settle) {
                queue_retry_arm(queue);
                return;
        }
        *settle = (SettleJob){
                .job = { .storage.write = true, .run = settle_run, .done = settle_done },
                .step_msec = queue->step_msec,
        };
        list_init(&settle->holdings);
        list_splice(&settle->holdings, &queue->settling);
        LIST_FOREACH (i, &settle->holdings) {
                if (LIST_ENTRY(i, Holding, link)->end == HOLDING_SETTLED)
                        settle->job.storage.sync = queue->sync;
        }
        queue_post(queue, &settle->job);
}

/* Takes the holding out of the pool's hands; one that is not there any more gets a stand-in that is
 * answered as stale. NULL: no memory even for that. */
static Holding *take_holding(QueueSubscription *subscription, Task *task)
{
        Queue *queue = queue_of(subscription->subscription.source);
        Holding *holding = holding_find(queue, task->row);

        if (holding && holding->task == task) {
                table_remove(&queue->holdings, &holding->by_row);
                list_remove(&holding->link);
                list_remove(&holding->reporting);
        } else {
                if (holding_new(subscription, task, &holding) < 0)
                        return NULL;
                holding->end = HOLDING_STALE;
        }
        list_append(&queue->settling, &holding->link);
        queue_wake(queue);
        return holding;
}

static void schedule(Holding *holding, int64_t delay_msec)
{
        int64_t now_msec = clock_epoch_msec();

        holding->state = delay_msec > 0 ? STATE_DELAYED : STATE_READY;
        holding->scheduled_msec =
                delay_msec > INT64_MAX / 2 - now_msec ? INT64_MAX / 2 : now_msec + delay_msec;
}

/* What becomes of the task: it ends, or waits for another execution. */
static void decide(Holding *holding, const QueueSubscription *subscription)
{
        const Outcome *outcome = holding->outcome;
        unsigned used = holding->task->retry_count + 1;
        unsigned allowed =
                holding->attempts_max > 0 ? holding->attempts_max : subscription->retry_attempts;
        usec_t delay_usec;

        if (outcome->status == TASK_IN_PROGRESS) {
                schedule(holding, MAX(outcome->callback_after_msec, INT64_C(0)));
                return;
        }
        if (outcome->status != TASK_FAILED || used >= allowed) {
                holding->state = state_from_status(outcome->status);
                return;
        }
        delay_usec = backoff_delay(&subscription->retry_backoff, used, random_u64());
        schedule(holding, MAX((int64_t)(delay_usec / USEC_PER_MSEC), outcome->retry_after_msec));
}

void queue_settle(Subscription *base, Task *task, Outcome *outcome, const Settlement *settlement)
{
        QueueSubscription *subscription = container_of(base, QueueSubscription, subscription);
        Holding *holding = take_holding(subscription, task);

        if (!holding) {
                (void)outcome_free(outcome);
                return;
        }
        holding->outcome = outcome;
        if (holding->end == HOLDING_STALE)
                return;
        holding->end = HOLDING_SETTLED;
        holding->worker = settlement->worker ? strdup(settlement->worker) : NULL;
        holding->started_msec = settlement->started_msec;
        holding->ended_msec = settlement->ended_msec;
        decide(holding, subscription);
}

void queue_release(Subscription *base, Task *task, const char *reason)
{
        QueueSubscription *subscription = container_of(base, QueueSubscription, subscription);
        Holding *holding = take_holding(subscription, task);

        if (!holding || holding->end == HOLDING_STALE)
                return;
        holding->end = HOLDING_RELEASED;
        holding->state = STATE_READY;
        holding->reason = reason ? strdup(reason) : NULL;
        holding->started_msec = holding->ended_msec = clock_epoch_msec();
}
