/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdio.h>
#include "ctl/client.h"

ExitCode ctl_fail(ExitCode code, const char *format, ...)
{
        va_list args;

        (void)fflush(stdout);
        (void)fputs("yardctl: ", stderr);
        va_start(args, format);
        (void)vfprintf(stderr, format, args);
        va_end(args);
        (void)fputc('\n', stderr);
        return code;
}

ExitCode ctl_out_of_memory(void)
{
        return ctl_fail(EXIT_REFUSED, "out of memory");
}

static ExitCode ctl_send(Ctl *ctl, const char *method, Object *parameters, unsigned flags)
{
        Slice text = SLICE_NULL;
        ExitCode code;

        if (!ctl->client) {
                code = client_new(&ctl->client, ctl);
                if (code != EXIT_DONE)
                        return code;
        }
        if (parameters) {
                text = object_finish(parameters);
                if (text.size == 0)
                        return parameters->error == -ENOBUFS
                                       ? ctl_fail(EXIT_REFUSED, "a call has at most %zu bytes",
                                                  WIRE_MESSAGE_MAX)
                                       : ctl_out_of_memory();
        }
        return client_send(ctl->client, method, text, flags);
}

static ExitCode receive_reply(Ctl *ctl, WireReply *ret, bool *ret_ended)
{
        ExitCode code;

        code = client_receive(ctl->client, ret, ret_ended);
        if (code != EXIT_DONE)
                return code;
        if (ret->error.size > 0)
                return ctl->quiet ? EXIT_REFUSED : client_report_error(ret);
        if (ret->parameters.size == 0)
                ret->parameters = SLICE_LITERAL("{}");
        return EXIT_DONE;
}

ExitCode ctl_call(Ctl *ctl, const char *method, Object *parameters, Slice *ret_reply)
{
        WireReply reply;
        ExitCode code;
        bool ended;

        code = ctl_send(ctl, method, parameters, 0);
        if (parameters)
                object_deinit(parameters);
        if (code != EXIT_DONE)
                return code;
        code = receive_reply(ctl, &reply, &ended);
        if (code == EXIT_DONE)
                *ret_reply = reply.parameters;
        else if (ended)
                (void)ctl_fail(code, "the daemon closed the connection before it had answered");
        return code;
}

ExitCode ctl_call_more(Ctl *ctl, const char *method, Object *parameters, bool expect_end,
                       reply_callback_t on_reply, void *userdata)
{
        unsigned n_replies = 0;
        WireReply reply;
        ExitCode code;
        bool ended;

        code = ctl_send(ctl, method, parameters, WIRE_MORE);
        if (parameters)
                object_deinit(parameters);
        if (code != EXIT_DONE)
                return code;
        do {
                code = receive_reply(ctl, &reply, &ended);
                if (code != EXIT_DONE && ended)
                        return expect_end && n_replies > 0
                                       ? EXIT_DONE
                                       : ctl_fail(code, "the daemon closed the connection");
                if (code == EXIT_DONE)
                        code = on_reply(ctl, reply.parameters, userdata);
                n_replies++;
        } while (code == EXIT_DONE && reply.continues);
        return code;
}

ExitCode ctl_print_json(Slice reply)
{
        (void)fwrite(reply.data, 1, reply.size, stdout);
        (void)putchar('\n');
        return EXIT_DONE;
}

bool ctl_confirm(const char *question)
{
        char answer[16];

        if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
                return false;
        (void)fprintf(stderr, "%s [y/N] ", question);
        return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}
