/* SPDX-License-Identifier: Apache-2.0 */

/* The sender's queue and calls; what answers mean is verdict.c's. */

#include <stdio.h>
#include "base/log.h"
#include "source/conductor/send.h"

/* Slowest connection that a large body is still sent over, in bytes per second. */
#define SEND_RATE_MIN ((size_t)64 * 1024)

/* While the server is away; that it is back comes by send_resume. */
#define AWAY_USEC USEC_PER_MINUTE

/* A drain waits for first tries while one ends within this; the rest is safe in the outbox. */
#define PATIENCE_USEC (3 * USEC_PER_SEC)

/* A settled task stays in memory until the server has accepted what became of it. Beyond so much of
 * them none are fetched: a server that gives out tasks but takes no results is no reason to. */
#define KEPT_BYTES_MAX ((uint64_t)32 * 1024 * 1024)

/* So many first tries go before each item that was tried before, where both wait. */
#define FIRST_TRIES_PER_RETRY 3

/* Where there is no memory for a request. */
#define NO_MEMORY_USEC USEC_PER_SEC

/* Idle calls of a step that is rare; the others keep as many as were needed at a time. */
#define SPARE_CALLS_MAX 1

static const char content_json[] = "application/json";
static const char content_text[] = "text/plain";

static const struct {
        HttpMethod method;
        const char *path;
        const char *behind; /* the id of a task or workflow; NULL: it is of all */
        const char *content_type;
        bool repeatable; /* sent twice does no harm, and nothing has to be known of it */
} steps[] = {
        [SEND_UPDATE] = { HTTP_POST, "/tasks", NULL, content_json, false },
        [SEND_UPDATE_V2] = { HTTP_POST, "/tasks/update-v2", NULL, content_json, false },
        [SEND_LOG] = { HTTP_POST, "/tasks/", "/log", content_text, false },
        [SEND_READ] = { HTTP_GET, "/tasks/", "", NULL, true },
        [SEND_DECIDE] = { HTTP_PUT, "/workflow/decide/", "", content_json, true },
};

static inline bool step_is_rare(SendStep step)
{
        return steps[step].behind;
}

/* Items */

int send_set_body(SendItem *item, Buffer *buffer)
{
        size_t size = buffer->size;
        char *text = buffer_steal_string(buffer);

        if (!text)
                return -ENOMEM;
        free(item->changed);
        item->changed = text;
        item->changed_size = size;
        item->body = (Slice){ text, size };
        return 0;
}

static void note_progress(ConductorSubscription *subscription)
{
        (void)sd_event_now(subscription->conductor->event, CLOCK_MONOTONIC,
                           &subscription->unsent_usec);
}

void send_begin_first(SendItem *item, ConductorSubscription *subscription)
{
        item->waiting = conductor_subscription_ref(subscription);
        if (subscription->n_unsent++ == 0)
                note_progress(subscription);
}

void send_end_first(SendItem *item)
{
        ConductorSubscription *subscription = TAKE_PTR(item->waiting);

        if (!subscription)
                return;
        subscription->n_unsent--;
        note_progress(subscription);
        (void)conductor_subscription_unref(subscription);
}

bool send_is_worth_waiting(const ConductorSubscription *subscription)
{
        return subscription->n_unsent > 0 &&
               clock_monotonic_usec() < usec_add(subscription->unsent_usec, PATIENCE_USEC);
}

void send_unreserve(SendItem *item)
{
        ConductorTask *holding = item->holding;

        if (!holding || !holding->reserved)
                return;
        holding->reserved = false;
        subscription_unreserve(holding->subscription, 1);
        subscription_poll(holding->subscription);
}

static void end_try(SendItem *item)
{
        list_remove(&item->link);
        if (item->upload)
                payload_upload_abandon(TAKE_PTR(item->upload));
        item->body = SLICE_NULL;
        item->read = false;
}

void send_item_free(SendItem *item)
{
        send_end_first(item);
        end_try(item);
        free(TAKE_PTR(item->changed));
        if (!item->holding)
                free(item);
}

