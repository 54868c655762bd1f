/* SPDX-License-Identifier: Apache-2.0 */

/* WaitTasks: each id is looked up once it is registered as waited for, so that an end in between is
 * seen; one that has not ended is looked up again when its queue says that it has. */

#include "control/task-lookup.h"
#include "control/answer.h"

typedef struct WaitCall WaitCall;

typedef struct WaitEntry {
        WaitCall *wait;
        Waiter waiter;
        TaskLookup lookup;
        ListLink ready; /* ended, and its reply is not sent (with "more") */
        bool looking;
        bool ended_meanwhile; /* it ended while it was looked up */
        char *json;           /* the task once it has ended */
} WaitEntry;

struct WaitCall {
        ControlCall *call;
        Manager *manager;
        sd_event_source *timer;
        WaitEntry *entries;
        size_t n_entries;
        size_t n_ended;
        size_t n_looking;
        ListLink ready;
        bool expired;
        bool more;
};

static WaitCall *wait_call_free(WaitCall *wait)
{
        if (!wait)
                return NULL;
        for (size_t i = 0; i < wait->n_entries; i++) {
                WaitEntry *entry = &wait->entries[i];

                waiters_remove(manager_waiters(wait->manager), &entry->waiter);
                task_lookup_cancel(&entry->lookup);
                free(entry->json);
        }
        sd_event_source_disable_unref(wait->timer);
        free(wait->entries);
        free(wait);
        return NULL;
}
DEFINE_CLEANUP(WaitCall *, wait_call_free);

static void on_wait_gone(ControlCall *call, void *userdata)
{
        wait_call_free(userdata);
}

/* Answers. Each that ends the call frees wait. */

static void fail(WaitCall *wait, int error)
{
        (void)control_call_refused(wait->call, "cannot wait: %s", strerror(-error));
        wait_call_free(wait);
}

static void answer_no_such_task(WaitCall *wait, const char *id)
{
        (void)control_call_error_strings(wait->call, "NoSuchTask", "taskId", id, NULL);
        wait_call_free(wait);
}

static void answer_timeout(WaitCall *wait)
{
        OBJECT_CLEANUP Object object = object_new();
        json_object *pending = json_object_new_array();

        for (size_t i = 0; i < wait->n_entries; i++)
                if (!wait->entries[i].json)
                        array_add(&pending, json_object_new_string(wait->entries[i].waiter.id));
        object_add(&object, "pending", pending);
        (void)control_call_error(wait->call, "WaitTimedOut", object_take(&object));
        wait_call_free(wait);
}

static int append_all(const WaitCall *wait, Buffer *buffer)
{
        int r;

        r = buffer_append_string(buffer, "{\"tasks\":[");
        for (size_t i = 0; i < wait->n_entries && r >= 0 && !wait->more; i++) {
                if (i > 0)
                        r = buffer_append_byte(buffer, ',');
                if (r >= 0)
                        r = buffer_append_string(buffer, wait->entries[i].json);
        }
        return r < 0 ? r : buffer_append_string(buffer, "]}");
}

static void answer_all(WaitCall *wait)
{
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(WIRE_MESSAGE_MAX);
        int r;

        r = append_all(wait, &buffer);
        if (r >= 0)
                r = control_call_reply_raw(wait->call, buffer_slice(&buffer));
        if (r < 0)
                fail(wait, r);
        else
                wait_call_free(wait);
}

static int send_one(WaitCall *wait, const WaitEntry *entry)
{
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(WIRE_MESSAGE_MAX);
        int r;

        r = buffer_append_string(&buffer, "{\"tasks\":[");
        if (r >= 0)
                r = buffer_append_string(&buffer, entry->json);
        if (r >= 0)
                r = buffer_append_string(&buffer, "]}");
        return r < 0 ? r : control_call_continue_raw(wait->call, buffer_slice(&buffer));
}

/* Sends what is ready and the client takes; answers when all is done or time is up. */
static void wait_advance(WaitCall *wait)
{
        while (!list_is_empty(&wait->ready) && control_call_writable(wait->call)) {
                WaitEntry *entry = LIST_FIRST(&wait->ready, WaitEntry, ready);
                int r = send_one(wait, entry);

                if (r < 0) {
                        fail(wait, r);
                        return;
                }
                list_remove(&entry->ready);
        }
        if (wait->n_ended == wait->n_entries) {
                if (list_is_empty(&wait->ready))
                        answer_all(wait);
        } else if (wait->expired && wait->n_looking == 0)
                answer_timeout(wait);
}

static void on_wait_writable(ControlCall *call, void *userdata)
{
        wait_advance(userdata);
}

static int on_expired(sd_event_source *source, uint64_t usec, void *userdata)
{
        WaitCall *wait = userdata;

        wait->expired = true;
        wait_advance(wait);
        return 0;
}

/* Looking up */

static void on_looked_up(TaskLookup *lookup, int error, Slice task, Source *source);

static int look_up(WaitEntry *entry)
{
        WaitCall *wait = entry->wait;
        int r;

        r = task_lookup_start(&entry->lookup, wait->manager, entry->waiter.id, on_looked_up);
        if (r < 0)
                return r;
        entry->looking = true;
        wait->n_looking++;
        return 0;
}

