#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The sender of a Conductor source between an outbox and a server that do what a test says. Calls
 * are answered by name of what they ask for; entries are offered by offer(). */

#include <stdio.h>
#include "source/conductor/send.h"
#include "unit.h"

#define CALLS_MAX   64
#define ENTRIES_MAX 64

struct Server {
        bool away;
};

struct ServerCall {
        HttpMethod method;
        char path[256];
        Slice body;
        usec_t timeout_usec;
        server_callback_t callback;
        void *userdata;
        bool running;
        bool repeatable;
};

typedef struct FakeEntry {
        OutboxEntry entry;
        char id[64];
        char *body;
        bool offered;
        bool postponed;
        usec_t delay_usec;
        bool gone;
} FakeEntry;

struct Outbox {
        FakeEntry entries[ENTRIES_MAX];
        size_t n_entries;
        unsigned n_accepted, n_buried, n_forgotten, n_hurries;
        char reason[600]; /* of the last that was buried */
        int put_error;
};

static struct Fixture {
        Conductor conductor;
        ConfigSource config;
        struct Server server;
        struct Outbox outbox;
        ConductorSubscription subscription;
        ServerCall *calls[CALLS_MAX];
        size_t n_calls; /* ever made */
        unsigned n_settled, n_released, n_suspects, n_polls, n_crashed;
        TaskStatus status; /* as the pool was told last */
        char taken[256];   /* what an update-v2 brought */
        int take_error;
        payload_done_t uploaded;
        void *upload_userdata;
        size_t upload_size;
} f;

/* The server */

bool server_may_send(const Server *server)
{
        return !server->away;
}

void server_get_status(const Server *server, ServerStatus *ret)
{
        *ret = (ServerStatus){ 0 };
}

int server_call_new(ServerCall **ret, Server *server, HttpMethod method, server_callback_t callback,
                    void *userdata)
{
        ServerCall *call = calloc(1, sizeof(*call));

        ck_assert_uint_lt(f.n_calls, CALLS_MAX);
        call->method = method;
        call->callback = callback;
        call->userdata = userdata;
        *ret = f.calls[f.n_calls++] = call;
        return 0;
}

ServerCall *server_call_free(ServerCall *call)
{
        for (size_t i = 0; i < f.n_calls; i++)
                if (f.calls[i] == call)
                        f.calls[i] = NULL;
        free(call);
        return NULL;
}

int server_call_set_path(ServerCall *call, const char *path)
{
        ck_assert(!call->running);
        (void)snprintf(call->path, sizeof(call->path), "%s", path);
        return 0;
}

void server_call_set_body(ServerCall *call, const char *content_type, Slice body)
{
        ck_assert(!call->running && call->method != HTTP_GET);
        call->body = body;
}

void server_call_set_timeout(ServerCall *call, usec_t timeout_usec)
{
        call->timeout_usec = timeout_usec;
}

void server_call_set_repeatable(ServerCall *call, bool repeatable)
{
        call->repeatable = repeatable;
}

int server_call_start(ServerCall *call)
{
        ck_assert(!call->running);
        call->running = true;
        return 0;
}

char *server_escape(const char *text)
{
        return strdup(text);
}

void answer_explain(const HttpAnswer *answer, char *text, size_t size)
{
        (void)snprintf(text, size, "HTTP %u: %.*s", answer->status, (int)answer->body.size,
                       answer->body.size > 0 ? answer->body.data : "");
}

bool answer_is_no_such_path(const HttpAnswer *answer)
{
        return slice_is(answer->body, "no such path");
}

/* The one running call of that path, or NULL. */
static inline ServerCall *running(const char *path)
{
        for (size_t i = 0; i < f.n_calls; i++)
                if (f.calls[i] && f.calls[i]->running && streq(f.calls[i]->path, path))
                        return f.calls[i];
        return NULL;
}

static inline unsigned n_running(void)
{
        unsigned n = 0;

        for (size_t i = 0; i < f.n_calls; i++)
                n += f.calls[i] && f.calls[i]->running;
        return n;
}

static inline Slice sent(const char *path)
{
        ServerCall *call = running(path);

        ck_assert_msg(call, "nothing is sent to %s", path);
        return call->body;
}

static inline void answer_with(const char *path, Verdict verdict, const HttpAnswer *answer)
{
        ServerCall *call = running(path);

        ck_assert_msg(call, "nothing is sent to %s", path);
        call->running = false;
        call->callback(call, verdict, answer, call->userdata);
}

