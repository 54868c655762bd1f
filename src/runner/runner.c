/* SPDX-License-Identifier: Apache-2.0 */

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include "runner/host.h"
#include "runner/result.h"
#include "runner/runner.h"
#include "task/task.h"
#include "worker/protocol.h"

/* Exit status when the process cannot go on: no memory, or nobody reads its answers. */
#define EXIT_BROKEN 74 /* EX_IOERR */

struct RunnerThread {
        Runner *runner;
        pthread_t id;
        QueueSlot *slot;
        void *handler_thread; /* from thread_init, or the state */
        Result result;
        Buffer line;
};

struct Runner {
        const struct yardmaster_handler *handler;
        bool initialized; /* init succeeded: deinit is owed */
        void *state;      /* from init */
        usec_t task_timeout_usec;
        int input_fd;
        int ended_fd; /* eventfd: the last thread has ended */
        bool draining;
        Frame frame;
        Output output;
        Queue queue;
        RunnerThread *threads;
        unsigned n_threads; /* started */

        /* what threads report while they start and end */
        pthread_mutex_t lock;
        pthread_cond_t reported;
        unsigned n_reported;
        unsigned n_running;
        int thread_error;
        char thread_error_text[RESULT_ERROR_MAX];
};

/* Threads are at work and cannot be asked: no exit handlers, no deinit. */
static _Noreturn void give_up(const char *what, int error)
{
        fprintf(stderr, "yardmaster-runner: %s: %s\n", what, strerror(-error));
        _exit(EXIT_BROKEN);
}

static void answer(Runner *runner, Result *result, Slice id_json, Buffer *line)
{
        int r;

        buffer_clear(line);
        r = result_append_message(result, id_json, line);
        if (r == -ENOBUFS) {
                result_reset(result);
                (void)result_set_status(result, YARDMASTER_FAILED);
                (void)result_set_reason(result, "the result is longer than 16 MiB");
                r = result_append_message(result, id_json, line);
        }
        if (r < 0)
                give_up("cannot make an answer", r);
        r = output_write(&runner->output, buffer_slice(line));
        if (r < 0)
                give_up("cannot write an answer", r);
}

/* One that never reaches the handler. */
static void answer_unstarted(Runner *runner, const Job *job, enum yardmaster_status status,
                             const char *reason)
{
        Buffer line = BUFFER_NULL(TASK_LINE_MAX);
        Result result;

        result_init(&result);
        (void)result_set_status(&result, status);
        (void)result_set_reason(&result, reason);
        if (status == YARDMASTER_IN_PROGRESS)
                (void)result_set_callback_after(&result, 0);
        answer(runner, &result, job->id_json, &line);
        result_deinit(&result);
        buffer_deinit(&line);
}

static void thread_execute(RunnerThread *thread, Job *job)
{
        Runner *runner = thread->runner;
        int value, r;

        result_reset(&thread->result);
        host_clear_error();
        value = runner->handler->execute(thread->handler_thread, &job->task, &thread->result);
        queue_finish(&runner->queue, thread->slot);

        r = result_conclude(&thread->result, value, host_error());
        if (r < 0)
                give_up("cannot make an answer", r);
        answer(runner, &thread->result, job->id_json, &thread->line);
        buffer_clear(&thread->line);
        buffer_trim(&thread->line, FRAME_RESERVE_MAX);
}

static int thread_init(RunnerThread *thread)
{
        const struct yardmaster_handler *handler = thread->runner->handler;

        thread->handler_thread = thread->runner->state;
        host_clear_error();
        return handler->thread_init
                       ? handler->thread_init(thread->runner->state, &thread->handler_thread)
                       : 0;
}

static void thread_report_start(Runner *runner, int value)
{
        (void)pthread_mutex_lock(&runner->lock);
        runner->n_reported++;
        if (value == 0) {
                runner->n_running++;
        } else if (runner->thread_error == 0) {
                runner->thread_error = value;
                (void)snprintf(runner->thread_error_text, sizeof(runner->thread_error_text), "%s",
                               host_error());
        }
        (void)pthread_cond_signal(&runner->reported);
        (void)pthread_mutex_unlock(&runner->lock);
}

static void thread_report_end(Runner *runner)
{
        (void)pthread_mutex_lock(&runner->lock);
        if (--runner->n_running == 0)
                (void)eventfd_write(runner->ended_fd, 1);
        (void)pthread_mutex_unlock(&runner->lock);
}

static void *thread_main(void *userdata)
{
        RunnerThread *thread = userdata;
        Runner *runner = thread->runner;
        Job *job;
        int value;

        value = thread_init(thread);
        thread_report_start(runner, value);
        if (value != 0)
                return NULL;
        while ((job = queue_take(&runner->queue, thread->slot))) {
                thread_execute(thread, job);
                (void)job_free(job);
        }
        if (runner->handler->thread_deinit)
                runner->handler->thread_deinit(thread->handler_thread);
        thread_report_end(runner);
        return NULL;
}