static void on_ended(Waiter *waiter, Source *source)
{
        WaitEntry *entry = container_of(waiter, WaitEntry, waiter);
        int r;

        if (entry->looking) {
                entry->ended_meanwhile = true;
                return;
        }
        r = look_up(entry);
        if (r < 0)
                fail(entry->wait, r);
}

static int take_ended(WaitEntry *entry, Slice task, const Source *source)
{
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(WIRE_MESSAGE_MAX);
        WaitCall *wait = entry->wait;
        int r;

        r = append_task(&buffer, task, source_name(source), false);
        if (r < 0)
                return r;
        entry->json = buffer_steal_string(&buffer);
        if (!entry->json)
                return -ENOMEM;
        waiters_remove(manager_waiters(wait->manager), &entry->waiter);
        wait->n_ended++;
        if (wait->more)
                list_append(&wait->ready, &entry->ready);
        return 0;
}

static bool has_ended(Slice task)
{
        Slice status;

        return json_raw_string(json_member(task, "status"), &status) >= 0 &&
               task_status_is_final(task_status_from_slice(status));
}

static void on_looked_up(TaskLookup *lookup, int error, Slice task, Source *source)
{
        WaitEntry *entry = container_of(lookup, WaitEntry, lookup);
        WaitCall *wait = entry->wait;
        Waiters *waiters = manager_waiters(wait->manager);
        int r = error;

        entry->looking = false;
        wait->n_looking--;
        if (r == -ENOENT) {
                answer_no_such_task(wait, entry->waiter.id);
                return;
        }
        if (r == 0 && has_ended(task))
                r = take_ended(entry, task, source);
        else if (r == 0) {
                /* it was told of an end and has been submitted again since, or is still under way
                 */
                if (!list_is_linked(&entry->waiter.link))
                        r = waiters_add(waiters, &entry->waiter);
                if (r == 0 && entry->ended_meanwhile)
                        r = look_up(entry);
        }
        entry->ended_meanwhile = false;
        if (r < 0)
                fail(wait, r);
        else
                wait_advance(wait);
}

/* The call */

typedef struct WaitTasksParams {
        char **ids;
        int64_t timeout_usec;
} WaitTasksParams;

/* -ENOENT with *ret_unknown: no queue can have that id. */
static int start_entries(WaitCall *wait, char *const *ids, const char **ret_unknown)
{
        for (size_t i = 0; ids[i]; i++) {
                WaitEntry *entry = &wait->entries[i];
                int r;

                *ret_unknown = ids[i];
                if (strlen(ids[i]) != QUEUE_ID_LENGTH)
                        return -ENOENT;
                entry->wait = wait;
                memcpy(entry->waiter.id, ids[i], QUEUE_ID_LENGTH + 1);
                entry->waiter.callback = on_ended;
                wait->n_entries++;
                r = waiters_add(manager_waiters(wait->manager), &entry->waiter);
                if (r >= 0)
                        r = look_up(entry);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int set_timeout(WaitCall *wait, int64_t timeout_usec)
{
        if (timeout_usec < 0)
                return 0;
        return sd_event_add_time(manager_event(wait->manager), &wait->timer, CLOCK_MONOTONIC,
                                 usec_add(clock_monotonic_usec(), (usec_t)timeout_usec),
                                 USEC_PER_MSEC, on_expired, wait);
}

static size_t count_ids(char *const *ids)
{
        size_t n = 0;

        while (ids && ids[n])
                n++;
        return n;
}

int method_wait_tasks(ControlCall *call, void *userdata)
{
        static const ControlCallbacks callbacks = {
                .on_gone = on_wait_gone,
                .on_writable = on_wait_writable,
        };
        static const ParamField fields[] = {
                { "ids", PARAM_STRINGS, true, offsetof(WaitTasksParams, ids) },
                { "timeoutUsec", PARAM_INTEGER, false, offsetof(WaitTasksParams, timeout_usec) },
        };
        _cleanup_(wait_call_freep) WaitCall *wait = NULL;
        WaitTasksParams params = { .timeout_usec = -1 };
        const char *unknown = NULL;
        size_t n;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return MIN(r, 0);
        n = count_ids(params.ids);
        if (n > QUEUE_SUBMIT_MAX)
                return control_call_refused(call, "at most %d ids in one call", QUEUE_SUBMIT_MAX);
        wait = calloc(1, sizeof(WaitCall));
        if (!wait)
                return -ENOMEM;
        list_init(&wait->ready);
        wait->call = call;
        wait->manager = userdata;
        wait->more = control_call_wants_more(call);
        wait->entries = calloc(n + 1, sizeof(WaitEntry));
        if (!wait->entries)
                return -ENOMEM;
        r = n > 0 ? start_entries(wait, params.ids, &unknown) : 0;
        if (r == -ENOENT)
                return control_call_error_strings(call, "NoSuchTask", "taskId", unknown, NULL);
        if (r >= 0)
                r = set_timeout(wait, params.timeout_usec);
        if (r < 0)
                return r;
        control_call_keep(call, &callbacks, wait);
        if (n == 0)
                answer_all(TAKE_PTR(wait));
        else
                TAKE_PTR(wait);
        return 0;
}
