/* SPDX-License-Identifier: Apache-2.0 */

/* One turn of a Stream reads once, hands out the frames of that read, and writes once what was
 * queued meanwhile. What a turn leaves over (more frames than its share) and what is queued outside
 * of one is the job of the deferred event source, whose turn reads nothing. */

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "base/stream.h"

/* One read takes between these: little at first, so that an idle stream holds little memory, more
 * while each read fills what it was offered. The larger is a pipe's capacity. */
#define STREAM_READ_MIN FRAME_KEEP
#define STREAM_READ_MAX FRAME_RESERVE_MAX

/* Frames handed out in one turn. The usual read holds fewer; a flood of empty lines must not keep
 * the other event sources waiting. */
#define STREAM_FRAMES_PER_TURN 1024

/* An empty output queue keeps no larger allocation than this. */
#define STREAM_OUTPUT_KEEP 4096

struct Stream {
        sd_event_source *input_source;  /* of a shared fd: both directions */
        sd_event_source *output_source; /* NULL with a shared fd */
        sd_event_source *work_source;   /* one shot, armed for the next loop pass */
        int input_fd;                   /* -EBADF once ended */
        int output_fd;                  /* -EBADF once closed or lost */
        int shared_fd;                  /* the fd of both directions, closed by stream_free */

        Frame frame;
        size_t read_size;
        Buffer output;
        uint64_t n_written;
        size_t n_unread; /* of them, in the pipe when its reader had gone */
        size_t output_mark;

        stream_callback_t callback;
        void *userdata;
        bool *freed; /* in a turn: set by stream_free, so that the turn ends */
        int error;   /* to be reported as STREAM_ERROR */

        bool armed;          /* the work source will run */
        bool will_write;     /* the turn under way will still write */
        bool paused;         /* the owner wants no frames now */
        bool backlog;        /* frame may hold complete frames */
        bool end_pending;    /* input ended, not yet reported */
        bool blocked;        /* output waits for EPOLLOUT */
        bool closing_output; /* close it when the queue is empty */
        bool over_mark;      /* the queue has been above output_mark, or refused a message */
        unsigned pending;    /* output events to be reported, each as 1 << event */
};

static void stream_arm(Stream *stream)
{
        if (!stream->armed)
                stream->armed =
                        sd_event_source_set_enabled(stream->work_source, SD_EVENT_ONESHOT) >= 0;
}

