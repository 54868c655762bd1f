/* SPDX-License-Identifier: Apache-2.0 */

/* Persistent commands, and libraries in a runner: one process, many tasks, NDJSON over its stdin
 * and stdout. What it says is read in persistent-message.c. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <systemd/sd-journal.h>
#include "base/log-journal.h"
#include "base/log.h"
#include "base/strv.h"
#include "worker/persistent.h"
#include "worker/protocol.h"

/* Room for some hundred tasks on the way, so that a busy worker finds the next one without waking
 * the daemon up; where one task is on the way at most, the usual size will do. Best effort: an
 * ordinary user's pipes have a common limit. */
#define PIPE_BYTES (256 * 1024)

/* Beyond this a worker gets no more tasks until it has read some: it is behind by far more than
 * concurrency should ever ask for. There is room above it for one task of the largest size and any
 * number of cancels. */
#define QUEUE_MARK    ((size_t)1024 * 1024)
#define QUEUE_MAXIMUM (QUEUE_MARK + TASK_LINE_MAX + 1024 * 1024)

/* What a worker that has exited may have left in its stdout: more than a pipe holds. */
#define LAST_WORDS_MAX ((size_t)2 * 1024 * 1024)

#define STDERR_READ_SIZE 16384

/* What it prints while it holds one task is most likely about that. */
void worker_note_printer(Worker *worker)
{
        const HeldTask *only = worker_find_task(worker, SLICE_NULL);

        output_log_set_task(&worker->log, only ? only->task : NULL);
}

static void worker_close_stderr(Worker *worker)
{
        worker->stderr_source = sd_event_source_disable_unref(worker->stderr_source);
        worker->stderr_fd = close_fd(worker->stderr_fd);
}

/* Reads once; false: there is no more for now. */
static bool worker_read_stderr(Worker *worker)
{
        char bytes[STDERR_READ_SIZE];
        ssize_t n;

        if (worker->stderr_fd < 0)
                return false;
        n = read(worker->stderr_fd, bytes, sizeof(bytes));
        if (n > 0) {
                worker_note_printer(worker);
                output_log_feed(&worker->log, (Slice){ bytes, (size_t)n });
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                worker_close_stderr(worker);
        }
        return n > 0;
}

static int worker_on_stderr(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        (void)worker_read_stderr(userdata);
        return 0;
}

/* Someone stopped the journal: what the worker prints from now on fails, with EPIPE. It cannot get
 * another stream, so it is to be replaced once it can. */
static int worker_on_stream_broken(sd_event_source *source, int fd, uint32_t revents,
                                   void *userdata)
{
        Worker *worker = userdata;

        worker_pin(worker);
        worker_close_stderr(worker);
        worker_report(worker, &(WorkerReport){ .event = WORKER_LOG_LOST });
        worker_unpin(worker);
        return 0;
}

static int worker_watch_stderr(Worker *worker, uint32_t events, sd_event_io_handler_t handler)
{
        int r;

        r = sd_event_add_io(worker->context->event, &worker->stderr_source, worker->stderr_fd,
                            events, handler, worker);
        if (r >= 0)
                (void)sd_event_source_set_description(worker->stderr_source, worker->name);
        return r;
}

/* The journal sees who really writes to a stream, children included; and what is written there
 * costs the daemon nothing. Its other end is kept only to learn that it broke, which epoll tells
 * without being asked. */
static int worker_open_journal(Worker *worker, int *ret_child_fd)
{
        _cleanup_close_ int theirs = -EBADF;
        int r;

        theirs = sd_journal_stream_fd(worker->name, LOG_INFO, 1);
        if (theirs < 0)
                return theirs;
        worker->stderr_fd = fcntl(theirs, F_DUPFD_CLOEXEC, 3);
        if (worker->stderr_fd < 0)
                return -errno;
        r = worker_watch_stderr(worker, 0, worker_on_stream_broken);
        if (r < 0)
                return r;
        *ret_child_fd = TAKE_FD(theirs);
        return 0;
}

/* *ret_child_fd: the worker's end. A journal that hangs takes no new stream either: until it does,
 * workers start with a pipe as where there is none. */
