/* SPDX-License-Identifier: Apache-2.0 */

/* What servers have not accepted: looking at it, sending it again, forgetting it. */

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include "base/json.h"
#include "base/parse.h"
#include "base/strv.h"
#include "config/schema.h"
#include "control/answer.h"

/* Messages in one answer: each takes some 400 bytes of it. */
#define OUTBOX_LIST_MAX 10000

/* The source's name, a slash, the number. */
#define MESSAGE_NAME_SIZE (CONFIG_NAME_MAX + 24)

/* One message as the interface has it, without its body. */
static json_object *describe_message(const Source *source, const OutboxEntry *entry)
{
        OBJECT_CLEANUP Object object = object_new();
        _cleanup_free_ char *type = NULL, *workflow = NULL;
        ConductorMessage message = { .kind = "unknown" };
        char name[MESSAGE_NAME_SIZE];

        (void)snprintf(name, sizeof(name), "%s/%" PRIu64, source_name(source), entry->number);
        (void)conductor_describe_message(entry, &message);
        type = strndup(message.task_type.data ?: "", message.task_type.size);
        workflow = strndup(message.workflow_id.data ?: "", message.workflow_id.size);
        object_add_string(&object, "name", name);
        object_add_string(&object, "source", source_name(source));
        object_add_string(&object, "state", entry->state == OUTBOX_DEAD ? "dead" : "waiting");
        object_add_string(&object, "kind", message.kind);
        object_add_string(&object, "taskId", entry->id);
        object_add_string(&object, "taskType", type ?: "");
        object_add_string(&object, "workflowId", workflow ?: "");
        object_add_int(&object, "time", entry->created_msec);
        object_add_uint(&object, "tries", entry->n_tries);
        object_add_uint(&object, "sizeBytes", entry->body_size);
        object_add_string(&object, "reason", entry->reason);
        return object_take(&object);
}

/* Those of one source and state, at most *left. */
static void list_messages(Source *source, OutboxState state, int64_t *left, json_object **messages)
{
        const Outbox *outbox = conductor_outbox(source);

        for (const OutboxEntry *entry = outbox_first(outbox, state); entry && *left > 0;
             entry = outbox_next(outbox, entry), (*left)--)
                array_add(messages, describe_message(source, entry));
}

/* The server at *at or behind it; NULL: no more. only NULL: any. */
static Source *next_server(const Manager *manager, const Source *only, size_t *at)
{
        for (; *at < manager_n_sources(manager); (*at)++) {
                Source *source = manager_source(manager, *at);

                if (source_type(source) == SOURCE_CONDUCTOR && (!only || source == only))
                        return source;
        }
        return NULL;
}

/* name NULL: any server, *ret NULL. 1: answered. */
static int find_server(ControlCall *call, const Manager *manager, const char *name, Source **ret)
{
        int r;

        *ret = NULL;
        if (!name)
                return 0;
        r = find_source(call, manager, name, ret);
        if (r != 0 || source_type(*ret) == SOURCE_CONDUCTOR)
                return r;
        r = control_call_refused(call, "source %s is an embedded queue, it has no outbox", name);
        return r < 0 ? r : 1;
}

typedef struct ListParams {
        const char *source;
        const char *state;
        int64_t limit;
} ListParams;

int method_list_outbox(ControlCall *call, void *userdata)
{
        static const ParamField fields[] = {
                { "source", PARAM_STRING, false, offsetof(ListParams, source) },
                { "state", PARAM_STRING, false, offsetof(ListParams, state) },
                { "limit", PARAM_INTEGER, false, offsetof(ListParams, limit) },
        };
        ListParams params = { .limit = OUTBOX_LIST_MAX };
        bool waiting, dead;
        json_object *messages;
        Source *only, *source;
        int64_t left;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r == 0)
                r = find_server(call, userdata, params.source, &only);
        if (r != 0)
                return MIN(r, 0);
        waiting = !params.state || streq(params.state, "waiting");
        dead = !params.state || streq(params.state, "dead");
        if (!waiting && !dead)
                return control_call_invalid_parameter(call, "state");
        if (params.limit < 0)
                return control_call_invalid_parameter(call, "limit");
        left = MIN(params.limit, OUTBOX_LIST_MAX);
        messages = json_object_new_array();
        for (size_t at = 0; (source = next_server(userdata, only, &at)); at++) {
                if (dead)
                        list_messages(source, OUTBOX_DEAD, &left, &messages);
                if (waiting)
                        list_messages(source, OUTBOX_WAITING, &left, &messages);
        }
        return reply_single(call, "messages", messages);
}

/* By name: "source/number". */

/* 0, or 1: answered NoSuchMessage. */
static int find_message(ControlCall *call, const Manager *manager, const char *name,
                        Source **ret_source, OutboxEntry **ret)
{
        const char *slash = strrchr(name, '/');
        _cleanup_free_ char *source_part = NULL;
        OutboxEntry *entry = NULL;
        uint64_t number;
        int r;

        source_part = slash ? strndup(name, (size_t)(slash - name)) : strdup("");
        if (!source_part)
                return -ENOMEM;
        *ret_source = manager_find_source(manager, source_part);
        if (slash && *ret_source && source_type(*ret_source) == SOURCE_CONDUCTOR &&
            parse_uint64(slash + 1, &number) >= 0)
                entry = outbox_find(conductor_outbox(*ret_source), number);
        if (entry && entry->state != OUTBOX_HELD) {
                *ret = entry;
                return 0;
        }
        r = control_call_error_strings(call, "NoSuchMessage", "name", name, NULL);
        return r < 0 ? r : 1;
}