/* An answer that came. */
static inline void answer(const char *path, Verdict verdict, unsigned status, const char *body)
{
        answer_with(
                path, verdict,
                &(HttpAnswer){ .status = status, .sent = true, .body = slice_from_string(body) });
}

/* None. */
static inline void no_answer(const char *path, HttpFailure failure, bool was_sent)
{
        answer_with(path, VERDICT_AWAY, &(HttpAnswer){ .failure = failure, .sent = was_sent });
}

/* The outbox */

static inline FakeEntry *fake_of(OutboxEntry *entry)
{
        return container_of(entry, FakeEntry, entry);
}

/* head and body are kept. */
static inline FakeEntry *add_entry(const char *id, unsigned kind, Slice head, Slice body)
{
        FakeEntry *fake = &f.outbox.entries[f.outbox.n_entries++];
        char *text = malloc(head.size + 1);

        ck_assert_uint_le(f.outbox.n_entries, ENTRIES_MAX);
        (void)snprintf(fake->id, sizeof(fake->id), "%s", id);
        memcpy(text, head.data, head.size);
        fake->entry = (OutboxEntry){
                .state = kind ? OUTBOX_WAITING : OUTBOX_HELD,
                .kind = kind,
                .number = f.outbox.n_entries,
                .id = fake->id,
                .head = { text, head.size },
        };
        if (kind) {
                fake->body = strndup(body.data ?: "", body.size);
                fake->entry.body_size = body.size;
        }
        return fake;
}

int outbox_put(Outbox *outbox, OutboxEntry *entry, unsigned kind, Slice body, bool crashed)
{
        FakeEntry *fake = fake_of(entry);

        if (outbox->put_error < 0)
                return outbox->put_error;
        ck_assert_int_eq(entry->state, OUTBOX_HELD);
        entry->state = OUTBOX_WAITING;
        entry->kind = kind;
        entry->body_size = body.size;
        f.n_crashed += crashed;
        fake->body = strndup(body.data ?: "", body.size);
        return 0;
}

int outbox_add(Outbox *outbox, const char *id, Slice head, unsigned kind, Slice body,
               OutboxEntry **ret)
{
        *ret = &add_entry(id, kind, head, body)->entry;
        return 0;
}

static inline void entry_end(OutboxEntry *entry)
{
        FakeEntry *fake = fake_of(entry);

        ck_assert(!fake->gone);
        fake->gone = true;
        free(fake->body);
        free((char *)entry->head.data);
        /* whoever looks at it again, fails */
        memset(&fake->entry, 0xEE, sizeof(fake->entry));
}

void outbox_forget(Outbox *outbox, OutboxEntry *entry)
{
        ck_assert_int_eq(entry->state, OUTBOX_HELD);
        outbox->n_forgotten++;
        entry_end(entry);
}

void outbox_accept(Outbox *outbox, OutboxEntry *entry)
{
        ck_assert_int_eq(entry->state, OUTBOX_WAITING);
        outbox->n_accepted++;
        entry_end(entry);
}

void outbox_postpone(Outbox *outbox, OutboxEntry *entry, usec_t delay_usec)
{
        ck_assert(fake_of(entry)->offered);
        fake_of(entry)->postponed = true;
        fake_of(entry)->delay_usec = delay_usec;
}

bool outbox_is_high(const Outbox *outbox)
{
        return false;
}

void outbox_hurry(Outbox *outbox)
{
        outbox->n_hurries++;
}

void outbox_bury(Outbox *outbox, OutboxEntry *entry, const char *reason)
{
        ck_assert_int_eq(entry->state, OUTBOX_WAITING);
        ck_assert_ptr_null(entry->userdata);
        (void)snprintf(outbox->reason, sizeof(outbox->reason), "%s", reason);
        outbox->n_buried++;
        entry->state = OUTBOX_DEAD;
}

static inline OutboxEntry *first_from(const Outbox *outbox, size_t i, OutboxState state)
{
        for (; i < outbox->n_entries; i++)
                if (!outbox->entries[i].gone && outbox->entries[i].entry.state == state)
                        return (OutboxEntry *)&outbox->entries[i].entry;
        return NULL;
}

OutboxEntry *outbox_first(const Outbox *outbox, OutboxState state)
{
        return first_from(outbox, 0, state);
}

