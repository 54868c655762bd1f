/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "source/conductor/internal.h"
#include "unit.h"

static const MessageHead head = {
        .workflow_id = { "w-1", 3 },
        .type = { "resize", 6 },
        .domain = { NULL, 0 },
        .worker_id = { "host:pool:id", 12 },
        .poll_count = 3,
};

#define BEGIN(status)                                                                       \
        "{\"workflowInstanceId\":\"w-1\",\"taskId\":\"t-1\",\"workerId\":\"host:pool:id\"," \
        "\"status\":\"" status "\""

static Buffer body, rest;

static void setup(void)
{
        body = BUFFER_NULL(CONDUCTOR_BODY_MAX);
        rest = BUFFER_NULL(CONDUCTOR_LOG_TEXT_MAX + CONDUCTOR_LOG_LAST_MAX);
}

static void teardown(void)
{
        buffer_deinit(&body);
        buffer_deinit(&rest);
}

/* What a handler said → what the server is told. */
static Slice body_of(const char *result)
{
        _cleanup_(outcome_freep) Outcome *outcome = NULL;
        _cleanup_free_ char *error = NULL;

        ck_assert_int_eq(outcome_parse(slice_from_string(result), &outcome, &error), 0);
        buffer_clear(&body);
        buffer_clear(&rest);
        ck_assert_int_eq(result_append(&body, &head, "t-1", outcome, &rest), 0);
        ck_assert_int_eq(json_check(buffer_slice(&body), NULL), 0);
        return buffer_slice(&body);
}

START_TEST(test_head)
{
        MessageHead strange = {
                .workflow_id = { "1:2 -", 5 },
                .type = { "\"ü\"\n", 5 },
                .domain = { "", 0 },
                .worker_id = { "-", 1 },
                .poll_count = -7,
        };
        MessageHead parsed;
        Slice text;

        ck_assert_int_eq(message_head_append(&body, &head), 0);
        ck_assert_int_eq(message_head_parse(buffer_slice(&body), &parsed), 0);
        ck_assert_slice(parsed.workflow_id, "w-1");
        ck_assert_slice(parsed.type, "resize");
        ck_assert_ptr_null(parsed.domain.data);
        ck_assert_slice(parsed.worker_id, "host:pool:id");
        ck_assert_int_eq(parsed.poll_count, 3);

        buffer_clear(&body);
        ck_assert_int_eq(message_head_append(&body, &strange), 0);
        text = buffer_slice(&body);
        ck_assert_int_eq(message_head_parse(text, &parsed), 0);
        ck_assert_slice(parsed.workflow_id, "1:2 -");
        ck_assert_slice(parsed.type, "\"ü\"\n");
        ck_assert_ptr_nonnull(parsed.domain.data);
        ck_assert_int_eq(parsed.domain.size, 0);
        ck_assert_slice(parsed.worker_id, "-");
        ck_assert_int_eq(parsed.poll_count, -7);
        for (size_t i = 0; i < text.size; i++)
                ck_assert_int_eq(message_head_parse((Slice){ text.data, i }, &parsed), -EBADMSG);
}
END_TEST

START_TEST(test_head_damaged)
{
        static const char *const heads[] = {
                "",
                "3",
                "3 ",
                "x 1:a1:b-1:c",
                " 1:a1:b-1:c",
                "- 1:a1:b-1:c",
                "99999999999999999999 1:a1:b-1:c",
                "3 2:a1:b-1:c",
                "3 99:a1:b-1:c",
                "3 -1:a1:b-1:c",
                "3 1:a1:b-1:cX",
        };
        MessageHead parsed;

        for (size_t i = 0; i < ELEMENTSOF(heads); i++)
                ck_assert_msg(message_head_parse(slice_from_string(heads[i]), &parsed) == -EBADMSG,
                              "accepted: %s", heads[i]);
        ck_assert_int_eq(message_head_parse(slice_from_string("3 1:a1:b-1:c"), &parsed), 0);
}
END_TEST

START_TEST(test_output_untouched)
{
        ck_assert_slice(
                body_of("{\"status\":\"COMPLETED\",\"output\":{\"z\":1.50e+3,\"a\":"
                        "12345678901234567"
                        "890123,\"z\":null,\"s\":\"\\u00e9\\/\"}}"),
                BEGIN("COMPLETED") ",\"outputData\":{\"z\":1.50e+3,\"a\":12345678901234567890123,"
                                   "\"z\":null,\"s\":\"\\u00e9\\/\"}}");
        ck_assert_slice(body_of("{\"status\":\"COMPLETED\"}"), BEGIN("COMPLETED") "}");
        ck_assert_slice(body_of("{\"status\":\"FAILED_WITH_TERMINAL_ERROR\",\"reason\":\"no\"}"),
                        BEGIN("FAILED_WITH_TERMINAL_ERROR") ",\"reasonForIncompletion\":\"no\"}");
}
END_TEST

