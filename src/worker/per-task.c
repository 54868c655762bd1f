/* SPDX-License-Identifier: Apache-2.0 */

/* Per-task commands: each task gets a process of its own, the slot one process at a time. The task
 * is its stdin; its stdout is collected, its stderr logged. The result is decided when the leader
 * has exited and its pipes hold no more (per-task-result.c): who else has them open is not waited
 * for. */

#include <fcntl.h>
#include <sys/epoll.h>
#include "worker/per-task.h"

/* The smallest capacity a pipe can have (an ordinary user's pipes get it when they have many): so
 * much is written at once without a chance to block. */
#define PIPE_LEAST_BYTES 4096

/* First read of an output; doubled up to the capacity of a pipe while it fills what it is given. */
#define READ_MIN 2048
#define READ_MAX 65536

/* What an idle slot keeps for the next task's output. */
#define OUTPUT_KEEP ((size_t)65536)

/* Most that is read of stderr after the exit: more than the pipe holds. */
#define LAST_STDERR_MAX ((size_t)1024 * 1024)

/* Leaves the loop before it is closed: a child between vfork and exec holds a copy, and its events
 * would come under a reused number. */
static void pipe_end_close(PipeEnd *end)
{
        if (end->watched)
                (void)sd_event_source_set_enabled(end->source, SD_EVENT_OFF);
        end->watched = false;
        end->fd = close_fd(end->fd);
}

static int pipe_end_watch(Worker *worker, PipeEnd *end, uint32_t events,
                          sd_event_io_handler_t handler)
{
        int r;

        if (!end->source) {
                r = sd_event_add_io(worker->context->event, &end->source, end->fd, events, handler,
                                    worker);
                if (r < 0)
                        return r;
                (void)sd_event_source_set_description(end->source, worker->name);
        } else {
                r = sd_event_source_set_io_fd(end->source, end->fd);
                if (r >= 0)
                        r = sd_event_source_set_enabled(end->source, SD_EVENT_ON);
                if (r < 0)
                        return r;
        }
        end->watched = true;
        return 0;
}

static void per_task_close(Worker *worker)
{
        PerTask *per_task = worker->per_task;

        pipe_end_close(&per_task->input);
        pipe_end_close(&per_task->output);
        pipe_end_close(&per_task->errors);
        buffer_clear(&per_task->stdout_bytes);
        buffer_trim(&per_task->stdout_bytes, OUTPUT_KEEP);
        buffer_clear(&per_task->stderr_tail);
        buffer_trim(&per_task->stderr_tail, 0);
}

static void per_task_release(Worker *worker)
{
        PerTask *per_task = worker->per_task;

        if (!per_task)
                return;
        per_task_close(worker);
        (void)sd_event_source_disable_unref(per_task->input.source);
        (void)sd_event_source_disable_unref(per_task->output.source);
        (void)sd_event_source_disable_unref(per_task->errors.source);
        buffer_deinit(&per_task->stdout_bytes);
        buffer_deinit(&per_task->stderr_tail);
        free(per_task);
        worker->per_task = NULL;
}

static int per_task_start(Worker *worker)
{
        PerTask *per_task = calloc(1, sizeof(*per_task));

        if (!per_task)
                return -ENOMEM;
        per_task->input.fd = per_task->output.fd = per_task->errors.fd = -EBADF;
        worker->per_task = per_task;
        worker_set_state(worker, WORKER_STATE_STARTING);
        worker_become_ready(worker);
        return 0;
}

