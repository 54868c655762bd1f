/* SPDX-License-Identifier: Apache-2.0 */

/* What an update says, as text. Everything that a handler gave is copied as it is; only what the
 * server would choke on is replaced: an empty log line or U+0000 makes it store the task and then
 * fail, so that the workflow stands still (measured). */

#include "base/json-scan.h"
#include "source/conductor/internal.h"

/* What one number of a head may take: a sign, 19 digits and what follows it. */
#define HEAD_NUMBER_MAX 21

/* Stands in a head where there is no domain: no length. */
#define HEAD_NONE '-'

/* A head is text: the poll count, then each name with its length before it, as "11:resize-image".
 */
static int append_name(Buffer *buffer, Slice name)
{
        int r;

        if (!name.data)
                return buffer_append(buffer, &(char){ HEAD_NONE }, 1);
        r = buffer_append_uint(buffer, name.size);
        if (r >= 0)
                r = buffer_append_byte(buffer, ':');
        if (r >= 0)
                r = buffer_append_slice(buffer, name);
        return r;
}

int message_head_append(Buffer *buffer, const MessageHead *head)
{
        size_t size = buffer->size;
        int r;

        if ((r = buffer_append_int(buffer, head->poll_count)) < 0 ||
            (r = buffer_append_byte(buffer, ' ')) < 0 ||
            (r = append_name(buffer, head->workflow_id)) < 0 ||
            (r = append_name(buffer, head->type)) < 0 ||
            (r = append_name(buffer, head->domain)) < 0 ||
            (r = append_name(buffer, head->worker_id)) < 0)
                buffer_truncate(buffer, size);
        return r;
}

static bool read_number(Slice *text, char end, int64_t *ret)
{
        bool negative = text->size > 0 && *text->data == '-';
        int64_t value = 0;
        size_t i = negative;

        for (; i < text->size && i < HEAD_NUMBER_MAX && text->data[i] != end; i++) {
                unsigned digit = (unsigned char)text->data[i] - (unsigned)'0';

                if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (int64_t)digit, &value))
                        return false;
        }
        if (i == (size_t)negative || i == text->size || text->data[i] != end)
                return false;
        *ret = negative ? -value : value;
        *text = (Slice){ text->data + i + 1, text->size - i - 1 };
        return true;
}

static bool read_name(Slice *text, Slice *ret)
{
        int64_t size;

        if (text->size > 0 && *text->data == HEAD_NONE) {
                *ret = SLICE_NULL;
                *text = (Slice){ text->data + 1, text->size - 1 };
                return true;
        }
        if (!read_number(text, ':', &size) || size < 0 || (uint64_t)size > text->size)
                return false;
        *ret = (Slice){ text->data, (size_t)size };
        *text = (Slice){ text->data + size, text->size - (size_t)size };
        return true;
}

int message_head_parse(Slice text, MessageHead *ret)
{
        MessageHead head;

        if (!read_number(&text, ' ', &head.poll_count) || !read_name(&text, &head.workflow_id) ||
            !read_name(&text, &head.type) || !read_name(&text, &head.domain) ||
            !read_name(&text, &head.worker_id) || text.size > 0)
                return -EBADMSG;
        *ret = head;
        return 0;
}

/* In JSON: U+0000 as an escape becomes U+FFFD, which is as long. From one escape to the next, as a
 * backslash that is escaped itself begins nothing. */
static void replace_zeros(Buffer *buffer, size_t from)
{
        static const char zero[] = "\\u0000", replacement[] = "\\ufffd";
        const size_t size = sizeof(zero) - 1;
        char *p = buffer->data + buffer->start + from;
        const char *end = p + (buffer->size - from);

        while (p < end && (p = memchr(p, '\\', (size_t)(end - p)))) {
                if ((size_t)(end - p) < size || memcmp(p, zero, size) != 0) {
                        p += 2;
                        continue;
                }
                memcpy(p, replacement, size);
                p += size;
        }
}

/* As the server counts them: UTF-16 units, so a character beyond U+FFFF is two. */
static Slice cut_reason(Slice reason)
{
        const char *p = reason.data, *end = p + reason.size;
        unsigned n_units = 0;

        if (reason.size <= CONDUCTOR_REASON_MAX)
                return reason;
        while (p < end) {
                unsigned length = json_utf8_length(p, end);

                n_units += length == 4 ? 2 : 1;
                if (n_units > CONDUCTOR_REASON_MAX)
                        break;
                p += MAX(length, 1U); /* what is no UTF-8 becomes one U+FFFD each */
        }
        return (Slice){ reason.data, (size_t)(p - reason.data) };
}

