#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A Conductor source whose server and outbox are the test's: requests are collected and answered by
 * hand, time stands still until the test moves it. The functions below replace those of the same
 * name (--wrap). */

#include <stdio.h>
#include "source/conductor/clock.h"
#include "unit.h"

#define START_USEC (1000 * USEC_PER_SEC)
#define START_MSEC INT64_C(1800000000000)

#define WORKER_ID "host:pool:1"

typedef struct FakeCall {
        ListLink link;
        HttpMethod method;
        char *path;
        Slice body;
        server_callback_t callback;
        void *userdata;
        bool running;
        uint64_t number; /* of its start */
} FakeCall;

typedef struct FakeEntry {
        OutboxEntry entry;
        ListLink link;
        char *id, *head, *body;
} FakeEntry;

static struct {
        sd_event *event;
        ConfigSource config;
        Conductor *conductor;
        ConductorSubscription *subscription;
        ListLink calls;
        uint64_t n_starts;
        bool away;
        ListLink entries;
        size_t n_forgotten;
        Task *tasks[256]; /* as the pool holds them */
        size_t n_tasks;
        size_t n_cancelled;
        CancelCause last_cause;
        char last_cancelled[64];
        bool stuck;
} fixture;

/* Server */

int __wrap_server_call_new(ServerCall **ret, Server *server, HttpMethod method,
                           server_callback_t callback, void *userdata);
ServerCall *__wrap_server_call_free(ServerCall *call);
int __wrap_server_call_set_path(ServerCall *call, const char *path);
void __wrap_server_call_set_body(ServerCall *call, const char *content_type, Slice body);
void __wrap_server_call_set_timeout(ServerCall *call, usec_t timeout_usec);
void __wrap_server_call_set_repeatable(ServerCall *call, bool repeatable);
int __wrap_server_call_start(ServerCall *call);
bool __wrap_server_call_is_running(const ServerCall *call);
bool __wrap_server_may_send(const Server *server);

int __wrap_server_call_new(ServerCall **ret, Server *server, HttpMethod method,
                           server_callback_t callback, void *userdata)
{
        FakeCall *call = calloc(1, sizeof(*call));

        *call = (FakeCall){ .method = method, .callback = callback, .userdata = userdata };
        list_append(&fixture.calls, &call->link);
        *ret = (ServerCall *)call;
        return 0;
}

ServerCall *__wrap_server_call_free(ServerCall *server_call)
{
        FakeCall *call = (FakeCall *)server_call;

        if (!call)
                return NULL;
        list_remove(&call->link);
        free(call->path);
        free(call);
        return NULL;
}

int __wrap_server_call_set_path(ServerCall *server_call, const char *path)
{
        FakeCall *call = (FakeCall *)server_call;

        ck_assert(!call->running);
        free(call->path);
        call->path = strdup(path);
        return 0;
}

void __wrap_server_call_set_body(ServerCall *call, const char *content_type, Slice body)
{
        ((FakeCall *)call)->body = body;
}

void __wrap_server_call_set_timeout(ServerCall *call, usec_t timeout_usec)
{
}

void __wrap_server_call_set_repeatable(ServerCall *call, bool repeatable)
{
}

int __wrap_server_call_start(ServerCall *server_call)
{
        FakeCall *call = (FakeCall *)server_call;

        ck_assert(!call->running);
        call->running = true;
        call->number = ++fixture.n_starts;
        return 0;
}

bool __wrap_server_call_is_running(const ServerCall *call)
{
        return ((const FakeCall *)call)->running;
}

bool __wrap_server_may_send(const Server *server)
{
        return !fixture.away;
}

/* The oldest request under way whose path holds this; NULL: none. */
static inline FakeCall *find_call(const char *part)
{
        FakeCall *found = NULL;

        LIST_FOREACH (i, &fixture.calls) {
                FakeCall *call = LIST_ENTRY(i, FakeCall, link);

                if (call->running && strstr(call->path, part) &&
                    (!found || call->number < found->number))
                        found = call;
        }
        return found;
}

