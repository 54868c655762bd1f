#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A non-blocking byte stream on the event loop: frames come in, queued bytes go out.
 *
 * One or two fds (a socket, or a pipe each way; epoll refuses regular files), owned by the Stream.
 * Output is queued and written once per turn of the loop, so that many small messages cost one
 * write. Back-pressure: stream_write fails with -ENOBUFS when the queue is at its maximum,
 * stream_pause_reading leaves input in the kernel. One turn takes one read of at most 64 KiB and a
 * bounded number of frames, so that no peer can keep the others waiting.
 *
 * The callback is the last thing a Stream does with a frame: the owner may free the Stream in it,
 * pause reading (both: no further frame comes) or close the output. Events are reported from the
 * loop only, never from inside a function called here; stream_read_now is the exception. A peer
 * that resets the connection has ended it. A program that uses Streams ignores SIGPIPE. */

#include <systemd/sd-event.h>
#include "base/frame.h"

typedef struct Stream Stream;

typedef enum StreamEvent {
        STREAM_FRAME,     /* frame holds one frame */
        STREAM_OVERSIZED, /* frame holds the first bytes of a frame that was dropped */
        STREAM_DRAINED,   /* the output queue, which had refused a message or been above its mark,
                           * is at the mark or below again */
        STREAM_END,       /* input ended; frame holds what was left without a delimiter */
        STREAM_WRITE_END, /* the other side no longer reads (EPIPE); input may still come */
        STREAM_WRITTEN,   /* stream_close_output was called and all that was queued is written */
        STREAM_ERROR,     /* error is -errno; the stream is dead */
} StreamEvent;

typedef void (*stream_callback_t)(Stream *stream, StreamEvent event, Slice frame, int error,
                                  void *userdata);

typedef struct StreamOptions {
        int input_fd;  /* owned from success on; -EBADF: write only */
        int output_fd; /* may equal input_fd; -EBADF: read only */
        char delimiter;
        size_t frame_maximum;
        size_t output_maximum;
        size_t output_mark; /* for STREAM_DRAINED; 0: half of output_maximum */
        int64_t priority;   /* sd-event priority of its sources */
        stream_callback_t callback;
        void *userdata;
        const char *name; /* for the event sources' descriptions; copied */
} StreamOptions;

int stream_new(Stream **ret, sd_event *event, const StreamOptions *options);
Stream *stream_free(Stream *stream);
DEFINE_CLEANUP(Stream *, stream_free);

/* Queues bytes; 0, -ENOBUFS (queue full, nothing queued), -EPIPE (the other side is gone), -ENOMEM.
 */
int stream_write(Stream *stream, Slice a);
/* The same for the pieces of one message, all or nothing. */
int stream_writev(Stream *stream, const Slice *pieces, size_t n_pieces);
size_t stream_queued(const Stream *stream);
/* Writes what can be written now without waiting for the loop: 0, or -errno as it will be reported.
 */
int stream_flush(Stream *stream);
/* Closes the output once the queue is written (end of input for a child); of a shared fd only that
 * direction. stream_write fails with -EPIPE from now on. */
void stream_close_output(Stream *stream);
void stream_pause_reading(Stream *stream, bool pause);
/* Reads and hands out what is there now, at most about maximum bytes: when a child has exited, or
 * before a deadline is judged. Events are reported from inside this call, so never call it in a
 * stream's callback. The owner may free the stream in them as always. */
void stream_read_now(Stream *stream, size_t maximum);
/* For a pipe to a child: how many of all bytes queued since stream_new it has read. Once
 * stream_close_output has closed the pipe, all that was written counts as read. */
uint64_t stream_n_taken(const Stream *stream);
int stream_input_fd(const Stream *stream);