typedef struct GetCall {
        ControlCall *call; /* NULL: gone */
        json_object *message;
        bool is_text;
} GetCall;

static void on_get_gone(ControlCall *call, void *userdata)
{
        ((GetCall *)userdata)->call = NULL;
}

static json_object *body_object(const GetCall *get, Slice body)
{
        json_object *object = NULL;

        if (!get->is_text) {
                struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 8);

                if (tokener && body.size <= INT_MAX)
                        object = json_tokener_parse_ex(tokener, body.data, (int)body.size);
                json_tokener_free(tokener);
                return object;
        }
        object = json_object_new_object();
        if (object)
                (void)json_object_object_add(object, "log",
                                             json_object_new_string_len(body.data, (int)body.size));
        return object;
}

static void on_body(int error, Slice body, void *userdata)
{
        _cleanup_free_ GetCall *get = userdata;
        json_object *object;

        if (!get->call) {
                json_object_put(get->message);
                return;
        }
        if (error < 0) {
                json_object_put(get->message);
                (void)control_call_refused(get->call, "cannot read it back: %s", strerror(-error));
                return;
        }
        object = body_object(get, body);
        if (object)
                (void)json_object_object_add(get->message, "body", object);
        if (reply_single(get->call, "message", get->message) < 0)
                (void)control_call_refused(get->call, "out of memory");
}

int method_get_outbox_message(ControlCall *call, void *userdata)
{
        static const ControlCallbacks callbacks = { .on_gone = on_get_gone };
        struct {
                const char *name;
        } params = { 0 };
        static const ParamField fields[] = { { "name", PARAM_STRING, true, 0 } };
        _cleanup_free_ GetCall *get = calloc(1, sizeof(*get));
        ConductorMessage message;
        OutboxEntry *entry;
        Source *source;
        int r;

        if (!get)
                return -ENOMEM;
        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r == 0)
                r = find_message(call, userdata, params.name, &source, &entry);
        if (r != 0)
                return MIN(r, 0);
        get->call = call;
        get->message = describe_message(source, entry);
        get->is_text = conductor_describe_message(entry, &message) < 0 || message.is_text;
        if (!get->message)
                return -ENOMEM;
        r = outbox_read(conductor_outbox(source), entry, on_body, get);
        if (r < 0) {
                json_object_put(get->message);
                return r;
        }
        control_call_keep(call, &callbacks, TAKE_PTR(get));
        return 0;
}

/* Retry and drop */

typedef int (*change_t)(Outbox *outbox, OutboxEntry *entry);

static int64_t change_dead(const Manager *manager, const Source *only, change_t change)
{
        Source *source;
        int64_t n = 0;

        for (size_t at = 0; (source = next_server(manager, only, &at)); at++) {
                Outbox *outbox = conductor_outbox(source);

                OUTBOX_FOREACH (entry, outbox, OUTBOX_DEAD) {
                        n += change(outbox, entry) >= 0;
                }
        }
        return n;
}

static int change_named(ControlCall *call, const Manager *manager, char *const *names,
                        change_t change, int64_t *ret_count)
{
        STRV_FOREACH (name, names) {
                OutboxEntry *entry;
                Source *source;
                int r = find_message(call, manager, *name, &source, &entry);

                if (r != 0)
                        return r;
                r = change(conductor_outbox(source), entry);
                if (r == -EBUSY) {
                        r = control_call_refused(
                                call, "message %s is being sent right now: look again", *name);
                        return r < 0 ? r : 1;
                }
                if (r < 0)
                        return r;
                (*ret_count)++;
        }
        return 0;
}

typedef struct ChangeParams {
        char **names;
        const char *source;
} ChangeParams;

static int change_outbox(ControlCall *call, const Manager *manager, change_t change)
{
        static const ParamField fields[] = {
                { "names", PARAM_STRINGS, false, offsetof(ChangeParams, names) },
                { "source", PARAM_STRING, false, offsetof(ChangeParams, source) },
        };
        ChangeParams params = { 0 };
        int64_t count = 0;
        Source *only;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r == 0)
                r = find_server(call, manager, params.source, &only);
        if (r == 0 && params.names)
                r = change_named(call, manager, params.names, change, &count);
        else if (r == 0)
                count = change_dead(manager, only, change);
        if (r != 0)
                return MIN(r, 0);
        return reply_single(call, "count", json_object_new_int64(count));
}

int method_retry_outbox(ControlCall *call, void *userdata)
{
        return change_outbox(call, userdata, outbox_retry);
}

int method_drop_outbox(ControlCall *call, void *userdata)
{
        return change_outbox(call, userdata, outbox_drop);
}