static int worker_open_stderr(Worker *worker, int *ret_child_fd)
{
        _cleanup_close_ int theirs = -EBADF;
        int fds[2], r;

        if (log_to_journal() && !journal_is_stuck() &&
            worker_open_journal(worker, ret_child_fd) >= 0)
                return 0;
        worker_close_stderr(worker);
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        worker->stderr_fd = fds[0];
        theirs = fds[1];
        if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = worker_watch_stderr(worker, EPOLLIN, worker_on_stderr);
        if (r < 0)
                return r;
        *ret_child_fd = TAKE_FD(theirs);
        return 0;
}

static int worker_open_stream(Worker *worker, int *ret_stdin_fd, int *ret_stdout_fd)
{
        _cleanup_close_ int task_read = -EBADF, task_write = -EBADF;
        _cleanup_close_ int result_read = -EBADF, result_write = -EBADF;
        StreamOptions options;
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        task_read = fds[0];
        task_write = fds[1];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        result_read = fds[0];
        result_write = fds[1];
        if (worker->config->concurrency > 1) {
                (void)fcntl(task_write, F_SETPIPE_SZ, PIPE_BYTES);
                (void)fcntl(result_write, F_SETPIPE_SZ, PIPE_BYTES);
        }

        options = (StreamOptions){
                .input_fd = result_read,
                .output_fd = task_write,
                .delimiter = '\n',
                .frame_maximum = TASK_LINE_MAX,
                .output_maximum = QUEUE_MAXIMUM,
                .output_mark = QUEUE_MARK,
                .callback = worker_on_stream,
                .userdata = worker,
                .name = worker->name,
        };
        r = stream_new(&worker->stream, worker->context->event, &options);
        if (r < 0)
                return r;
        result_read = task_write = -EBADF;
        worker->sent = 0;
        *ret_stdin_fd = TAKE_FD(task_read);
        *ret_stdout_fd = TAKE_FD(result_write);
        return 0;
}

static int worker_set_arguments(Worker *worker)
{
        _cleanup_(strv_freep) char **arguments = NULL;
        char threads[16];
        int r = 0;

        if (worker->config->handler.mode == HANDLER_LIBRARY) {
                const char *const parts[] = { worker->context->runner_path, "--threads", threads,
                                              worker->config->handler.library };

                (void)snprintf(threads, sizeof(threads), "%u", worker->config->handler.threads);
                for (size_t i = 0; r >= 0 && i < ELEMENTSOF(parts); i++)
                        r = strv_append(&arguments, parts[i]);
                if (r < 0)
                        return r;
        }
        (void)strv_free(worker->child->arguments);
        worker->child->arguments = TAKE_PTR(arguments);
        return 0;
}

static void persistent_release(Worker *worker)
{
        worker->stream = stream_free(worker->stream);
        worker_close_stderr(worker);
        output_log_end(&worker->log);
}

static bool worker_waits_for_ready(const Worker *worker)
{
        return worker->config->handler.notify || worker->config->handler.mode == HANDLER_LIBRARY;
}

static int persistent_start(Worker *worker)
{
        SpawnRequest *request;
        int r;

        r = worker_prepare_child(worker);
        if (r >= 0)
                r = worker_set_arguments(worker);
        if (r < 0)
                return r;
        request = &worker->child->request;
        r = worker_open_stream(worker, &request->stdin_fd, &request->stdout_fd);
        if (r >= 0)
                r = worker_open_stderr(worker, &request->stderr_fd);
        if (r < 0) {
                request->stdin_fd = close_fd(request->stdin_fd);
                request->stdout_fd = close_fd(request->stdout_fd);
                persistent_release(worker);
                return r;
        }

        worker_set_state(worker, WORKER_STATE_STARTING);
        worker->n_starts++;
        worker->n_done = 0;
        worker->start_deadline_usec =
                usec_add(clock_monotonic_usec(), worker->config->start_timeout_usec);
        worker_arm(worker, worker->start_deadline_usec);
        child_start(worker->child);
        return 0;
}

