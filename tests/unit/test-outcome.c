/* SPDX-License-Identifier: Apache-2.0 */

#include "base/clock.h"
#include "base/json.h"
#include "task/task.h"
#include "unit.h"

#define NOW_MSEC 1795211450123

static Outcome *parse(const char *text)
{
        _cleanup_free_ char *error = NULL;
        Outcome *outcome = NULL;
        int r;

        ck_assert_int_eq(json_check(slice_from_string(text), NULL), 0);
        r = outcome_parse(slice_from_string(text), &outcome, &error);
        ck_assert_msg(r == 0, "%s: %d %s", text, r, error ? error : "");
        ck_assert_ptr_null(error);
        return outcome;
}

static void assert_refused(const char *text, const char *expected)
{
        _cleanup_free_ char *error = NULL;
        Outcome *outcome = NULL;

        ck_assert_int_eq(json_check(slice_from_string(text), NULL), 0);
        ck_assert_int_eq(outcome_parse(slice_from_string(text), &outcome, &error), -EBADMSG);
        ck_assert_ptr_null(outcome);
        ck_assert_str_eq(error, expected);
}

static void assert_status(const char *text, TaskStatus status, const char *reason)
{
        _cleanup_(outcome_freep) Outcome *outcome = parse(text);

        ck_assert_int_eq(outcome->status, status);
        if (reason)
                ck_assert_slice(outcome->reason, reason);
        else
                ck_assert_ptr_null(outcome->reason.data);
}

START_TEST(test_new)
{
        _cleanup_(outcome_freep) Outcome *plain = NULL, *formatted = NULL, *bare = NULL;

        ck_assert_int_eq(outcome_new(&plain, TASK_FAILED, "timed out after 30s"), 0);
        ck_assert_int_eq(plain->status, TASK_FAILED);
        ck_assert_slice(plain->reason, "timed out after 30s");
        ck_assert_ptr_null(plain->output.data);
        ck_assert_ptr_null(plain->logs.data);
        ck_assert_int_eq(plain->callback_after_msec, 1000);
        ck_assert_int_eq(plain->retry_after_msec, -1);

        ck_assert_int_eq(outcome_newf(&formatted, TASK_FAILED, "exit status %d", 3), 0);
        ck_assert_slice(formatted->reason, "exit status 3");

        ck_assert_int_eq(outcome_new(&bare, TASK_COMPLETED, NULL), 0);
        ck_assert_ptr_null(bare->reason.data);
        ck_assert_ptr_null(outcome_free(NULL));
}
END_TEST

START_TEST(test_all_members)
{
        _cleanup_(outcome_freep) Outcome *outcome =
                parse(" {\"type\":\"result\",\"taskId\":\"t\",\"status\":\"COMPLETED\","
                      "\"output\":{\"a\": [1, "
                      "12345678901234567890]},\"reason\":\"fine\",\"logs\":[\"x\"],"
                      "\"callbackAfterSeconds\":2.5,\"retryAfterSeconds\":0} ");

        ck_assert_int_eq(outcome->status, TASK_COMPLETED);
        ck_assert_slice(outcome->output, "{\"a\": [1, 12345678901234567890]}");
        ck_assert_slice(outcome->reason, "fine");
        ck_assert_slice(outcome->logs, "[{\"log\":\"x\",\"createdTime\":1795211450123}]");
        ck_assert_int_eq(outcome->callback_after_msec, 2500);
        ck_assert_int_eq(outcome->retry_after_msec, 0);
}
END_TEST

