/* SPDX-License-Identifier: Apache-2.0 */

/* The handler that test_runner.py asks things of. Its config says what goes wrong early on ("init"
 * or "thread_init": "fail" | "crash" | "positive"), its input what to "do". Says on stderr when its
 * life ends. */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yardmaster-handler.h>

static struct {
        const struct yardmaster_host *host;
        const char *fail_thread_init;
        pthread_mutex_t lock;
        pthread_cond_t cancel;
        char cancelled[64]; /* id */
        pthread_barrier_t meeting;
} probe = { .lock = PTHREAD_MUTEX_INITIALIZER, .cancel = PTHREAD_COND_INITIALIZER };

static int misbehave(const char *how)
{
        if (!how)
                return 0;
        if (strcmp(how, "crash") == 0)
                abort();
        if (strcmp(how, "positive") == 0)
                return 3;
        probe.host->error("asked to fail");
        return -EIO;
}

static int probe_init(const struct yardmaster_host *host, const char *config_json, void **ret_state)
{
        int64_t n = 2;

        probe.host = host;
        probe.fail_thread_init = host->config_string("thread_init");
        if (host->config_int64("meeting", &n) == -EINVAL)
                return -EINVAL;
        (void)pthread_barrier_init(&probe.meeting, NULL, (unsigned)n);
        *ret_state = &probe;
        return misbehave(host->config_string("init"));
}

static int probe_thread_init(void *state, void **ret_thread)
{
        int r = state == &probe ? misbehave(probe.fail_thread_init) : -EINVAL;

        if (r < 0)
                return r;
        *ret_thread = calloc(1, sizeof(int64_t));
        return *ret_thread ? 0 : -ENOMEM;
}

static void probe_cancel(void *state, const char *task_id)
{
        (void)pthread_mutex_lock(&probe.lock);
        (void)snprintf(probe.cancelled, sizeof(probe.cancelled), "%s", task_id);
        (void)pthread_cond_broadcast(&probe.cancel);
        (void)pthread_mutex_unlock(&probe.lock);
}

static int wait_for_cancel(const struct yardmaster_task *task, struct yardmaster_result *result)
{
        if (probe.host->cancelled(task))
                return -EINVAL;
        (void)probe.host->log(task, "waiting");
        (void)pthread_mutex_lock(&probe.lock);
        while (strcmp(probe.cancelled, task->id) != 0)
                (void)pthread_cond_wait(&probe.cancel, &probe.lock);
        (void)pthread_mutex_unlock(&probe.lock);
        return probe.host->add_int64(result, "cancelled", probe.host->cancelled(task));
}

static int tell(const struct yardmaster_task *task, struct yardmaster_result *result)
{
        const char *variable = getenv("YARDMASTER_HANDLER_CONFIG");
        int r;

        r = task->host->add_string(result, "id", task->id);
        if (r >= 0)
                r = task->host->add_string(result, "type", task->type);
        if (r >= 0)
                r = task->host->add_string(result, "input", task->input);
        if (r >= 0)
                r = task->host->add_int64(result, "deadline", task->deadline_msec);
        if (r >= 0)
                r = task->host->add_int64(result, "retryCount", task->retry_count);
        if (r >= 0)
                r = task->host->add_string(result, "variable", variable ? variable : "");
        return r < 0 ? r : task->host->add_int64(result, "pid", getpid());
}

static int answer(const struct yardmaster_task *task, struct yardmaster_result *result)
{
        const struct yardmaster_host *host = task->host;
        const char *output = host->input_string(task, "output");
        const char *reason = host->input_string(task, "reason");
        const char *error = host->input_string(task, "error");
        int64_t number;

        if (output && host->set_output(result, output, strlen(output)) == 0 &&
            host->input_string(task, "expect-refusal"))
                return -ENOTRECOVERABLE;
        if (reason)
                (void)host->set_reason(result, reason);
        if (error)
                host->error(error);
        if (host->input_int64(task, "status", &number) == 0)
                (void)host->set_status(result, (enum yardmaster_status)number);
        if (host->input_int64(task, "callback_after", &number) == 0)
                (void)host->set_callback_after(result, number);
        if (host->input_int64(task, "retry_after", &number) == 0)
                (void)host->set_retry_after(result, number);
        return host->input_int64(task, "return", &number) == 0 ? (int)number : 0;
}

static int report(const struct yardmaster_task *task)
{
        const struct yardmaster_host *host = task->host;

        if (host->progress(task, 50, "half", "of \"it\"", "{\n\"n\": 1}") < 0 ||
            host->progress(task, -1, NULL, "only this", NULL) < 0 ||
            host->progress(task, 250, NULL, NULL, NULL) < 0)
                return -EIO;
        if (host->progress(task, 1, NULL, NULL, "[1]") != -EBADMSG)
                return -EINVAL;
        if (host->log(task, "") != 0 || host->log(task, NULL) != -EINVAL)
                return -EINVAL;
        return host->log(task, "a line\nand another");
}

static int fill(const struct yardmaster_task *task, struct yardmaster_result *result)
{
        int64_t size = 0;
        char *text;
        int r;

        (void)task->host->input_int64(task, "size", &size);
        text = malloc((size_t)size + 1);
        if (!text)
                return -ENOMEM;
        memset(text, 'x', (size_t)size);
        text[size] = '\0';
        r = task->host->add_string(result, "text", text);
        free(text);
        return r;
}

static int count(void *thread, const struct yardmaster_task *task, struct yardmaster_result *result)
{
        int64_t *n = thread;

        return task->host->add_int64(result, "n", ++*n);
}

static int beat(const struct yardmaster_task *task)
{
        for (int i = 0; i < 1000; i++)
                task->host->heartbeat(task);
        return 0;
}

static int probe_execute(void *thread, const struct yardmaster_task *task,
                         struct yardmaster_result *result)
{
        const char *what = task->host->input_string(task, "do");

        if (!what || strcmp(what, "tell") == 0)
                return tell(task, result);
        if (strcmp(what, "answer") == 0)
                return answer(task, result);
        if (strcmp(what, "report") == 0)
                return report(task);
        if (strcmp(what, "wait-for-cancel") == 0)
                return wait_for_cancel(task, result);
        if (strcmp(what, "meet") == 0) {
                (void)pthread_barrier_wait(&probe.meeting);
                return 0;
        }
        if (strcmp(what, "count") == 0)
                return count(thread, task, result);
        if (strcmp(what, "fill") == 0)
                return fill(task, result);
        if (strcmp(what, "heartbeat") == 0)
                return beat(task);
        if (strcmp(what, "leave-child") == 0)
                return system("sleep 1000 >/dev/null 2>&1 </dev/null & echo $! >&2");
        if (strcmp(what, "crash") == 0)
                abort();
        return -ENOSYS;
}

static void probe_thread_deinit(void *thread)
{
        free(thread);
        fputs("thread_deinit\n", stderr);
}

static void probe_deinit(void *state)
{
        fputs("deinit\n", stderr);
}

static struct yardmaster_handler handler = {
        .name = "probe",
        .version = "1.2",
        .description = "does what its input says",
        .init = probe_init,
        .thread_init = probe_thread_init,
        .execute = probe_execute,
        .cancel = probe_cancel,
        .thread_deinit = probe_thread_deinit,
        .deinit = probe_deinit,
};
YARDMASTER_HANDLER(handler)
