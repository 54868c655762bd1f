/* SPDX-License-Identifier: Apache-2.0 */

#include "control-fixture.h"

/* Answers stand in the order of the calls, also when one is answered later. */
START_TEST(test_pipeline)
{
        static const char calls[] = "{\"method\":\"test.I.Echo\",\"parameters\":{\"n\":1}}\0"
                                    "{\"method\":\"test.I.Keep\"}\0"
                                    "{\"method\":\"test.I.Echo\",\"parameters\":{\"n\":2}}";
        Fixture fixture;

        setup(&fixture);
        say_bytes(&fixture, calls, sizeof(calls));
        expect(&fixture, "{\"parameters\":{\"n\":1}}\n");
        ck_assert_ptr_nonnull(fixture.kept);
        ck_assert_int_eq(control_call_reply(TAKE_PTR(fixture.kept), NULL), 0);
        expect(&fixture, "{}\n{\"parameters\":{\"n\":2}}\n");
        ck_assert_uint_eq(fixture.n_gone, 0);
        teardown(&fixture);
}
END_TEST

/* Calls beyond the bound stay with the client, and none is lost. */
START_TEST(test_queue_is_bounded)
{
        unsigned n_answers = 0;
        Connection *connection;
        Fixture fixture;

        setup(&fixture);
        call(&fixture, "Keep", "");
        for (unsigned i = 0; i < 100; i++)
                call(&fixture, "Echo", "");
        connection = LIST_FIRST(&fixture.server->connections, Connection, link);
        ck_assert_uint_eq(connection->n_waiting, CONTROL_CALLS_QUEUED_MAX);
        ck_assert_int_eq(control_call_reply(TAKE_PTR(fixture.kept), NULL), 0);
        ck_assert(!receive(&fixture));
        for (size_t i = 0; i < fixture.got.size; i++)
                n_answers += buffer_slice(&fixture.got).data[i] == '\n';
        ck_assert_uint_eq(n_answers, 101);
        ck_assert_uint_eq(connection->n_waiting, 0);
        teardown(&fixture);
}
END_TEST

START_TEST(test_one_byte_at_a_time)
{
        static const char message[] = "{\"method\":\"test.I.Echo\",\"parameters\":{\"n\":1}}";
        Fixture fixture;

        setup(&fixture);
        for (size_t i = 0; i < sizeof(message); i++)
                say_bytes(&fixture, message + i, 1);
        expect(&fixture, "{\"parameters\":{\"n\":1}}\n");
        teardown(&fixture);
}
END_TEST

START_TEST(test_gone)
{
        Fixture fixture;

        setup(&fixture);
        call(&fixture, "Keep", "");
        ck_assert_ptr_nonnull(fixture.kept);
        fixture.client = close_fd(fixture.client);
        settle(&fixture);
        ck_assert_uint_eq(fixture.n_gone, 1);
        ck_assert_uint_eq(control_server_n_connections(fixture.server), 0);

        fixture.client = connect_client(&fixture);
        call(&fixture, "Watch", ",\"more\":true");
        ck_assert_ptr_nonnull(fixture.kept);
        fixture.server = control_server_free(fixture.server);
        ck_assert_uint_eq(fixture.n_gone, 2);
        teardown(&fixture);
}
END_TEST

/* A client that has closed its sending side still gets every answer, then the end. */
START_TEST(test_half_closed)
{
        Fixture fixture;

        setup(&fixture);
        call(&fixture, "Keep", "");
        call(&fixture, "Echo", "");
        ck_assert_int_eq(shutdown(fixture.client, SHUT_WR), 0);
        expect(&fixture, "");
        ck_assert_int_eq(control_call_reply(TAKE_PTR(fixture.kept), NULL), 0);
        expect_closed(&fixture, "{}\n{\"parameters\":{}}\n");
        teardown(&fixture);
}
END_TEST