void send_postpone(SendItem *item, usec_t delay_usec)
{
        send_end_first(item);
        send_unreserve(item);
        end_try(item);
        outbox_postpone(item->conductor->outbox, item->entry, delay_usec);
}

void send_retry(SendItem *item)
{
        const Backoff *backoff = &item->conductor->config->conductor.outbox.backoff;

        send_postpone(item, backoff_delay(backoff, ++item->n_paused, random_u64()));
}

void send_retry_unanswered(SendItem *item)
{
        if (server_may_send(item->conductor->server))
                send_retry(item);
        else
                send_postpone(item, AWAY_USEC);
}

void send_again(SendItem *item)
{
        list_prepend(&item->conductor->send->queue, &item->link);
}

SendItem *send_item_new(Conductor *conductor, OutboxEntry *entry)
{
        SendItem *item = calloc(1, sizeof(*item));

        if (!item)
                return NULL;
        item->conductor = conductor;
        item->entry = entry;
        item->tried = item->uncertain = entry->recovered || entry->n_tries > 0;
        entry->userdata = item;
        return item;
}

void send_on_ready(Outbox *outbox, OutboxEntry *entry, Slice body, void *userdata)
{
        Conductor *conductor = userdata;
        SendItem *item = entry->userdata ?: send_item_new(conductor, entry);

        if (!item) {
                outbox_postpone(outbox, entry, NO_MEMORY_USEC);
                return;
        }
        item->body = item->changed ? (Slice){ item->changed, item->changed_size } : body;
        list_append(item->tried ? &conductor->send->retries : &conductor->send->queue, &item->link);
        send_pump(conductor->send);
}

/* Calls */

static SendCall *call_free(SendCall *call)
{
        if (!call)
                return NULL;
        list_remove(&call->link);
        fetch_end(&call->mark);
        (void)server_call_free(call->call);
        free(call);
        return NULL;
}

static void call_release(SendCall *call)
{
        ConductorSend *send = call->send;
        ListLink *idle = &send->idle[call->step];

        list_remove(&call->link);
        fetch_end(&call->mark);
        send->n_running--;
        if (step_is_rare(call->step) && !list_is_empty(idle)) {
                (void)call_free(call);
                return;
        }
        list_prepend(idle, &call->link);
}

static void on_answer(ServerCall *server_call, Verdict verdict, const HttpAnswer *answer,
                      void *userdata)
{
        SendCall *call = userdata;
        ConductorSend *send = call->send;
        SendItem *item = TAKE_PTR(call->item);

        send_on_answer(item, call->step, verdict, answer);
        call_release(call);
        send_pump(send);
}

static int call_new(SendCall **ret, ConductorSend *send, SendStep step)
{
        SendCall *call = malloc(sizeof(*call));
        int r;

        if (!call)
                return -ENOMEM;
        *call = (SendCall){ .send = send, .step = step, .timeout_usec = HTTP_TIMEOUT_USEC };
        r = server_call_new(&call->call, send->conductor->server, steps[step].method, on_answer,
                            call);
        if (r >= 0 && !step_is_rare(step))
                r = server_call_set_path(call->call, steps[step].path);
        if (r < 0) {
                (void)call_free(call);
                return r;
        }
        server_call_set_repeatable(call->call, steps[step].repeatable);
        *ret = call;
        return 0;
}

static int set_path_of(SendCall *call, Slice id)
{
        _cleanup_free_ char *text = strndup(id.data, id.size), *escaped = NULL, *path = NULL;

        escaped = text ? server_escape(text) : NULL;
        if (!escaped)
                return -ENOMEM;
        if (asprintf(&path, "%s%s%s", steps[call->step].path, escaped, steps[call->step].behind) <
            0) {
                path = NULL;
                return -ENOMEM;
        }
        return server_call_set_path(call->call, path);
}