static inline size_t count_calls(const char *part)
{
        size_t n = 0;

        LIST_FOREACH (i, &fixture.calls) {
                const FakeCall *call = LIST_ENTRY(i, FakeCall, link);

                n += call->running && strstr(call->path, part);
        }
        return n;
}

static inline void answer(FakeCall *call, Verdict verdict, const char *body)
{
        HttpAnswer http = {
                .status = verdict == VERDICT_DONE      ? 200
                          : verdict == VERDICT_MISSING ? 404
                                                       : 503,
                .content_type = SLICE_LITERAL("application/json"),
                .body = slice_from_string(body),
        };

        ck_assert_ptr_nonnull(call);
        call->running = false;
        call->callback((ServerCall *)call, verdict, &http, call->userdata);
}

/* Outbox */

int __wrap_outbox_hold(Outbox *outbox, const char *id, Slice head, OutboxEntry **ret);
int __wrap_outbox_put(Outbox *outbox, OutboxEntry *entry, unsigned kind, Slice body, bool crashed);
void __wrap_outbox_forget(Outbox *outbox, OutboxEntry *entry);
bool __wrap_outbox_knows(const Outbox *outbox, const char *id);
bool __wrap_outbox_is_high(const Outbox *outbox);

int __wrap_outbox_hold(Outbox *outbox, const char *id, Slice head, OutboxEntry **ret)
{
        FakeEntry *entry = calloc(1, sizeof(*entry));

        entry->id = strdup(id);
        entry->head = strndup(head.data, head.size);
        entry->entry = (OutboxEntry){ .id = entry->id, .head = slice_from_string(entry->head) };
        list_append(&fixture.entries, &entry->link);
        *ret = &entry->entry;
        return 0;
}

int __wrap_outbox_put(Outbox *outbox, OutboxEntry *base, unsigned kind, Slice body, bool crashed)
{
        FakeEntry *entry = container_of(base, FakeEntry, entry);

        entry->entry.state = OUTBOX_WAITING;
        entry->entry.kind = kind;
        entry->body = strndup(body.data, body.size);
        return 0;
}

static inline void entry_free(FakeEntry *entry)
{
        list_remove(&entry->link);
        free(entry->id);
        free(entry->head);
        free(entry->body);
        free(entry);
}

void __wrap_outbox_forget(Outbox *outbox, OutboxEntry *entry)
{
        ck_assert_int_eq(entry->state, OUTBOX_HELD);
        fixture.n_forgotten++;
        entry_free(container_of(entry, FakeEntry, entry));
}

bool __wrap_outbox_knows(const Outbox *outbox, const char *id)
{
        LIST_FOREACH (i, &fixture.entries) {
                if (streq(LIST_ENTRY(i, FakeEntry, link)->id, id))
                        return true;
        }
        return false;
}

bool __wrap_outbox_is_high(const Outbox *outbox)
{
        return false;
}

static inline FakeEntry *find_entry(const char *id)
{
        LIST_FOREACH (i, &fixture.entries) {
                FakeEntry *entry = LIST_ENTRY(i, FakeEntry, link);

                if (streq(entry->id, id))
                        return entry;
        }
        return NULL;
}

/* Pool */

static inline void on_tasks(Subscription *subscription, Task **tasks, size_t n, void *userdata)
{
        for (size_t i = 0; i < n; i++)
                fixture.tasks[fixture.n_tasks++] = tasks[i];
}

static inline void on_cancel(Subscription *subscription, Task *task, CancelCause cause,
                             void *userdata)
{
        ck_assert_ptr_null(task->holding);
        fixture.n_cancelled++;
        fixture.last_cause = cause;
        (void)snprintf(fixture.last_cancelled, sizeof(fixture.last_cancelled), "%s", task->id);
}

static inline bool is_stuck(Subscription *subscription, const Task *task, void *userdata)
{
        return fixture.stuck;
}

/* Tasks */

