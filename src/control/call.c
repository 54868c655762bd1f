/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "base/log.h"
#include "control/connection.h"

/* Longest text of Refused and of a parameter's name in an error. */
#define CALL_TEXT_MAX 1024

static ControlCall *call_allocate(Connection *connection, Slice message)
{
        ControlCall *call = malloc(sizeof(*call) + message.size);

        if (!call)
                return NULL;
        *call = (ControlCall){ .connection = connection, .size = message.size };
        if (message.size > 0)
                memcpy(call->message, message.data, message.size);
        return call;
}

int call_new(Connection *connection, Slice message, ControlCall **ret)
{
        ControlCall *call = call_allocate(connection, message);
        Slice name;
        int r;

        if (!call)
                return -ENOMEM;
        r = wire_parse_call((Slice){ call->message, call->size }, &call->wire, &call->problem);
        if (r >= 0) {
                name = wire_member_name(call->wire.method);
                call->name = strndup(name.data, name.size);
        }
        if (!call->name && !call->problem) {
                call_free(call);
                return -ENOMEM;
        }
        *ret = call;
        return 0;
}

ControlCall *call_new_invalid(Connection *connection, const char *problem)
{
        ControlCall *call = call_allocate(connection, SLICE_NULL);

        if (!call)
                return NULL;
        call->problem = strdup(problem);
        return call->problem ? call : call_free(call);
}

ControlCall *call_free(ControlCall *call)
{
        if (!call)
                return NULL;
        param_arena_deinit(&call->arena);
        free(call->problem);
        free(call->name);
        free(call);
        return NULL;
}

/* The last answer is out, or could not be queued (r). In its handler the call lives on until that
 * returns, and may be answered otherwise if this answer failed. Else it ends here, and whoever kept
 * it need not look: a client that cannot be answered is closed. The next call is started from the
 * loop, never from inside whoever answered this one. */
static int call_end(ControlCall *call, int r)
{
        Connection *connection = call->connection;

        if (call->running) {
                call->answered = r >= 0;
                return r;
        }
        if (r < 0)
                log_warning_errno(r, "%s could not be answered, its connection is closed: %m",
                                  call->name);
        connection->broken |= r < 0;
        connection->current = NULL;
        call_free(call);
        if (sd_event_source_set_enabled(connection->advance_source, SD_EVENT_ONESHOT) < 0)
                log_warning("the next call of a control client could not be scheduled");
        return 0;
}

static bool call_is_oneway(const ControlCall *call)
{
        return call->wire.flags & WIRE_ONEWAY;
}

/* One message: a reply, or an error if name is set. A peer that has gone is not an error here: the
 * stream reports it. */
static int call_write(ControlCall *call, const char *error, Slice parameters, bool continues)
{
        Buffer *scratch = &call->connection->server->scratch;
        int r;

        if (call_is_oneway(call))
                return 0;
        if (parameters.size > WIRE_MESSAGE_MAX)
                return -EMSGSIZE;
        if (error)
                r = wire_append_error(scratch, error, parameters);
        else
                r = wire_append_reply(scratch, parameters, continues);
        if (r >= 0 && scratch->size > WIRE_MESSAGE_MAX + 1)
                r = -EMSGSIZE;
        if (r >= 0)
                r = stream_write(call->connection->stream, buffer_slice(scratch));
        buffer_clear(scratch);
        buffer_trim(scratch, FRAME_RESERVE_MAX);
        return r == -EPIPE ? 0 : r;
}

int control_call_reply_raw(ControlCall *call, Slice parameters)
{
        int r;

        r = call_write(call, NULL, parameters, false);
        if (r == -EMSGSIZE)
                return control_call_refused(call,
                                            "the answer is longer than %zu bytes; ask for less",
                                            WIRE_MESSAGE_MAX);
        return call_end(call, r);
}