/* The text of a log line as a JSON string; false: there is none, and the line is not sent. */
static bool log_text(Slice element, Slice *ret)
{
        Slice text = json_member(element, "log");

        if (!text.data || json_type_of(text) != JSON_STRING || text.size <= 2)
                return false;
        *ret = text;
        return true;
}

static int append_decoded(Buffer *buffer, Slice string)
{
        const char *p = string.data + 1, *end = string.data + string.size - 1;
        char decoded[JSON_DECODED_MAX];
        int r = 0;

        while (p < end && r >= 0) {
                size_t n = json_decode_next(&p, end, decoded);

                r = buffer_append(buffer, decoded, n);
        }
        return r;
}

/* Nothing, or the whole line; *n_dropped counts those that do not fit. */
static int append_rest_line(Buffer *rest, Slice text, unsigned *n_dropped)
{
        size_t size = rest->size;
        int r = 0;

        if (*n_dropped > 0 || size + text.size + 1 > CONDUCTOR_LOG_TEXT_MAX) {
                (*n_dropped)++;
                return 0;
        }
        if (size > 0)
                r = buffer_append_byte(rest, '\n');
        if (r >= 0)
                r = append_decoded(rest, text);
        if (r < 0)
                buffer_truncate(rest, size);
        return r;
}

static int append_logs(Buffer *buffer, Slice logs, Buffer *rest)
{
        unsigned n_lines = 0, n_dropped = 0;
        Slice element, text;
        int r = 0;

        JSON_FOREACH_ELEMENT (element, logs) {
                if (!log_text(element, &text))
                        continue;
                if (n_lines++ >= CONDUCTOR_LOGS_MAX) {
                        r = append_rest_line(rest, text, &n_dropped);
                } else {
                        r = buffer_append_string(buffer, n_lines == 1 ? ",\"logs\":[" : ",");
                        if (r >= 0)
                                r = buffer_append_slice(buffer, element);
                }
                if (r < 0)
                        return r;
        }
        if (n_dropped > 0)
                r = buffer_appendf(rest, "\n%u more lines dropped", n_dropped);
        if (r >= 0 && n_lines > 0)
                r = buffer_append_byte(buffer, ']');
        return r;
}

/* Up to the status, with a comma still to come. */
static int append_begin(Buffer *buffer, const MessageHead *head, const char *task_id,
                        TaskStatus status)
{
        int r;

        if ((r = buffer_append_string(buffer, "{\"workflowInstanceId\":")) < 0 ||
            (r = json_append_string(buffer, head->workflow_id)) < 0 ||
            (r = buffer_append_string(buffer, ",\"taskId\":")) < 0 ||
            (r = json_append_string(buffer, slice_from_string(task_id))) < 0 ||
            (r = buffer_append_string(buffer, ",\"workerId\":")) < 0 ||
            (r = json_append_string(buffer, head->worker_id)) < 0 ||
            (r = buffer_append_string(buffer, ",\"status\":\"")) < 0 ||
            (r = buffer_append_string(buffer, task_status_to_string(status))) < 0)
                return r;
        return buffer_append_byte(buffer, '"');
}

static int append_output(Buffer *buffer, Slice output)
{
        int r;

        if (output.size == 0)
                return 0;
        r = buffer_append_string(buffer, ",\"outputData\":");
        return r < 0 ? r : buffer_append_slice(buffer, output);
}

static int append_callback(Buffer *buffer, int64_t sec)
{
        int r = buffer_append_string(buffer, ",\"callbackAfterSeconds\":");

        return r < 0 ? r : buffer_append_int(buffer, MAX(sec, (int64_t)CONDUCTOR_CALLBACK_MIN_SEC));
}

/* Whole seconds, rounded up. */
static int64_t callback_sec(const Outcome *outcome)
{
        int64_t msec = MAX(outcome->callback_after_msec, INT64_C(0));

        return msec / 1000 + (msec % 1000 > 0);
}

static int append_outcome(Buffer *buffer, const Outcome *outcome, Buffer *rest)
{
        int r = append_output(buffer, outcome->output);

        if (r >= 0 && outcome->reason.size > 0) {
                r = buffer_append_string(buffer, ",\"reasonForIncompletion\":");
                if (r >= 0)
                        r = json_append_string(buffer, cut_reason(outcome->reason));
        }
        if (r >= 0 && outcome->logs.size > 0)
                r = append_logs(buffer, outcome->logs, rest);
        if (r >= 0 && outcome->status == TASK_IN_PROGRESS)
                r = append_callback(buffer, callback_sec(outcome));
        return r;
}