#define TASK_FORMAT                                                                          \
        "{\"taskType\":\"type\",\"status\":\"%s\",\"taskId\":\"%s\",\"workflowInstanceId\":" \
        "\"w-%s\",\"workerId\":\"%s\",\"pollCount\":%d,\"scheduledTime\":1799999990000,"     \
        "\"responseTimeoutSeconds\":%d,\"outputData\":{\"half\":1}}"

static inline const char *task_text(const char *id, const char *status, const char *worker,
                                    int poll_count, int response_timeout)
{
        static char text[1000];

        (void)snprintf(text, sizeof(text), TASK_FORMAT, status, id, id, worker, poll_count,
                       response_timeout);
        return text;
}

static inline ConductorTask *take(const char *id, int response_timeout)
{
        unsigned n;
        const char *text = task_text(id, "IN_PROGRESS", WORKER_ID, 1, response_timeout);

        fixture.subscription->credit++;
        ck_assert_int_eq(conductor_take(fixture.subscription, slice_from_string(text), &n), 0);
        ck_assert_uint_eq(n, 1);
        return fixture.tasks[fixture.n_tasks - 1]->holding;
}

static inline void take_many(size_t n, int response_timeout)
{
        char id[16];

        for (size_t i = 0; i < n; i++) {
                (void)snprintf(id, sizeof(id), "t%03zu", i);
                (void)take(id, response_timeout);
        }
}

/* The pool's result is the sender's from here on. */
static inline void settle(ConductorTask *holding)
{
        OutboxEntry *entry = holding->entry;

        conductor_task_unlink(holding);
        (void)conductor_task_free(holding);
        __wrap_outbox_forget(NULL, entry);
}

/* Time */

static inline void set_time(double seconds)
{
        clock_freeze(START_USEC + (usec_t)(seconds * 1e6), START_MSEC + (int64_t)(seconds * 1000));
}

static inline void fixture_setup(void)
{
        static char *types[] = { (char *)"type", NULL };
        Conductor *conductor = calloc(1, sizeof(*conductor));
        ConductorSubscription *subscription = calloc(1, sizeof(*subscription));

        memset(&fixture, 0, sizeof(fixture));
        list_init(&fixture.calls);
        list_init(&fixture.entries);
        set_time(0);
        ck_assert_int_ge(sd_event_new(&fixture.event), 0);
        fixture.conductor = conductor;
        fixture.subscription = subscription;
        conductor->source.name = (char *)"prod";
        conductor->event = fixture.event;
        conductor->config = &fixture.config;
        conductor->scratch = BUFFER_NULL(OUTBOX_HEAD_MAX);
        list_init(&conductor->subscriptions);
        list_init(&conductor->fetches);
        *subscription = (ConductorSubscription){
                .conductor = conductor,
                .n_ref = 1000, /* never freed by a test */
                .callbacks = { .on_tasks = on_tasks, .on_cancel = on_cancel, .is_stuck = is_stuck },
                .pool = (char *)"pool",
                .types = types,
                .n_types = 1,
                .worker_id = (char *)WORKER_ID,
        };
        list_init(&subscription->tasks);
        list_append(&conductor->subscriptions, &subscription->link);
        ck_assert_int_eq(clock_new(conductor), 0);
        ck_assert_int_eq(sweep_new(conductor), 0);
}

static inline void fixture_teardown(void)
{
        Conductor *conductor = fixture.conductor;

        clock_free(conductor);
        sweep_free(conductor);
        while (!list_is_empty(&fixture.subscription->tasks))
                (void)conductor_task_free(
                        LIST_FIRST(&fixture.subscription->tasks, ConductorTask, link));
        for (size_t i = 0; i < fixture.n_tasks; i++)
                (void)task_unref(fixture.tasks[i]);
        while (!list_is_empty(&fixture.entries))
                entry_free(LIST_FIRST(&fixture.entries, FakeEntry, link));
        table_deinit(&conductor->tasks);
        buffer_deinit(&conductor->scratch);
        (void)sd_event_unref(fixture.event);
        free(fixture.subscription);
        free(conductor);
        clock_freeze(0, 0);
}
