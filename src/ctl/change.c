/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl task cancel, retry, update, delete: of tasks named by id, or of all that filters choose.
 * The latter are counted first, and changed with --yes or when the one at the terminal agrees. */

#include <stdio.h>
#include "ctl/filter.h"
#include "ctl/reply.h"
#include "ctl/submit.h"
#include "ctl/verbs.h"

enum {
        CHANGE_YES = _FILTER_MAX,
        _CHANGE_MAX,
        /* In the place of the filter by status, which update needs for the new one. */
        UPDATE_STATUS = FILTER_STATUS,
        UPDATE_OUTPUT = _CHANGE_MAX,
        UPDATE_REASON,
        _UPDATE_MAX,
};

const Option task_options[] = {
        FILTER_OPTIONS,
        [CHANGE_YES] = { "yes", NULL, "do not ask before changing what filters choose" },
        [_CHANGE_MAX] = {},
};

const Option update_options[] = {
        [UPDATE_STATUS] = { "status", "S",
                            "the new status: COMPLETED, FAILED, FAILED_WITH_TERMINAL_ERROR, …" },
        [FILTER_TYPE] = { "type", "TYPE", "of this type; * and ? match any text and character" },
        [FILTER_SINCE] = { "since", "WHEN", "submitted since then (\"2h\" ago, or a time)" },
        [FILTER_SOURCE] = { "source", "SOURCE", "of this source" },
        [CHANGE_YES] = { "yes", NULL, "do not ask before changing what filters choose" },
        [UPDATE_OUTPUT] = { "output", "JSON", "its output: an object, - for stdin, or @FILE" },
        [UPDATE_REASON] = { "reason", "TEXT", "why" },
        [_UPDATE_MAX] = {},
};

/* What is to be done, and to what. */
typedef struct Change {
        const char *method;
        const char *verb; /* "cancel" */
        const char *done; /* "cancelled" */
        Arguments filters;
        const char *status; /* update: the new one */
        const char *reason;
        Slice output;
} Change;

static ExitCode change_call(Ctl *ctl, const Change *change, char *const *ids, size_t n_ids,
                            bool dry_run, int64_t *ret_count)
{
        ExitCode code;
        Object params;
        Slice reply;

        object_init(&params);
        code = add_filter(&params, &change->filters, ids, n_ids);
        object_string(&params, "status", change->status);
        object_string(&params, "reason", change->reason);
        object_raw(&params, "output", change->output);
        if (dry_run)
                object_true(&params, "dryRun");
        if (code != EXIT_DONE) {
                object_deinit(&params);
                return code;
        }
        code = ctl_call(ctl, change->method, &params, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json && !dry_run)
                (void)ctl_print_json(reply);
        *ret_count = member_integer(reply, "count");
        return EXIT_DONE;
}

/* Nothing was changed: because there is no such task, or because of its status. */
static ExitCode explain_unchanged(Ctl *ctl, const Change *change, const char *id)
{
        _cleanup_free_ char *status = NULL;
        ExitCode code;
        Object params;
        Slice reply;

        object_init(&params);
        object_string(&params, "taskId", id);
        code = ctl_call(ctl, "GetTask", &params, &reply);
        if (code != EXIT_DONE)
                return code;
        status = member_text(member_object(reply, "task"), "status");
        return ctl_fail(EXIT_REFUSED, "task %s is %s: it cannot be %s", id, status ?: "unknown",
                        change->done);
}

static ExitCode change_by_id(Ctl *ctl, const Change *change, char **ids, int n_ids)
{
        ExitCode code, worst = EXIT_DONE;
        int64_t count;

        for (int i = 0; i < n_ids; i++) {
                code = change_call(ctl, change, &ids[i], 1, false, &count);
                if (code == EXIT_DONE && count == 0)
                        code = explain_unchanged(ctl, change, ids[i]);
                else if (code == EXIT_DONE && !ctl->json)
                        (void)printf("%s %s\n", ids[i], change->done);
                worst = MAX(worst, code);
                if (code == EXIT_UNREACHABLE || code == EXIT_PERMISSION)
                        return code;
        }
        return worst;
}

static ExitCode change_by_filter(Ctl *ctl, const Change *change)
{
        char question[100];
        ExitCode code;
        int64_t count;

        if (!change->filters.options[CHANGE_YES]) {
                code = change_call(ctl, change, NULL, 0, true, &count);
                if (code != EXIT_DONE)
                        return code;
                (void)snprintf(question, sizeof(question), "%s %lld task%s?", change->verb,
                               (long long)count, PLURAL(count));
                if (count > 0 && !ctl_confirm(question))
                        return ctl_fail(EXIT_REFUSED,
                                        "%lld task%s would be %s; nothing was done (add --yes)",
                                        (long long)count, PLURAL(count), change->done);
        }
        code = change_call(ctl, change, NULL, 0, false, &count);
        if (code == EXIT_DONE && !ctl->json)
                (void)printf("%lld task%s %s\n", (long long)count, PLURAL(count), change->done);
        return code;
}

static ExitCode change_run(Ctl *ctl, const Change *change, const Arguments *arguments)
{
        bool filtered = has_filter(&change->filters);

        if (arguments->n_words > 0 && filtered)
                return ctl_fail(EXIT_USAGE, "either ids or filters, not both");
        if (arguments->n_words > 0)
                return change_by_id(ctl, change, arguments->words, arguments->n_words);
        if (filtered)
                return change_by_filter(ctl, change);
        return ctl_fail(EXIT_USAGE, "which tasks? Their ids, or filters (--type '*' for all)");
}

ExitCode verb_task_cancel(Ctl *ctl, const Arguments *arguments)
{
        Change change = { "CancelTasks", "cancel", "cancelled", *arguments };

        return change_run(ctl, &change, arguments);
}

ExitCode verb_task_retry(Ctl *ctl, const Arguments *arguments)
{
        Change change = { "RetryTasks", "retry", "scheduled again", *arguments };

        return change_run(ctl, &change, arguments);
}

ExitCode verb_task_delete(Ctl *ctl, const Arguments *arguments)
{
        Change change = { "DeleteTasks", "delete", "deleted", *arguments };

        return change_run(ctl, &change, arguments);
}

ExitCode verb_task_update(Ctl *ctl, const Arguments *arguments)
{
        Change change = { "UpdateTasks", "update", "updated", *arguments };
        Buffer output = BUFFER_NULL(WIRE_MESSAGE_MAX);
        ExitCode code = EXIT_DONE;

        if (!arguments->options[UPDATE_STATUS])
                return ctl_fail(EXIT_USAGE, "update needs --status S, the new one");
        change.filters.options[FILTER_STATUS] = NULL;
        change.status = arguments->options[UPDATE_STATUS];
        change.reason = arguments->options[UPDATE_REASON];
        if (arguments->options[UPDATE_OUTPUT]) {
                code = read_json_argument(arguments->options[UPDATE_OUTPUT], &output);
                if (code == EXIT_DONE)
                        code = check_object("the output", buffer_slice(&output));
                change.output = buffer_slice(&output);
        }
        if (code == EXIT_DONE)
                code = change_run(ctl, &change, arguments);
        buffer_deinit(&output);
        return code;
}
