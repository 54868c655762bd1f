/* SPDX-License-Identifier: Apache-2.0 */

#include <sys/resource.h>
#include "control-fixture.h"

START_TEST(test_answers)
{
        Fixture fixture;

        setup(&fixture);
        call(&fixture, "Echo", ",\"parameters\":{\"a\":[1]}");
        expect(&fixture, "{\"parameters\":{\"a\":[1]}}\n");
        call(&fixture, "Echo", "");
        expect(&fixture, "{\"parameters\":{}}\n");
        call(&fixture, "Tree", ",\"parameters\":{ \"a/b\" : \"\\u00e9\" }");
        expect(&fixture, "{\"parameters\":{\"a/b\":\"\xC3\xA9\"}}\n");
        call(&fixture, "Fail", "");
        expect(&fixture, "{\"error\":\"io.yardmaster.Manager.Refused\",\"parameters\":{\"message\":"
                         "\"No space left on device\"}}\n");
        call(&fixture, "Forget", "");
        expect(&fixture, "{\"error\":\"io.yardmaster.Manager.Refused\",\"parameters\":{\"message\":"
                         "\"Input/output error\"}}\n");
        call(&fixture, "Echo", ",\"oneway\":true");
        call(&fixture, "Fail", ",\"oneway\":true");
        call(&fixture, "Echo", "");
        expect(&fixture, "{\"parameters\":{}}\n");
        teardown(&fixture);
}
END_TEST

START_TEST(test_errors)
{
        Fixture fixture;

        setup(&fixture);
        call(&fixture, "Ecko", "");
        expect(&fixture, "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{"
                         "\"method\":\"test.I.Ecko\"}}\n");
        say(&fixture, "{\"method\":\"Echo\"}");
        expect(&fixture, "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{"
                         "\"method\":\"Echo\"}}\n");
        say(&fixture, "{\"method\":\"test.J.Echo\"}");
        expect(&fixture, "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{"
                         "\"method\":\"test.J.Echo\"}}\n");
        call(&fixture, "Echo", ",\"upgrade\":true");
        expect(&fixture, "{\"error\":\"org.varlink.service.MethodNotImplemented\",\"parameters\":{"
                         "\"method\":\"test.I.Echo\"}}\n");
        call(&fixture, "Scale", ",\"parameters\":{\"pool\":7}");
        expect(&fixture, "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{"
                         "\"parameter\":\"pool\"}}\n");
        call(&fixture, "Scale", ",\"parameters\":{\"pool\":\"p\",\"m\":1}");
        expect(&fixture, "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{"
                         "\"parameter\":\"m\"}}\n");
        call(&fixture, "Scale", ",\"parameters\":{\"pool\":\"p\"}");
        expect(&fixture, "{\"error\":\"io.yardmaster.Manager.NoSuchPool\",\"parameters\":{"
                         "\"pool\":\"p\"}}\n");
        call(&fixture, "Watch", "");
        expect(&fixture, "{\"error\":\"org.varlink.service.ExpectedMore\"}\n");
        teardown(&fixture);
}
END_TEST

START_TEST(test_service)
{
        Fixture fixture;

        setup(&fixture);
        say(&fixture, "{\"method\":\"org.varlink.service.GetInfo\"}");
        expect(&fixture, "{\"parameters\":{\"vendor\":\"Yardmaster\",\"product\":\"yardmasterd\","
                         "\"version\":\"1\",\"url\":\"man:io.yardmaster.Manager(7)\","
                         "\"interfaces\":[\"org.varlink.service\",\"test.I\"]}}\n");
        say(&fixture, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                      "\"parameters\":{\"interface\":\"test.I\"}}");
        expect(&fixture, "{\"parameters\":{\"description\":\"interface test.I\\n\"}}\n");
        say(&fixture, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                      "\"parameters\":{\"interface\":\"x\"}}");
        expect(&fixture, "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{"
                         "\"interface\":\"x\"}}\n");
        say(&fixture, "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}");
        expect(&fixture, "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{"
                         "\"parameter\":\"interface\"}}\n");
        teardown(&fixture);
}
END_TEST

START_TEST(test_more)
{
        Fixture fixture;

        setup(&fixture);
        call(&fixture, "Count", ",\"more\":true");
        expect(&fixture, "{\"continues\":true,\"parameters\":{}}\n"
                         "{\"continues\":true,\"parameters\":{}}\n"
                         "{\"continues\":true,\"parameters\":{}}\n{}\n");
        call(&fixture, "Count", "");
        expect(&fixture, "{}\n");
        teardown(&fixture);
}
END_TEST

START_TEST(test_permission)
{
        Connection *connection;
        Fixture fixture;

        setup(&fixture);
        connection = LIST_FIRST(&fixture.server->connections, Connection, link);
        ck_assert(connection->peer.admin);
        ck_assert_uint_eq(connection->peer.uid, getuid());
        connection->peer.admin = false;
        call(&fixture, "Scale", ",\"parameters\":{\"pool\":\"p\"}");
        expect(&fixture, "{\"error\":\"org.varlink.service.PermissionDenied\"}\n");
        call(&fixture, "Echo", "");
        expect(&fixture, "{\"parameters\":{}}\n");
        teardown(&fixture);
}
END_TEST

START_TEST(test_too_many)
{
        int fds[CONTROL_CONNECTIONS_MAX + 1][2];
        struct rlimit limit = { 2048, 2048 };
        Fixture fixture;
        size_t n;

        (void)setrlimit(RLIMIT_NOFILE, &limit);
        setup(&fixture);
        for (n = 1;; n++) {
                ck_assert_uint_lt(n, ELEMENTSOF(fds));
                ck_assert_int_eq(
                        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds[n]),
                        0);
                if (control_server_add_connection(fixture.server, fds[n][0]) < 0)
                        break;
        }
        ck_assert_uint_eq(n, getuid() == 0 ? CONTROL_CONNECTIONS_MAX
                                           : CONTROL_CONNECTIONS_PER_UID_MAX);
        (void)close_fd(fixture.client);
        fixture.client = fds[n][1];
        (void)close_fd(fds[n][0]);
        ck_assert(receive(&fixture));
        ck_assert_int_eq(buffer_append_byte(&fixture.got, '\0'), 0);
        ck_assert_ptr_nonnull(strstr(fixture.got.data, "connections"));
        settle(&fixture);
        ck_assert_uint_eq(control_server_n_connections(fixture.server), n - 1);
        for (size_t i = 1; i < n; i++)
                (void)close_fd(fds[i][1]);
        settle(&fixture);
        ck_assert_uint_eq(control_server_n_connections(fixture.server), 0);
        teardown(&fixture);
}
END_TEST

START_TEST(test_table_must_be_sorted)
{
        static const ControlMethod unsorted[] = {
                { "B", test_echo, CONTROL_READ, CONTROL_ONE_REPLY },
                { "A", test_echo, CONTROL_READ, CONTROL_ONE_REPLY },
        };
        ControlInterface interface = { "test.I", "", unsorted, ELEMENTSOF(unsorted), NULL };
        ControlOptions options = { .interfaces = &interface, .n_interfaces = 1, .version = "1" };
        ControlServer *server = NULL;
        sd_event *event = NULL;

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(control_server_new(&server, event, &options), -EINVAL);
        sd_event_unref(event);
}
END_TEST

UNIT_MAIN("server", test_answers, test_errors, test_service, test_more, test_permission,
          test_too_many, test_table_must_be_sorted);
