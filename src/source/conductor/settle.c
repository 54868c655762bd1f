/* SPDX-License-Identifier: Apache-2.0 */

/* What the pool says of a task → what the server will be told, in the outbox. From then on it is
 * the sender's. */

#include "base/log.h"
#include "source/conductor/send.h"

/* Scratch buffers that have grown beyond this give their memory back. */
#define SCRATCH_KEEP ((size_t)64 * 1024)

/* Before a settlement that found no memory is tried again. */
#define LATER_USEC USEC_PER_SEC

static ConductorSubscription *subscription_of(Subscription *subscription)
{
        return container_of(subscription, ConductorSubscription, subscription);
}

static void note_kept(Conductor *conductor, int64_t change)
{
        bool was_full = send_is_full(conductor);

        conductor->send->kept_bytes += (uint64_t)change;
        if (was_full && !send_is_full(conductor))
                conductor_poll_all(conductor);
}

/* The holding is gone before the pool is told: the subscription may be quiet now. */
void conductor_settled(ConductorTask *holding, TaskStatus status)
{
        ConductorSubscription *subscription = conductor_subscription_ref(holding->subscription);
        Task *task = task_ref(holding->task);
        bool settled = holding->settled, released = holding->released;

        if (holding->item.entry)
                note_kept(subscription->conductor, -(int64_t)task->json.size);
        (void)conductor_task_free(holding);
        if (settled && subscription->callbacks.on_settled)
                subscription->callbacks.on_settled(&subscription->subscription, task, status,
                                                   subscription->userdata);
        else if (released && subscription->callbacks.on_released)
                subscription->callbacks.on_released(&subscription->subscription, task,
                                                    subscription->userdata);
        (void)task_unref(task);
        (void)conductor_subscription_unref(subscription);
}

static void begin_way(ConductorTask *holding)
{
        ConductorSubscription *subscription = holding->subscription;

        holding->item = (SendItem){
                .conductor = subscription->conductor,
                .entry = holding->entry,
                .holding = holding,
        };
        holding->entry->userdata = &holding->item;
        note_kept(subscription->conductor, (int64_t)holding->task->json.size);
        send_begin_first(&holding->item, subscription);
}

/* Whether the answer to the result may bring the next task. Several types share a pool's places
 * fairly; update-v2 would stay with one. */
static bool wants_next(const ConductorTask *holding)
{
        const ConductorSubscription *subscription = holding->subscription;

        return subscription->conductor->has_update_v2 && subscription->n_types == 1 &&
               task_status_is_final(holding->status);
}

/* What Conductor does otherwise than a queue of ours. */
static void adapt(ConductorTask *holding, Outcome *outcome)
{
        ConductorSend *send = holding->subscription->conductor->send;
        int64_t least_sec;

        if (outcome->status == TASK_IN_PROGRESS) {
                /* what is not sent is wiped (measured) */
                if (outcome->output.size == 0)
                        outcome->output = holding->output;
                least_sec = hand_back_delay_sec(clock_epoch_msec(), holding->task->scheduled_msec,
                                                holding->poll_timeout_sec);
                outcome->callback_after_msec = MAX(outcome->callback_after_msec, least_sec * 1000);
        } else if (outcome->status == TASK_FAILED && outcome->retry_after_msec >= 0 &&
                   !send->told_retry_after) {
                send->told_retry_after = true;
                log_event(LOG_NOTICE,
                          (&(LogFields){ .pool = holding->subscription->pool,
                                         .task_id = holding->task->id,
                                         .task_type = holding->task->type }),
                          "a handler asks for retryAfterSeconds, which a Conductor server does not "
                          "know: the retryDelaySeconds of the task's definition holds");
        }
}

/* A result that no update can hold. */
static int append_too_large(ConductorTask *holding, const MessageHead *head)
{
        ConductorSend *send = holding->subscription->conductor->send;
        _cleanup_(outcome_freep) Outcome *outcome = NULL;
        int r = outcome_newf(&outcome, TASK_FAILED_WITH_TERMINAL_ERROR,
                             "the result and its log lines are over %zu bytes", CONDUCTOR_BODY_MAX);

        if (r < 0)
                return r;
        holding->status = outcome->status;
        return result_append(&send->body, head, holding->task->id, outcome, &send->rest);
}

static void add_logs(const ConductorTask *holding)
{
        Conductor *conductor = holding->subscription->conductor;
        OutboxEntry *entry;
        SendItem *item;

        if (conductor->send->rest.size == 0)
                return;
        if (outbox_add(conductor->outbox, holding->task->id, holding->entry->head, MESSAGE_LOG,
                       buffer_slice(&conductor->send->rest), &entry) < 0) {
                log_event(LOG_ERR,
                          (&(LogFields){ .pool = holding->subscription->pool,
                                         .task_id = holding->task->id }),
                          "log lines of task %s beyond %d are lost: out of memory",
                          holding->task->id, CONDUCTOR_LOGS_MAX);
                return;
        }
        item = send_item_new(conductor, entry);
        if (item)
                send_begin_first(item, holding->subscription);
}

