/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl source check: what a server says of itself and of the pools' task types. */

#include <stdio.h>
#include "ctl/reply.h"
#include "ctl/table.h"
#include "ctl/verbs.h"

static Mood mood_of_level(const char *level)
{
        if (!level || streq(level, "ok"))
                return MOOD_GOOD;
        return streq(level, "warning") ? MOOD_WARNING : MOOD_BAD;
}

static void print_finding(const Ctl *ctl, Slice finding)
{
        _cleanup_free_ char *level = member_text(finding, "level");
        _cleanup_free_ char *subject = member_text(finding, "subject");
        _cleanup_free_ char *pool = member_text(finding, "pool");
        _cleanup_free_ char *message = member_text(finding, "message");
        _cleanup_free_ char *remedy = member_text(finding, "remedy");
        Mood mood = mood_of_level(level);

        (void)printf("%s%-7s%s %s%s%s%s: %s\n", mood_begin(ctl, mood), level ?: "-",
                     mood_end(ctl, mood), subject ?: "-", pool ? " (pool " : "", pool ?: "",
                     pool ? ")" : "", message ?: "");
        if (remedy)
                (void)printf("        %s %s\n", ctl->unicode ? "→" : "->", remedy);
}

ExitCode verb_source_check(Ctl *ctl, const Arguments *arguments)
{
        Slice reply, findings, finding;
        unsigned n_errors = 0;
        ExitCode code;
        Object params;

        object_init(&params);
        object_string(&params, "source", arguments->words[0]);
        code = ctl_call(ctl, "CheckSource", &params, &reply);
        if (code != EXIT_DONE)
                return code;
        findings = member_array(reply, "findings");
        if (ctl->json)
                (void)ctl_print_json(reply);
        JSON_FOREACH_ELEMENT (finding, findings) {
                _cleanup_free_ char *level = member_text(finding, "level");

                n_errors += level && streq(level, "error");
                if (!ctl->json)
                        print_finding(ctl, finding);
        }
        if (n_errors > 0)
                return ctl_fail(EXIT_REFUSED, "source %s: %u of its findings %s",
                                arguments->words[0], n_errors,
                                n_errors == 1 ? "is an error" : "are errors");
        return EXIT_DONE;
}