static int source_watch(sd_event_source *source, uint32_t events)
{
        int r;

        if (!source)
                return 0;
        if (events != 0) {
                r = sd_event_source_set_io_events(source, events);
                if (r < 0)
                        return r;
        }
        return sd_event_source_set_enabled(source, events != 0 ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void stream_fail(Stream *stream, int error);

/* Watches the fds for what is wanted now. A direction that is not wanted is not watched at all,
 * since epoll reports a hang-up whether it was asked for or not. */
static void stream_watch(Stream *stream)
{
        uint32_t in = stream->input_fd >= 0 && !stream->paused ? EPOLLIN : 0;
        uint32_t out = stream->output_fd >= 0 && stream->blocked ? EPOLLOUT : 0;
        int r;

        if (stream->shared_fd >= 0) {
                r = source_watch(stream->input_source, in | out);
        } else {
                r = source_watch(stream->input_source, in);
                if (r >= 0)
                        r = source_watch(stream->output_source, out);
        }
        if (r < 0)
                stream_fail(stream, r);
}

static void stream_shut_input(Stream *stream)
{
        if (stream->shared_fd < 0) {
                stream->input_source = sd_event_source_disable_unref(stream->input_source);
                (void)close_fd(stream->input_fd);
        }
        stream->input_fd = -EBADF;
}

/* Bytes that wait in a pipe can be told at its writing end too, even after its reader has gone. */
static size_t stream_count_unread(const Stream *stream)
{
        int n = 0;

        if (stream->output_fd < 0 || stream->shared_fd >= 0)
                return stream->n_unread;
        if (ioctl(stream->output_fd, FIONREAD, &n) < 0 || n < 0)
                return 0;
        return (size_t)n;
}

static void stream_shut_output(Stream *stream)
{
        if (stream->output_fd >= 0 && stream->shared_fd >= 0) {
                (void)shutdown(stream->shared_fd, SHUT_WR);
        } else {
                stream->output_source = sd_event_source_disable_unref(stream->output_source);
                (void)close_fd(stream->output_fd);
        }
        stream->output_fd = -EBADF;
        stream->blocked = false;
        buffer_clear(&stream->output);
        buffer_trim(&stream->output, 0);
}

static void stream_fail(Stream *stream, int error)
{
        stream_shut_input(stream);
        stream_shut_output(stream);
        stream->input_source = sd_event_source_disable_unref(stream->input_source);
        stream->end_pending = false;
        stream->pending = 0;
        stream->backlog = false;
        stream->error = error;
        stream_arm(stream);
}

/* Writes once. A short write means that the fd is full, so a second one is not tried. */
static int stream_write_out(Stream *stream)
{
        Slice queued = buffer_slice(&stream->output);
        bool was_blocked = stream->blocked;
        ssize_t n;

        if (stream->output_fd < 0 || queued.size == 0)
                return 0;
        do
                n = write(stream->output_fd, queued.data, queued.size);
        while (n < 0 && errno == EINTR);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
                stream->n_unread = stream_count_unread(stream);
                stream_shut_output(stream);
                stream_watch(stream);
                stream->pending |= 1U << STREAM_WRITE_END;
                return -EPIPE;
        }
        if (n < 0 && errno != EAGAIN) {
                int error = -errno;

                stream_fail(stream, error);
                return error;
        }

        stream->n_written += n > 0 ? (size_t)n : 0;
        buffer_consume(&stream->output, n > 0 ? (size_t)n : 0);
        buffer_trim(&stream->output, STREAM_OUTPUT_KEEP);
        stream->blocked = stream->output.size > 0;
        if (stream->over_mark && stream->output.size <= stream->output_mark) {
                stream->over_mark = false;
                stream->pending |= 1U << STREAM_DRAINED;
        }
        if (stream->closing_output && stream->output.size == 0) {
                stream_shut_output(stream);
                stream->pending |= 1U << STREAM_WRITTEN;
        }
        if (stream->blocked != was_blocked)
                stream_watch(stream);
        return 0;
}

static void stream_read(Stream *stream)
{
        ssize_t n;
        char *to;
        int r;

        r = frame_reserve(&stream->frame, stream->read_size, &to);
        if (r < 0) {
                stream_fail(stream, r);
                return;
        }
        n = read(stream->input_fd, to, stream->read_size);
        if (n > 0) {
                frame_commit(&stream->frame, (size_t)n);
                stream->backlog = true;
                if ((size_t)n == stream->read_size)
                        stream->read_size = MIN(stream->read_size * 4, STREAM_READ_MAX);
                else if ((size_t)n < STREAM_READ_MIN)
                        stream->read_size = STREAM_READ_MIN;
        } else if (n == 0 || errno == ECONNRESET) {
                stream_shut_input(stream);
                stream_watch(stream);
                stream->end_pending = true;
        } else if (errno != EAGAIN && errno != EINTR) {
                stream_fail(stream, -errno);
        }
}

/* False if the owner has freed the stream. */
static bool stream_report(Stream *stream, StreamEvent event, Slice frame, int error)
{
        bool freed = false;

        stream->freed = &freed;
        stream->callback(stream, event, frame, error, stream->userdata);
        if (freed)
                return false;
        stream->freed = NULL;
        return true;
}

static bool stream_deliver(Stream *stream)
{
        FrameResult result;
        Slice frame;

        for (unsigned n = 0; stream->backlog && !stream->paused; n++) {
                if (n == STREAM_FRAMES_PER_TURN) {
                        stream_arm(stream);
                        return true;
                }
                result = frame_next(&stream->frame, &frame);
                if (result == FRAME_NONE)
                        stream->backlog = false;
                else if (!stream_report(stream,
                                        result == FRAME_COMPLETE ? STREAM_FRAME : STREAM_OVERSIZED,
                                        frame, 0))
                        return false;
        }
        if (stream->end_pending && !stream->backlog && !stream->paused) {
                stream->end_pending = false;
                return stream_report(stream, STREAM_END, frame_rest(&stream->frame), 0);
        }
        return true;
}

static void stream_turn(Stream *stream, bool readable, bool writable)
{
        static const StreamEvent output_events[] = { STREAM_DRAINED, STREAM_WRITE_END,
                                                     STREAM_WRITTEN };
        int error;

        if (writable)
                (void)stream_write_out(stream);
        if (readable && !stream->backlog && !stream->paused && stream->input_fd >= 0)
                stream_read(stream);
        stream->will_write = true;
        if (!stream_deliver(stream))
                return;
        stream->will_write = false;
        if (!stream->blocked)
                (void)stream_write_out(stream);
        for (unsigned i = 0; i < ELEMENTSOF(output_events); i++) {
                if (!(stream->pending & 1U << output_events[i]))
                        continue;
                stream->pending &= ~(1U << output_events[i]);
                if (!stream_report(stream, output_events[i], SLICE_NULL, 0))
                        return;
        }
        if (stream->error < 0) {
                error = stream->error;
                stream->error = 0;
                (void)stream_report(stream, STREAM_ERROR, SLICE_NULL, error);
        }
}

void stream_read_now(Stream *stream, size_t maximum)
{
        while ((stream->backlog || stream->end_pending || maximum > 0) && !stream->paused) {
                if (!stream->backlog && stream->input_fd >= 0) {
                        maximum -= MIN(maximum, stream->read_size);
                        stream_read(stream);
                }
                if (!stream->backlog && !stream->end_pending)
                        break;
                if (!stream_deliver(stream))
                        return;
        }
}

uint64_t stream_n_taken(const Stream *stream)
{
        return stream->n_written - stream_count_unread(stream);
}

static int stream_on_input(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        uint32_t hung_up = revents & (EPOLLHUP | EPOLLERR);

        stream_turn(userdata, revents & EPOLLIN || hung_up, revents & EPOLLOUT || hung_up);
        return 0;
}

static int stream_on_output(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        stream_turn(userdata, false, true);
        return 0;
}

static int stream_on_work(sd_event_source *source, void *userdata)
{
        Stream *stream = userdata;

        stream->armed = false;
        stream_turn(stream, false, false);
        return 0;
}

static int set_nonblocking(int fd)
{
        int flags;

        if (fd < 0)
                return 0;
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

static int stream_add_source(sd_event *event, const StreamOptions *options, int fd,
                             sd_event_io_handler_t handler, Stream *stream, sd_event_source **ret)
{
        int r;

        r = sd_event_add_io(event, ret, fd, handler == stream_on_input ? EPOLLIN : EPOLLOUT,
                            handler, stream);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(*ret, options->name);
        return sd_event_source_set_priority(*ret, options->priority);
}

static int stream_add_sources(Stream *stream, sd_event *event, const StreamOptions *options)
{
        int r;

        r = sd_event_add_defer(event, &stream->work_source, stream_on_work, stream);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(stream->work_source, options->name);
        r = sd_event_source_set_priority(stream->work_source, options->priority);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(stream->work_source, SD_EVENT_OFF);
        if (r < 0)
                return r;

        if (options->input_fd >= 0) {
                r = stream_add_source(event, options, options->input_fd, stream_on_input, stream,
                                      &stream->input_source);
                if (r < 0)
                        return r;
        }
        if (options->output_fd >= 0 && options->output_fd != options->input_fd) {
                r = stream_add_source(event, options, options->output_fd, stream_on_output, stream,
                                      &stream->output_source);
                if (r < 0)
                        return r;
                return sd_event_source_set_enabled(stream->output_source, SD_EVENT_OFF);
        }
        return 0;
}

int stream_new(Stream **ret, sd_event *event, const StreamOptions *options)
{
        _cleanup_(stream_freep) Stream *stream = NULL;
        int r;

        stream = malloc(sizeof(*stream));
        if (!stream)
                return -ENOMEM;
        *stream = (Stream){
                .input_fd = -EBADF,
                .output_fd = -EBADF,
                .shared_fd = -EBADF,
                .read_size = STREAM_READ_MIN,
                .output = BUFFER_NULL(options->output_maximum),
                .output_mark = options->output_mark ?: options->output_maximum / 2,
                .callback = options->callback,
                .userdata = options->userdata,
        };
        frame_init(&stream->frame, options->delimiter, options->frame_maximum);

        r = set_nonblocking(options->input_fd);
        if (r >= 0)
                r = set_nonblocking(options->output_fd);
        if (r >= 0)
                r = stream_add_sources(stream, event, options);
        if (r < 0)
                return r;

        stream->input_fd = options->input_fd;
        stream->output_fd = options->output_fd;
        if (options->input_fd == options->output_fd)
                stream->shared_fd = options->input_fd;
        *ret = TAKE_PTR(stream);
        return 0;
}

Stream *stream_free(Stream *stream)
{
        if (!stream)
                return NULL;
        if (stream->freed)
                *stream->freed = true;
        (void)sd_event_source_disable_unref(stream->input_source);
        (void)sd_event_source_disable_unref(stream->output_source);
        (void)sd_event_source_disable_unref(stream->work_source);
        if (stream->shared_fd >= 0) {
                (void)close_fd(stream->shared_fd);
        } else {
                (void)close_fd(stream->input_fd);
                (void)close_fd(stream->output_fd);
        }
        frame_deinit(&stream->frame);
        buffer_deinit(&stream->output);
        free(stream);
        return NULL;
}

int stream_write(Stream *stream, Slice a)
{
        return stream_writev(stream, &a, 1);
}

int stream_writev(Stream *stream, const Slice *pieces, size_t n_pieces)
{
        size_t size = stream->output.size;
        int r;

        if (stream->output_fd < 0 || stream->closing_output)
                return -EPIPE;
        for (size_t i = 0; i < n_pieces; i++) {
                r = buffer_append_slice(&stream->output, pieces[i]);
                if (r < 0) {
                        buffer_truncate(&stream->output, size);
                        stream->over_mark |= size > 0;
                        return r;
                }
        }
        if (stream->output.size > stream->output_mark)
                stream->over_mark = true;
        if (!stream->blocked && !stream->will_write)
                stream_arm(stream);
        return 0;
}

size_t stream_queued(const Stream *stream)
{
        return stream->output.size;
}

int stream_flush(Stream *stream)
{
        int r;

        r = stream_write_out(stream);
        if (stream->pending != 0)
                stream_arm(stream);
        return r;
}

void stream_close_output(Stream *stream)
{
        if (stream->output_fd < 0 || stream->closing_output)
                return;
        stream->closing_output = true;
        if (stream->output.size == 0) {
                stream_shut_output(stream);
                stream->pending |= 1U << STREAM_WRITTEN;
                stream_arm(stream);
        }
        stream_watch(stream);
}

void stream_pause_reading(Stream *stream, bool pause)
{
        if (stream->paused == pause)
                return;
        stream->paused = pause;
        stream_watch(stream);
        if (!pause && (stream->backlog || stream->end_pending))
                stream_arm(stream);
}

int stream_input_fd(const Stream *stream)
{
        return stream->input_fd;
}
