/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include "base/clock.h"
#include "base/json.h"
#include "task/task.h"

/* Where IN_PROGRESS goes without a word of the handler: 0 would run it as fast as it can answer. */
#define CALLBACK_AFTER_DEFAULT_MSEC 1000

/* Ten years: what is larger is a mistake of units, and would overflow when added to a time. */
#define DELAY_MAX_SECONDS 315360000

/* What one log line grows by: its braces, names and time, and the line that counts the dropped. */
#define LOG_ENVELOPE_MAX 128
#define LOGS_BYTES_MAX   (TASK_MESSAGE_MAX + (size_t)(OUTCOME_LOGS_MAX + 1) * LOG_ENVELOPE_MAX)

/* The members of a result as they stand in its text. */
typedef enum ResultMember {
        RESULT_STATUS,
        RESULT_OUTPUT,
        RESULT_OUTPUT_DATA,
        RESULT_REASON,
        RESULT_REASON_FOR_INCOMPLETION,
        RESULT_LOGS,
        RESULT_CALLBACK_AFTER_SECONDS,
        RESULT_RETRY_AFTER_SECONDS,
        _RESULT_MEMBER_MAX,
} ResultMember;

static const Slice member_names[] = {
        [RESULT_STATUS] = { "status", 6 },
        [RESULT_OUTPUT] = { "output", 6 },
        [RESULT_OUTPUT_DATA] = { "outputData", 10 },
        [RESULT_REASON] = { "reason", 6 },
        [RESULT_REASON_FOR_INCOMPLETION] = { "reasonForIncompletion", 21 },
        [RESULT_LOGS] = { "logs", 4 },
        [RESULT_CALLBACK_AFTER_SECONDS] = { "callbackAfterSeconds", 20 },
        [RESULT_RETRY_AFTER_SECONDS] = { "retryAfterSeconds", 17 },
};
static_assert(ELEMENTSOF(member_names) == _RESULT_MEMBER_MAX, "a member has no name");

/* The pieces of an outcome while it is read; texts own what could not stay a slice of the input. */
typedef struct Draft {
        Outcome outcome;
        Buffer output;
        Buffer logs;
        char *reason;
} Draft;

static void draft_deinit(Draft *draft)
{
        buffer_deinit(&draft->output);
        buffer_deinit(&draft->logs);
        free(draft->reason);
}

/* At most size bytes from the start, cut between characters. */
static Slice text_cut(Slice text, size_t size)
{
        if (text.size <= size)
                return text;
        for (unsigned i = 0; i < 3 && size > 0 && ((unsigned char)text.data[size] & 0xC0) == 0x80;
             i++)
                size--;
        return (Slice){ text.data, size };
}

static char *put_slice(char *p, Slice *slice)
{
        if (slice->size == 0) {
                *slice = SLICE_NULL;
                return p;
        }
        memcpy(p, slice->data, slice->size);
        slice->data = p;
        return p + slice->size;
}

/* Copies an outcome whose slices point elsewhere into one allocation of its own. */
static int outcome_copy(Outcome **ret, const Outcome *from)
{
        Outcome *outcome;
        char *p;

        outcome =
                malloc(sizeof(*outcome) + from->output.size + from->reason.size + from->logs.size);
        if (!outcome)
                return -ENOMEM;
        *outcome = *from;
        p = (char *)(outcome + 1);
        p = put_slice(p, &outcome->output);
        p = put_slice(p, &outcome->reason);
        (void)put_slice(p, &outcome->logs);
        *ret = outcome;
        return 0;
}

int outcome_new(Outcome **ret, TaskStatus status, const char *reason)
{
        Outcome outcome = {
                .status = status,
                .reason = text_cut(slice_from_string(reason), OUTCOME_REASON_MAX),
                .callback_after_msec = CALLBACK_AFTER_DEFAULT_MSEC,
                .retry_after_msec = -1,
        };

        return outcome_copy(ret, &outcome);
}

