/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl outbox: what servers have not accepted yet, and what they refused for good. */

#include <stdio.h>
#include "base/parse.h"
#include "ctl/details.h"
#include "ctl/reply.h"
#include "ctl/table.h"
#include "ctl/verbs.h"

enum {
        OUTBOX_SOURCE,
        OUTBOX_STATE,
        OUTBOX_LIMIT,
        _OUTBOX_LIST_MAX,
        OUTBOX_ALL = OUTBOX_STATE,
        OUTBOX_YES,
        _OUTBOX_CHANGE_MAX,
};

const Option outbox_list_options[] = {
        [OUTBOX_SOURCE] = { "source", "SOURCE", "of this source" },
        [OUTBOX_STATE] = { "state", "STATE", "only those that are waiting, or dead" },
        [OUTBOX_LIMIT] = { "limit", "N", "show at most N" },
        [_OUTBOX_LIST_MAX] = {},
};

const Option outbox_change_options[] = {
        [OUTBOX_SOURCE] = { "source", "SOURCE", "with --all: of this source" },
        [OUTBOX_ALL] = { "all", NULL, "all dead letters" },
        [OUTBOX_YES] = { "yes", NULL, "do not ask" },
        [_OUTBOX_CHANGE_MAX] = {},
};

enum {
        MESSAGE_NAME,
        MESSAGE_STATE,
        MESSAGE_KIND,
        MESSAGE_TASK,
        MESSAGE_TYPE,
        MESSAGE_AGE,
        MESSAGE_TRIES,
        MESSAGE_SIZE,
        MESSAGE_REASON,
        _MESSAGE_MAX,
};

static const Column message_columns[_MESSAGE_MAX] = {
        [MESSAGE_NAME] = { "MESSAGE", 0 },
        [MESSAGE_STATE] = { "STATE", 0 },
        [MESSAGE_KIND] = { "KIND", 0 },
        [MESSAGE_TASK] = { "TASK", 0 },
        [MESSAGE_TYPE] = { "TYPE", 0 },
        [MESSAGE_AGE] = { "SINCE", COLUMN_RIGHT },
        [MESSAGE_TRIES] = { "TRIES", COLUMN_RIGHT },
        [MESSAGE_SIZE] = { "SIZE", COLUMN_RIGHT },
        [MESSAGE_REASON] = { "REASON", COLUMN_CUT },
};

static void add_message(Table *table, Slice message)
{
        _cleanup_free_ char *state = member_text(message, "state");
        Mood mood = mood_of(state);

        table_row(table);
        table_cell(table, MESSAGE_NAME, member_text(message, "name"));
        table_cell(table, MESSAGE_STATE, TAKE_PTR(state));
        table_mood(table, MESSAGE_STATE, mood);
        table_cell(table, MESSAGE_KIND, member_text(message, "kind"));
        table_cell(table, MESSAGE_TASK, member_text(message, "taskId"));
        table_cell(table, MESSAGE_TYPE, member_text(message, "taskType"));
        table_cell(table, MESSAGE_AGE, member_ago(message, "time"));
        table_cell(table, MESSAGE_TRIES, member_count(message, "tries"));
        table_cell(table, MESSAGE_SIZE, member_bytes(message, "sizeBytes"));
        table_cell(table, MESSAGE_REASON, member_text(message, "reason"));
}

ExitCode verb_outbox_list(Ctl *ctl, const Arguments *arguments)
{
        const char *limit = arguments->options[OUTBOX_LIMIT];
        _cleanup_(table_freep) Table *table = NULL;
        Slice reply, messages, message;
        uint64_t n = 0;
        Object params;
        ExitCode code;

        if (limit && (parse_uint64(limit, &n) < 0 || n > INT64_MAX))
                return ctl_fail(EXIT_USAGE, "--limit %s is no number", limit);
        object_init(&params);
        object_string(&params, "source", arguments->options[OUTBOX_SOURCE]);
        object_string(&params, "state", arguments->options[OUTBOX_STATE]);
        if (limit)
                object_integer(&params, "limit", (int64_t)n);
        code = ctl_call(ctl, "ListOutbox", &params, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        messages = member_array(reply, "messages");
        if (table_new(&table, ctl, message_columns, _MESSAGE_MAX) < 0)
                return ctl_out_of_memory();
        JSON_FOREACH_ELEMENT (message, messages)
                add_message(table, message);
        return table_print(table, ctl->legend);
}

static void print_message(const Ctl *ctl, Slice message)
{
        _cleanup_free_ char *name = member_text(message, "name");
        _cleanup_free_ char *state = member_text(message, "state");
        Mood mood = mood_of(state);

        (void)printf("%s%s%s message %s\n", mood_begin(ctl, mood), ctl->unicode ? "●" : "*",
                     mood_end(ctl, mood), name ?: "");
        print_line("State", TAKE_PTR(state));
        print_line("Reason", member_text(message, "reason"));
        print_line("Kind", member_text(message, "kind"));
        print_line("Task", member_text(message, "taskId"));
        print_line("Type", member_text(message, "taskType"));
        print_line("Workflow", member_text(message, "workflowId"));
        print_line("Since", member_time(message, "time"));
        print_line("Tries", member_count(message, "tries"));
        print_line("Size", member_bytes(message, "sizeBytes"));
        print_line("Body", member_json(message, "body"));
}

ExitCode verb_outbox_show(Ctl *ctl, const Arguments *arguments)
{
        return show_each(ctl, arguments, "GetOutboxMessage", "name", "message", print_message);
}

static ExitCode change_messages(Ctl *ctl, const Arguments *arguments, const char *method,
                                const char *done)
{
        ExitCode code;
        Object params;
        int64_t count;
        Slice reply;

        object_init(&params);
        if (arguments->n_words > 0)
                object_strings(&params, "names", arguments->words, (size_t)arguments->n_words);
        object_string(&params, "source", arguments->options[OUTBOX_SOURCE]);
        code = ctl_call(ctl, method, &params, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        count = member_integer(reply, "count");
        (void)printf("%lld message%s %s\n", (long long)count, PLURAL(count), done);
        return EXIT_DONE;
}

static ExitCode check_choice(const Arguments *arguments)
{
        bool all = arguments->options[OUTBOX_ALL];

        if ((arguments->n_words > 0) == all)
                return ctl_fail(EXIT_USAGE, "which messages? Their names (yardctl outbox list), or "
                                            "--all for all dead letters");
        if (arguments->options[OUTBOX_SOURCE] && !all)
                return ctl_fail(EXIT_USAGE, "--source goes with --all: a name has its source");
        return EXIT_DONE;
}

ExitCode verb_outbox_retry(Ctl *ctl, const Arguments *arguments)
{
        ExitCode code = check_choice(arguments);

        return code != EXIT_DONE ? code
                                 : change_messages(ctl, arguments, "RetryOutbox", "sent again");
}

ExitCode verb_outbox_drop(Ctl *ctl, const Arguments *arguments)
{
        ExitCode code = check_choice(arguments);

        if (code != EXIT_DONE)
                return code;
        if (!arguments->options[OUTBOX_YES] &&
            !ctl_confirm("drop for good what the server has not accepted?"))
                return ctl_fail(EXIT_REFUSED, "nothing was done (add --yes)");
        return change_messages(ctl, arguments, "DropOutbox", "dropped");
}
