/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "base/json.h"
#include "control/wire.h"
#include "unit.h"

static void assert_call_refused(const char *message, const char *expected)
{
        _cleanup_free_ char *problem = NULL;
        WireCall call;

        ck_assert_int_eq(wire_parse_call(slice_from_string(message), &call, &problem), -EBADMSG);
        ck_assert_ptr_nonnull(strstr(problem, expected));
}

START_TEST(test_call)
{
        _cleanup_free_ char *problem = NULL;
        WireCall call;

        ck_assert_int_eq(wire_parse_call(SLICE_LITERAL(" {\"method\" : \"a.B\", \"parameters\": "
                                                       "{\"x\": [1]} ,\"more\":true,\"new\":0}\n"),
                                         &call, &problem),
                         0);
        ck_assert_slice(call.method, "a.B");
        ck_assert_slice(call.parameters, "{\"x\": [1]}");
        ck_assert_uint_eq(call.flags, WIRE_MORE);

        ck_assert_int_eq(wire_parse_call(SLICE_LITERAL("{\"oneway\":true,\"parameters\":null,"
                                                       "\"more\":false,\"upgrade\":true,"
                                                       "\"method\":\"a.B\"}"),
                                         &call, &problem),
                         0);
        ck_assert_uint_eq(call.parameters.size, 0);
        ck_assert_uint_eq(call.flags, WIRE_ONEWAY | WIRE_UPGRADE);
}
END_TEST

START_TEST(test_call_refused)
{
        char deep[4000] = "{\"method\":\"a.B\",\"parameters\":{\"x\":";
        size_t size = strlen(deep);

        assert_call_refused("", "not JSON at byte 0");
        assert_call_refused("hello", "not JSON at byte 0");
        assert_call_refused("[]", "an object, not");
        assert_call_refused("{}", "method is missing");
        assert_call_refused("{\"method\":\"\"}", "method has 1 to 255 bytes");
        assert_call_refused("{\"method\":7}", "method is a string");
        assert_call_refused("{\"method\":\"a\\u002eB\"}", "without escapes");
        assert_call_refused("{\"method\":\"a\\u0000B\"}", "without escapes");
        assert_call_refused("{\"method\":\"a.B\",\"parameters\":[]}", "parameters is an object");
        assert_call_refused("{\"method\":\"a.B\",\"more\":1}", "more is true or false");
        assert_call_refused("{\"method\":\"a.B\",\"oneway\":\"\"}", "oneway is true or false");
        assert_call_refused("{\"method\":\"a.B\xff\"}", "not JSON at byte 14");
        assert_call_refused("{'method':'a.B'}", "not JSON at byte 1");
        assert_call_refused("{\"method\":\"a.B\"}{}", "not JSON at byte 16");
        memset(deep + size, '[', JSON_DEPTH_MAX);
        assert_call_refused(deep, "not JSON at byte");
}
END_TEST

START_TEST(test_too_long)
{
        _cleanup_free_ char *message = malloc(WIRE_MESSAGE_MAX + 2), *problem = NULL;
        WireCall call;

        ck_assert_ptr_nonnull(message);
        memset(message, ' ', WIRE_MESSAGE_MAX + 1);
        memcpy(message, "{\"method\":\"a.B\"}", 16);
        ck_assert_int_eq(wire_parse_call((Slice){ message, WIRE_MESSAGE_MAX }, &call, &problem), 0);
        ck_assert_int_eq(wire_parse_call((Slice){ message, WIRE_MESSAGE_MAX + 1 }, &call, &problem),
                         -EBADMSG);
        ck_assert_str_eq(problem, "a message has at most 16777216 bytes");
}
END_TEST

START_TEST(test_names)
{
        char message[400] = "{\"method\":\"";
        size_t size = strlen(message);
        _cleanup_free_ char *problem = NULL;
        WireCall call;

        memset(message + size, 'm', WIRE_NAME_MAX);
        strcpy(message + size + WIRE_NAME_MAX, "\"}");
        ck_assert_int_eq(wire_parse_call(slice_from_string(message), &call, &problem), 0);
        ck_assert_slice(wire_interface_name(call.method), "");
        ck_assert_uint_eq(wire_member_name(call.method).size, WIRE_NAME_MAX);
        memset(message + size, 'm', WIRE_NAME_MAX + 1);
        strcpy(message + size + WIRE_NAME_MAX + 1, "\"}");
        assert_call_refused(message, "method has 1 to 255 bytes");

        ck_assert_slice(wire_interface_name(SLICE_LITERAL("a.b.C")), "a.b");
        ck_assert_slice(wire_member_name(SLICE_LITERAL("a.b.C")), "C");
        ck_assert_slice(wire_member_name(SLICE_LITERAL("a.")), "");
        ck_assert_slice(wire_member_name(SLICE_NULL), "");
}
END_TEST

