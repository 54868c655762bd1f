/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes on the control socket: each message gets one answer (more with "more"), each answer can
 * be read, the server lives on, and a client that is told InvalidMessage gets nothing after it. The
 * first byte says how the bytes are cut up on their way. */

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include "base/frame.h"
#include "base/log.h"
#include "control/server.h"
#include "fuzz.h"

typedef struct Params {
        const char *name;
        Slice text;
        int64_t number;
        double real;
        bool flag;
        Slice object;
        Slice any;
        char **strings;
} Params;

static int fuzz_decode(ControlCall *call, void *userdata)
{
        static const ParamField fields[] = {
                { "name", PARAM_STRING, true, offsetof(Params, name) },
                { "text", PARAM_TEXT, false, offsetof(Params, text) },
                { "number", PARAM_INTEGER, false, offsetof(Params, number) },
                { "real", PARAM_DOUBLE, false, offsetof(Params, real) },
                { "flag", PARAM_BOOLEAN, false, offsetof(Params, flag) },
                { "object", PARAM_OBJECT, false, offsetof(Params, object) },
                { "any", PARAM_ANY, false, offsetof(Params, any) },
                { "strings", PARAM_STRINGS, false, offsetof(Params, strings) },
        };
        Params params = {};
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return r < 0 ? r : 0;
        for (char **s = params.strings; s && *s; s++)
                fuzz_assert(strlen(*s) < WIRE_MESSAGE_MAX);
        return control_call_error_strings(call, "Refused", "message", params.name, NULL);
}

static int fuzz_echo(ControlCall *call, void *userdata)
{
        if (control_call_wants_more(call))
                fuzz_assert(control_call_continue(call, NULL) == 0);
        return control_call_reply_raw(call, control_call_parameters(call));
}

static const ControlMethod methods[] = {
        { "Decode", fuzz_decode, CONTROL_READ, CONTROL_ONE_REPLY },
        { "Echo", fuzz_echo, CONTROL_READ, CONTROL_MORE_ALLOWED },
        { "Watch", fuzz_echo, CONTROL_READ, CONTROL_MORE_REQUIRED },
};

static const ControlInterface interface = { "a.B", "interface a.B\n", methods, ELEMENTSOF(methods),
                                            NULL };

static void settle(sd_event *event)
{
        while (sd_event_run(event, 0) > 0)
                ;
}

/* Reads what there is; counts the messages. */
static void receive(int fd, Frame *frame, size_t *n_answers, bool *invalid)
{
        FrameResult result;
        WireReply reply;
        char *problem;
        Slice message;
        ssize_t n;
        char *to;

        do {
                fuzz_assert(frame_reserve(frame, 4096, &to) == 0);
                n = recv(fd, to, 4096, MSG_DONTWAIT);
                if (n > 0)
                        frame_commit(frame, (size_t)n);
                while ((result = frame_next(frame, &message)) != FRAME_NONE) {
                        fuzz_assert(result == FRAME_COMPLETE);
                        fuzz_assert(wire_parse_reply(message, &reply, &problem) == 0);
                        fuzz_assert(!*invalid);
                        *invalid = slice_is(reply.error, WIRE_ERROR_INVALID_MESSAGE);
                        *n_answers += !reply.continues;
                }
        } while (n > 0);
}

/* What the server has to answer: messages up to the first that is none, less the oneway ones. */
static size_t count_expected(Slice text)
{
        size_t n = 0;

        while (text.size > 0) {
                const char *end = memchr(text.data, '\0', text.size);
                Slice message = { text.data, end ? (size_t)(end - text.data) : text.size };
                char *problem = NULL;
                WireCall call;
                int r = -1;

                if (end)
                        r = wire_parse_call(message, &call, &problem);
                free(problem);
                if (r < 0)
                        return n + 1;
                n += !(call.flags & WIRE_ONEWAY);
                text.data += message.size + 1;
                text.size -= message.size + 1;
        }
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t step = size > 0 ? (size_t)data[0] + 1 : 1, n_answers = 0;
        ControlOptions options = { .interfaces = &interface, .n_interfaces = 1, .version = "1" };
        Slice text = { (const char *)data + (size > 0), size - (size > 0) };
        size_t n_expected = count_expected(text);
        ControlServer *server = NULL;
        sd_event *event = NULL;
        bool invalid = false;
        Frame frame;
        int fds[2];

        (void)signal(SIGPIPE, SIG_IGN);
        log_set_level(LOG_EMERG);
        frame_init(&frame, '\0', WIRE_MESSAGE_MAX);
        fuzz_assert(sd_event_new(&event) >= 0);
        fuzz_assert(control_server_new(&server, event, &options) == 0);
        fuzz_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
        fuzz_assert(control_server_add_connection(server, fds[0]) == 0);

        while (text.size > 0) {
                ssize_t n = send(fds[1], text.data, text.size < step ? text.size : step, 0);

                settle(event);
                receive(fds[1], &frame, &n_answers, &invalid);
                if (n < 0)
                        break;
                text.data += n;
                text.size -= (size_t)n;
        }
        (void)shutdown(fds[1], SHUT_WR);
        settle(event);
        receive(fds[1], &frame, &n_answers, &invalid);
        settle(event);
        fuzz_assert(n_answers == n_expected);
        fuzz_assert(frame_rest(&frame).size == 0);
        fuzz_assert(control_server_n_connections(server) == 0);

        (void)close(fds[1]);
        control_server_free(server);
        sd_event_unref(event);
        frame_deinit(&frame);
        return 0;
}