int result_append(Buffer *buffer, const MessageHead *head, const char *task_id,
                  const Outcome *outcome, Buffer *rest_logs)
{
        size_t size = buffer->size, rest_size = rest_logs->size;
        int r = append_begin(buffer, head, task_id, outcome->status);

        if (r >= 0)
                r = append_outcome(buffer, outcome, rest_logs);
        if (r >= 0)
                r = buffer_append_byte(buffer, '}');
        if (r < 0) {
                buffer_truncate(buffer, size);
                buffer_truncate(rest_logs, rest_size);
                return r;
        }
        replace_zeros(buffer, size);
        return 0;
}

int hand_back_append(Buffer *buffer, const MessageHead *head, const char *task_id, Slice output,
                     int64_t callback_sec)
{
        size_t size = buffer->size;
        int r = append_begin(buffer, head, task_id, TASK_IN_PROGRESS);

        if (r >= 0)
                r = append_output(buffer, output);
        if (r >= 0)
                r = append_callback(buffer, callback_sec);
        if (r >= 0)
                r = buffer_append_byte(buffer, '}');
        if (r < 0) {
                buffer_truncate(buffer, size);
                return r;
        }
        replace_zeros(buffer, size);
        return 0;
}

/* Whether the change says this member itself. */
static bool is_changed(Slice key, const ResultChange *change)
{
        if (json_key_is(key, "outputData"))
                return change->output_path || change->error;
        if (json_key_is(key, "status") || json_key_is(key, "reasonForIncompletion"))
                return change->error;
        return json_key_is(key, "callbackAfterSeconds") && change->callback_sec > 0;
}

static int append_error(Buffer *buffer, const char *error)
{
        int r = buffer_append_string(buffer, ",\"status\":\"FAILED_WITH_TERMINAL_ERROR\""
                                             ",\"reasonForIncompletion\":");

        return r < 0 ? r : json_append_string(buffer, cut_reason(slice_from_string(error)));
}

static int append_change(Buffer *buffer, const ResultChange *change)
{
        int r = 0;

        if (change->output_path) {
                r = buffer_append_string(buffer, ",\"externalOutputPayloadStoragePath\":");
                if (r >= 0)
                        r = json_append_string(buffer, slice_from_string(change->output_path));
        }
        if (r >= 0 && change->error)
                r = append_error(buffer, change->error);
        if (r >= 0 && change->callback_sec > 0)
                r = append_callback(buffer, change->callback_sec);
        return r;
}

int result_append_changed(Buffer *buffer, Slice body, const ResultChange *change)
{
        size_t size = buffer->size;
        Slice key, value;
        bool first = true;
        int r = 0;

        JSON_FOREACH_MEMBER (key, value, body) {
                if (is_changed(key, change))
                        continue;
                if ((r = buffer_append_string(buffer, first ? "{\"" : ",\"")) < 0 ||
                    (r = buffer_append_slice(buffer, key)) < 0 ||
                    (r = buffer_append_string(buffer, "\":")) < 0 ||
                    (r = buffer_append_slice(buffer, value)) < 0)
                        break;
                first = false;
        }
        if (r >= 0 && first)
                r = -EBADMSG;
        if (r >= 0)
                r = append_change(buffer, change);
        if (r >= 0)
                r = buffer_append_byte(buffer, '}');
        if (r < 0)
                buffer_truncate(buffer, size);
        return r;
}

int64_t hand_back_delay_sec(int64_t now_msec, int64_t scheduled_msec, int64_t poll_timeout_sec)
{
        int64_t waited_msec, over_msec;

        if (poll_timeout_sec <= 0 || poll_timeout_sec > INT64_MAX / 2000 || scheduled_msec <= 0)
                return CONDUCTOR_CALLBACK_MIN_SEC;
        waited_msec = MAX(now_msec - scheduled_msec, INT64_C(0));
        over_msec = waited_msec - poll_timeout_sec * 1000 + HAND_BACK_MARGIN_MSEC;
        if (over_msec <= 0)
                return CONDUCTOR_CALLBACK_MIN_SEC;
        return MAX(over_msec / 1000 + (over_msec % 1000 > 0), (int64_t)CONDUCTOR_CALLBACK_MIN_SEC);
}
