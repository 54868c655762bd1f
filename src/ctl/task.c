/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl task show. */

#include <stdio.h>
#include "ctl/details.h"
#include "ctl/reply.h"
#include "ctl/table.h"
#include "ctl/verbs.h"

static void print_logs(Slice task)
{
        Slice line, lines = member_array(task, "logs");

        JSON_FOREACH_ELEMENT (line, lines) {
                bool plain = json_type_of(line) == JSON_STRING;
                _cleanup_free_ char *text = plain ? value_text(line) : member_text(line, "log");

                (void)printf("%*s: %s\n", LABEL_WIDTH, "Log", text ?: "");
        }
}

static void print_history(Slice task)
{
        Slice attempt, attempts = member_array(task, "history");

        JSON_FOREACH_ELEMENT (attempt, attempts) {
                _cleanup_free_ char *status = member_text(attempt, "status");
                _cleanup_free_ char *reason = member_text(attempt, "reason");
                _cleanup_free_ char *worker = member_text(attempt, "worker");
                _cleanup_free_ char *ended = member_ago(attempt, "endTime");
                int64_t msec =
                        member_integer(attempt, "endTime") - member_integer(attempt, "startTime");
                _cleanup_free_ char *span = span_text((usec_t)MAX(msec, 0) * USEC_PER_MSEC);

                (void)printf("%*s: attempt %lld %s on %s after %s, %s%s%s\n", LABEL_WIDTH, "Before",
                             (long long)member_integer(attempt, "attempt"), status ?: "-",
                             worker ?: "-", span ?: "-", ended ?: "-", reason ? ": " : "",
                             reason ?: "");
        }
}

static void print_attempts(Slice task)
{
        (void)printf("%*s: %lld used", LABEL_WIDTH, "Attempts",
                     (long long)member_integer(task, "attempts"));
        if (member_is_set(task, "attemptsMax"))
                (void)printf(" of %lld", (long long)member_integer(task, "attemptsMax"));
        (void)printf(", handed out %lld times\n", (long long)member_integer(task, "pollCount"));
}

static void print_task(const Ctl *ctl, Slice task)
{
        _cleanup_free_ char *id = member_text(task, "taskId");
        _cleanup_free_ char *status = member_text(task, "status");
        Mood mood = mood_of(status);

        (void)printf("%s%s%s task %s\n", mood_begin(ctl, mood), ctl->unicode ? "●" : "*",
                     mood_end(ctl, mood), id ?: "");
        print_line("Type", member_text(task, "taskType"));
        (void)printf("%*s: %s%s%s\n", LABEL_WIDTH, "Status", mood_begin(ctl, mood), status ?: "-",
                     mood_end(ctl, mood));
        print_line("Reason", member_text(task, "reason"));
        print_line("Source", member_text(task, "source"));
        print_line("Priority", member_count(task, "priority"));
        print_line("Unique", member_text(task, "uniqueKey"));
        print_attempts(task);
        print_line("Submitted", member_time(task, "scheduledTime"));
        print_line("Not before", member_time(task, "runTime"));
        print_line("Started", member_time(task, "startTime"));
        print_line("Ended", member_time(task, "endTime"));
        print_line("Deadline", member_time(task, "deadlineTime"));
        print_line("Worker", member_text(task, "worker"));
        print_line("Progress", member_progress(task, "progress"));
        print_line("Input", member_json(task, "inputData"));
        print_line("Output", member_json(task, "output"));
        print_logs(task);
        print_history(task);
}

ExitCode verb_task_show(Ctl *ctl, const Arguments *arguments)
{
        return show_each(ctl, arguments, "GetTask", "taskId", "task", print_task);
}