/* The text of a tree; the tree owns it. */
static int tree_text(json_object *tree, Slice *ret)
{
        const char *text;
        size_t size = 0;

        if (!tree) {
                *ret = SLICE_NULL;
                return 0;
        }
        text = json_object_to_json_string_length(
                tree, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
        if (!text)
                return -ENOMEM;
        *ret = (Slice){ text, size };
        return 0;
}

int control_call_reply(ControlCall *call, json_object *parameters)
{
        Slice text;
        int r;

        r = tree_text(parameters, &text);
        r = r < 0 ? call_end(call, r) : control_call_reply_raw(call, text);
        json_object_put(parameters);
        return r;
}

static int call_error_raw(ControlCall *call, const char *name, Slice parameters)
{
        char qualified[WIRE_NAME_MAX + 1];

        if (!strchr(name, '.')) {
                (void)snprintf(qualified, sizeof(qualified), WIRE_INTERFACE ".%s", name);
                name = qualified;
        }
        return call_end(call, call_write(call, name, parameters, false));
}

int control_call_error(ControlCall *call, const char *name, json_object *parameters)
{
        Slice text;
        int r;

        r = tree_text(parameters, &text);
        r = r < 0 ? call_end(call, r) : call_error_raw(call, name, text);
        json_object_put(parameters);
        return r;
}

int control_call_error_strings(ControlCall *call, const char *name, ...)
{
        Buffer text = BUFFER_NULL(WIRE_MESSAGE_MAX);
        const char *key, *value;
        va_list args;
        int r = 0;

        va_start(args, name);
        while (r >= 0 && (key = va_arg(args, const char *))) {
                value = va_arg(args, const char *);
                if (!value)
                        continue;
                r = buffer_append_byte(&text, text.size == 0 ? '{' : ',');
                if (r >= 0)
                        r = json_append_string(&text, slice_from_string(key));
                if (r >= 0)
                        r = buffer_append_byte(&text, ':');
                if (r >= 0)
                        r = json_append_string(&text, slice_from_string(value));
        }
        va_end(args);
        if (r >= 0 && text.size > 0)
                r = buffer_append_byte(&text, '}');
        r = r < 0 ? call_end(call, r) : call_error_raw(call, name, buffer_slice(&text));
        buffer_deinit(&text);
        return r;
}

int control_call_invalid_parameter(ControlCall *call, const char *parameter)
{
        return control_call_error_strings(call, WIRE_ERROR_INVALID_PARAMETER, "parameter",
                                          parameter, NULL);
}

int control_call_refused(ControlCall *call, const char *format, ...)
{
        char text[CALL_TEXT_MAX];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        return control_call_error_strings(call, "Refused", "message", text, NULL);
}

int control_call_continue_raw(ControlCall *call, Slice parameters)
{
        if (!control_call_wants_more(call))
                return -EPROTO;
        if (!control_call_writable(call))
                return -ENOBUFS;
        return call_write(call, NULL, parameters, true);
}

int control_call_continue(ControlCall *call, json_object *parameters)
{
        Slice text;
        int r;

        r = tree_text(parameters, &text);
        if (r >= 0)
                r = control_call_continue_raw(call, text);
        json_object_put(parameters);
        return r;
}

bool control_call_writable(ControlCall *call)
{
        if (stream_queued(call->connection->stream) <= CONTROL_OUTPUT_MARK)
                return true;
        call->blocked = true;
        return false;
}

void control_call_keep(ControlCall *call, const ControlCallbacks *callbacks, void *userdata)
{
        call->kept = true;
        call->callbacks = *callbacks;
        call->userdata = userdata;
}

bool control_call_wants_more(const ControlCall *call)
{
        return call->wire.flags & WIRE_MORE;
}

Slice control_call_parameters(const ControlCall *call)
{
        return call->wire.parameters.size > 0 ? call->wire.parameters : SLICE_LITERAL("{}");
}

ParamArena *control_call_arena(ControlCall *call)
{
        return &call->arena;
}

int control_call_decode_object(ControlCall *call, Slice object, const char *name,
                               const ParamField *fields, size_t n_fields, void *ret)
{
        char qualified[CALL_TEXT_MAX];
        const char *wrong;
        int r;

        r = params_decode(object, fields, n_fields, &call->arena, ret, &wrong);
        if (r != -EINVAL)
                return r;
        (void)snprintf(qualified, sizeof(qualified), "%s%s%s", name ?: "", name ? "." : "", wrong);
        r = control_call_invalid_parameter(call, qualified);
        return r < 0 ? r : 1;
}

int control_call_decode(ControlCall *call, const ParamField *fields, size_t n_fields, void *ret)
{
        return control_call_decode_object(call, control_call_parameters(call), NULL, fields,
                                          n_fields, ret);
}
