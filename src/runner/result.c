/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "base/json-scan.h"
#include "runner/result.h"

/* Buffers that were grown for a large result give their memory back above this. */
#define RESULT_KEEP ((size_t)64 * 1024)

static const char *const status_words[] = {
        [YARDMASTER_COMPLETED] = "COMPLETED",
        [YARDMASTER_FAILED] = "FAILED",
        [YARDMASTER_FAILED_WITH_TERMINAL_ERROR] = "FAILED_WITH_TERMINAL_ERROR",
        [YARDMASTER_IN_PROGRESS] = "IN_PROGRESS",
};

void result_init(Result *result)
{
        *result = (Result){
                .output = BUFFER_NULL(TASK_MESSAGE_MAX),
                .reason = BUFFER_NULL(OUTCOME_REASON_MAX),
        };
        result_reset(result);
}

void result_deinit(Result *result)
{
        buffer_deinit(&result->output);
        buffer_deinit(&result->reason);
}

void result_reset(Result *result)
{
        result->status = YARDMASTER_COMPLETED;
        buffer_clear(&result->output);
        buffer_trim(&result->output, RESULT_KEEP);
        result->output_is_empty = true;
        result->output_error = (JsonError){};
        buffer_clear(&result->reason);
        buffer_trim(&result->reason, RESULT_KEEP);
        result->has_reason = false;
        result->callback_after_msec = result->retry_after_msec = -1;
}

int result_set_status(Result *result, enum yardmaster_status status)
{
        if ((unsigned)status >= ELEMENTSOF(status_words))
                return -EINVAL;
        result->status = status;
        return 0;
}

static int too_large(int r)
{
        return r == -ENOBUFS ? -EMSGSIZE : r;
}

static Slice trim(Slice text)
{
        while (text.size > 0 && json_is_white(text.data[text.size - 1]))
                text.size--;
        while (text.size > 0 && json_is_white(*text.data)) {
                text.data++;
                text.size--;
        }
        return text;
}

static int check_object(Slice text, JsonError *ret_error)
{
        int r;

        r = json_check(text, ret_error);
        if (r < 0)
                return r;
        if (json_type_of(text) != JSON_OBJECT) {
                *ret_error = (JsonError){ 0, "an object is wanted" };
                return -EBADMSG;
        }
        return 0;
}

int result_set_output(Result *result, const char *json, size_t size)
{
        Slice text = { json, json ? size : 0 }, key, value;
        JsonError error = {};
        JsonWalk walk;
        int r;

        buffer_clear(&result->output);
        result->output_is_empty = true;
        r = check_object(text, &error);
        result->output_error = error;
        if (r < 0)
                return r;

        /* A line break that JSON allows would end the message. */
        text = trim(text);
        r = memchr(text.data, '\n', text.size) ? json_append_compact(&result->output, text)
                                               : buffer_append_slice(&result->output, text);
        if (r < 0) {
                result->output_error.message = "too large";
                return too_large(r);
        }
        walk = json_walk(text);
        result->output_is_empty = !json_next_member(&walk, &key, &value);
        return 0;
}

/* Opens the output for one more member and writes its name. */
static int append_name(Result *result, const char *name)
{
        int r;

        if (result->output_is_empty) {
                buffer_clear(&result->output);
                r = buffer_append_byte(&result->output, '{');
        } else {
                buffer_truncate(&result->output, result->output.size - 1);
                r = buffer_append_byte(&result->output, ',');
        }
        if (r >= 0)
                r = json_append_string(&result->output, slice_from_string(name));
        return r < 0 ? r : buffer_append_byte(&result->output, ':');
}

/* Closes the object again or, if the member did not fit, takes back what there is of it. */
static int end_member(Result *result, size_t size_before, int r)
{
        if (r >= 0)
                r = buffer_append_byte(&result->output, '}');
        if (r >= 0) {
                result->output_is_empty = false;
                return 0;
        }
        if (result->output_is_empty) {
                buffer_clear(&result->output);
        } else {
                buffer_truncate(&result->output, size_before - 1);
                (void)buffer_append_byte(&result->output, '}');
        }
        return too_large(r);
}

int result_add_string(Result *result, const char *name, const char *text)
{
        size_t size_before = result->output.size;
        int r;

        if (!name || !text)
                return -EINVAL;
        r = append_name(result, name);
        if (r >= 0)
                r = json_append_string(&result->output, slice_from_string(text));
        return end_member(result, size_before, r);
}

