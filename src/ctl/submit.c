/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl submit of one task. */

#include <stdio.h>
#include "base/parse.h"
#include "ctl/filter.h"
#include "ctl/reply.h"
#include "ctl/submit.h"
#include "ctl/verbs.h"

const Option submit_options[] = {
        [SUBMIT_WAIT] = { "wait", NULL, "wait for the end and print the output" },
        [SUBMIT_TIMEOUT] = { "timeout", "SPAN", "wait for at most that long" },
        [SUBMIT_PRIORITY] = { "priority", "N", "-100 to 100; higher goes first" },
        [SUBMIT_DELAY] = { "delay", "SPAN", "not before this has passed" },
        [SUBMIT_RUN_AT] = { "run-at", "TIME", "not before then" },
        [SUBMIT_UNIQUE] = { "unique", "KEY",
                            "at most one unfinished task of the type has the key" },
        [SUBMIT_CONFLICT] = { "conflict", "POLICY",
                              "if one has: error, return_existing or replace" },
        [SUBMIT_ATTEMPTS] = { "attempts", "N", "executions allowed" },
        [SUBMIT_DEADLINE] = { "deadline", "WHEN", "TIMED_OUT when not finished by then" },
        [SUBMIT_SOURCE] = { "source", "SOURCE", "into this queue" },
        [SUBMIT_FORCE] = { "force", NULL, "although no pool serves the type" },
        [SUBMIT_FROM] = { "from", "FILE",
                          "a task on each line: {\"type\", \"input\", …}; - is stdin" },
        [SUBMIT_IDS] = { "ids", NULL, "with --from: print the id of each task" },
        [_SUBMIT_MAX] = {},
};

static ExitCode add_integer(Object *task, const char *key, const char *option, const char *text)
{
        int64_t number;
        Slice value;

        if (!text)
                return EXIT_DONE;
        value = slice_from_string(text);
        if (json_check(value, NULL) < 0 || json_to_int64(value, &number) < 0)
                return ctl_fail(EXIT_USAGE, "--%s %s is no whole number", option, text);
        object_integer(task, key, number);
        return EXIT_DONE;
}

static ExitCode add_when(Object *task, const char *key, const char *option, const char *text)
{
        int64_t epoch_msec;
        ExitCode code;

        if (!text)
                return EXIT_DONE;
        code = parse_when(option, text, false, &epoch_msec);
        if (code == EXIT_DONE)
                object_integer(task, key, epoch_msec);
        return code;
}

static ExitCode add_delay(Object *task, const char *text)
{
        usec_t usec;

        if (!text)
                return EXIT_DONE;
        if (parse_duration(text, &usec) < 0 || usec == USEC_INFINITY)
                return ctl_fail(EXIT_USAGE, "--delay %s is no span (500ms, 10s, 2h)", text);
        object_integer(task, "delayMsec", (int64_t)(usec / USEC_PER_MSEC));
        return EXIT_DONE;
}

static ExitCode read_file(FILE *file, const char *name, Buffer *ret)
{
        char *to;
        size_t n;

        do {
                if (buffer_reserve(ret, 4096, &to) < 0)
                        return ctl_fail(EXIT_REFUSED, "%s is longer than %zu bytes", name,
                                        WIRE_MESSAGE_MAX);
                n = fread(to, 1, 4096, file);
                buffer_commit(ret, n);
        } while (n > 0);
        if (ferror(file))
                return ctl_fail(EXIT_REFUSED, "cannot read %s: %s", name, strerror(errno));
        return EXIT_DONE;
}

ExitCode read_json_argument(const char *word, Buffer *ret)
{
        ExitCode code;
        FILE *file;

        if (streq(word, "-"))
                return read_file(stdin, "stdin", ret);
        if (word[0] != '@')
                return buffer_append_string(ret, word) < 0 ? ctl_out_of_memory() : EXIT_DONE;
        file = fopen(word + 1, "re");
        if (!file)
                return ctl_fail(EXIT_REFUSED, "cannot open %s: %s", word + 1, strerror(errno));
        code = read_file(file, word + 1, ret);
        (void)fclose(file);
        return code;
}

ExitCode check_object(const char *what, Slice text)
{
        JsonError error;

        if (json_check(text, &error) < 0)
                return ctl_fail(EXIT_USAGE, "%s is no JSON: at byte %zu: %s", what, error.offset,
                                error.message);
        if (json_type_of(text) != JSON_OBJECT)
                return ctl_fail(EXIT_USAGE, "%s is a JSON object, not %s", what,
                                json_type_to_string(json_type_of(text)));
        return EXIT_DONE;
}

