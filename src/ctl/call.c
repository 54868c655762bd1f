/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl call: any method with raw JSON. */

#include <stdio.h>
#include "ctl/client.h"
#include "ctl/submit.h"
#include "ctl/verbs.h"

enum {
        CALL_MORE,
        _CALL_MAX,
};

const Option call_options[] = {
        [CALL_MORE] = { "more", NULL, "ask for several replies" },
        [_CALL_MAX] = {},
};

static ExitCode call_replies(Ctl *ctl, const char *method, Slice parameters, unsigned flags)
{
        WireReply reply;
        ExitCode code;
        bool ended;

        code = client_new(&ctl->client, ctl);
        if (code == EXIT_DONE)
                code = client_send(ctl->client, method, parameters, flags);
        if (code != EXIT_DONE)
                return code;
        do {
                code = client_receive(ctl->client, &reply, &ended);
                if (code != EXIT_DONE)
                        return ended ? ctl_fail(code, "the daemon closed the connection") : code;
                if (reply.error.size > 0)
                        return client_report_error(&reply);
                (void)ctl_print_json(reply.parameters.size > 0 ? reply.parameters
                                                               : SLICE_LITERAL("{}"));
                (void)fflush(stdout);
        } while (reply.continues);
        return EXIT_DONE;
}

ExitCode verb_call(Ctl *ctl, const Arguments *arguments)
{
        unsigned flags = arguments->options[CALL_MORE] ? WIRE_MORE : 0;
        Buffer parameters = BUFFER_NULL(WIRE_MESSAGE_MAX);
        ExitCode code = EXIT_DONE;

        if (arguments->n_words > 1) {
                code = read_json_argument(arguments->words[1], &parameters);
                if (code == EXIT_DONE)
                        code = check_object("the second word", buffer_slice(&parameters));
        }
        if (code == EXIT_DONE)
                code = call_replies(ctl, arguments->words[0], buffer_slice(&parameters), flags);
        buffer_deinit(&parameters);
        return code;
}