int result_add_int64(Result *result, const char *name, int64_t value)
{
        size_t size_before = result->output.size;
        int r;

        if (!name)
                return -EINVAL;
        r = append_name(result, name);
        if (r >= 0)
                r = buffer_append_int(&result->output, value);
        return end_member(result, size_before, r);
}

int result_set_reason(Result *result, const char *text)
{
        size_t size = text ? MIN(strlen(text), OUTCOME_REASON_MAX) : 0;
        int r;

        buffer_clear(&result->reason);
        result->has_reason = false;
        r = buffer_append(&result->reason, text, size);
        if (r >= 0)
                result->has_reason = text;
        return r;
}

int result_set_callback_after(Result *result, int64_t msec)
{
        if (msec < 0)
                return -EINVAL;
        result->callback_after_msec = msec;
        return 0;
}

int result_set_retry_after(Result *result, int64_t msec)
{
        if (msec < 0)
                return -EINVAL;
        result->retry_after_msec = msec;
        return 0;
}

/* What error() or else set_reason said, then the errno value's text, as far as there is room. */
static int explain(Result *result, int value, const char *error)
{
        int r = 0;

        if (*error || !result->has_reason)
                r = result_set_reason(result, *error ? error : "execute failed");
        if (r < 0)
                return r;
        (void)buffer_appendf(&result->reason, ": %s", strerror(-value));
        return 0;
}

int result_conclude(Result *result, int value, const char *error)
{
        char text[256];

        if (value == 0 && !result->output_error.message)
                return 0;
        if (result->status != YARDMASTER_FAILED_WITH_TERMINAL_ERROR)
                result->status = YARDMASTER_FAILED;
        if (value < 0)
                return explain(result, value, error);
        if (value > 0)
                (void)snprintf(text, sizeof(text),
                               "execute returned %d: only 0 and negative errno values mean "
                               "something",
                               value);
        else
                (void)snprintf(text, sizeof(text), "the output is no JSON object: %s at byte %zu",
                               result->output_error.message, result->output_error.offset);
        return result_set_reason(result, text);
}

static int append_seconds(Buffer *buffer, const char *name, int64_t msec)
{
        if (msec < 0)
                return 0;
        if (msec % 1000 == 0)
                return buffer_appendf(buffer, ",\"%s\":%lld", name, (long long)(msec / 1000));
        return buffer_appendf(buffer, ",\"%s\":%lld.%03lld", name, (long long)(msec / 1000),
                              (long long)(msec % 1000));
}

static int append_members(const Result *result, Slice id_json, Buffer *buffer)
{
        int r;

        r = buffer_append_string(buffer, "{\"type\":\"result\",");
        if (r >= 0 && id_json.size > 0) {
                r = buffer_append_string(buffer, "\"taskId\":");
                if (r >= 0)
                        r = buffer_append_slice(buffer, id_json);
                if (r >= 0)
                        r = buffer_append_byte(buffer, ',');
        }
        if (r >= 0)
                r = buffer_append_string(buffer, "\"status\":\"");
        if (r >= 0)
                r = buffer_append_string(buffer, status_words[result->status]);
        if (r >= 0)
                r = buffer_append_byte(buffer, '"');
        if (r >= 0 && result->output.size > 0) {
                r = buffer_append_string(buffer, ",\"output\":");
                if (r >= 0)
                        r = buffer_append_slice(buffer, buffer_slice(&result->output));
        }
        if (r >= 0 && result->has_reason) {
                r = buffer_append_string(buffer, ",\"reason\":");
                if (r >= 0)
                        r = json_append_string(buffer, buffer_slice(&result->reason));
        }
        if (r >= 0)
                r = append_seconds(buffer, "callbackAfterSeconds", result->callback_after_msec);
        if (r >= 0)
                r = append_seconds(buffer, "retryAfterSeconds", result->retry_after_msec);
        return r < 0 ? r : buffer_append_string(buffer, "}\n");
}

int result_append_message(const Result *result, Slice id_json, Buffer *buffer)
{
        size_t size_before = buffer->size;
        int r;

        r = append_members(result, id_json, buffer);
        if (r < 0)
                buffer_truncate(buffer, size_before);
        return r;
}