START_TEST(test_status)
{
        static const char invalid[] = "invalid status from worker: FAILED";

        assert_status("{\"status\":\"COMPLETED\"}", TASK_COMPLETED, NULL);
        assert_status("{\"status\":\"FAILED\",\"reason\":\"r\"}", TASK_FAILED, "r");
        assert_status("{\"status\":\"IN_PROGRESS\"}", TASK_IN_PROGRESS, NULL);
        assert_status("{\"status\":\"FAILED_WITH_TERMINAL_ERROR\"}",
                      TASK_FAILED_WITH_TERMINAL_ERROR, NULL);
        assert_status("{\"status\":\"C\\u004fMPLETED\"}", TASK_COMPLETED, NULL);

        assert_status("{}", TASK_FAILED, invalid);
        assert_status("{\"status\":null}", TASK_FAILED, invalid);
        assert_status("{\"status\":7}", TASK_FAILED, invalid);
        assert_status("{\"status\":\"completed\",\"reason\":\"mine\"}", TASK_FAILED, invalid);
        assert_status("{\"status\":\"CANCELED\"}", TASK_FAILED, invalid);
        assert_status("{\"status\":\"SCHEDULED\"}", TASK_FAILED, invalid);
        assert_status("{\"status\":\"TIMED_OUT\"}", TASK_FAILED, invalid);
        assert_status("{\"status\":\"BAN\\u0041NA\"}", TASK_FAILED, invalid);
}
END_TEST

START_TEST(test_invalid_status_keeps_the_rest)
{
        _cleanup_(outcome_freep) Outcome *outcome =
                parse("{\"status\":\"ok\",\"output\":{\"a\":1},\"logs\":[\"l\"]}");

        ck_assert_slice(outcome->output, "{\"a\":1}");
        ck_assert_uint_gt(outcome->logs.size, 0);
}
END_TEST

START_TEST(test_keys)
{
        _cleanup_(outcome_freep) Outcome *cases = NULL, *twice = NULL, *escaped = NULL;

        cases = parse("{\"STATUS\":\"COMPLETED\",\"Output\":{\"A\":1},\"rEASON\":\"r\"}");
        ck_assert_int_eq(cases->status, TASK_COMPLETED);
        ck_assert_slice(cases->output, "{\"A\":1}");
        ck_assert_slice(cases->reason, "r");

        twice = parse("{\"status\":\"FAILED\",\"output\":{\"a\":1},\"Status\":\"COMPLETED\","
                      "\"output\":{\"b\":2}}");
        ck_assert_int_eq(twice->status, TASK_COMPLETED);
        ck_assert_slice(twice->output, "{\"b\":2}");

        escaped = parse("{\"st\\u0061tus\":\"COMPLETED\",\"\\u004f\\u0055tput\":{},"
                        "\"status\\\\abc\":\"FAILED\"}");
        ck_assert_int_eq(escaped->status, TASK_COMPLETED);
        ck_assert_slice(escaped->output, "{}");
}
END_TEST

START_TEST(test_aliases)
{
        _cleanup_(outcome_freep) Outcome *alias = NULL, *both = NULL, *null = NULL;

        alias = parse("{\"status\":\"COMPLETED\",\"outputData\":{\"a\":1},"
                      "\"reasonForIncompletion\":\"r\"}");
        ck_assert_slice(alias->output, "{\"a\":1}");
        ck_assert_slice(alias->reason, "r");

        both = parse("{\"status\":\"COMPLETED\",\"output\":{\"b\":1},\"outputData\":{\"a\":1},"
                     "\"reason\":\"x\",\"reasonForIncompletion\":\"r\"}");
        ck_assert_slice(both->output, "{\"b\":1}");
        ck_assert_slice(both->reason, "x");

        null = parse("{\"status\":\"COMPLETED\",\"output\":null,\"outputData\":{\"a\":1}}");
        ck_assert_slice(null->output, "{\"a\":1}");
}
END_TEST