/* A child that does not read its stdin, or stops half-way, does not fail for it. */
static void per_task_write_input(Worker *worker)
{
        PipeEnd *input = &worker->per_task->input;
        HeldTask *held = LIST_FIRST(&worker->tasks, HeldTask, link);
        Slice rest = held->task->json;
        ssize_t n;

        rest.data += worker->per_task->n_written;
        rest.size -= worker->per_task->n_written;
        n = write(input->fd, rest.data, rest.size);
        if (n > 0)
                worker->per_task->n_written += (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
                pipe_end_close(input);
        if (worker->per_task->n_written == held->task->json.size)
                pipe_end_close(input);
}

static int worker_on_input_room(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        per_task_write_input(userdata);
        return 0;
}

/* Reads once into what is kept of stdout; false: there is no more for now. */
static bool per_task_read_output(Worker *worker)
{
        PerTask *per_task = worker->per_task;
        Buffer *bytes = &per_task->stdout_bytes;
        size_t size = CLAMP(bytes->size, (size_t)READ_MIN, (size_t)READ_MAX);
        ssize_t n = -1;
        char *to;

        if (per_task->output.fd < 0)
                return false;
        if (buffer_reserve(bytes, size, &to) >= 0)
                n = read(per_task->output.fd, to, size);
        else
                errno = ENOMEM;
        if (n > 0) {
                buffer_commit(bytes, (size_t)n);
                if (bytes->size <= worker->config->limits.output)
                        return true;
                per_task_end_oversized(worker);
        }
        if (n >= 0 || (errno != EAGAIN && errno != EINTR))
                pipe_end_close(&per_task->output);
        return false;
}

static int worker_on_output(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        (void)per_task_read_output(userdata);
        return 0;
}

static bool per_task_read_errors(Worker *worker)
{
        PerTask *per_task = worker->per_task;
        char bytes[READ_MIN * 4];
        ssize_t n;

        if (per_task->errors.fd < 0)
                return false;
        n = read(per_task->errors.fd, bytes, sizeof(bytes));
        if (n > 0) {
                output_log_feed(&worker->log, (Slice){ bytes, (size_t)n });
                per_task_keep_stderr(worker, (Slice){ bytes, (size_t)n });
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                pipe_end_close(&per_task->errors);
        }
        return n > 0;
}

static int worker_on_errors(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        (void)per_task_read_errors(userdata);
        return 0;
}

/* *ours is the end that we keep, non-blocking unless may_block. */
static int open_pipe(PipeEnd *ours, int *theirs, bool we_write, bool may_block)
{
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        ours->fd = fds[we_write ? 1 : 0];
        *theirs = fds[we_write ? 0 : 1];
        if (!may_block && fcntl(ours->fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

static int per_task_open(Worker *worker, Slice json)
{
        PerTask *per_task = worker->per_task;
        SpawnRequest *request = &worker->child->request;
        int r;

        r = open_pipe(&per_task->input, &request->stdin_fd, true, json.size <= PIPE_LEAST_BYTES);
        if (r >= 0)
                r = open_pipe(&per_task->output, &request->stdout_fd, false, false);
        if (r >= 0)
                r = open_pipe(&per_task->errors, &request->stderr_fd, false, false);
        if (r >= 0)
                r = pipe_end_watch(worker, &per_task->output, EPOLLIN, worker_on_output);
        if (r >= 0)
                r = pipe_end_watch(worker, &per_task->errors, EPOLLIN, worker_on_errors);
        if (r < 0)
                return r;

        per_task->n_written = 0;
        per_task->stdout_bytes.maximum = worker->config->limits.output + READ_MAX;
        per_task->stderr_tail.maximum = STDERR_TAIL_MAX + sizeof(char[READ_MIN * 4]);
        per_task_write_input(worker);
        if (per_task->input.fd >= 0)
                r = pipe_end_watch(worker, &per_task->input, EPOLLOUT, worker_on_input_room);
        return r;
}

static void close_request_fds(SpawnRequest *request)
{
        request->stdin_fd = close_fd(request->stdin_fd);
        request->stdout_fd = close_fd(request->stdout_fd);
        request->stderr_fd = close_fd(request->stderr_fd);
}

static int per_task_dispatch(Worker *worker, HeldTask *held)
{
        int r;

        r = worker_prepare_child(worker);
        if (r >= 0)
                r = environment_set_task(worker->child->environment, held->task);
        if (r >= 0)
                r = per_task_open(worker, held->task->json);
        if (r < 0) {
                per_task_close(worker);
                if (worker->child)
                        close_request_fds(&worker->child->request);
                return r;
        }
        output_log_set_task(&worker->log, held->task);
        child_start(worker->child);
        return 0;
}

static void per_task_cancel(Worker *worker, HeldTask *held)
{
        worker_terminate(worker, WORKER_EXIT_TIMEOUT,
                         held->fate == FATE_TIMED_OUT ? "its task timed out" : NULL);
}

/* Its process has its one task and its end of input already. */
static void per_task_drain(Worker *worker)
{
}

/* It is the slot that has stopped, not a process that failed. */
static void per_task_stopped(Worker *worker)
{
        worker_stopped(worker, &(WorkerExit){ .cause = WORKER_EXIT_ASKED, .text = "stopped" });
}

static void per_task_advance(Worker *worker)
{
        if (worker->state == WORKER_STATE_STOPPING && worker->n_tasks == 0 &&
            worker->end < END_GONE)
                per_task_stopped(worker);
}

static void per_task_on_started(Worker *worker)
{
        usec_t now_usec = clock_monotonic_usec();

        output_log_begin(&worker->log, worker->child->pid);
        worker->process_usec = now_usec;
        worker->heartbeat_usec = now_usec;
        worker_watch_memory(worker, now_usec);
}

static void per_task_note_exit(Worker *worker, const HeldTask *held)
{
        if (worker->child->code == CLD_EXITED && worker->child->value == 0)
                return;
        worker->exit_untold = true;
        worker_note_exit(worker, held->fate == FATE_CANCELLED || held->fate == FATE_RETURN
                                         ? WORKER_EXIT_ASKED
                                         : worker_exit_cause(worker));
}

/* Everything the process left is read, then forgotten before the report: in it the next task may be
 * dispatched. */
static void per_task_on_exited(Worker *worker)
{
        HeldTask *held = LIST_FIRST(&worker->tasks, HeldTask, link);
        Outcome *outcome = NULL;
        bool stopping;

        notify_socket_read(worker->notify);
        if (worker->freed)
                return;
        while (per_task_read_output(worker))
                ;
        for (size_t n = 0; n < LAST_STDERR_MAX && per_task_read_errors(worker); n += READ_MIN * 4)
                ;
        output_log_end(&worker->log);
        worker_end_tree(worker);
        if (per_task_needs_outcome(worker, held))
                outcome = per_task_outcome(worker);
        per_task_note_exit(worker, held);
        per_task_close(worker);
        worker_forget_process(worker);

        stopping = worker->state == WORKER_STATE_STOPPING;
        worker->end = stopping ? END_GONE : END_NONE;
        if (outcome)
                worker_task_done(worker, held, outcome);
        else if (held->fate != FATE_NONE)
                worker_task_fated(worker, held);
        else
                worker_task_returned(worker, held, "out of memory");
        if (stopping && !worker->freed)
                per_task_stopped(worker);
}

static void per_task_on_child(Worker *worker, ChildEvent event)
{
        switch (event) {
        case CHILD_STARTED:
                per_task_on_started(worker);
                break;
        case CHILD_FAILED:
                worker_cannot_start(worker);
                break;
        case CHILD_EXITED:
                per_task_on_exited(worker);
                break;
        }
}

static bool per_task_has_room(const Worker *worker)
{
        return true;
}

const WorkerMode worker_mode_per_task = {
        .start = per_task_start,
        .dispatch = per_task_dispatch,
        .cancel = per_task_cancel,
        .drain = per_task_drain,
        .advance = per_task_advance,
        .on_child = per_task_on_child,
        .release = per_task_release,
        .has_room = per_task_has_room,
};
