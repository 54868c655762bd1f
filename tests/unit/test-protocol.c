/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "unit.h"
#include "worker/protocol.h"

static void assert_message(const char *line, MessageType type, const char *task_id)
{
        JsonError error = {};
        Message message;

        ck_assert_msg(message_parse(slice_from_string(line), &message, &error) == MESSAGE_OK,
                      "%s: %s", line, error.message);
        ck_assert_int_eq(message.type, type);
        ck_assert_slice(message.object, line);
        if (task_id)
                ck_assert_slice(message.task_id, task_id);
        else
                ck_assert_ptr_null(message.task_id.data);
}

static void assert_invalid(const char *line, MessageType type, const char *task_id,
                           const char *expected)
{
        JsonError error = {};
        Message message;

        ck_assert_int_eq(message_parse(slice_from_string(line), &message, &error), MESSAGE_INVALID);
        ck_assert_int_eq(message.type, type);
        if (task_id)
                ck_assert_slice(message.task_id, task_id);
        else
                ck_assert_ptr_null(message.task_id.data);
        if (expected)
                ck_assert_str_eq(error.message, expected);
        else
                ck_assert_ptr_nonnull(error.message);
}

static void assert_stray(const char *line, bool has_error)
{
        JsonError error = {};
        Message message;

        ck_assert_int_eq(message_parse(slice_from_string(line), &message, &error), MESSAGE_STRAY);
        ck_assert_int_eq(message.type, _MESSAGE_TYPE_INVALID);
        ck_assert_int_eq(error.message != NULL, has_error);
}

START_TEST(test_types)
{
        assert_message("{\"type\":\"result\",\"taskId\":\"a-1\",\"status\":\"COMPLETED\"}",
                       MESSAGE_RESULT, "a-1");
        assert_message("{\"type\":\"progress\",\"percent\":5}", MESSAGE_PROGRESS, NULL);
        assert_message(" \t{ \"taskId\" : \"x\" , \"type\" : \"log\" } \r", MESSAGE_LOG, "x");
        assert_message("{\"type\":\"cancel\",\"taskId\":\"x\"}", MESSAGE_CANCEL, "x");
        assert_message("{\"type\":\"drain\"}", MESSAGE_DRAIN, NULL);
        assert_message("{\"type\":\"drain\",\"taskId\":null}", MESSAGE_DRAIN, NULL);
        assert_message("{\"type\":\"log\",\"type\":\"result\",\"more\":[{}]}", MESSAGE_RESULT,
                       NULL);
        for (MessageType i = 0; i < _MESSAGE_TYPE_MAX; i++)
                ck_assert_ptr_nonnull(message_type_to_string(i));
        ck_assert_ptr_null(message_type_to_string(_MESSAGE_TYPE_MAX));
}
END_TEST

START_TEST(test_task)
{
        Slice line = SLICE_LITERAL("{\"type\":\"task\",\"task\":{\"taskId\":\"a\"}}");
        JsonError error = {};
        Message message;

        ck_assert_int_eq(message_parse(line, &message, &error), MESSAGE_OK);
        ck_assert_int_eq(message.type, MESSAGE_TASK);
        ck_assert_slice(message.task, "{\"taskId\":\"a\"}");
        assert_invalid("{\"type\":\"task\"}", MESSAGE_TASK, NULL, "\"task\" must be an object");
        assert_invalid("{\"type\":\"task\",\"task\":[]}", MESSAGE_TASK, NULL,
                       "\"task\" must be an object");
}
END_TEST

START_TEST(test_escaped_task_id)
{
        char line[1024], id[MESSAGE_TASK_ID_MAX + 1];

        assert_message("{\"type\":\"log\",\"taskId\":\"a\\\"\\u00e9\"}", MESSAGE_LOG,
                       "a\"\xc3\xa9");

        memset(id, 'i', sizeof(id));
        (void)snprintf(line, sizeof(line), "{\"type\":\"log\",\"taskId\":\"\\u0069%.*s\"}",
                       MESSAGE_TASK_ID_MAX - 1, id);
        id[MESSAGE_TASK_ID_MAX] = '\0';
        assert_message(line, MESSAGE_LOG, id);
        (void)snprintf(line, sizeof(line), "{\"type\":\"log\",\"taskId\":\"\\u0069%.*s\"}",
                       MESSAGE_TASK_ID_MAX, id);
        assert_invalid(line, MESSAGE_LOG, NULL, "\"taskId\" with escapes is too long");
}
END_TEST