START_TEST(test_output_on_one_line)
{
        _cleanup_(outcome_freep) Outcome *outcome = NULL, *same = NULL, *newline = NULL,
                                         *carriage_return = NULL;

        outcome = parse("{\"status\":\"COMPLETED\",\"output\":{\n  \"a b\" : \"x  y\",\r\n"
                        "  \"l\": [1, 2]\n}}");
        ck_assert_slice(outcome->output, "{\"a b\":\"x  y\",\"l\":[1,2]}");
        same = parse("{\"status\":\"COMPLETED\",\n\"output\":{\"a\":  1.0e1 , \"s\":\"\\n\"}}");
        newline = parse("{\"status\":\"COMPLETED\",\"output\":{\"a\":\n1}}");
        ck_assert_slice(newline->output, "{\"a\":1}");
        carriage_return = parse("{\"status\":\"COMPLETED\",\"output\":{\"a\":\r1}}");
        ck_assert_slice(carriage_return->output, "{\"a\":1}");
        ck_assert_slice(same->output, "{\"a\":  1.0e1 , \"s\":\"\\n\"}");
}
END_TEST

START_TEST(test_refused)
{
        assert_refused("{\"output\":[1]}", "\"output\" must be an object or null, not array");
        assert_refused("{\"outputData\":\"x\"}",
                       "\"outputData\" must be an object or null, not string");
        assert_refused("{\"reason\":5}", "\"reason\" must be a string, not number");
        assert_refused("{\"logs\":\"x\"}", "\"logs\" must be an array, not string");
        assert_refused("{\"logs\":[\"a\",5]}",
                       "\"logs[1]\" must be a string or an object with a string \"log\", not "
                       "number");
        assert_refused("{\"logs\":[{\"log\":{}}]}",
                       "\"logs[0]\" must be a string or an object with a string \"log\", not "
                       "object");
        assert_refused("{\"logs\":[{\"log\":\"a\",\"createdTime\":\"now\"}]}",
                       "\"logs[0].createdTime\" must be a whole number of ms");
        assert_refused("{\"callbackAfterSeconds\":\"5\"}",
                       "\"callbackAfterSeconds\" must be a number of seconds, not string");
        assert_refused("{\"callbackAfterSeconds\":-1}",
                       "\"callbackAfterSeconds\" must lie between 0 and 315360000 seconds");
        assert_refused("{\"retryAfterSeconds\":1e300}",
                       "\"retryAfterSeconds\" must lie between 0 and 315360000 seconds");
}
END_TEST

START_TEST(test_reason_text)
{
        _cleanup_(outcome_freep) Outcome *outcome =
                parse("{\"status\":\"COMPLETED\",\"reason\":\"a\\n\\\"b\\\" \\u00e9\\u0000z\"}");

        ck_assert_slice(outcome->reason, "a\n\"b\" \xc3\xa9\xef\xbf\xbdz");
        assert_status("{\"status\":\"COMPLETED\",\"reason\":\"\"}", TASK_COMPLETED, NULL);
}
END_TEST

/* The cut falls inside a character of two bytes, which then goes as a whole. */
START_TEST(test_reason_cut)
{
        _cleanup_(outcome_freep) Outcome *outcome = NULL;
        _cleanup_free_ char *long_text = malloc(OUTCOME_REASON_MAX + 16);

        ck_assert_ptr_nonnull(long_text);
        memset(long_text, 'x', OUTCOME_REASON_MAX - 1);
        strcpy(long_text + OUTCOME_REASON_MAX - 1, "\xc3\xa9more");
        ck_assert_int_eq(outcome_new(&outcome, TASK_FAILED, long_text), 0);
        ck_assert_uint_eq(outcome->reason.size, OUTCOME_REASON_MAX - 1);
}
END_TEST

START_TEST(test_logs)
{
        _cleanup_(outcome_freep) Outcome *outcome = NULL, *empty = NULL, *null = NULL;

        outcome = parse("{\"status\":\"COMPLETED\",\"logs\":[\"a\\n\",\"\",null,"
                        "{\"log\":\"b\",\"createdTime\":5},{\"LOG\":\"c\"},{\"log\":\"\"},{}]}");
        ck_assert_slice(outcome->logs, "[{\"log\":\"a\\n\",\"createdTime\":1795211450123},"
                                       "{\"log\":\"b\",\"createdTime\":5},"
                                       "{\"log\":\"c\",\"createdTime\":1795211450123}]");
        empty = parse("{\"status\":\"COMPLETED\",\"logs\":[\"\",null]}");
        ck_assert_ptr_null(empty->logs.data);
        null = parse("{\"status\":\"COMPLETED\",\"logs\":null}");
        ck_assert_ptr_null(null->logs.data);
}
END_TEST