int outcome_newf(Outcome **ret, TaskStatus status, const char *format, ...)
{
        _cleanup_free_ char *reason = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&reason, format, args);
        va_end(args);
        if (n < 0) {
                reason = NULL;
                return -ENOMEM;
        }
        return outcome_new(ret, status, reason);
}

Outcome *outcome_free(Outcome *outcome)
{
        free(outcome);
        return NULL;
}

static _printf_(2, 3) int refuse(char **ret_error, const char *format, ...)
{
        va_list args;
        char *text;
        int n;

        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        if (n < 0)
                return -ENOMEM;
        *ret_error = text;
        return -EBADMSG;
}

static int refuse_type(char **ret_error, const char *member, const char *expected, Slice value)
{
        return refuse(ret_error, "\"%s\" must be %s, not %s", member, expected,
                      json_type_to_string(json_type_of(value)));
}

/* A letter written as \uXXXX takes five bytes more; no other escape stands for a letter. */
#define ESCAPE_GROWTH 5

/* In any letter case, as Go's decoder does it. A key with escapes is decoded first: its quotes
 * stand around it in the text. */
static bool key_is_escaped(Slice key, Slice name)
{
        _cleanup_free_ char *decoded = NULL;

        if (json_decode_string((Slice){ key.data - 1, key.size + 2 }, &decoded) < 0)
                return false;
        return strcasecmp(decoded, name.data) == 0;
}

static inline bool key_is(Slice key, Slice name)
{
        if (key.size == name.size)
                return strncasecmp(key.data, name.data, name.size) == 0;
        return key.size > name.size && (key.size - name.size) % ESCAPE_GROWTH == 0 &&
               memchr(key.data, '\\', key.size) && key_is_escaped(key, name);
}

static bool is_given(Slice value)
{
        return value.size > 0 && json_type_of(value) != JSON_NULL;
}

/* The last value of each known member; null counts as absent. */
static void collect_members(Slice object, Slice ret_members[_RESULT_MEMBER_MAX])
{
        Slice key, value;

        JSON_FOREACH_MEMBER (key, value, object) {
                for (ResultMember i = 0; i < _RESULT_MEMBER_MAX; i++) {
                        if (!key_is(key, member_names[i]))
                                continue;
                        ret_members[i] = is_given(value) ? value : SLICE_NULL;
                        break;
                }
        }
}

static bool status_is_answer(TaskStatus status)
{
        return status >= TASK_IN_PROGRESS && status <= TASK_FAILED_WITH_TERMINAL_ERROR;
}

static TaskStatus parse_status(Slice value)
{
        _cleanup_free_ char *decoded = NULL;
        TaskStatus status;
        Slice text;

        if (value.size == 0)
                return _TASK_STATUS_INVALID;
        if (json_raw_string(value, &text) < 0) {
                if (json_decode_string(value, &decoded) < 0)
                        return _TASK_STATUS_INVALID;
                text = slice_from_string(decoded);
        }
        status = task_status_from_slice(text);
        return status_is_answer(status) ? status : _TASK_STATUS_INVALID;
}

/* Kept as it came, but on one line. */
static int parse_output(Draft *draft, const char *member, Slice value, char **ret_error)
{
        int r;

        if (value.size == 0)
                return 0;
        if (json_type_of(value) != JSON_OBJECT)
                return refuse_type(ret_error, member, "an object or null", value);
        if (!memchr(value.data, '\n', value.size) && !memchr(value.data, '\r', value.size)) {
                draft->outcome.output = value;
                return 0;
        }
        draft->output.maximum = value.size;
        r = json_append_compact(&draft->output, value);
        if (r < 0)
                return r;
        draft->outcome.output = buffer_slice(&draft->output);
        return 0;
}