START_TEST(test_stray)
{
        assert_stray("", false);
        assert_stray("   ", false);
        assert_stray("starting up", false);
        assert_stray("[1]", false);
        assert_stray("42", false);
        assert_stray("{'a': 1}", true);
        assert_stray("{", true);
        assert_stray("{\"", true);
        assert_stray("{\"type\"", true);
        assert_stray("{\"type\":", true);
        assert_stray("{\"type\":\"result", true);
        assert_stray("{\"a\":NaN}", true);
        assert_stray("{\"type\":\"other\",\"a\":NaN}", true);
}
END_TEST

START_TEST(test_invalid)
{
        assert_invalid("{}", _MESSAGE_TYPE_INVALID, NULL, "no member \"type\"");
        assert_invalid("{\"type\":\"results\"}", _MESSAGE_TYPE_INVALID, NULL, "unknown \"type\"");
        assert_invalid("{\"type\":5}", _MESSAGE_TYPE_INVALID, NULL, "unknown \"type\"");
        assert_invalid("{\"type\":\"result\",\"taskId\":5}", MESSAGE_RESULT, NULL,
                       "\"taskId\" must be a string");
}
END_TEST

/* What came before the break still says whose task it was. */
START_TEST(test_broken)
{
        Slice line =
                SLICE_LITERAL("  {\"type\":\"result\",\"taskId\":\"t\",\"output\":{\"a\":NaN}}");
        JsonError error = {};
        Message message;

        ck_assert_int_eq(message_parse(line, &message, &error), MESSAGE_INVALID);
        ck_assert_uint_eq(error.offset, (size_t)(strchr(line.data, 'N') - line.data));
        ck_assert_slice(message.task_id, "t");

        assert_invalid("{\"type\":\"result\",\"taskId\":\"t\"", MESSAGE_RESULT, "t", NULL);
        assert_invalid("{\"type\":\"result\",\"taskId\":\"t\xff\"}", MESSAGE_RESULT, NULL, NULL);
        assert_invalid("{\"type\":\"result\",\"taskId\":\"\\u0074\",NaN", MESSAGE_RESULT, "t",
                       NULL);
        assert_invalid("{\"type\":\"result\"}{\"type\":\"log\"}", MESSAGE_RESULT, NULL, NULL);
}
END_TEST

/* Every prefix of a good message has one of the two outcomes, and nothing is read beyond it. */
START_TEST(test_prefixes)
{
        static const char whole[] =
                "{\"type\":\"result\",\"taskId\":\"t\\n1\",\"output\":{\"a\":[1,\"x\\u0041\"]}}";

        for (size_t size = 0; size < sizeof(whole) - 1; size++) {
                _cleanup_free_ char *copy = malloc(size + 1);
                JsonError error = {};
                Message message;

                ck_assert_ptr_nonnull(copy);
                memcpy(copy, whole, size);
                ck_assert_int_ne(message_parse((Slice){ copy, size }, &message, &error),
                                 MESSAGE_OK);
        }
}
END_TEST

START_TEST(test_append)
{
        Buffer buffer = BUFFER_NULL(1024);

        ck_assert_int_eq(message_append_task(&buffer, SLICE_LITERAL("{\"taskId\":\"a\"}")), 0);
        ck_assert_int_eq(message_append_cancel(&buffer, SLICE_LITERAL("a\"b")), 0);
        ck_assert_int_eq(message_append_drain(&buffer), 0);
        ck_assert_slice(buffer_slice(&buffer), "{\"type\":\"task\",\"task\":{\"taskId\":\"a\"}}\n"
                                               "{\"type\":\"cancel\",\"taskId\":\"a\\\"b\"}\n"
                                               "{\"type\":\"drain\"}\n");
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(test_append_all_or_nothing)
{
        Buffer buffer = BUFFER_NULL(27);

        ck_assert_int_eq(message_append_task(&buffer, SLICE_LITERAL("{\"a\":1}")), -ENOBUFS);
        ck_assert_uint_eq(buffer.size, 0);
        ck_assert_int_eq(message_append_cancel(&buffer, SLICE_LITERAL("abcdef")), -ENOBUFS);
        ck_assert_uint_eq(buffer.size, 0);
        buffer_deinit(&buffer);
}
END_TEST

UNIT_MAIN("protocol", test_types, test_task, test_escaped_task_id, test_stray, test_invalid,
          test_broken, test_prefixes, test_append, test_append_all_or_nothing);