START_TEST(test_logs_bound)
{
        _cleanup_(outcome_freep) Outcome *outcome = NULL;
        Buffer text = BUFFER_NULL(TASK_MESSAGE_MAX);
        unsigned n = 0;
        Slice line, last = SLICE_NULL;
        _cleanup_free_ char *string = NULL;

        ck_assert_int_eq(buffer_append_string(&text, "{\"status\":\"COMPLETED\",\"logs\":["), 0);
        for (unsigned i = 0; i < OUTCOME_LOGS_MAX + 7; i++)
                ck_assert_int_eq(buffer_appendf(&text, "%s\"line %u\"", i ? "," : "", i), 0);
        ck_assert_int_eq(buffer_append_string(&text, "]}"), 0);
        string = buffer_steal_string(&text);

        outcome = parse(string);
        ck_assert_int_eq(json_check(outcome->logs, NULL), 0);
        JSON_FOREACH_ELEMENT (line, outcome->logs) {
                last = line;
                n++;
        }
        ck_assert_uint_eq(n, OUTCOME_LOGS_MAX + 1);
        ck_assert_slice(json_member(last, "log"), "\"7 more lines dropped (at most 1000)\"");
}
END_TEST

START_TEST(test_delays)
{
        _cleanup_(outcome_freep) Outcome *none = NULL, *null = NULL, *some = NULL;

        none = parse("{\"status\":\"IN_PROGRESS\"}");
        ck_assert_int_eq(none->callback_after_msec, 1000);
        ck_assert_int_eq(none->retry_after_msec, -1);
        null = parse("{\"status\":\"IN_PROGRESS\",\"callbackAfterSeconds\":null}");
        ck_assert_int_eq(null->callback_after_msec, 1000);
        some = parse("{\"status\":\"IN_PROGRESS\",\"callbackAfterSeconds\":0,"
                     "\"retryAfterSeconds\":1.1}");
        ck_assert_int_eq(some->callback_after_msec, 0);
        ck_assert_int_eq(some->retry_after_msec, 1100);
}
END_TEST

START_TEST(test_prepend_logs)
{
        _cleanup_(outcome_freep) Outcome *none = NULL, *some = NULL;

        none = parse("{\"status\":\"COMPLETED\",\"output\":{\"a\":1},\"reason\":\"r\"}");
        ck_assert_int_eq(outcome_prepend_logs(&none, SLICE_NULL), 0);
        ck_assert_ptr_null(none->logs.data);
        ck_assert_int_eq(outcome_prepend_logs(&none, SLICE_LITERAL("{\"log\":\"x\"}")), 0);
        ck_assert_slice(none->logs, "[{\"log\":\"x\"}]");
        ck_assert_slice(none->output, "{\"a\":1}");
        ck_assert_slice(none->reason, "r");
        some = parse("{\"status\":\"FAILED\",\"logs\":[{\"log\":\"b\",\"createdTime\":5}]}");
        ck_assert_int_eq(outcome_prepend_logs(&some, SLICE_LITERAL("{\"log\":\"a\"}")), 0);
        ck_assert_slice(some->logs, "[{\"log\":\"a\"},{\"log\":\"b\",\"createdTime\":5}]");
        ck_assert_int_eq(some->status, TASK_FAILED);
}
END_TEST

__attribute__((constructor)) static void freeze_clock(void)
{
        clock_freeze(1, NOW_MSEC);
}

UNIT_MAIN("outcome", test_new, test_all_members, test_status, test_invalid_status_keeps_the_rest,
          test_keys, test_aliases, test_output_on_one_line, test_refused, test_reason_text,
          test_reason_cut, test_logs, test_logs_bound, test_delays, test_prepend_logs);
