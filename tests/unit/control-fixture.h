#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* For the tests of the control server: a server with an interface of its own, and one client on a
 * socketpair. */

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include "base/log.h"
#include "control/connection.h"
#include "unit.h"

typedef struct Fixture {
        sd_event *event;
        ControlServer *server;
        int client;
        Buffer got; /* what the client received, NULs as newlines */

        ControlCall *kept;
        unsigned n_gone;
        unsigned n_writable;
} Fixture;

static _unused_ int test_echo(ControlCall *call, void *userdata)
{
        return control_call_reply_raw(call, control_call_parameters(call));
}

static _unused_ void on_gone(ControlCall *call, void *userdata)
{
        Fixture *fixture = userdata;

        ck_assert_ptr_eq(call, fixture->kept);
        fixture->kept = NULL;
        fixture->n_gone++;
}

static _unused_ void on_writable(ControlCall *call, void *userdata)
{
        ((Fixture *)userdata)->n_writable++;
}

static _unused_ int test_keep(ControlCall *call, void *userdata)
{
        static const ControlCallbacks callbacks = { on_gone, on_writable };
        Fixture *fixture = userdata;

        ck_assert_ptr_null(fixture->kept);
        fixture->kept = call;
        control_call_keep(call, &callbacks, fixture);
        return 0;
}

static _unused_ int test_fail(ControlCall *call, void *userdata)
{
        return -ENOSPC;
}

static _unused_ int test_forget(ControlCall *call, void *userdata)
{
        return 0;
}

static _unused_ int test_count(ControlCall *call, void *userdata)
{
        for (int i = 0; i < 3; i++)
                ck_assert_int_eq(control_call_continue(call, json_object_new_object()),
                                 control_call_wants_more(call) ? 0 : -EPROTO);
        return control_call_reply(call, NULL);
}

typedef struct ScaleParams {
        const char *pool;
        int64_t n;
} ScaleParams;

static _unused_ int test_scale(ControlCall *call, void *userdata)
{
        static const ParamField fields[] = {
                { "pool", PARAM_STRING, true, offsetof(ScaleParams, pool) },
                { "n", PARAM_INTEGER, false, offsetof(ScaleParams, n) },
        };
        ScaleParams params = { .n = 1 };
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return r < 0 ? r : 0;
        return control_call_error_strings(call, "NoSuchPool", "pool", params.pool, "suggestion",
                                          NULL, NULL);
}

static inline json_object *parse_parameters(ControlCall *call)
{
        Slice text = control_call_parameters(call);
        json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
        json_object *tree = json_tokener_parse_ex(tokener, text.data, (int)text.size);

        json_tokener_free(tokener);
        return tree;
}

static _unused_ int test_tree(ControlCall *call, void *userdata)
{
        return control_call_reply(call, parse_parameters(call));
}

/* Asks for n bytes. */
static _unused_ int test_large(ControlCall *call, void *userdata)
{
        int64_t n = 0;
        _cleanup_free_ char *text = NULL;

        ck_assert_int_eq(json_to_int64(json_member(control_call_parameters(call), "n"), &n), 0);
        text = malloc((size_t)n + 8);
        ck_assert_ptr_nonnull(text);
        memcpy(text, "{\"x\":\"", 6);
        memset(text + 6, 'x', (size_t)n - 8);
        memcpy(text + n - 2, "\"}", 2);
        return control_call_reply_raw(call, (Slice){ text, (size_t)n });
}

static const ControlMethod methods[] = {
        { "Count", test_count, CONTROL_READ, CONTROL_MORE_ALLOWED },
        { "Echo", test_echo, CONTROL_READ, CONTROL_ONE_REPLY },
        { "Fail", test_fail, CONTROL_READ, CONTROL_ONE_REPLY },
        { "Forget", test_forget, CONTROL_READ, CONTROL_ONE_REPLY },
        { "Keep", test_keep, CONTROL_READ, CONTROL_MORE_ALLOWED },
        { "Large", test_large, CONTROL_READ, CONTROL_ONE_REPLY },
        { "Scale", test_scale, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "Tree", test_tree, CONTROL_READ, CONTROL_ONE_REPLY },
        { "Watch", test_keep, CONTROL_READ, CONTROL_MORE_REQUIRED },
};

