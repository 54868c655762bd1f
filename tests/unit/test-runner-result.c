/* SPDX-License-Identifier: Apache-2.0 */

#include "runner/result.h"
#include "unit.h"

static void check_message(const Result *result, const char *text)
{
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(TASK_LINE_MAX);

        ck_assert_int_eq(result_append_message(result, SLICE_LITERAL("\"t\\u0031\""), &buffer), 0);
        ck_assert_slice(buffer_slice(&buffer), text);
}

/* What stands in every message before the rest. */
#define HEAD(status) "{\"type\":\"result\",\"taskId\":\"t\\u0031\",\"status\":\"" status "\""

static void set_output(Result *result, const char *json, int expected)
{
        ck_assert_int_eq(result_set_output(result, json, strlen(json)), expected);
}

START_TEST(test_members)
{
        _cleanup_(result_deinit) Result result;

        result_init(&result);
        check_message(&result, HEAD("COMPLETED") "}\n");
        ck_assert_int_eq(result_add_string(&result, "a\"b", "x\ny"), 0);
        ck_assert_int_eq(result_add_int64(&result, "n", INT64_MIN), 0);
        ck_assert_int_eq(result_add_string(&result, NULL, "x"), -EINVAL);
        check_message(&result, HEAD("COMPLETED") ",\"output\":{\"a\\\"b\":\"x\\ny\","
                                                 "\"n\":-9223372036854775808}}\n");
        ck_assert_int_eq(result_set_status(&result, (enum yardmaster_status)4), -EINVAL);
        ck_assert_int_eq(result_set_status(&result, (enum yardmaster_status) - 1), -EINVAL);
        ck_assert_int_eq(result_set_status(&result, YARDMASTER_IN_PROGRESS), 0);
        ck_assert_int_eq(result_set_callback_after(&result, 1050), 0);
        ck_assert_int_eq(result_set_callback_after(&result, -1), -EINVAL);
        ck_assert_int_eq(result_set_retry_after(&result, 60000), 0);
        set_output(&result, "{}", 0);
        check_message(&result, HEAD("IN_PROGRESS") ",\"output\":{},\"callbackAfterSeconds\":1.050,"
                                                   "\"retryAfterSeconds\":60}\n");
        result_reset(&result);
        check_message(&result, HEAD("COMPLETED") "}\n");
}
END_TEST

START_TEST(test_no_task_id)
{
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(1024);
        _cleanup_(result_deinit) Result result;

        result_init(&result);
        ck_assert_int_eq(result_append_message(&result, SLICE_NULL, &buffer), 0);
        ck_assert_slice(buffer_slice(&buffer), "{\"type\":\"result\",\"status\":\"COMPLETED\"}\n");
}
END_TEST

START_TEST(test_output_then_members)
{
        _cleanup_(result_deinit) Result result;

        result_init(&result);
        set_output(&result, " {\"a\": [1,\n 2]}\n", 0);
        ck_assert_int_eq(result_add_int64(&result, "b", 3), 0);
        check_message(&result, HEAD("COMPLETED") ",\"output\":{\"a\":[1,2],\"b\":3}}\n");
        set_output(&result, "{ }", 0);
        ck_assert_int_eq(result_add_int64(&result, "b", 3), 0);
        check_message(&result, HEAD("COMPLETED") ",\"output\":{\"b\":3}}\n");
}
END_TEST

START_TEST(test_bad_output)
{
        _cleanup_(result_deinit) Result result;

        result_init(&result);
        set_output(&result, "{\"a\":NaN}", -EBADMSG);
        ck_assert_int_eq(result_conclude(&result, 0, ""), 0);
        check_message(&result, HEAD("FAILED") ",\"reason\":\"the output is no JSON object: "
                                              "value expected at byte 5\"}\n");
        result_reset(&result);
        set_output(&result, "[1]", -EBADMSG);
        ck_assert_int_eq(result_conclude(&result, 0, ""), 0);
        check_message(&result, HEAD("FAILED") ",\"reason\":\"the output is no JSON object: an "
                                              "object is wanted at byte 0\"}\n");
        ck_assert_int_eq(result_set_output(&result, NULL, 5), -EBADMSG);

        /* A later good one counts. */
        result_reset(&result);
        set_output(&result, "{", -EBADMSG);
        set_output(&result, "{}", 0);
        ck_assert_int_eq(result_conclude(&result, 0, ""), 0);
        ck_assert_int_eq(result.status, YARDMASTER_COMPLETED);
}
END_TEST