static void on_cancel(const Job *job, void *userdata)
{
        Runner *runner = userdata;

        if (runner->handler->cancel)
                runner->handler->cancel(runner->state, job->task.id);
}

static void cancel(Runner *runner, Slice id)
{
        _cleanup_(job_freep) Job *waiting = NULL;

        waiting = queue_cancel(&runner->queue, id, on_cancel, runner);
        if (waiting)
                answer_unstarted(runner, waiting, YARDMASTER_FAILED, "cancelled before it started");
}

static void drain(Runner *runner)
{
        if (!runner->draining)
                queue_close(&runner->queue);
        runner->draining = true;
}

static int add_job(Runner *runner, Slice task, ListLink *batch)
{
        _cleanup_(job_freep) Job *job = NULL;
        int64_t deadline_msec = 0;
        int r;

        if (runner->task_timeout_usec > 0)
                deadline_msec =
                        clock_epoch_msec() + (int64_t)(runner->task_timeout_usec / USEC_PER_MSEC);
        r = job_new(&job, task, host_get(), &runner->output, deadline_msec);
        if (r < 0)
                return r;
        if (job->id_json.size == 0)
                answer_unstarted(runner, job, YARDMASTER_FAILED, "the task has no taskId");
        else if (runner->draining)
                answer_unstarted(runner, job, YARDMASTER_IN_PROGRESS, "the worker is draining");
        else
                list_append(batch, &TAKE_PTR(job)->link);
        return 0;
}

/* Tasks only gather in batch: they are handed over together, before any other message. */
static int handle_message(Runner *runner, Slice line, ListLink *batch)
{
        Message message;
        JsonError error;

        if (message_parse(line, &message, &error) != MESSAGE_OK) {
                fprintf(stderr, "yardmaster-runner: ignored a message: %s at byte %zu\n",
                        error.message ?: "no JSON object", error.offset);
                return 0;
        }
        if (message.type == MESSAGE_TASK)
                return add_job(runner, message.task, batch);

        queue_post(&runner->queue, batch);
        if (message.type == MESSAGE_CANCEL)
                cancel(runner, message.task_id);
        else if (message.type == MESSAGE_DRAIN)
                drain(runner);
        return 0;
}

static int handle_frames(Runner *runner)
{
        ListLink batch = LIST_INIT(batch);
        FrameResult result;
        Slice line;
        int r = 0;

        while (r >= 0 && (result = frame_next(&runner->frame, &line)) != FRAME_NONE) {
                if (result == FRAME_OVERSIZED)
                        fprintf(stderr,
                                "yardmaster-runner: ignored a message longer than %zu bytes\n",
                                TASK_LINE_MAX);
                else if (line.size > 0)
                        r = handle_message(runner, line, &batch);
        }
        queue_post(&runner->queue, &batch);
        return r;
}

/* 0: there is something to read; 1: all threads have ended. Only a drain ends them before the end
 * of the input, so until then a read is enough. */
static int wait_for_input(Runner *runner)
{
        struct pollfd fds[] = { { .fd = runner->input_fd, .events = POLLIN },
                                { .fd = runner->ended_fd, .events = POLLIN } };

        while (poll(fds, ELEMENTSOF(fds), -1) < 0) {
                if (errno != EINTR)
                        return -errno;
        }
        return fds[1].revents ? 1 : 0;
}

int runner_serve(Runner *runner)
{
        char *data;
        int r;

        for (;;) {
                if (runner->draining) {
                        r = wait_for_input(runner);
                        if (r != 0)
                                return MIN(r, 0);
                }
                r = frame_reserve(&runner->frame, FRAME_RESERVE_MAX, &data);
                if (r < 0)
                        return r;

                ssize_t n = read(runner->input_fd, data, FRAME_RESERVE_MAX);
                if (n == 0)
                        return 0;
                if (n > 0) {
                        frame_commit(&runner->frame, (size_t)n);
                        r = handle_frames(runner);
                } else if (errno == EAGAIN) {
                        r = wait_for_input(runner);
                } else {
                        r = errno == EINTR ? 0 : -errno;
                }
                if (r != 0)
                        return MIN(r, 0);
        }
}