static _unused_ void settle(Fixture *fixture)
{
        while (sd_event_run(fixture->event, 0) > 0)
                ;
}

static _unused_ int connect_client(Fixture *fixture)
{
        int fds[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
                         0);
        ck_assert_int_eq(control_server_add_connection(fixture->server, fds[0]), 0);
        return fds[1];
}

static _unused_ void setup(Fixture *fixture)
{
        ControlInterface interface = { "test.I", "interface test.I\n", methods, ELEMENTSOF(methods),
                                       fixture };
        static ControlInterface interfaces[1];
        ControlOptions options = { .interfaces = interfaces, .n_interfaces = 1, .version = "1" };

        (void)signal(SIGPIPE, SIG_IGN);
        log_set_level(LOG_EMERG);
        *fixture = (Fixture){ .got = BUFFER_NULL(64 << 20) };
        interfaces[0] = interface;
        ck_assert_int_ge(sd_event_new(&fixture->event), 0);
        ck_assert_int_eq(control_server_new(&fixture->server, fixture->event, &options), 0);
        fixture->client = connect_client(fixture);
}

static _unused_ void teardown(Fixture *fixture)
{
        fixture->server = control_server_free(fixture->server);
        fixture->event = sd_event_unref(fixture->event);
        (void)close_fd(fixture->client);
        buffer_deinit(&fixture->got);
}

/* The server may have closed already, after input that it refused. */
static _unused_ void say_bytes(Fixture *fixture, const char *bytes, size_t size)
{
        while (size > 0) {
                ssize_t n = send(fixture->client, bytes, size, 0);

                if (n < 0 && errno == EPIPE)
                        return;
                ck_assert(n > 0 || errno == EAGAIN);
                bytes += n > 0 ? n : 0;
                size -= n > 0 ? (size_t)n : 0;
                settle(fixture);
        }
}

static _unused_ void say(Fixture *fixture, const char *message)
{
        say_bytes(fixture, message, strlen(message) + 1);
}

/* {"method":"test.I.NAME"…} */
static _unused_ void call(Fixture *fixture, const char *name, const char *rest)
{
        char message[1000];

        (void)snprintf(message, sizeof(message), "{\"method\":\"test.I.%s\"%s}", name, rest);
        say(fixture, message);
}

/* Reads all there is; true once the server has closed. */
static _unused_ bool receive(Fixture *fixture)
{
        char bytes[65536];
        ssize_t n;

        do {
                settle(fixture);
                n = recv(fixture->client, bytes, sizeof(bytes), 0);
                for (ssize_t i = 0; i < n; i++)
                        bytes[i] = bytes[i] ?: '\n';
                if (n > 0)
                        ck_assert_int_eq(buffer_append(&fixture->got, bytes, (size_t)n), 0);
        } while (n > 0);
        return n == 0 || errno == ECONNRESET;
}

#define expect(fixture, text)                                         \
        do {                                                          \
                ck_assert(!receive(fixture));                         \
                ck_assert_slice(buffer_slice(&(fixture)->got), text); \
                buffer_clear(&(fixture)->got);                        \
        } while (0)

#define expect_closed(fixture, text)                                                   \
        do {                                                                           \
                ck_assert(receive(fixture));                                           \
                ck_assert_slice(buffer_slice(&(fixture)->got), text);                  \
                buffer_clear(&(fixture)->got);                                         \
                settle(fixture);                                                       \
                ck_assert_uint_eq(control_server_n_connections((fixture)->server), 0); \
        } while (0)