OutboxEntry *outbox_next(const Outbox *outbox, const OutboxEntry *entry)
{
        return first_from(outbox, (size_t)(fake_of((OutboxEntry *)entry) - outbox->entries) + 1,
                          entry->state);
}

/* Offers what waits and what was postponed; of a task only the oldest, as the outbox does. */
static inline void offer(void)
{
        for (size_t i = 0; i < f.outbox.n_entries; i++) {
                FakeEntry *fake = &f.outbox.entries[i];
                bool first = true;

                if (fake->gone || fake->entry.state != OUTBOX_WAITING ||
                    (fake->offered && !fake->postponed))
                        continue;
                for (size_t j = 0; j < i; j++)
                        first = first && (f.outbox.entries[j].gone ||
                                          f.outbox.entries[j].entry.state != OUTBOX_WAITING ||
                                          !streq(f.outbox.entries[j].id, fake->id));
                if (!first)
                        continue;
                fake->offered = true;
                fake->postponed = false;
                send_on_ready(&f.outbox, &fake->entry, (Slice){ fake->body, fake->entry.body_size },
                              &f.conductor);
        }
}

/* The rest of the source */

bool subscription_reserve(ConductorSubscription *subscription)
{
        subscription->n_reserved++;
        return true;
}

bool subscription_has_room(const ConductorSubscription *subscription)
{
        return subscription->credit >= subscription->n_reserved;
}

void subscription_unreserve(ConductorSubscription *subscription, unsigned n)
{
        ck_assert_uint_ge(subscription->n_reserved, n);
        subscription->n_reserved -= n;
}

void conductor_poll_all(Conductor *conductor)
{
        f.n_polls++;
}

void subscription_poll(ConductorSubscription *subscription)
{
        f.n_polls++;
}

int conductor_take(ConductorSubscription *subscription, Slice body, unsigned *ret_n)
{
        ck_assert_uint_lt(subscription->n_reserved, subscription->credit);
        (void)snprintf(f.taken, sizeof(f.taken), "%.*s", (int)body.size, body.data);
        *ret_n = 1;
        return f.take_error;
}

void conductor_suspect(ConductorSubscription *subscription)
{
        f.n_suspects++;
}

ConductorSubscription *conductor_subscription_ref(ConductorSubscription *subscription)
{
        subscription->n_ref++;
        return subscription;
}

ConductorSubscription *conductor_subscription_unref(ConductorSubscription *subscription)
{
        ck_assert_uint_gt(subscription->n_ref, 0);
        subscription->n_ref--;
        return NULL;
}

ConductorTask *conductor_find_task(const Conductor *conductor, Slice id)
{
        return NULL;
}

void conductor_task_unlink(ConductorTask *holding)
{
        if (!list_is_linked(&holding->link))
                return;
        list_remove(&holding->link);
        holding->subscription->n_tasks--;
}

ConductorTask *conductor_task_free(ConductorTask *holding)
{
        if (!holding)
                return NULL;
        conductor_task_unlink(holding);
        holding->task->holding = NULL;
        task_unref(holding->task);
        conductor_subscription_unref(holding->subscription);
        free(holding);
        return NULL;
}

int payload_upload_output(Conductor *conductor, const MessageHead *head, const char *task_id,
                          Slice output, payload_done_t done, void *userdata, PayloadUpload **ret)
{
        f.uploaded = done;
        f.upload_userdata = userdata;
        f.upload_size = output.size;
        *ret = (PayloadUpload *)&f.uploaded;
        return 0;
}

void payload_upload_abandon(PayloadUpload *upload)
{
        f.uploaded = NULL;
}

/* The pool */

static void on_settled(Subscription *subscription, Task *task, TaskStatus status, void *userdata)
{
        f.n_settled++;
        f.status = status;
}

static void on_released(Subscription *subscription, Task *task, void *userdata)
{
        f.n_released++;
}