static int set_path(SendCall *call, const SendItem *item)
{
        MessageHead head;
        int r;

        if (!step_is_rare(call->step))
                return 0;
        if (call->step != SEND_DECIDE)
                return set_path_of(call, slice_from_string(item->entry->id));
        r = message_head_parse(item->entry->head, &head);
        return r < 0 ? r : set_path_of(call, head.workflow_id);
}

static void set_body(SendCall *call, const SendItem *item)
{
        bool has_body = call->step <= SEND_LOG;
        usec_t timeout =
                HTTP_TIMEOUT_USEC + item->body.size / SEND_RATE_MIN * USEC_PER_SEC * has_body;

        if (steps[call->step].method != HTTP_GET)
                server_call_set_body(call->call, steps[call->step].content_type,
                                     has_body ? item->body : SLICE_NULL);
        if (timeout != call->timeout_usec)
                server_call_set_timeout(call->call, timeout);
        call->timeout_usec = timeout;
}

static int start_call(ConductorSend *send, SendItem *item, SendStep step)
{
        SendCall *call = LIST_FIRST(&send->idle[step], SendCall, link);
        int r = call ? 0 : call_new(&call, send, step);

        if (r < 0)
                return r;
        r = set_path(call, item);
        if (r >= 0) {
                set_body(call, item);
                r = server_call_start(call->call);
        }
        if (r < 0) {
                if (!list_is_linked(&call->link))
                        list_prepend(&send->idle[step], &call->link);
                return r;
        }
        list_remove(&call->link);
        list_append(&send->running, &call->link);
        call->item = item;
        send->n_running++;
        if (step == SEND_UPDATE_V2) {
                (void)sd_event_now(send->conductor->event, CLOCK_MONOTONIC, &call->until_usec);
                call->until_usec = usec_add(call->until_usec, call->timeout_usec);
                fetch_begin(send->conductor, &call->mark);
        }
        return 0;
}

/* Steps */

/* Whether the answer to this item may bring a task that the pool has a place for. A place is kept
 * for the first try only: an update-v2 is never sent again. */
static bool uses_v2(SendItem *item)
{
        const ConductorTask *holding = item->holding;

        if (!holding || !holding->reserved)
                return false;
        if (item->conductor->has_update_v2 && subscription_has_room(holding->subscription))
                return true;
        send_unreserve(item);
        return false;
}

static SendStep next_step(SendItem *item)
{
        const OutboxEntry *entry = item->entry;

        if (item->stored)
                return SEND_DECIDE;
        if (entry->kind == MESSAGE_LOG)
                return SEND_LOG;
        if (entry->kind != MESSAGE_RESULT && item->uncertain && !item->read)
                return SEND_READ;
        return uses_v2(item) ? SEND_UPDATE_V2 : SEND_UPDATE;
}

static void start(ConductorSend *send, SendItem *item)
{
        SendStep step = next_step(item);
        int r;

        if (step <= SEND_UPDATE_V2 && item->body.size > CONDUCTOR_OUTPUT_MAX && send_upload(item))
                return;
        r = start_call(send, item, step);
        if (r == -EBADMSG) {
                send_bury(item, "its record is damaged");
                return;
        }
        if (r < 0) {
                send_postpone(item, NO_MEMORY_USEC);
                return;
        }
        if (step <= SEND_LOG) {
                send->conductor->n_resent += item->tried;
                item->tried = true;
                item->entry->n_tries++;
        }
}

static SendItem *pop_item(ConductorSend *send)
{
        ListLink *queue = &send->queue;

        if (list_is_empty(queue) || (send->n_before_retry == 0 && !list_is_empty(&send->retries)))
                queue = &send->retries;
        send->n_before_retry = queue == &send->retries
                                       ? FIRST_TRIES_PER_RETRY
                                       : send->n_before_retry - (send->n_before_retry > 0);
        return list_is_empty(queue) ? NULL : LIST_ENTRY(list_pop_first(queue), SendItem, link);
}

