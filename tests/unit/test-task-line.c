/* SPDX-License-Identifier: Apache-2.0 */

#include "base/clock.h"
#include "ctl/task-line.h"
#include "unit.h"

#define NOW_MSEC INT64_C(1795211450000)

static void assert_task(const char *line, const char *default_type, const char *expected)
{
        Buffer buffer = BUFFER_NULL(1000);
        _cleanup_free_ char *problem = NULL;

        ck_assert_int_eq(buffer_append_string(&buffer, "before "), 0);
        ck_assert_msg(task_from_line(slice_from_string(line), default_type, &buffer, &problem) == 0,
                      "%s: %s", line, problem);
        buffer_consume(&buffer, strlen("before "));
        ck_assert_slice(buffer_slice(&buffer), expected);
        buffer_deinit(&buffer);
}

static void assert_refused(const char *line, const char *expected)
{
        Buffer buffer = BUFFER_NULL(1000);
        _cleanup_free_ char *problem = NULL;

        ck_assert_int_eq(buffer_append_string(&buffer, "before"), 0);
        ck_assert_int_eq(task_from_line(slice_from_string(line), NULL, &buffer, &problem), -EINVAL);
        ck_assert_str_eq(problem, expected);
        ck_assert_slice(buffer_slice(&buffer), "before");
        buffer_deinit(&buffer);
}

START_TEST(test_raw_members)
{
        assert_task("{\"type\":\"a\"}", NULL, "{\"type\":\"a\"}");
        assert_task(" { \"type\" : \"a\\u00e9\" , \"input\" : { \"n\" : 1.0 } }\r", NULL,
                    "{\"type\":\"a\\u00e9\",\"input\":{ \"n\" : 1.0 }}");
        assert_task("{\"type\":\"a\",\"priority\":-3,\"unique\":\"k\",\"conflict\":\"error\","
                    "\"attempts\":2,\"source\":\"s\"}",
                    "b",
                    "{\"type\":\"a\",\"priority\":-3,\"unique\":\"k\",\"conflict\":\"error\","
                    "\"attempts\":2,\"source\":\"s\"}");
        assert_task("{\"delayMsec\":1,\"runTime\":2,\"deadlineTime\":3,\"type\":\"a\"}", NULL,
                    "{\"delayMsec\":1,\"runTime\":2,\"deadlineTime\":3,\"type\":\"a\"}");
}
END_TEST

START_TEST(test_default_type)
{
        assert_task("{}", "a\"b", "{\"type\":\"a\\\"b\"}");
        assert_task("{\"type\":null,\"priority\":1}", "a", "{\"priority\":1,\"type\":\"a\"}");
        assert_refused("{\"input\":{}}", "type is missing");
        assert_refused("{\"type\":null}", "type is missing");
}
END_TEST

START_TEST(test_times)
{
        clock_freeze(1, NOW_MSEC);
        assert_task("{\"delay\":\"1.5s\"}", "a", "{\"delayMsec\":1500,\"type\":\"a\"}");
        assert_task("{\"delay\":2.5}", "a", "{\"delayMsec\":2500,\"type\":\"a\"}");
        assert_task("{\"run_at\":\"10s\",\"deadline\":\"1m\"}", "a",
                    "{\"runTime\":1795211460000,\"deadlineTime\":1795211510000,\"type\":\"a\"}");
        assert_task("{\"run_at\":1700000000000,\"deadline\":\"@1700000001\"}", "a",
                    "{\"runTime\":1700000000000,\"deadlineTime\":1700000001000,\"type\":\"a\"}");
        assert_refused("{\"delay\":\"infinity\"}",
                       "delay is a span (\"500ms\", \"10s\") or seconds");
        assert_refused("{\"delay\":-1}", "delay is a span (\"500ms\", \"10s\") or seconds");
        assert_refused("{\"run_at\":\"soon\"}",
                       "run_at is a time, a span from now, or epoch milliseconds");
        assert_refused("{\"deadline\":1.5}",
                       "deadline is a time, a span from now, or epoch milliseconds");
        clock_freeze(0, 0);
}
END_TEST

START_TEST(test_refused)
{
        assert_refused("[]", "an object is expected, not array");
        assert_refused("7", "an object is expected, not number");
        assert_refused("{\"type\":\"a\",}", "no JSON: at byte 12: member name expected");
        assert_refused("{\"type\":1}", "type is a string");
        assert_refused("{\"input\":[]}", "input is an object");
        assert_refused("{\"priority\":\"1\"}", "priority is a whole number");
        assert_refused("{\"attempts\":1.5}", "attempts is a whole number");
        assert_refused("{\"inptu\":{}}", "unknown member inptu");
        assert_refused("{\"type\":\"a\",\"type\":\"a\"}", "type stands there twice");
}
END_TEST

START_TEST(test_does_not_fit)
{
        Buffer buffer = BUFFER_NULL(20);
        char *problem = NULL;

        ck_assert_int_eq(task_from_line(SLICE_LITERAL("{\"type\":\"a\",\"priority\":1}"), NULL,
                                        &buffer, &problem),
                         -ENOBUFS);
        ck_assert_ptr_null(problem);
        ck_assert_uint_eq(buffer.size, 0);
        buffer_deinit(&buffer);
}
END_TEST

UNIT_MAIN("task-line", test_raw_members, test_default_type, test_times, test_refused,
          test_does_not_fit);