START_TEST(test_conclude)
{
        _cleanup_(result_deinit) Result result;

        result_init(&result);
        ck_assert_int_eq(result_add_int64(&result, "kept", 1), 0);
        ck_assert_int_eq(result_conclude(&result, -ENOENT, "/x"), 0);
        check_message(&result, HEAD("FAILED") ",\"output\":{\"kept\":1},\"reason\":\"/x: No such "
                                              "file or directory\"}\n");
        result_reset(&result);
        ck_assert_int_eq(result_set_reason(&result, "mine"), 0);
        ck_assert_int_eq(result_conclude(&result, -EIO, ""), 0);
        check_message(&result, HEAD("FAILED") ",\"reason\":\"mine: Input/output error\"}\n");

        result_reset(&result);
        ck_assert_int_eq(result_set_status(&result, YARDMASTER_FAILED_WITH_TERMINAL_ERROR), 0);
        ck_assert_int_eq(result_conclude(&result, -EIO, ""), 0);
        check_message(&result, HEAD("FAILED_WITH_TERMINAL_ERROR") ",\"reason\":\"execute failed: "
                                                                  "Input/output error\"}\n");

        result_reset(&result);
        ck_assert_int_eq(result_set_status(&result, YARDMASTER_IN_PROGRESS), 0);
        ck_assert_int_eq(result_conclude(&result, 7, ""), 0);
        ck_assert_int_eq(result.status, YARDMASTER_FAILED);
        ck_assert_slice(buffer_slice(&result.reason), "execute returned 7: only 0 and negative "
                                                      "errno values mean something");

        result_reset(&result);
        ck_assert_int_eq(result_set_reason(&result, "for information"), 0);
        ck_assert_int_eq(result_conclude(&result, 0, "said, but all is well"), 0);
        check_message(&result, HEAD("COMPLETED") ",\"reason\":\"for information\"}\n");
        ck_assert_int_eq(result_set_reason(&result, NULL), 0);
        check_message(&result, HEAD("COMPLETED") "}\n");
}
END_TEST

/* What does not fit leaves the object as it was. */
START_TEST(test_limits)
{
        _cleanup_free_ char *text = malloc(TASK_MESSAGE_MAX + 1);
        _cleanup_(buffer_deinit) Buffer line = BUFFER_NULL(16);
        _cleanup_(result_deinit) Result result;

        ck_assert_ptr_nonnull(text);
        memset(text, 'x', TASK_MESSAGE_MAX);
        text[TASK_MESSAGE_MAX] = '\0';
        result_init(&result);
        ck_assert_int_eq(result_add_string(&result, "a", text), -EMSGSIZE);
        check_message(&result, HEAD("COMPLETED") "}\n");
        ck_assert_int_eq(result_add_int64(&result, "b", 1), 0);
        ck_assert_int_eq(result_add_string(&result, "a", text), -EMSGSIZE);
        ck_assert_int_eq(result_add_int64(&result, "c", 2), 0);
        check_message(&result, HEAD("COMPLETED") ",\"output\":{\"b\":1,\"c\":2}}\n");

        ck_assert_int_eq(result_set_reason(&result, text), 0);
        ck_assert_uint_eq(result.reason.size, OUTCOME_REASON_MAX);
        ck_assert_int_eq(result_append_message(&result, SLICE_NULL, &line), -ENOBUFS);
        ck_assert_uint_eq(line.size, 0);
}
END_TEST

UNIT_MAIN("runner-result", test_members, test_no_task_id, test_output_then_members, test_bad_output,
          test_conclude, test_limits);