START_TEST(test_reply)
{
        _cleanup_free_ char *problem = NULL;
        WireReply reply;

        ck_assert_int_eq(wire_parse_reply(SLICE_LITERAL("{\"parameters\":{\"a\":1},"
                                                        "\"continues\":true}"),
                                          &reply, &problem),
                         0);
        ck_assert_slice(reply.parameters, "{\"a\":1}");
        ck_assert(reply.continues && reply.error.size == 0);

        ck_assert_int_eq(wire_parse_reply(SLICE_LITERAL("{\"error\":\"x.Y\"}"), &reply, &problem),
                         0);
        ck_assert_slice(reply.error, "x.Y");
        ck_assert(!reply.continues && reply.parameters.size == 0);

        ck_assert_int_eq(wire_parse_reply(SLICE_LITERAL("{\"error\":null}"), &reply, &problem), 0);
        ck_assert_uint_eq(reply.error.size, 0);
        ck_assert_int_eq(wire_parse_reply(SLICE_LITERAL("{\"error\":1}"), &reply, &problem),
                         -EBADMSG);
        ck_assert_str_eq(problem, "error is a string without escapes");
}
END_TEST

START_TEST(test_append)
{
        Buffer buffer = BUFFER_NULL(1000);

        ck_assert_int_eq(wire_append_call(&buffer, "a.B", SLICE_LITERAL("{\"x\":1}"),
                                          WIRE_MORE | WIRE_ONEWAY),
                         0);
        ck_assert_int_eq(wire_append_call(&buffer, "a.B", SLICE_NULL, WIRE_UPGRADE), 0);
        ck_assert_int_eq(wire_append_reply(&buffer, SLICE_NULL, false), 0);
        ck_assert_int_eq(wire_append_reply(&buffer, SLICE_LITERAL("{}"), false), 0);
        ck_assert_int_eq(wire_append_reply(&buffer, SLICE_LITERAL("{}"), true), 0);
        ck_assert_int_eq(wire_append_reply(&buffer, SLICE_NULL, true), 0);
        ck_assert_int_eq(wire_append_error(&buffer, "a.C", SLICE_NULL), 0);
        ck_assert_int_eq(wire_append_error(&buffer, "a.C", SLICE_LITERAL("{\"y\":2}")), 0);
        for (size_t i = 0; i < buffer.size; i++) {
                if (buffer.data[i] == '\0')
                        buffer.data[i] = '\n';
        }
        ck_assert_slice(buffer_slice(&buffer), "{\"method\":\"a.B\",\"more\":true,\"oneway\":true,"
                                               "\"parameters\":{\"x\":1}}\n"
                                               "{\"method\":\"a.B\",\"upgrade\":true}\n"
                                               "{}\n"
                                               "{\"parameters\":{}}\n"
                                               "{\"continues\":true,\"parameters\":{}}\n"
                                               "{\"continues\":true}\n"
                                               "{\"error\":\"a.C\"}\n"
                                               "{\"error\":\"a.C\",\"parameters\":{\"y\":2}}\n");
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(test_append_is_all_or_nothing)
{
        for (size_t maximum = 3; maximum < 40; maximum++) {
                Buffer buffer = BUFFER_NULL(maximum);

                ck_assert_int_eq(buffer_append_string(&buffer, "abc"), 0);
                if (wire_append_error(&buffer, "a.C", SLICE_LITERAL("{\"y\":2}")) < 0)
                        ck_assert_slice(buffer_slice(&buffer), "abc");
                else
                        ck_assert_uint_eq(buffer.size, 3 + 38);
                buffer_deinit(&buffer);
        }
}
END_TEST

UNIT_MAIN("wire", test_call, test_call_refused, test_too_long, test_names, test_reply, test_append,
          test_append_is_all_or_nothing);