static inline void fixture_setup(void)
{
        memset(&f, 0, sizeof(f));
        f.config.conductor.connections = 4;
        f.config.conductor.outbox.attempts = 3;
        f.config.conductor.outbox.backoff = (Backoff){ USEC_PER_SEC, USEC_PER_MINUTE };
        f.conductor.source.name = (char *)"prod";
        f.conductor.config = &f.config;
        f.conductor.server = &f.server;
        f.conductor.outbox = &f.outbox;
        f.conductor.has_update_v2 = true;
        ck_assert_int_eq(sd_event_new(&f.conductor.event), 0);
        f.subscription = (ConductorSubscription){
                .subscription.source = &f.conductor.source,
                .conductor = &f.conductor,
                .n_ref = 1,
                .callbacks = { .on_settled = on_settled, .on_released = on_released },
                .pool = (char *)"pool",
                .worker_id = (char *)"worker",
                .n_types = 1,
        };
        list_init(&f.subscription.tasks);
        list_init(&f.conductor.subscriptions);
        list_init(&f.conductor.fetches);
        list_append(&f.conductor.subscriptions, &f.subscription.link);
        ck_assert_int_eq(send_new(&f.conductor), 0);
        clock_freeze(USEC_PER_HOUR, INT64_C(1795211450360));
}

static inline void fixture_teardown(void)
{
        send_free(&f.conductor);
        for (size_t i = 0; i < f.outbox.n_entries; i++) {
                if (f.outbox.entries[i].gone)
                        continue;
                free(f.outbox.entries[i].body);
                free((char *)f.outbox.entries[i].entry.head.data);
        }
        ck_assert_uint_eq(f.subscription.n_ref, 1);
        ck_assert_uint_eq(f.subscription.n_unsent, 0);
        for (size_t i = 0; i < f.n_calls; i++)
                ck_assert_ptr_null(f.calls[i]);
        sd_event_unref(f.conductor.event);
        clock_freeze(0, 0);
}

/* A task in the pool's hands. */
static inline Task *take_task(const char *id)
{
        static const char head[] = "3 3:w-16:resize-6:worker";
        ConductorTask *holding = calloc(1, sizeof(*holding));
        char json[256];
        Task *task;

        (void)snprintf(json, sizeof(json), "{\"taskId\":\"%s\",\"outputData\":{\"before\":1}}", id);
        ck_assert_int_eq(task_new(&task, id, "resize", slice_from_string(json)), 0);
        holding->task = task;
        holding->subscription = conductor_subscription_ref(&f.subscription);
        holding->output = json_member(task->json, "outputData");
        holding->entry = &add_entry(id, 0, slice_from_string(head), SLICE_NULL)->entry;
        holding->entry->userdata = holding;
        task->holding = holding;
        task->poll_count = 3;
        task->scheduled_msec = clock_epoch_msec();
        list_append(&f.subscription.tasks, &holding->link);
        f.subscription.n_tasks++;
        return task;
}

/* As a pool does it: the result, and then what it can take. */
static inline void settle(const char *id, const char *result)
{
        _cleanup_free_ char *error = NULL;
        Settlement settlement = { .worker = "pool/1" };
        Task *task = take_task(id);
        Outcome *outcome;

        ck_assert_int_eq(outcome_parse(slice_from_string(result), &outcome, &error), 0);
        conductor_settle(&f.subscription.subscription, task, outcome, &settlement);
}

/* What tests say and see */

#define COMPLETED   "{\"status\":\"COMPLETED\",\"output\":{\"a\":1}}"
#define FAILED      "{\"status\":\"FAILED\",\"reason\":\"no\"}"
#define IN_PROGRESS "{\"status\":\"IN_PROGRESS\",\"callbackAfterSeconds\":5}"
#define UPDATE      "/tasks"
#define UPDATE_V2   "/tasks/update-v2"
#define DECIDE      "/workflow/decide/w-1"

#define BODY(id, status)                                                                 \
        "{\"workflowInstanceId\":\"w-1\",\"taskId\":\"" id "\",\"workerId\":\"worker\"," \
        "\"status\":\"" status "\""

/* What GET /tasks/ID says. */
#define OURS(status, worker, count)                                          \
        "{\"taskId\":\"t\",\"status\":\"" status "\",\"workerId\":\"" worker \
        "\",\"pollCount\":" count ",\"outputData\":{\"now\":2},\"scheduledTime\":1795211450000}"

static inline void assert_over(unsigned n_accepted, unsigned n_buried)
{
        ck_assert_uint_eq(f.outbox.n_accepted, n_accepted);
        ck_assert_uint_eq(f.outbox.n_buried, n_buried);
        ck_assert_uint_eq(n_running(), 0);
        ck_assert_uint_eq(f.subscription.n_unsent, 0);
        ck_assert_uint_eq(f.subscription.n_reserved, 0);
}
