/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl wait. */

#include <stdio.h>
#include "base/parse.h"
#include "ctl/reply.h"
#include "ctl/submit.h"
#include "ctl/verbs.h"

enum {
        WAIT_TIMEOUT,
        _WAIT_MAX,
};

const Option wait_options[] = {
        [WAIT_TIMEOUT] = { "timeout", "SPAN",
                           "for at most that long (10s, 5m); default: for ever" },
        [_WAIT_MAX] = {},
};

ExitCode wait_parameters(Object *params, char *const *ids, size_t n_ids, const char *timeout)
{
        usec_t usec = USEC_INFINITY;

        object_init(params);
        if (timeout && parse_duration(timeout, &usec) < 0) {
                object_deinit(params);
                return ctl_fail(EXIT_USAGE, "--timeout %s is no span (500ms, 10s, 2h)", timeout);
        }
        object_strings(params, "ids", ids, n_ids);
        if (usec <= INT64_MAX)
                object_integer(params, "timeoutUsec", (int64_t)usec);
        return EXIT_DONE;
}

/* userdata: whether one ended otherwise than COMPLETED. */
static ExitCode on_ended(Ctl *ctl, Slice reply, void *userdata)
{
        Slice task, tasks = member_array(reply, "tasks");
        bool *failed = userdata;

        if (ctl->json)
                (void)ctl_print_json(reply);
        JSON_FOREACH_ELEMENT (task, tasks) {
                _cleanup_free_ char *id = member_text(task, "taskId");
                _cleanup_free_ char *status = member_text(task, "status");
                _cleanup_free_ char *reason = member_text(task, "reason");

                *failed |= !status || !streq(status, "COMPLETED");
                if (!ctl->json)
                        (void)printf("%s %s%s%s\n", id ?: "-", status ?: "-", reason ? ": " : "",
                                     reason ?: "");
        }
        (void)fflush(stdout);
        return EXIT_DONE;
}

ExitCode verb_wait(Ctl *ctl, const Arguments *arguments)
{
        bool failed = false;
        ExitCode code;
        Object params;

        code = wait_parameters(&params, arguments->words, (size_t)arguments->n_words,
                               arguments->options[WAIT_TIMEOUT]);
        if (code == EXIT_DONE)
                code = ctl_call_more(ctl, "WaitTasks", &params, false, on_ended, &failed);
        return code == EXIT_DONE && failed ? EXIT_NOT_COMPLETED : code;
}