START_TEST(test_zero_replaced)
{
        /* an escaped backslash before u0000 is text, not an escape */
        ck_assert_slice(
                body_of("{\"status\":\"FAILED\",\"output\":{\"k\\u0000\":\"\\u0000a\\\\u0000\\\\\\"
                        "u0000\"},\"reason\":\"r\\u0000s\",\"logs\":[{\"log\":\"\\u0000\","
                        "\"createdTime\":5}]}"),
                BEGIN("FAILED") ",\"outputData\":{\"k\\ufffd\":\"\\ufffda\\\\u0000\\\\\\ufffd\"},"
                                "\"reasonForIncompletion\":\"r\xEF\xBF\xBDs\","
                                "\"logs\":[{\"log\":\"\\ufffd\",\"createdTime\":5}]}");
}
END_TEST

START_TEST(test_raw_zero_in_reason)
{
        Outcome outcome = { .status = TASK_FAILED, .reason = { "a\0b", 3 } };

        ck_assert_int_eq(result_append(&body, &head, "t-1", &outcome, &rest), 0);
        ck_assert_slice(buffer_slice(&body),
                        BEGIN("FAILED") ",\"reasonForIncompletion\":\"a\\ufffdb\"}");
}
END_TEST

/* The reason of a body, decoded. */
static char *reason_sent(Slice reason)
{
        Outcome outcome = { .status = TASK_FAILED, .reason = reason };
        char *text;

        buffer_clear(&body);
        ck_assert_int_eq(result_append(&body, &head, "t-1", &outcome, &rest), 0);
        ck_assert_int_eq(json_decode_string(
                                 json_member(buffer_slice(&body), "reasonForIncompletion"), &text),
                         0);
        return text;
}

START_TEST(test_reason_cut)
{
        static const char emoji[] = "\xF0\x9F\x98\x80"; /* two UTF-16 units */
        char text[4 * CONDUCTOR_REASON_MAX];
        _cleanup_free_ char *ascii = NULL, *wide = NULL, *bad = NULL;

        memset(text, 'x', sizeof(text));
        memcpy(text, "cause", 5);
        ascii = reason_sent((Slice){ text, sizeof(text) });
        ck_assert_uint_eq(strlen(ascii), CONDUCTOR_REASON_MAX);
        ck_assert_int_eq(memcmp(ascii, "cause", 5), 0);

        /* one unit, then pairs: the last would be cut in two */
        text[0] = 'a';
        for (size_t i = 0; i < 300; i++)
                memcpy(text + 1 + 4 * i, emoji, 4);
        wide = reason_sent((Slice){ text, 1 + 4 * 300 });
        ck_assert_uint_eq(strlen(wide), 1 + 4 * ((CONDUCTOR_REASON_MAX - 1) / 2));

        memset(text, 0xFF, sizeof(text));
        bad = reason_sent((Slice){ text, sizeof(text) });
        ck_assert_uint_eq(strlen(bad), 3 * CONDUCTOR_REASON_MAX);
}
END_TEST

START_TEST(test_callback)
{
        static const struct {
                const char *seconds;
                const char *sent;
        } cases[] = {
                { "", "1" },
                { ",\"callbackAfterSeconds\":0", "1" },
                { ",\"callbackAfterSeconds\":1", "1" },
                { ",\"callbackAfterSeconds\":1.001", "2" },
                { ",\"callbackAfterSeconds\":30", "30" },
        };
        Outcome negative = { .status = TASK_IN_PROGRESS, .callback_after_msec = -5000 };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char result[128], expected[256];

                (void)snprintf(result, sizeof(result), "{\"status\":\"IN_PROGRESS\"%s}",
                               cases[i].seconds);
                (void)snprintf(expected, sizeof(expected),
                               BEGIN("IN_PROGRESS") ",\"callbackAfterSeconds\":%s}", cases[i].sent);
                ck_assert_slice(body_of(result), expected);
        }
        buffer_clear(&body);
        ck_assert_int_eq(result_append(&body, &head, "t-1", &negative, &rest), 0);
        ck_assert_slice(buffer_slice(&body), BEGIN("IN_PROGRESS") ",\"callbackAfterSeconds\":1}");
        /* it is asked for nowhere else */
        ck_assert_slice(body_of("{\"status\":\"COMPLETED\",\"callbackAfterSeconds\":9}"),
                        BEGIN("COMPLETED") "}");
}
END_TEST