static int put_outcome(ConductorTask *holding, Outcome *outcome)
{
        Conductor *conductor = holding->subscription->conductor;
        ConductorSend *send = conductor->send;
        MessageHead head;
        int r;

        buffer_clear(&send->body);
        buffer_clear(&send->rest);
        adapt(holding, outcome);
        r = message_head_parse(holding->entry->head, &head);
        if (r >= 0)
                r = result_append(&send->body, &head, holding->task->id, outcome, &send->rest);
        if (r == -ENOBUFS)
                r = append_too_large(holding, &head);
        if (r >= 0)
                r = outbox_put(conductor->outbox, holding->entry,
                               holding->status == TASK_IN_PROGRESS ? MESSAGE_PUT_BACK
                                                                   : MESSAGE_RESULT,
                               buffer_slice(&send->body), false);
        if (r < 0)
                return r;
        add_logs(holding);
        buffer_trim(&send->body, SCRATCH_KEEP);
        buffer_trim(&send->rest, SCRATCH_KEEP);
        begin_way(holding);
        return 0;
}

static int put_hand_back(ConductorTask *holding)
{
        Conductor *conductor = holding->subscription->conductor;
        ConductorSend *send = conductor->send;
        int64_t delay_sec = hand_back_delay_sec(clock_epoch_msec(), holding->task->scheduled_msec,
                                                holding->poll_timeout_sec);
        MessageHead head;
        int r;

        buffer_clear(&send->body);
        r = message_head_parse(holding->entry->head, &head);
        if (r >= 0)
                r = hand_back_append(&send->body, &head, holding->task->id, holding->output,
                                     delay_sec);
        if (r >= 0)
                r = outbox_put(conductor->outbox, holding->entry, MESSAGE_HAND_BACK,
                               buffer_slice(&send->body), false);
        if (r < 0)
                return r;
        begin_way(holding);
        return 0;
}

/* Stale ones are answered, and what found no memory is tried again, from the loop. */
static void settle_later(ConductorTask *holding, usec_t delay_usec)
{
        ConductorSend *send = holding->subscription->conductor->send;

        list_append(&send->later, &holding->link);
        holding->subscription->n_unsent++;
        (void)sd_event_source_set_time(send->later_source,
                                       usec_add(clock_monotonic_usec(), delay_usec));
        (void)sd_event_source_set_enabled(send->later_source, SD_EVENT_ONESHOT);
}

void conductor_settle_rest(ConductorSend *send)
{
        ListLink later = LIST_INIT(later);

        list_splice(&later, &send->later);
        for (ListLink *i; (i = list_pop_first(&later));) {
                ConductorTask *holding = LIST_ENTRY(i, ConductorTask, link);

                holding->subscription->n_unsent--;
                if (!holding->entry) {
                        conductor_settled(holding, _TASK_STATUS_INVALID);
                } else if ((holding->outcome ? put_outcome(holding, holding->outcome)
                                             : put_hand_back(holding)) < 0) {
                        settle_later(holding, LATER_USEC);
                } else {
                        holding->outcome = outcome_free(holding->outcome);
                }
        }
}

/* It has no entry. */
static ConductorTask *stale_new(ConductorSubscription *subscription, Task *task)
{
        ConductorTask *holding = calloc(1, sizeof(*holding));

        if (!holding)
                return NULL;
        holding->subscription = conductor_subscription_ref(subscription);
        holding->task = task_ref(task);
        return holding;
}

/* Takes the holding out of the pool's hands; one that is not there (any more: the server has ended
 * the task) gets a stand-in that is answered as stale. NULL: no memory even for that. */
static ConductorTask *take_holding(ConductorSubscription *subscription, Task *task)
{
        ConductorTask *holding = task->holding;

        if (!holding || holding->settled || holding->released || !holding->entry)
                return stale_new(subscription, task);
        conductor_task_unlink(holding);
        return holding;
}

void conductor_settle(Subscription *base, Task *task, Outcome *outcome,
                      const Settlement *settlement)
{
        ConductorTask *holding = take_holding(subscription_of(base), task);
        _cleanup_(outcome_freep) Outcome *own = outcome;

        if (!holding)
                return;
        holding->settled = true;
        holding->status = outcome->status;
        if (!holding->entry) {
                settle_later(holding, 0);
                return;
        }
        if (put_outcome(holding, outcome) < 0) {
                holding->outcome = TAKE_PTR(own);
                settle_later(holding, LATER_USEC);
                return;
        }
        if (wants_next(holding))
                holding->reserved = subscription_reserve(holding->subscription);
}

void conductor_release(Subscription *base, Task *task, const char *reason)
{
        ConductorTask *holding = take_holding(subscription_of(base), task);

        if (!holding)
                return;
        holding->released = true;
        if (!holding->entry)
                settle_later(holding, 0);
        else if (put_hand_back(holding) < 0)
                settle_later(holding, LATER_USEC);
}