static ExitCode add_input(Object *task, const char *word)
{
        Buffer text = BUFFER_NULL(WIRE_MESSAGE_MAX);
        ExitCode code;

        code = read_json_argument(word, &text);
        if (code == EXIT_DONE)
                code = check_object("the input", buffer_slice(&text));
        if (code == EXIT_DONE)
                object_raw(task, "input", buffer_slice(&text));
        buffer_deinit(&text);
        return code;
}

static ExitCode add_options(Object *task, const char *const *options)
{
        ExitCode code;

        code = add_integer(task, "priority", "priority", options[SUBMIT_PRIORITY]);
        if (code == EXIT_DONE)
                code = add_delay(task, options[SUBMIT_DELAY]);
        if (code == EXIT_DONE)
                code = add_when(task, "runTime", "--run-at", options[SUBMIT_RUN_AT]);
        if (code == EXIT_DONE)
                code = add_integer(task, "attempts", "attempts", options[SUBMIT_ATTEMPTS]);
        if (code == EXIT_DONE)
                code = add_when(task, "deadlineTime", "--deadline", options[SUBMIT_DEADLINE]);
        object_string(task, "unique", options[SUBMIT_UNIQUE]);
        object_string(task, "conflict", options[SUBMIT_CONFLICT]);
        object_string(task, "source", options[SUBMIT_SOURCE]);
        return code;
}

static ExitCode submit(Ctl *ctl, const Arguments *arguments, char **ret_id)
{
        ExitCode code = EXIT_DONE;
        Object params, task;
        Slice reply;

        object_init(&params);
        object_init(&task);
        object_string(&task, "type", arguments->words[0]);
        if (arguments->n_words > 1)
                code = add_input(&task, arguments->words[1]);
        if (code == EXIT_DONE)
                code = add_options(&task, arguments->options);
        object_object(&params, "task", &task);
        if (arguments->options[SUBMIT_FORCE])
                object_true(&params, "force");
        if (code != EXIT_DONE) {
                object_deinit(&params);
                return code;
        }
        code = ctl_call(ctl, "Submit", &params, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                (void)ctl_print_json(reply);
        *ret_id = member_text(reply, "taskId");
        return *ret_id ? EXIT_DONE : ctl_fail(EXIT_REFUSED, "the daemon gave no task id");
}

static ExitCode on_nothing(Ctl *ctl, Slice reply, void *userdata)
{
        return EXIT_DONE;
}

/* The end of the task, and what came out. */
static ExitCode wait_for_output(Ctl *ctl, const char *id, const char *timeout)
{
        _cleanup_free_ char *status = NULL, *reason = NULL;
        Object params;
        ExitCode code;
        Slice reply, task;

        code = wait_parameters(&params, (char *const *)&id, 1, timeout);
        if (code == EXIT_DONE)
                code = ctl_call_more(ctl, "WaitTasks", &params, false, on_nothing, NULL);
        if (code != EXIT_DONE)
                return code;
        object_init(&params);
        object_string(&params, "taskId", id);
        code = ctl_call(ctl, "GetTask", &params, &reply);
        if (code != EXIT_DONE)
                return code;
        task = member_object(reply, "task");
        status = member_text(task, "status");
        if (ctl->json)
                (void)ctl_print_json(reply);
        else if (member_is_set(task, "output"))
                (void)ctl_print_json(member_object(task, "output"));
        if (status && streq(status, "COMPLETED"))
                return EXIT_DONE;
        reason = member_text(task, "reason");
        return ctl_fail(EXIT_NOT_COMPLETED, "task %s is %s%s%s", id, status ?: "unknown",
                        reason ? ": " : "", reason ?: "");
}

ExitCode verb_submit(Ctl *ctl, const Arguments *arguments)
{
        _cleanup_free_ char *id = NULL;
        ExitCode code;

        if (arguments->options[SUBMIT_FROM])
                return submit_file(ctl, arguments);
        if (arguments->n_words == 0)
                return ctl_fail(EXIT_USAGE, "submit what? A task's TYPE, or --from FILE");
        code = submit(ctl, arguments, &id);
        if (code != EXIT_DONE)
                return code;
        if (arguments->options[SUBMIT_WAIT])
                return wait_for_output(ctl, id, arguments->options[SUBMIT_TIMEOUT]);
        if (!ctl->json)
                (void)printf("%s\n", id);
        return EXIT_DONE;
}
