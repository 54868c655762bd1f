/* SPDX-License-Identifier: Apache-2.0 */

#include "base/explain.h"
#include "base/json.h"
#include "control/wire.h"

static int check_message(Slice message, char **ret_problem)
{
        JsonError error;
        int r;

        if (message.size > WIRE_MESSAGE_MAX)
                return explain(-EBADMSG, ret_problem, "a message has at most %zu bytes",
                               WIRE_MESSAGE_MAX);
        r = json_check(message, &error);
        if (r < 0)
                return explain(-EBADMSG, ret_problem, "not JSON at byte %zu: %s", error.offset,
                               error.message);
        if (json_type_of(message) != JSON_OBJECT)
                return explain(-EBADMSG, ret_problem, "a message is an object, not %s",
                               json_type_to_string(json_type_of(message)));
        return 0;
}

static int take_name(Slice value, const char *member, Slice *ret, char **ret_problem)
{
        if (json_raw_string(value, ret) < 0)
                return explain(-EBADMSG, ret_problem, "%s is a string without escapes", member);
        if (ret->size == 0 || ret->size > WIRE_NAME_MAX)
                return explain(-EBADMSG, ret_problem, "%s has 1 to %zu bytes", member,
                               WIRE_NAME_MAX);
        return 0;
}

static int take_parameters(Slice value, Slice *ret, char **ret_problem)
{
        JsonType type = json_type_of(value);

        if (type != JSON_OBJECT && type != JSON_NULL)
                return explain(-EBADMSG, ret_problem, "parameters is an object, not %s",
                               json_type_to_string(type));
        *ret = type == JSON_OBJECT ? value : SLICE_NULL;
        return 0;
}

static int take_flag(Slice value, const char *member, unsigned flag, unsigned *flags,
                     char **ret_problem)
{
        bool set = false;

        if (json_type_of(value) != JSON_NULL && json_to_bool(value, &set) < 0)
                return explain(-EBADMSG, ret_problem, "%s is true or false", member);
        *flags = set ? *flags | flag : *flags & ~flag;
        return 0;
}

int wire_parse_call(Slice message, WireCall *ret, char **ret_problem)
{
        WireCall call = {};
        Slice key, value;
        int r;

        r = check_message(message, ret_problem);
        if (r < 0)
                return r;
        JSON_FOREACH_MEMBER (key, value, message) {
                if (json_key_is(key, "method"))
                        r = take_name(value, "method", &call.method, ret_problem);
                else if (json_key_is(key, "parameters"))
                        r = take_parameters(value, &call.parameters, ret_problem);
                else if (json_key_is(key, "more"))
                        r = take_flag(value, "more", WIRE_MORE, &call.flags, ret_problem);
                else if (json_key_is(key, "oneway"))
                        r = take_flag(value, "oneway", WIRE_ONEWAY, &call.flags, ret_problem);
                else if (json_key_is(key, "upgrade"))
                        r = take_flag(value, "upgrade", WIRE_UPGRADE, &call.flags, ret_problem);
                if (r < 0)
                        return r;
        }
        if (call.method.size == 0)
                return explain(-EBADMSG, ret_problem, "method is missing");
        *ret = call;
        return 0;
}

int wire_parse_reply(Slice message, WireReply *ret, char **ret_problem)
{
        WireReply reply = {};
        unsigned continues = 0;
        Slice key, value;
        int r;

        r = check_message(message, ret_problem);
        if (r < 0)
                return r;
        JSON_FOREACH_MEMBER (key, value, message) {
                if (json_key_is(key, "error") && json_type_of(value) != JSON_NULL)
                        r = take_name(value, "error", &reply.error, ret_problem);
                else if (json_key_is(key, "parameters"))
                        r = take_parameters(value, &reply.parameters, ret_problem);
                else if (json_key_is(key, "continues"))
                        r = take_flag(value, "continues", 1, &continues, ret_problem);
                if (r < 0)
                        return r;
        }
        reply.continues = continues != 0;
        *ret = reply;
        return 0;
}

/* Messages are written all or nothing: what came before a failure is taken back. */
static int finish(Buffer *buffer, size_t size, int r)
{
        if (r >= 0)
                r = buffer_append(buffer, "}", 2); /* the NUL is the delimiter */
        if (r < 0)
                buffer_truncate(buffer, size);
        return r < 0 ? r : 0;
}

static int append_parameters(Buffer *buffer, const char *separator, Slice parameters)
{
        int r;

        if (parameters.size == 0)
                return 0;
        r = buffer_append_string(buffer, separator);
        if (r >= 0)
                r = buffer_append_string(buffer, "\"parameters\":");
        if (r >= 0)
                r = buffer_append_slice(buffer, parameters);
        return r;
}

int wire_append_call(Buffer *buffer, const char *method, Slice parameters, unsigned flags)
{
        size_t size = buffer->size;
        int r;

        r = buffer_append_string(buffer, "{\"method\":");
        if (r >= 0)
                r = json_append_string(buffer, slice_from_string(method));
        if (r >= 0 && flags & WIRE_MORE)
                r = buffer_append_string(buffer, ",\"more\":true");
        if (r >= 0 && flags & WIRE_ONEWAY)
                r = buffer_append_string(buffer, ",\"oneway\":true");
        if (r >= 0 && flags & WIRE_UPGRADE)
                r = buffer_append_string(buffer, ",\"upgrade\":true");
        if (r >= 0)
                r = append_parameters(buffer, ",", parameters);
        return finish(buffer, size, r);
}

int wire_append_reply(Buffer *buffer, Slice parameters, bool continues)
{
        size_t size = buffer->size;
        int r;

        r = buffer_append_string(buffer, continues ? "{\"continues\":true" : "{");
        if (r >= 0)
                r = append_parameters(buffer, continues ? "," : "", parameters);
        return finish(buffer, size, r);
}

int wire_append_error(Buffer *buffer, const char *error, Slice parameters)
{
        size_t size = buffer->size;
        int r;

        r = buffer_append_string(buffer, "{\"error\":");
        if (r >= 0)
                r = json_append_string(buffer, slice_from_string(error));
        if (r >= 0)
                r = append_parameters(buffer, ",", parameters);
        return finish(buffer, size, r);
}

Slice wire_member_name(Slice qualified)
{
        const char *dot = qualified.size > 0 ? memrchr(qualified.data, '.', qualified.size) : NULL;

        if (!dot)
                return qualified;
        return (Slice){ dot + 1, qualified.size - (size_t)(dot + 1 - qualified.data) };
}

Slice wire_interface_name(Slice qualified)
{
        const char *dot = qualified.size > 0 ? memrchr(qualified.data, '.', qualified.size) : NULL;

        return (Slice){ qualified.data, dot ? (size_t)(dot - qualified.data) : 0 };
}