static int parse_reason(Draft *draft, const char *member, Slice value, char **ret_error)
{
        Slice text;
        int r;

        if (value.size == 0)
                return 0;
        if (json_type_of(value) != JSON_STRING)
                return refuse_type(ret_error, member, "a string", value);
        if (json_raw_string(value, &text) < 0) {
                r = json_decode_string(value, &draft->reason);
                if (r < 0)
                        return r;
                text = slice_from_string(draft->reason);
        }
        draft->outcome.reason = text_cut(text, OUTCOME_REASON_MAX);
        return 0;
}

static int append_log(Buffer *logs, Slice line, int64_t created_msec)
{
        int r;

        r = buffer_append_string(logs, logs->size == 0 ? "[{\"log\":" : ",{\"log\":");
        if (r >= 0)
                r = buffer_append_slice(logs, line);
        if (r >= 0)
                r = buffer_append_string(logs, ",\"createdTime\":");
        if (r >= 0)
                r = buffer_append_int(logs, created_msec);
        if (r >= 0)
                r = buffer_append_byte(logs, '}');
        return r;
}

/* One element of logs: *ret_line is its text as a JSON string, or SLICE_NULL if it is empty. */
static int parse_log(Slice element, unsigned index, Slice *ret_line, int64_t *created_msec,
                     char **ret_error)
{
        Slice line = element, created = SLICE_NULL, key, value;

        if (json_type_of(element) == JSON_OBJECT) {
                line = SLICE_NULL;
                JSON_FOREACH_MEMBER (key, value, element) {
                        if (key_is(key, SLICE_LITERAL("log")))
                                line = value;
                        else if (key_is(key, SLICE_LITERAL("createdTime")))
                                created = value;
                }
        }
        if (is_given(created) && json_to_int64(created, created_msec) < 0)
                return refuse(ret_error, "\"logs[%u].createdTime\" must be a whole number of ms",
                              index);
        if (!is_given(line))
                line = SLICE_LITERAL("\"\"");
        if (json_type_of(line) != JSON_STRING)
                return refuse(ret_error,
                              "\"logs[%u]\" must be a string or an object with a string \"log\", "
                              "not %s",
                              index, json_type_to_string(json_type_of(line)));
        *ret_line = line.size > 2 ? line : SLICE_NULL;
        return 0;
}

static int append_dropped(Buffer *logs, unsigned n_dropped, int64_t created_msec)
{
        char text[LOG_ENVELOPE_MAX / 2];

        (void)snprintf(text, sizeof(text), "\"%u more lines dropped (at most %d)\"", n_dropped,
                       OUTCOME_LOGS_MAX);
        return append_log(logs, slice_from_string(text), created_msec);
}

/* Lines without a time of their own get that of the result. Empty lines are left out: Conductor
 * refuses them after it has stored the status, and then the workflow hangs. */
static int parse_logs(Draft *draft, Slice value, char **ret_error)
{
        int64_t now_msec = clock_epoch_msec(), created_msec;
        unsigned index = 0, n_lines = 0, n_dropped = 0;
        Slice element, line;
        int r = 0;

        if (value.size == 0)
                return 0;
        if (json_type_of(value) != JSON_ARRAY)
                return refuse_type(ret_error, "logs", "an array", value);
        draft->logs.maximum = LOGS_BYTES_MAX;
        JSON_FOREACH_ELEMENT (element, value) {
                created_msec = now_msec;
                r = parse_log(element, index++, &line, &created_msec, ret_error);
                if (r < 0)
                        return r;
                if (line.size == 0)
                        continue;
                if (n_lines == OUTCOME_LOGS_MAX) {
                        n_dropped++;
                        continue;
                }
                n_lines++;
                r = append_log(&draft->logs, line, created_msec);
                if (r < 0)
                        return r;
        }
        if (n_lines == 0)
                return 0;
        if (n_dropped > 0)
                r = append_dropped(&draft->logs, n_dropped, now_msec);
        if (r >= 0)
                r = buffer_append_byte(&draft->logs, ']');
        if (r < 0)
                return r;
        draft->outcome.logs = buffer_slice(&draft->logs);
        return 0;
}

