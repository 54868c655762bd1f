/* SPDX-License-Identifier: Apache-2.0 */

/* The deeds of misbehave.py as a library. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "handler/yardmaster-handler.h"

#define OUTPUT_MAX 16384

static void wait_for_ever(void)
{
        for (;;)
                pause();
}

/* {"echo": the raw text of the input's last member "value", "pid": …} */
static int set_echo(const struct yardmaster_task *task, struct yardmaster_result *result)
{
        const char *value = strstr(task->input, "\"value\":");
        size_t size = task->input_size + 64;
        char *output = malloc(size);
        int n, r;

        if (!output)
                return -ENOMEM;
        /* The harness writes "value" last, so the input's closing brace ends it. */
        if (value)
                n = snprintf(output, size, "{\"pid\":%d,\"echo\":%s", (int)getpid(),
                             value + strlen("\"value\":"));
        else
                n = snprintf(output, size, "{\"pid\":%d}", (int)getpid());
        r = task->host->set_output(result, output, (size_t)n);
        free(output);
        return r;
}

static int fail(const struct yardmaster_task *task, struct yardmaster_result *result,
                enum yardmaster_status status, const char *reason, const char *output)
{
        (void)task->host->set_status(result, status);
        (void)task->host->set_reason(result, reason);
        return output ? task->host->set_output(result, output, strlen(output)) : 0;
}

static int set_huge(const struct yardmaster_task *task, struct yardmaster_result *result)
{
        int64_t size = 0;
        char *text;
        int r;

        (void)task->host->input_int64(task, "size", &size);
        text = malloc((size_t)size + 1);
        if (!text)
                return -ENOMEM;
        memset(text, 'y', (size_t)size);
        text[size] = '\0';
        r = task->host->add_string(result, "data", text);
        free(text);
        return r;
}

static int set_grandchild(const struct yardmaster_task *task, struct yardmaster_result *result)
{
        pid_t pid = fork();

        if (pid == 0) {
                execlp("sleep", "sleep", "1000", (char *)NULL);
                _exit(127);
        }
        (void)task->host->add_int64(result, "pid", getpid());
        return task->host->add_int64(result, "grandchild", pid);
}

static int exit_now(const struct yardmaster_task *task)
{
        int64_t code = 3;

        (void)task->host->input_int64(task, "code", &code);
        fputs("the disk is on fire\n", stderr);
        _exit((int)code);
}

/* What never returns, or prints. */
static int do_harm(const struct yardmaster_task *task, const char *what)
{
        if (strcmp(what, "crash") == 0) {
                (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer would make SIGABRT of it */
                (void)raise(SIGSEGV);
        } else if (strcmp(what, "exit") == 0)
                return exit_now(task);
        else if (strcmp(what, "hang") == 0)
                wait_for_ever();
        else if (strcmp(what, "hang-hard") == 0) {
                (void)signal(SIGTERM, SIG_IGN);
                wait_for_ever();
        } else if (strcmp(what, "garbage") == 0) {
                puts("this is no JSON\n\x01\x02\n[1,2]");
                fflush(stdout);
        } else if (strcmp(what, "flood") == 0) {
                for (int i = 0; i < 20000; i++)
                        puts("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                             "xxx");
                fflush(stdout);
        } else if (strcmp(what, "stderr") == 0)
                fprintf(stderr, "%s\n", task->host->input_string(task, "text"));
        return 0;
}

static int execute(void *thread, const struct yardmaster_task *task,
                   struct yardmaster_result *result)
{
        const struct yardmaster_host *host = task->host;
        const char *what = host->input_string(task, "do");

        (void)thread;
        if (!what)
                what = "echo";
        if (strcmp(what, "fail") == 0)
                return fail(task, result, YARDMASTER_FAILED, "asked to fail", "{\"partial\":1}");
        if (strcmp(what, "conductor-names") == 0)
                return fail(task, result, YARDMASTER_FAILED, "long name", "{\"a\":1}");
        if (strcmp(what, "terminal") == 0)
                return fail(task, result, YARDMASTER_FAILED_WITH_TERMINAL_ERROR,
                            "no use trying again", NULL);
        if (strcmp(what, "once") == 0 && task->retry_count == 0)
                return fail(task, result, YARDMASTER_FAILED, "the first time", NULL);
        if (strcmp(what, "later") == 0 && strstr(task->json, "\"pollCount\":1,")) {
                (void)host->set_callback_after(result, 50);
                return host->set_status(result, YARDMASTER_IN_PROGRESS);
        }
        if (strcmp(what, "logs") == 0) {
                (void)host->log(task, "one");
                (void)host->log(task, "");
                (void)host->log(task, "two");
        }
        if (strcmp(what, "huge") == 0)
                return set_huge(task, result);
        if (strcmp(what, "grandchild") == 0)
                return set_grandchild(task, result);
        if (do_harm(task, what) < 0)
                return -EIO;
        return set_echo(task, result);
}

static struct yardmaster_handler handler = {
        .name = "misbehave",
        .version = "1",
        .description = "does what its input says",
        .execute = execute,
};
YARDMASTER_HANDLER(handler)