static int persistent_dispatch(Worker *worker, HeldTask *held)
{
        int r;

        buffer_clear(&worker->message);
        r = message_append_task(&worker->message, held->task->json);
        if (r < 0)
                return r;
        r = stream_write(worker->stream, buffer_slice(&worker->message));
        if (r == -EPIPE)
                worker_lost_input(worker);
        if (r >= 0) {
                worker->sent += worker->message.size;
                held->sent_end = worker->sent;
        }
        buffer_trim(&worker->message, MESSAGE_KEEP);
        return r;
}

/* A message that cannot be sent is as good as one that is not answered. */
static void persistent_cancel(Worker *worker, HeldTask *held)
{
        buffer_clear(&worker->message);
        if (message_append_cancel(&worker->message, slice_from_string(held->task->id)) >= 0 &&
            stream_write(worker->stream, buffer_slice(&worker->message)) >= 0)
                worker->sent += worker->message.size;
        held->answer_usec = usec_add(clock_monotonic_usec(), worker->config->stop_timeout_usec);
        worker_arm(worker, held->answer_usec);
}

static void persistent_drain(Worker *worker)
{
        buffer_clear(&worker->message);
        if (message_append_drain(&worker->message) >= 0 &&
            stream_write(worker->stream, buffer_slice(&worker->message)) >= 0)
                worker->sent += worker->message.size;
}

static bool worker_has_overdue(const Worker *worker)
{
        LIST_FOREACH (i, (ListLink *)&worker->tasks) {
                if (LIST_ENTRY(i, HeldTask, link)->overdue)
                        return true;
        }
        return false;
}

/* The end of an idle worker: nothing more will come, it should go. */
static void persistent_close_input(Worker *worker)
{
        stream_close_output(worker->stream);
        worker_set_end(worker, END_INPUT, worker->config->stop_timeout_usec / 2);
}

static void persistent_advance(Worker *worker)
{
        if (worker->end == END_GRACE && !worker_has_overdue(worker))
                worker_set_end(worker,
                               worker->state == WORKER_STATE_STOPPING ? END_TASKS : END_NONE,
                               USEC_INFINITY);
        else if (worker->end == END_GRACE)
                worker_end_grace(worker);
        if ((worker->end == END_TASKS || worker->end == END_CANCEL) && worker->n_tasks == 0)
                persistent_close_input(worker);
}

static bool persistent_was_read(const Worker *worker, const HeldTask *held)
{
        return held->sent_end <= stream_n_taken(worker->stream);
}

static void persistent_on_started(Worker *worker)
{
        usec_t now_usec = clock_monotonic_usec();

        worker->process_usec = now_usec;
        worker->heartbeat_usec = now_usec;
        worker_watch_memory(worker, now_usec);
        if (worker->state == WORKER_STATE_STARTING && worker->end == END_NONE &&
            !worker_waits_for_ready(worker))
                worker_become_ready(worker);
}

/* What it has said until its end counts: messages, results, and what it printed. */
static void persistent_on_exited(Worker *worker)
{
        notify_socket_read(worker->notify);
        if (!worker->freed)
                stream_read_now(worker->stream, LAST_WORDS_MAX);
        for (size_t n = 0; n < LAST_WORDS_MAX && worker_read_stderr(worker); n += STDERR_READ_SIZE)
                ;
        if (!worker->freed)
                worker_settle_exit(worker, persistent_was_read);
}

static void persistent_on_child(Worker *worker, ChildEvent event)
{
        switch (event) {
        case CHILD_STARTED:
                output_log_begin(&worker->log, worker->child->pid);
                persistent_on_started(worker);
                break;
        case CHILD_FAILED:
                worker_cannot_start(worker);
                break;
        case CHILD_EXITED:
                persistent_on_exited(worker);
                break;
        }
}

static bool persistent_has_room(const Worker *worker)
{
        return stream_queued(worker->stream) <= QUEUE_MARK;
}

const WorkerMode worker_mode_persistent = {
        .start = persistent_start,
        .dispatch = persistent_dispatch,
        .cancel = persistent_cancel,
        .drain = persistent_drain,
        .advance = persistent_advance,
        .on_child = persistent_on_child,
        .release = persistent_release,
        .has_room = persistent_has_room,
};
