/* SPDX-License-Identifier: Apache-2.0 */

/* What the server's answer means for an item on its way. */

#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"
#include "source/conductor/send.h"

/* Of what a server says, in a dead letter. */
#define MESSAGE_MAX 512

/* So many results in a row that were accepted by the plain update after a 404 of another's. */
#define WITHOUT_V2_MAX 5

/* How many times outbox.attempts a doubtful result is tried while the server accepts none. */
#define ALONE_FACTOR 10

static LogFields fields_of(const SendItem *item)
{
        const ConductorTask *holding = item->holding;

        return (LogFields){
                .source = item->conductor->source.name,
                .pool = holding ? holding->subscription->pool : NULL,
                .task_id = item->entry->id,
                .task_type = holding ? holding->task->type : NULL,
        };
}

static const char *noun_of(const SendItem *item)
{
        switch (item->entry->kind) {
        case MESSAGE_HAND_BACK:
                return "hand-back";
        case MESSAGE_LOG:
                return "log lines";
        default:
                return "result";
        }
}

/* Ends */

static void count(const SendItem *item)
{
        const ConductorTask *holding = item->holding;
        SubscriptionStatus *status = holding ? &holding->subscription->status : NULL;
        unsigned kind = item->entry->kind;

        item->conductor->n_settled += kind == MESSAGE_RESULT || kind == MESSAGE_PUT_BACK;
        if (!status)
                return;
        if (kind == MESSAGE_HAND_BACK)
                status->n_handed_back++;
        else if (kind == MESSAGE_PUT_BACK)
                status->n_put_back++;
        else if (kind == MESSAGE_RESULT && holding->status == TASK_COMPLETED)
                status->n_completed++;
        else if (kind == MESSAGE_RESULT)
                status->n_failed++;
}

/* The entry is gone by now. */
static void finish(SendItem *item, TaskStatus status)
{
        ConductorTask *holding = item->holding;

        send_unreserve(item);
        send_item_free(item);
        if (holding)
                conductor_settled(holding, status);
}

static void accept(SendItem *item)
{
        TaskStatus status = _TASK_STATUS_INVALID;

        if (item->holding)
                status = item->holding->status == TASK_IN_PROGRESS ? TASK_SCHEDULED
                                                                   : item->holding->status;
        count(item);
        outbox_accept(item->conductor->outbox, item->entry);
        finish(item, status);
}

/* Not sent (again): the task is not ours any more. */
static void drop(SendItem *item, const char *why)
{
        LogFields fields = fields_of(item);

        log_event(LOG_NOTICE, &fields, "the %s of task %s is dropped: %s", noun_of(item),
                  item->entry->id, why);
        outbox_accept(item->conductor->outbox, item->entry);
        finish(item, _TASK_STATUS_INVALID);
}

void send_bury(SendItem *item, const char *reason)
{
        LogFields fields = fields_of(item);
        OutboxEntry *entry = item->entry;

        fields.message_id = LOG_ID_DEAD_LETTER;
        log_event(LOG_ERR, &fields,
                  "the server refuses the %s of task %s for good: %s; kept as dead letter %llu "
                  "(yardctl outbox)",
                  noun_of(item), entry->id, reason, (unsigned long long)entry->number);
        entry->userdata = NULL;
        outbox_bury(item->conductor->outbox, entry, reason);
        finish(item, _TASK_STATUS_INVALID);
}

/* Whether it has been tried often enough. A server that accepts nothing else meanwhile has a fault
 * of its own, that may pass: then it is tried for longer. */
static bool is_hopeless(const SendItem *item)
{
        const Conductor *conductor = item->conductor;
        uint64_t attempts = conductor->config->conductor.outbox.attempts;

        if (conductor->send->n_accepted == item->n_accepted_before)
                attempts *= ALONE_FACTOR;
        return item->n_doubtful >= attempts;
}

/* Counted: one of these is refused for good in the end. */
static void retry_doubtful(SendItem *item, const HttpAnswer *answer)
{
        char text[MESSAGE_MAX];

        if (item->n_doubtful++ == 0)
                item->n_accepted_before = item->conductor->send->n_accepted;
        if (!is_hopeless(item)) {
                send_retry(item);
                return;
        }
        if (answer->status == 200)
                (void)snprintf(text, sizeof(text),
                               "HTTP 200, but with something else than Conductor answers: see what "
                               "is between here and the server");
        else
                answer_explain(answer, text, sizeof(text));
        send_bury(item, text);
}

