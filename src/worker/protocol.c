/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include "worker/protocol.h"

static const char *const type_names[] = {
        [MESSAGE_TASK] = "task",     [MESSAGE_CANCEL] = "cancel",     [MESSAGE_DRAIN] = "drain",
        [MESSAGE_RESULT] = "result", [MESSAGE_PROGRESS] = "progress", [MESSAGE_LOG] = "log",
};
static_assert(ELEMENTSOF(type_names) == _MESSAGE_TYPE_MAX, "a message type has no name");

const char *message_type_to_string(MessageType type)
{
        if (type < 0 || type >= _MESSAGE_TYPE_MAX)
                return NULL;
        return type_names[type];
}

static MessageType message_type_from_slice(Slice s)
{
        for (MessageType i = 0; i < _MESSAGE_TYPE_MAX; i++) {
                if (slice_is(s, type_names[i]))
                        return i;
        }
        return _MESSAGE_TYPE_INVALID;
}

/* The members that say what a message is and which task it is about, raw. */
typedef struct Envelope {
        Slice type;
        Slice task_id;
        Slice task;
} Envelope;

static void envelope_take(Envelope *envelope, Slice key, Slice value)
{
        if (slice_equal(key, SLICE_LITERAL("type")))
                envelope->type = value;
        else if (slice_equal(key, SLICE_LITERAL("taskId")))
                envelope->task_id = value;
        else if (slice_equal(key, SLICE_LITERAL("task")))
                envelope->task = value;
}

static MessageType envelope_type(const Envelope *envelope)
{
        Slice text;

        if (envelope->type.size == 0 || json_raw_string(envelope->type, &text) < 0)
                return _MESSAGE_TYPE_INVALID;
        return message_type_from_slice(text);
}

/* The hot path is an id without escapes, which stays where it is. */
static const char *read_task_id(Message *message, Slice value)
{
        _cleanup_free_ char *decoded = NULL;
        size_t size;
        int r;

        if (value.size == 0 || json_type_of(value) == JSON_NULL ||
            json_raw_string(value, &message->task_id) >= 0)
                return NULL;
        r = json_decode_string(value, &decoded);
        if (r == -EINVAL)
                return "\"taskId\" must be a string";
        if (r < 0)
                return "out of memory";
        size = strlen(decoded);
        if (size > sizeof(message->task_id_bytes))
                return "\"taskId\" with escapes is too long";
        memcpy(message->task_id_bytes, decoded, size);
        message->task_id = (Slice){ message->task_id_bytes, size };
        return NULL;
}

static const char *read_envelope(Message *message, const Envelope *envelope)
{
        if (envelope->type.size == 0)
                return "no member \"type\"";
        message->type = envelope_type(envelope);
        if (message->type < 0)
                return "unknown \"type\"";
        if (message->type == MESSAGE_TASK) {
                if (envelope->task.size == 0 || json_type_of(envelope->task) != JSON_OBJECT)
                        return "\"task\" must be an object";
                message->task = envelope->task;
        }
        return read_task_id(message, envelope->task_id);
}

/* A line that stops being JSON half-way, such as a result with NaN in it: what stands before the
 * break is sound and may say which task is meant. Members that touch the break are left out. */
static MessageResult salvage(Slice line, size_t broken_at, Message *message)
{
        JsonWalk walk = { line.data + 1, line.data + line.size };
        Envelope envelope = {};
        Slice key, value;

        while (json_next_member(&walk, &key, &value)) {
                if (value.size == 0 || value.data + value.size > line.data + broken_at)
                        break;
                envelope_take(&envelope, key, value);
        }
        message->type = envelope_type(&envelope);
        if (message->type < 0)
                return MESSAGE_STRAY;
        (void)read_task_id(message, envelope.task_id);
        return MESSAGE_INVALID;
}

static Slice trim_start(Slice line)
{
        while (line.size > 0 && (*line.data == ' ' || *line.data == '\t')) {
                line.data++;
                line.size--;
        }
        return line;
}

MessageResult message_parse(Slice line, Message *ret, JsonError *ret_error)
{
        Slice object = trim_start(line), key, value;
        JsonError error = {};
        Envelope envelope = {};

        ret->type = _MESSAGE_TYPE_INVALID;
        ret->object = line;
        ret->task_id = ret->task = SLICE_NULL;
        *ret_error = error;

        if (object.size == 0 || *object.data != '{')
                return MESSAGE_STRAY;
        if (json_check(object, &error) < 0) {
                *ret_error = error;
                ret_error->offset += (size_t)(object.data - line.data);
                return salvage(object, error.offset, ret);
        }
        JSON_FOREACH_MEMBER (key, value, object) {
                envelope_take(&envelope, key, value);
        }
        ret_error->message = read_envelope(ret, &envelope);
        return ret_error->message ? MESSAGE_INVALID : MESSAGE_OK;
}

/* One line or nothing. */
static int append_line(Buffer *buffer, Slice head, Slice body, Slice tail)
{
        size_t size = buffer->size;
        int r;

        r = buffer_append_slice(buffer, head);
        if (r >= 0)
                r = buffer_append_slice(buffer, body);
        if (r >= 0)
                r = buffer_append_slice(buffer, tail);
        if (r < 0)
                buffer_truncate(buffer, size);
        return r;
}

int message_append_task(Buffer *buffer, Slice task_json)
{
        return append_line(buffer, SLICE_LITERAL("{\"type\":\"task\",\"task\":"), task_json,
                           SLICE_LITERAL("}\n"));
}

int message_append_cancel(Buffer *buffer, Slice task_id)
{
        size_t size = buffer->size;
        int r;

        r = buffer_append_string(buffer, "{\"type\":\"cancel\",\"taskId\":");
        if (r >= 0)
                r = json_append_string(buffer, task_id);
        if (r >= 0)
                r = buffer_append_string(buffer, "}\n");
        if (r < 0)
                buffer_truncate(buffer, size);
        return r;
}

int message_append_drain(Buffer *buffer)
{
        return buffer_append_string(buffer, "{\"type\":\"drain\"}\n");
}