START_TEST(test_logs)
{
        ck_assert_slice(
                body_of("{\"status\":\"COMPLETED\",\"logs\":[{\"log\":\"a\\n\",\"createdTime\":7},"
                        "\"\",{\"log\":\"b\",\"createdTime\":8}]}"),
                BEGIN("COMPLETED") ",\"logs\":[{\"log\":\"a\\n\",\"createdTime\":7},"
                                   "{\"log\":\"b\",\"createdTime\":8}]}");
        ck_assert_uint_eq(rest.size, 0);
        ck_assert_slice(body_of("{\"status\":\"COMPLETED\",\"logs\":[\"\",null]}"),
                        BEGIN("COMPLETED") "}");
}
END_TEST

START_TEST(test_empty_logs_left_out)
{
        /* each of these makes the server store the task and forget its workflow */
        Outcome outcome = {
                .status = TASK_COMPLETED,
                .logs = SLICE_LITERAL("[{\"log\":\"\"},{\"log\":null},{},null,{\"log\":\"x\"}]"),
        };

        ck_assert_int_eq(result_append(&body, &head, "t-1", &outcome, &rest), 0);
        ck_assert_slice(buffer_slice(&body), BEGIN("COMPLETED") ",\"logs\":[{\"log\":\"x\"}]}");
}
END_TEST

static void many_logs(Buffer *logs, unsigned n, size_t size)
{
        (void)buffer_append_byte(logs, '[');
        for (unsigned i = 0; i < n; i++) {
                (void)buffer_appendf(logs, "%s{\"log\":\"%u ", i > 0 ? "," : "", i);
                for (size_t j = 0; j < size; j++)
                        (void)buffer_append_byte(logs, 'l');
                (void)buffer_append_string(logs, "\\n\\u00e9\\u0000\"}");
        }
        (void)buffer_append_byte(logs, ']');
}

START_TEST(test_rest_of_logs)
{
        _cleanup_(buffer_deinit) Buffer logs = BUFFER_NULL(1 << 20);
        Outcome outcome = { .status = TASK_COMPLETED };
        Slice element, sent;
        unsigned n = 0;

        many_logs(&logs, 12, 1);
        outcome.logs = buffer_slice(&logs);
        ck_assert_int_eq(result_append(&body, &head, "t-1", &outcome, &rest), 0);
        sent = json_member(buffer_slice(&body), "logs");
        JSON_FOREACH_ELEMENT (element, sent)
                n++;
        ck_assert_uint_eq(n, CONDUCTOR_LOGS_MAX);
        ck_assert_slice(buffer_slice(&rest),
                        "10 l\n\xC3\xA9\xEF\xBF\xBD\n11 l\n\xC3\xA9\xEF\xBF\xBD");
}
END_TEST

START_TEST(test_rest_of_logs_bounded)
{
        _cleanup_(buffer_deinit) Buffer logs = BUFFER_NULL(8 << 20);
        Outcome outcome = { .status = TASK_COMPLETED };
        static const char last[] = "more lines dropped";

        many_logs(&logs, 100, 32768);
        outcome.logs = buffer_slice(&logs);
        ck_assert_int_eq(result_append(&body, &head, "t-1", &outcome, &rest), 0);
        ck_assert_uint_le(rest.size, CONDUCTOR_LOG_TEXT_MAX + CONDUCTOR_LOG_LAST_MAX);
        ck_assert_uint_gt(rest.size, CONDUCTOR_LOG_TEXT_MAX / 2);
        ck_assert_int_eq(memcmp(rest.data + rest.size - strlen(last), last, strlen(last)), 0);
}
END_TEST

START_TEST(test_too_large)
{
        Outcome outcome = { .status = TASK_COMPLETED,
                            .output = SLICE_LITERAL("{\"a\":\"bcdef\"}") };

        body.maximum = 100;
        (void)buffer_append_string(&body, "before");
        ck_assert_int_eq(result_append(&body, &head, "t-1", &outcome, &rest), -ENOBUFS);
        ck_assert_slice(buffer_slice(&body), "before");
}
END_TEST