static void bury_answered(SendItem *item, const HttpAnswer *answer)
{
        char text[MESSAGE_MAX];

        answer_explain(answer, text, sizeof(text));
        send_bury(item, text);
}

/* Updates */

/* A 404 may be a proxy's, whose server is just being replaced. */
static void note_without_v2(const SendItem *item)
{
        Conductor *conductor = item->conductor;

        conductor->send->n_without_v2++;
        if (!item->no_path && conductor->send->n_without_v2 < WITHOUT_V2_MAX)
                return;
        conductor->has_update_v2 = false;
        log_event(LOG_NOTICE, (&(LogFields){ .source = conductor->source.name }),
                  "source %s: the server has no update-v2: results go by the plain update",
                  conductor->source.name);
}

static void on_accepted(SendItem *item)
{
        Conductor *conductor = item->conductor;

        conductor->send->n_accepted++;
        if (item->plain && conductor->has_update_v2)
                note_without_v2(item);
        if (!item->uncertain || item->entry->kind == MESSAGE_LOG) {
                accept(item);
                return;
        }
        item->stored = true;
        send_again(item);
}

/* The same entry once more, whose earlier try the server may have acted on. */
static void retry_uncertain(SendItem *item, Verdict verdict, const HttpAnswer *answer)
{
        if (verdict == VERDICT_AWAY) {
                item->uncertain = item->uncertain || answer->sent;
                send_retry_unanswered(item);
                return;
        }
        item->uncertain = true;
        if (verdict == VERDICT_BUSY)
                send_retry(item);
        else
                retry_doubtful(item, answer);
}

static void on_refused(SendItem *item, const HttpAnswer *answer)
{
        /* Every server has this call: url has changed, and is not the base of the API (measured:
         * the other paths answer so). The result is as good as before. */
        if (answer_is_no_such_path(answer)) {
                send_retry(item);
                return;
        }
        if (item->entry->kind == MESSAGE_HAND_BACK && answer->status == 404)
                drop(item, "the server does not know it any more");
        else
                bury_answered(item, answer);
}

/* The server answers an update with the task's id. What answers in its place, and stores nothing,
 * does not. */
static bool is_receipt(const SendItem *item, const HttpAnswer *answer)
{
        Slice body = answer->body;

        if (item->entry->kind == MESSAGE_LOG)
                return true;
        if (body.size >= 2 && body.data[0] == '"' && body.data[body.size - 1] == '"')
                body = (Slice){ body.data + 1, body.size - 2 };
        return body.size == 0 || slice_is(body, item->entry->id);
}

static void on_update(SendItem *item, Verdict verdict, const HttpAnswer *answer)
{
        switch (verdict) {
        case VERDICT_DONE:
                if (is_receipt(item, answer))
                        on_accepted(item);
                else
                        retry_uncertain(item, VERDICT_DOUBTFUL, answer);
                break;
        case VERDICT_MISSING:
        case VERDICT_REFUSED:
                on_refused(item, answer);
                break;
        default:
                retry_uncertain(item, verdict, answer);
                break;
        }
}

/* What came with the answer to an update-v2: 204 is none. False: there may have been a task that
 * could not be read. */
static bool take_next(SendItem *item, const HttpAnswer *answer)
{
        ConductorSubscription *subscription = item->holding->subscription;
        unsigned n;

        if (answer->status == 204 || answer->body.size == 0) {
                send_unreserve(item);
                return true;
        }
        item->holding->reserved = false;
        subscription_unreserve(subscription, 1);
        return conductor_take(subscription, answer->body, &n) >= 0;
}

/* Or no such task, which the plain update will tell. */
static bool may_lack_v2(const HttpAnswer *answer)
{
        return answer->failure == HTTP_ANSWERED && (answer->status == 404 || answer->status == 405);
}

static void on_update_v2(SendItem *item, Verdict verdict, const HttpAnswer *answer)
{
        ConductorSubscription *subscription = item->holding->subscription;

        if (verdict == VERDICT_DONE && take_next(item, answer)) {
                item->conductor->send->n_without_v2 = 0;
                on_accepted(item);
                return;
        }
        send_unreserve(item);
        if (may_lack_v2(answer)) {
                item->plain = true;
                item->no_path = answer->status == 405 || answer_is_no_such_path(answer);
                send_again(item);
                return;
        }
        if (answer->sent && verdict != VERDICT_REFUSED)
                conductor_suspect(subscription);
        if (verdict == VERDICT_DONE) {
                item->uncertain = true;
                send_retry(item);
                return;
        }
        on_update(item, verdict, answer);
}