Runner *runner_stop(Runner *runner)
{
        if (!runner)
                return NULL;
        queue_close(&runner->queue);
        for (unsigned i = 0; i < runner->n_threads; i++) {
                (void)pthread_join(runner->threads[i].id, NULL);
                result_deinit(&runner->threads[i].result);
                buffer_deinit(&runner->threads[i].line);
        }
        if (runner->initialized && runner->handler->deinit)
                runner->handler->deinit(runner->state);
        free(runner->threads);
        queue_deinit(&runner->queue);
        output_deinit(&runner->output);
        frame_deinit(&runner->frame);
        host_deinit();
        (void)pthread_cond_destroy(&runner->reported);
        (void)pthread_mutex_destroy(&runner->lock);
        (void)close_fd(runner->ended_fd);
        (void)close_fd(runner->input_fd);
        free(runner);
        return NULL;
}
DEFINE_CLEANUP(Runner *, runner_stop);

static int new_locks(Runner *runner, unsigned n_threads, int output_fd)
{
        int r;

        r = pthread_mutex_init(&runner->lock, NULL);
        if (r != 0)
                return -r;
        r = -pthread_cond_init(&runner->reported, NULL);
        if (r < 0)
                goto fail_condition;
        r = queue_init(&runner->queue, n_threads);
        if (r < 0)
                goto fail_queue;
        r = output_init(&runner->output, output_fd);
        if (r >= 0)
                return 0;

        queue_deinit(&runner->queue);
fail_queue:
        (void)pthread_cond_destroy(&runner->reported);
fail_condition:
        (void)pthread_mutex_destroy(&runner->lock);
        return r;
}

/* Without the handler and its threads. */
static int runner_new(Runner **ret, const RunnerOptions *options)
{
        _cleanup_close_ int input_fd = options->input_fd, output_fd = options->output_fd;
        _cleanup_close_ int ended_fd = -EBADF;
        _cleanup_free_ RunnerThread *threads = NULL;
        _cleanup_free_ Runner *runner = NULL;
        int r;

        runner = calloc(1, sizeof(*runner));
        threads = calloc(options->n_threads, sizeof(*threads));
        if (!runner || !threads)
                return -ENOMEM;
        ended_fd = eventfd(0, EFD_CLOEXEC);
        if (ended_fd < 0)
                return -errno;
        r = new_locks(runner, options->n_threads, output_fd);
        if (r < 0)
                return r;
        TAKE_FD(output_fd);
        runner->handler = options->handler;
        runner->task_timeout_usec = options->task_timeout_usec;
        runner->input_fd = TAKE_FD(input_fd);
        runner->ended_fd = TAKE_FD(ended_fd);
        runner->threads = TAKE_PTR(threads);
        frame_init(&runner->frame, '\n', TASK_LINE_MAX);
        host_init(options->config_json, options->watchdog_usec);
        *ret = TAKE_PTR(runner);
        return 0;
}

static int handler_failed(const char *call, int value, const char *text, char **ret_message,
                          int *ret_handler_error)
{
        int n;

        if (value > 0)
                n = asprintf(ret_message,
                             "%s returned %d instead of 0 or a negative errno value%s%s", call,
                             value, *text ? ": " : "", text);
        else
                n = asprintf(ret_message, "%s failed: %s%s%s", call, text, *text ? ": " : "",
                             strerror(-value));
        if (n < 0)
                return -ENOMEM;
        *ret_handler_error = value;
        return RUNNER_E_HANDLER;
}

static int start_threads(Runner *runner, unsigned n_threads)
{
        for (unsigned i = 0; i < n_threads; i++) {
                RunnerThread *thread = &runner->threads[i];
                int r;

                thread->runner = runner;
                thread->slot = &runner->queue.slots[i];
                thread->line = BUFFER_NULL(TASK_LINE_MAX);
                result_init(&thread->result);
                r = pthread_create(&thread->id, NULL, thread_main, thread);
                if (r != 0)
                        return -r;
                runner->n_threads++;
        }
        (void)pthread_mutex_lock(&runner->lock);
        while (runner->n_reported < n_threads)
                (void)pthread_cond_wait(&runner->reported, &runner->lock);
        (void)pthread_mutex_unlock(&runner->lock);
        return 0;
}

int runner_start(Runner **ret, const RunnerOptions *options, char **ret_message,
                 int *ret_handler_error)
{
        _cleanup_(runner_stopp) Runner *runner = NULL;
        int value, r;

        r = runner_new(&runner, options);
        if (r < 0)
                return r;
        if (runner->handler->init) {
                host_clear_error();
                value = runner->handler->init(host_get(), options->config_json, &runner->state);
                if (value != 0)
                        return handler_failed("init", value, host_error(), ret_message,
                                              ret_handler_error);
        }
        runner->initialized = true;
        r = start_threads(runner, options->n_threads);
        if (r < 0)
                return r;
        if (runner->thread_error != 0)
                return handler_failed("thread_init", runner->thread_error,
                                      runner->thread_error_text, ret_message, ret_handler_error);
        *ret = TAKE_PTR(runner);
        return 0;
}