static int parse_delay(const char *member, Slice value, int64_t *msec, char **ret_error)
{
        double seconds;

        if (value.size == 0)
                return 0;
        if (json_type_of(value) != JSON_NUMBER)
                return refuse_type(ret_error, member, "a number of seconds", value);
        if (json_to_double(value, &seconds) < 0 || !(seconds >= 0) || seconds > DELAY_MAX_SECONDS)
                return refuse(ret_error, "\"%s\" must lie between 0 and %d seconds", member,
                              DELAY_MAX_SECONDS);
        *msec = (int64_t)(seconds * 1000 + 0.5);
        return 0;
}

static int parse_members(Draft *draft, const Slice members[_RESULT_MEMBER_MAX], char **ret_error)
{
        ResultMember output = RESULT_OUTPUT, reason = RESULT_REASON;
        int r;

        if (members[output].size == 0)
                output = RESULT_OUTPUT_DATA;
        if (members[reason].size == 0)
                reason = RESULT_REASON_FOR_INCOMPLETION;

        r = parse_output(draft, member_names[output].data, members[output], ret_error);
        if (r < 0)
                return r;
        r = parse_reason(draft, member_names[reason].data, members[reason], ret_error);
        if (r < 0)
                return r;
        r = parse_logs(draft, members[RESULT_LOGS], ret_error);
        if (r < 0)
                return r;
        r = parse_delay("callbackAfterSeconds", members[RESULT_CALLBACK_AFTER_SECONDS],
                        &draft->outcome.callback_after_msec, ret_error);
        if (r < 0)
                return r;
        r = parse_delay("retryAfterSeconds", members[RESULT_RETRY_AFTER_SECONDS],
                        &draft->outcome.retry_after_msec, ret_error);
        if (r < 0)
                return r;

        draft->outcome.status = parse_status(members[RESULT_STATUS]);
        if (draft->outcome.status < 0) {
                /* The text of Conductor's command line, which never names the offending value. */
                draft->outcome.status = TASK_FAILED;
                draft->outcome.reason = SLICE_LITERAL("invalid status from worker: FAILED");
        }
        return 0;
}

int outcome_parse(Slice object, Outcome **ret, char **ret_error)
{
        _cleanup_(draft_deinit) Draft draft = {
                .outcome = {
                        .callback_after_msec = CALLBACK_AFTER_DEFAULT_MSEC,
                        .retry_after_msec = -1,
                },
        };
        Slice members[_RESULT_MEMBER_MAX] = {};
        int r;

        collect_members(object, members);
        r = parse_members(&draft, members, ret_error);
        if (r < 0)
                return r;
        return outcome_copy(ret, &draft.outcome);
}

int outcome_prepend_logs(Outcome **outcome, Slice elements)
{
        _cleanup_(buffer_deinit) Buffer logs = BUFFER_NULL(2 * LOGS_BYTES_MAX);
        Outcome with_logs = **outcome;
        Slice own = with_logs.logs;
        Outcome *copy;
        int r;

        if (elements.size == 0)
                return 0;
        r = buffer_append_byte(&logs, '[');
        if (r >= 0)
                r = buffer_append_slice(&logs, elements);
        if (r >= 0)
                r = buffer_append_byte(&logs, own.size > 0 ? ',' : ']');
        if (r >= 0 && own.size > 0)
                r = buffer_append_slice(&logs, (Slice){ own.data + 1, own.size - 1 });
        if (r < 0)
                return r;
        with_logs.logs = buffer_slice(&logs);
        r = outcome_copy(&copy, &with_logs);
        if (r < 0)
                return r;
        (void)outcome_free(*outcome);
        *outcome = copy;
        return 0;
}