/* Reading: is the task of an IN_PROGRESS that may have been sent already still ours? */

/* The server calls it ours, but it was given out anew since: if not to us, then in an answer that a
 * predecessor, or nobody, has read. */
static void look_for(const SendItem *item, const char *worker)
{
        Conductor *conductor = item->conductor;

        if (conductor_find_task(conductor, slice_from_string(item->entry->id)))
                return;
        LIST_FOREACH (i, &conductor->subscriptions) {
                ConductorSubscription *subscription = LIST_ENTRY(i, ConductorSubscription, link);

                if (streq(subscription->worker_id, worker))
                        conductor_suspect(subscription);
        }
}

/* 1, 0, or -ENOMEM. */
static int is_ours(const SendItem *item, const TaskView *task, const MessageHead *head)
{
        _cleanup_free_ char *worker = strndup(head->worker_id.data, head->worker_id.size);

        if (!worker)
                return -ENOMEM;
        if (!task_view_is_held_by(task, worker))
                return 0;
        if (task->poll_count == head->poll_count)
                return 1;
        look_for(item, worker);
        return 0;
}

/* As the task is now: time has passed, and a predecessor's hand-back has no body yet. */
static int renew_body(SendItem *item, const TaskView *task, const MessageHead *head)
{
        int64_t delay_sec = hand_back_delay_sec(clock_epoch_msec(), task->scheduled_msec,
                                                task->poll_timeout_sec),
                asked_sec = 0;
        Buffer buffer = BUFFER_NULL(CONDUCTOR_BODY_MAX);
        int r = 0;

        if (item->entry->kind == MESSAGE_HAND_BACK) {
                r = hand_back_append(&buffer, head, item->entry->id, task->output, delay_sec);
        } else {
                (void)json_to_int64(json_member(item->body, "callbackAfterSeconds"), &asked_sec);
                r = result_append_changed(
                        &buffer, item->body,
                        &(ResultChange){ .callback_sec = MAX(asked_sec, delay_sec) });
        }
        if (r >= 0)
                r = send_set_body(item, &buffer);
        buffer_deinit(&buffer);
        return r;
}

static void on_task(SendItem *item, const HttpAnswer *answer)
{
        MessageHead head;
        TaskView task;
        int r = json_check(answer->body, NULL);

        if (r >= 0)
                r = task_view_parse(answer->body, &task);
        if (r < 0) {
                retry_doubtful(item, answer);
                return;
        }
        if (message_head_parse(item->entry->head, &head) < 0) {
                send_bury(item, "its record is damaged");
                return;
        }
        r = is_ours(item, &task, &head);
        if (r == 0) {
                drop(item, "it is not in our hands any more");
                return;
        }
        if (r < 0 || renew_body(item, &task, &head) < 0) {
                send_retry(item);
                return;
        }
        item->read = true;
        send_again(item);
}

static void on_read(SendItem *item, Verdict verdict, const HttpAnswer *answer)
{
        switch (verdict) {
        case VERDICT_DONE:
                on_task(item, answer);
                break;
        case VERDICT_AWAY:
                send_retry_unanswered(item);
                break;
        case VERDICT_BUSY:
                send_retry(item);
                break;
        case VERDICT_MISSING:
                drop(item, "the server does not know it any more");
                break;
        default:
                retry_doubtful(item, answer);
                break;
        }
}

static void on_decided(SendItem *item, Verdict verdict, const HttpAnswer *answer)
{
        switch (verdict) {
        case VERDICT_DONE:
        case VERDICT_MISSING: /* the workflow was removed meanwhile */
                accept(item);
                break;
        case VERDICT_AWAY:
                send_retry_unanswered(item);
                break;
        case VERDICT_BUSY:
                send_retry(item);
                break;
        default:
                retry_doubtful(item, answer);
                break;
        }
}

void send_on_answer(SendItem *item, SendStep step, Verdict verdict, const HttpAnswer *answer)
{
        switch (step) {
        case SEND_UPDATE:
        case SEND_LOG:
                on_update(item, verdict, answer);
                break;
        case SEND_UPDATE_V2:
                on_update_v2(item, verdict, answer);
                break;
        case SEND_READ:
                on_read(item, verdict, answer);
                break;
        case SEND_DECIDE:
                on_decided(item, verdict, answer);
                break;
        default:
                break;
        }
}
