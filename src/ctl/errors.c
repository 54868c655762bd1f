/* SPDX-License-Identifier: Apache-2.0 */

/* What an error of the daemon means to the one who typed the command: a sentence with the remedy,
 * and an exit code. One row for each. */

#include <stdio.h>
#include "ctl/client.h"
#include "ctl/reply.h"

typedef struct ErrorRow {
        const char *name;
        ExitCode code;
        const char *before; /* the first parameter stands between these two */
        const char *key;    /* of it; NULL: before is all */
        const char *after;
} ErrorRow;

static const ErrorRow rows[] = {
        { "NoSuchPool", EXIT_NO_OBJECT, "there is no pool ", "pool",
          " (yardctl list pools shows them)" },
        { "NoSuchWorker", EXIT_NO_OBJECT, "there is no worker ", "worker",
          " (yardctl list workers shows them)" },
        { "NoSuchSource", EXIT_NO_OBJECT, "there is no source ", "source",
          " (yardctl list sources shows them)" },
        { "NoSuchTask", EXIT_NO_OBJECT, "there is no task ", "taskId",
          " in a queue (finished ones are kept for its retention; a server shows its own)" },
        { "NoSuchMessage", EXIT_NO_OBJECT, "there is no message ", "name",
          " (yardctl outbox list shows them; what was accepted is gone)" },
        { "TypeNotServed", EXIT_REFUSED, "no pool serves type ", "type",
          ", so nothing would run it: add a pool, or submit it with --force" },
        { "QueueFull", EXIT_REFUSED, "", "message", "" },
        { "DuplicateTask", EXIT_REFUSED, "an unfinished task has this unique key: ", "taskId",
          " (--conflict return_existing or replace does not refuse)" },
        { "ConfigInvalid", EXIT_REFUSED,
          "the configuration was refused; nothing has changed:", NULL, "" },
        { "Refused", EXIT_REFUSED, "", "message", "" },
        { "InvalidTask", EXIT_REFUSED, "the task is not valid: ", "message", "" },
        { "WaitTimedOut", EXIT_WAIT_TIMED_OUT, "timed out; not finished:", NULL, "" },
        { "InvalidMessage", EXIT_REFUSED, "the daemon did not understand: ", "message", "" },
        { "PermissionDenied", EXIT_PERMISSION,
          "permission denied: only root, the daemon's own user and members of admin_group may do "
          "this",
          NULL, "" },
        { "InvalidParameter", EXIT_REFUSED, "the daemon does not accept the value of ", "parameter",
          " (io.yardmaster.Manager(7) says what it may be)" },
        { "MethodNotFound", EXIT_REFUSED, "the daemon does not have ", "method",
          ": it may be of another version (yardctl version)" },
        { "ExpectedMore", EXIT_USAGE, "this method has several replies: add --more", NULL, "" },
};

static const ErrorRow *find_row(Slice error)
{
        Slice interface = wire_interface_name(error), name = wire_member_name(error);

        if (!slice_is(interface, WIRE_INTERFACE) && !slice_is(interface, WIRE_SERVICE))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (slice_is(name, rows[i].name))
                        return &rows[i];
        }
        return NULL;
}

/* The lists that some errors have, a line each. */
static void print_list(Slice parameters, const char *key)
{
        Slice list = json_member(parameters, key), element;

        if (list.size == 0 || json_type_of(list) != JSON_ARRAY)
                return;
        JSON_FOREACH_ELEMENT (element, list) {
                _cleanup_free_ char *text = value_text(element);

                (void)fprintf(stderr, "  %s\n", text ?: "");
        }
}

ExitCode client_report_error(const WireReply *reply)
{
        Slice parameters = reply->parameters.size > 0 ? reply->parameters : SLICE_LITERAL("{}");
        const ErrorRow *row = find_row(reply->error);
        _cleanup_free_ char *text = NULL, *suggestion = NULL;

        if (!row)
                return ctl_fail(EXIT_REFUSED, "%.*s %.*s", (int)reply->error.size,
                                reply->error.data, (int)parameters.size, parameters.data);
        if (row->key)
                text = member_text(parameters, row->key);
        suggestion = member_text(parameters, "suggestion");
        (void)ctl_fail(row->code, "%s%s%s%s%s%s", row->before, text ?: "", row->after,
                       suggestion ? "; did you mean " : "", suggestion ?: "",
                       suggestion ? "?" : "");
        print_list(parameters, "diagnostics");
        print_list(parameters, "pending");
        return row->code;
}