START_TEST(test_hand_back)
{
        ck_assert_int_eq(
                hand_back_append(&body, &head, "t-1", slice_from_string("{\"a\":\"\\u0000\"}"), 1),
                0);
        ck_assert_slice(buffer_slice(&body),
                        BEGIN("IN_PROGRESS") ",\"outputData\":{\"a\":\"\\ufffd\"},"
                                             "\"callbackAfterSeconds\":1}");
        buffer_clear(&body);
        ck_assert_int_eq(hand_back_append(&body, &head, "t-1", SLICE_NULL, -3), 0);
        ck_assert_slice(buffer_slice(&body), BEGIN("IN_PROGRESS") ",\"callbackAfterSeconds\":1}");
}
END_TEST

START_TEST(test_hand_back_delay)
{
        /* the server's rule: timed out when waited >= poll time-out + callback */
        static const int64_t waited[] = { 0, 500, 1000, 2999, 5000, 9999, 10000, 10001, 3600000 };

        for (size_t i = 0; i < ELEMENTSOF(waited); i++) {
                int64_t now = INT64_C(1795211450360);
                int64_t delay = hand_back_delay_sec(now, now - waited[i], 10);

                ck_assert_int_ge(delay, 1);
                ck_assert_msg(waited[i] < (10 + delay) * 1000, "%lld", (long long)waited[i]);
                ck_assert_int_eq(hand_back_delay_sec(now, now - waited[i], 0), 1);
                if (waited[i] < 9000)
                        ck_assert_int_eq(delay, 1);
        }
        ck_assert_int_eq(hand_back_delay_sec(12500, 10000, 2), 3);
        /* clocks differ, numbers are wild */
        ck_assert_int_eq(hand_back_delay_sec(1000, 2000, 5), 1);
        ck_assert_int_eq(hand_back_delay_sec(1000, 1, INT64_MAX), 1);
        ck_assert_int_eq(hand_back_delay_sec(1000, 0, 1), 1);
        ck_assert_int_eq(hand_back_delay_sec(1000, INT64_MIN, 1), 1);
}
END_TEST

START_TEST(test_change)
{
        Slice sent =
                SLICE_LITERAL("{\"taskId\":\"t\",\"status\":\"COMPLETED\",\"outputData\":{\"a\":1},"
                              "\"reasonForIncompletion\":\"r\",\"logs\":[1],"
                              "\"callbackAfterSeconds\":4}");

        ck_assert_int_eq(
                result_append_changed(&body, sent, &(ResultChange){ .output_path = "p/\"1\"" }), 0);
        ck_assert_slice(
                buffer_slice(&body),
                "{\"taskId\":\"t\",\"status\":\"COMPLETED\",\"reasonForIncompletion\":\"r\","
                "\"logs\":[1],\"callbackAfterSeconds\":4,"
                "\"externalOutputPayloadStoragePath\":\"p/\\\"1\\\"\"}");
        buffer_clear(&body);
        ck_assert_int_eq(result_append_changed(&body, sent, &(ResultChange){ .error = "why" }), 0);
        ck_assert_slice(buffer_slice(&body),
                        "{\"taskId\":\"t\",\"logs\":[1],\"callbackAfterSeconds\":4,"
                        "\"status\":\"FAILED_WITH_TERMINAL_ERROR\","
                        "\"reasonForIncompletion\":\"why\"}");
        buffer_clear(&body);
        ck_assert_int_eq(result_append_changed(&body, sent, &(ResultChange){ .callback_sec = 9 }),
                         0);
        ck_assert_slice(buffer_slice(&body),
                        "{\"taskId\":\"t\",\"status\":\"COMPLETED\",\"outputData\":{\"a\":1},"
                        "\"reasonForIncompletion\":\"r\",\"logs\":[1],\"callbackAfterSeconds\":9}");
        ck_assert_int_eq(result_append_changed(&body, SLICE_NULL, &(ResultChange){ .error = "w" }),
                         -EBADMSG);
}
END_TEST

UNIT_MAIN_WITH("conductor-result", setup, teardown, test_head, test_head_damaged,
               test_output_untouched, test_zero_replaced, test_raw_zero_in_reason, test_reason_cut,
               test_callback, test_logs, test_empty_logs_left_out, test_rest_of_logs,
               test_rest_of_logs_bounded, test_too_large, test_hand_back, test_hand_back_delay,
               test_change);