START_TEST(test_bad_input)
{
        static const char *const cases[][2] = {
                { "nonsense", "not JSON at byte 1" },
                { "[1]", "a message is an object" },
                { "{\"method\":\"a\xff\"}", "not JSON at byte 12" },
                { "{\"method\":3}", "method is a string" },
                { "{\"method\":\"test.I.Echo\",\"parameters\":7}", "parameters is an object" },
                { "{\"method\":\"test.I.Echo\",\"more\":\"yes\"}", "more is true or false" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Fixture fixture;
                char *got;

                setup(&fixture);
                call(&fixture, "Echo", "");
                say(&fixture, cases[i][0]);
                call(&fixture, "Echo", "");
                ck_assert(receive(&fixture));
                ck_assert_int_eq(buffer_append_byte(&fixture.got, '\0'), 0);
                got = fixture.got.data;
                ck_assert_ptr_nonnull(strstr(got, "{\"parameters\":{}}\n{\"error\":\"io.yardmaster."
                                                  "Manager.InvalidMessage\""));
                ck_assert_msg(strstr(got, cases[i][1]), "%s", got);
                ck_assert_uint_eq(control_server_n_connections(fixture.server), 0);
                teardown(&fixture);
        }
}
END_TEST

START_TEST(test_end_in_a_message)
{
        Fixture fixture;

        setup(&fixture);
        say_bytes(&fixture, "{\"meth", 6);
        ck_assert_int_eq(shutdown(fixture.client, SHUT_WR), 0);
        expect_closed(&fixture,
                      "{\"error\":\"io.yardmaster.Manager.InvalidMessage\",\"parameters\":"
                      "{\"message\":\"the last message does not end with a NUL byte\"}}\n");
        teardown(&fixture);
}
END_TEST

START_TEST(test_oversized)
{
        static char block[1 << 20];
        Fixture fixture;

        setup(&fixture);
        memset(block, ' ', sizeof(block));
        for (unsigned i = 0; i < 17; i++)
                say_bytes(&fixture, block, sizeof(block));
        expect_closed(&fixture, "{\"error\":\"io.yardmaster.Manager.InvalidMessage\","
                                "\"parameters\":{\"message\":\"a message has at most 16777216 "
                                "bytes\"}}\n");
        teardown(&fixture);
}
END_TEST

START_TEST(test_large_answers)
{
        char parameters[100];
        Fixture fixture;

        setup(&fixture);
        (void)snprintf(parameters, sizeof(parameters), ",\"parameters\":{\"n\":%zu}",
                       WIRE_MESSAGE_MAX - 20);
        call(&fixture, "Large", parameters);
        ck_assert(!receive(&fixture));
        ck_assert_uint_eq(fixture.got.size, WIRE_MESSAGE_MAX - 20 + 16);
        buffer_clear(&fixture.got);

        (void)snprintf(parameters, sizeof(parameters), ",\"parameters\":{\"n\":%zu}",
                       WIRE_MESSAGE_MAX);
        call(&fixture, "Large", parameters);
        expect(&fixture, "{\"error\":\"io.yardmaster.Manager.Refused\",\"parameters\":{\"message\":"
                         "\"the answer is longer than 16777216 bytes; ask for less\"}}\n");
        teardown(&fixture);
}
END_TEST

/* A client that does not read: replies are refused from the mark on, and resume. */
START_TEST(test_slow_client)
{
        static char text[100 * 1024];
        Slice parameters = { text, sizeof(text) };
        unsigned sent = 0;
        Fixture fixture;

        setup(&fixture);
        memset(text, ' ', sizeof(text));
        memcpy(text, "{", 1);
        memcpy(text + sizeof(text) - 1, "}", 1);
        call(&fixture, "Watch", ",\"more\":true");
        while (control_call_continue_raw(fixture.kept, parameters) == 0) {
                settle(&fixture);
                ck_assert_uint_lt(++sent, 1000);
        }
        ck_assert_int_eq(control_call_continue_raw(fixture.kept, parameters), -ENOBUFS);
        ck_assert_uint_le(
                stream_queued(LIST_FIRST(&fixture.server->connections, Connection, link)->stream),
                CONTROL_OUTPUT_MARK + sizeof(text) + 100);
        ck_assert(!control_call_writable(fixture.kept));
        ck_assert_uint_eq(fixture.n_writable, 0);
        ck_assert(!receive(&fixture));
        ck_assert_uint_eq(fixture.n_writable, 1);
        ck_assert_uint_gt(fixture.got.size, sent * sizeof(text));
        ck_assert(control_call_writable(fixture.kept));
        ck_assert_int_eq(control_call_continue_raw(fixture.kept, parameters), 0);
        teardown(&fixture);
}
END_TEST

/* The next call of a client that does not read its answers waits. */
START_TEST(test_answers_wait_for_the_reader)
{
        unsigned n_connections;
        Fixture fixture;

        setup(&fixture);
        for (unsigned i = 0; i < 10; i++)
                call(&fixture, "Large", ",\"parameters\":{\"n\":1000000}");
        n_connections = (unsigned)control_server_n_connections(fixture.server);
        ck_assert_uint_eq(n_connections, 1);
        ck_assert_uint_lt(
                stream_queued(LIST_FIRST(&fixture.server->connections, Connection, link)->stream),
                3 * CONTROL_OUTPUT_MARK);
        ck_assert(!receive(&fixture));
        ck_assert_uint_eq(fixture.got.size, 10 * (1000000 + 16));
        teardown(&fixture);
}
END_TEST

/* A client that cannot be answered is closed, and whoever kept its call is rid of it. */
START_TEST(test_answer_cannot_be_queued)
{
        Fixture fixture;

        setup(&fixture);
        call(&fixture, "Keep", "");
        call(&fixture, "Echo", "");
        fixture.server->scratch.maximum = 4;
        ck_assert_int_eq(control_call_reply(TAKE_PTR(fixture.kept), NULL), 0);
        expect_closed(&fixture, "{}\n");
        ck_assert_uint_eq(fixture.n_gone, 0);

        (void)close_fd(fixture.client);
        fixture.client = connect_client(&fixture);
        call(&fixture, "Keep", "");
        ck_assert_int_eq(control_call_error(TAKE_PTR(fixture.kept), "Refused", NULL), 0);
        expect_closed(&fixture, "");
        ck_assert_uint_eq(fixture.n_gone, 0);

        (void)close_fd(fixture.client);
        fixture.client = connect_client(&fixture);
        call(&fixture, "Fail", "");
        expect_closed(&fixture, "");
        teardown(&fixture);
}
END_TEST

UNIT_MAIN("connection", test_pipeline, test_queue_is_bounded, test_one_byte_at_a_time, test_gone,
          test_half_closed, test_bad_input, test_end_in_a_message, test_oversized,
          test_large_answers, test_slow_client, test_answers_wait_for_the_reader,
          test_answer_cannot_be_queued);