void send_pump(ConductorSend *send)
{
        const Conductor *conductor = send->conductor;
        SendItem *item;

        while (send->n_running < conductor->config->conductor.connections &&
               (item = pop_item(send))) {
                if (server_may_send(conductor->server))
                        start(send, item);
                else
                        send_postpone(item, AWAY_USEC);
        }
}

void send_on_gone(Outbox *outbox, OutboxEntry *entry, void *userdata)
{
        SendItem *item = TAKE_PTR(entry->userdata);
        ConductorTask *holding = item ? item->holding : NULL;

        if (!item)
                return;
        send_unreserve(item);
        send_item_free(item);
        if (holding)
                conductor_settled(holding, _TASK_STATUS_INVALID);
}

bool send_is_full(const Conductor *conductor)
{
        return outbox_is_high(conductor->outbox) || conductor->send->kept_bytes > KEPT_BYTES_MAX;
}

void send_resume(Conductor *conductor)
{
        outbox_hurry(conductor->outbox);
}

usec_t send_busy_until_usec(const Conductor *conductor)
{
        usec_t until = 0;

        LIST_FOREACH (i, &conductor->send->running) {
                const SendCall *call = LIST_ENTRY(i, SendCall, link);

                if (call->step == SEND_UPDATE_V2)
                        until = MAX(until, call->until_usec);
        }
        return until;
}

/* Life */

static int on_later(sd_event_source *source, uint64_t usec, void *userdata)
{
        conductor_settle_rest(userdata);
        return 0;
}

int send_new(Conductor *conductor)
{
        ConductorSend *send = calloc(1, sizeof(*send));
        int r;

        if (!send)
                return -ENOMEM;
        conductor->send = send;
        send->conductor = conductor;
        send->body.maximum = CONDUCTOR_BODY_MAX;
        send->rest.maximum = CONDUCTOR_LOG_TEXT_MAX + CONDUCTOR_LOG_LAST_MAX;
        list_init(&send->queue);
        list_init(&send->retries);
        list_init(&send->running);
        list_init(&send->later);
        for (SendStep i = 0; i < _SEND_STEP_MAX; i++)
                list_init(&send->idle[i]);
        r = sd_event_add_time(conductor->event, &send->later_source, CLOCK_MONOTONIC, 0,
                              USEC_PER_MSEC, on_later, send);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(send->later_source, "conductor-settle");
        return sd_event_source_set_enabled(send->later_source, SD_EVENT_OFF);
}

static void free_calls(ListLink *calls)
{
        for (ListLink *i; (i = list_pop_first(calls));)
                (void)call_free(LIST_ENTRY(i, SendCall, link));
}

static void forget_items(const Conductor *conductor)
{
        OUTBOX_FOREACH (entry, conductor->outbox, OUTBOX_WAITING) {
                SendItem *item = TAKE_PTR(entry->userdata);
                ConductorTask *holding = item ? item->holding : NULL;

                if (item)
                        send_item_free(item);
                (void)conductor_task_free(holding);
        }
}

static void forget_later(ConductorTask *holding)
{
        if (holding->entry)
                holding->entry->userdata = NULL;
        holding->subscription->n_unsent--;
        (void)outcome_free(holding->outcome);
        (void)conductor_task_free(holding);
}

/* What the server has not accepted stays in the outbox; only what is in memory of it goes. */
void send_free(Conductor *conductor)
{
        ConductorSend *send = conductor->send;

        if (!send)
                return;
        for (SendStep i = 0; i < _SEND_STEP_MAX; i++)
                free_calls(&send->idle[i]);
        free_calls(&send->running);
        if (conductor->outbox)
                forget_items(conductor);
        for (ListLink *i; (i = list_pop_first(&send->later));)
                forget_later(LIST_ENTRY(i, ConductorTask, link));
        (void)sd_event_source_disable_unref(send->later_source);
        buffer_deinit(&send->body);
        buffer_deinit(&send->rest);
        free(TAKE_PTR(conductor->send));
}
