/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include "base/stream.h"
#include "unit.h"

/* What the stream under test reported, as a text: "frame(a) frame(b) end()". */
typedef struct Record {
        sd_event *event;
        Stream *stream;
        Buffer log;
        unsigned n_frames;
        void (*on_frame)(struct Record *record, Slice frame);
} Record;

static void record_callback(Stream *stream, StreamEvent event, Slice frame, int error,
                            void *userdata)
{
        static const char *const names[] = {
                [STREAM_FRAME] = "frame",         [STREAM_OVERSIZED] = "oversized",
                [STREAM_DRAINED] = "drained",     [STREAM_END] = "end",
                [STREAM_WRITE_END] = "write_end", [STREAM_WRITTEN] = "written",
                [STREAM_ERROR] = "error",
        };
        Record *record = userdata;

        ck_assert(buffer_appendf(&record->log, "%s(%.*s)", names[event], (int)frame.size,
                                 frame.size > 0 ? frame.data : "") == 0);
        if (event == STREAM_ERROR)
                ck_assert_int_lt(error, 0);
        if (event != STREAM_FRAME)
                return;
        record->n_frames++;
        if (record->on_frame)
                record->on_frame(record, frame);
}

static void record_init_mark(Record *record, int input_fd, int output_fd, size_t output_maximum,
                             size_t output_mark)
{
        StreamOptions options = {
                .input_fd = input_fd,
                .output_fd = output_fd,
                .delimiter = '\n',
                .frame_maximum = 8,
                .output_maximum = output_maximum,
                .output_mark = output_mark,
                .callback = record_callback,
                .userdata = record,
                .name = "test",
        };

        (void)signal(SIGPIPE, SIG_IGN);
        *record = (Record){ .log = BUFFER_NULL(1 << 20) };
        ck_assert_int_ge(sd_event_new(&record->event), 0);
        ck_assert_int_eq(stream_new(&record->stream, record->event, &options), 0);
}

static void record_init(Record *record, int input_fd, int output_fd, size_t output_maximum)
{
        record_init_mark(record, input_fd, output_fd, output_maximum, 0);
}

static void record_deinit(Record *record)
{
        record->stream = stream_free(record->stream);
        record->event = sd_event_unref(record->event);
        buffer_deinit(&record->log);
}

/* Runs the loop until nothing is left to do at once; bounded, so that a busy loop is a failure. */
static void settle(Record *record)
{
        unsigned n = 0;

        while (sd_event_run(record->event, 0) > 0)
                ck_assert_uint_lt(n++, 100000);
}

static void feed(int fd, const char *text)
{
        ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

#define ck_assert_log(record, text)                                  \
        do {                                                         \
                settle(record);                                      \
                ck_assert_slice(buffer_slice(&(record)->log), text); \
                buffer_clear(&(record)->log);                        \
        } while (0)

/* What has come is handed out without the loop, more than a turn's share, with the end. */
START_TEST(test_read_now)
{
        Record record;
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init(&record, fds[0], -EBADF, 0);
        stream_read_now(record.stream, 100000);
        ck_assert_uint_eq(record.log.size, 0);
        for (unsigned i = 0; i < 5000; i++)
                feed(fds[1], "a\n");
        feed(fds[1], "rest");
        (void)close_fd(fds[1]);
        stream_read_now(record.stream, 100000);
        ck_assert_uint_eq(record.n_frames, 5000);
        buffer_consume(&record.log, record.log.size - strlen("end(rest)"));
        ck_assert_log(&record, "end(rest)");
        stream_read_now(record.stream, 100000);
        ck_assert_log(&record, "");
        record_deinit(&record);
}
END_TEST

/* What lies in the pipe unread does not count as taken, before and after its reader has gone. */
START_TEST(test_n_taken)
{
        Record record;
        char buffer[4];
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init(&record, -EBADF, fds[1], 100);
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("0123456789")), 0);
        ck_assert_uint_eq(stream_n_taken(record.stream), 0);
        settle(&record);
        ck_assert_uint_eq(stream_n_taken(record.stream), 0);
        ck_assert_int_eq(read(fds[0], buffer, sizeof(buffer)), 4);
        ck_assert_uint_eq(stream_n_taken(record.stream), 4);
        (void)close_fd(fds[0]);
        ck_assert_uint_eq(stream_n_taken(record.stream), 4);
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("x")), 0);
        ck_assert_log(&record, "write_end()");
        ck_assert_uint_eq(stream_n_taken(record.stream), 4);
        record_deinit(&record);
}
END_TEST

START_TEST(test_frames)
{
        Record record;
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init(&record, fds[0], -EBADF, 0);
        feed(fds[1], "one\ntwo\n\nthr");
        ck_assert_log(&record, "frame(one)frame(two)frame()");
        feed(fds[1], "ee\n123456789\nx\n123456789abc");
        ck_assert_log(&record, "frame(three)oversized(12345678)frame(x)oversized(12345678)");
        feed(fds[1], "def\nrest");
        ck_assert_log(&record, "");
        (void)close_fd(fds[1]);
        ck_assert_log(&record, "end(rest)");
        record_deinit(&record);
}
END_TEST

START_TEST(test_one_byte_at_a_time)
{
        static const char text[] = "a\nbc\n\n12345678\n123456789\nz\n";
        Record record;
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init(&record, fds[0], -EBADF, 0);
        for (const char *p = text; *p; p++) {
                ck_assert_int_eq(write(fds[1], p, 1), 1);
                settle(&record);
        }
        ck_assert_log(&record,
                      "frame(a)frame(bc)frame()frame(12345678)oversized(12345678)frame(z)");
        (void)close_fd(fds[1]);
        ck_assert_log(&record, "end()");
        record_deinit(&record);
}
END_TEST

/* More empty frames than one turn hands out: all come, none twice, and the end comes last. */
START_TEST(test_flood)
{
        char newlines[60000];
        Record record;
        int fds[2];

        memset(newlines, '\n', sizeof(newlines));
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init(&record, fds[0], -EBADF, 0);
        ck_assert_int_eq(write(fds[1], newlines, sizeof(newlines)), sizeof(newlines));
        (void)close_fd(fds[1]);

        ck_assert_int_gt(sd_event_run(record.event, 0), 0);
        ck_assert_uint_le(record.n_frames, 2048);
        settle(&record);
        ck_assert_uint_eq(record.n_frames, sizeof(newlines));
        ck_assert(memmem(record.log.data, record.log.size, "end()", 5) ==
                  record.log.data + record.log.size - 5);
        record_deinit(&record);
}
END_TEST

static void free_on_frame(Record *record, Slice frame)
{
        if (slice_is(frame, "free"))
                record->stream = stream_free(record->stream);
}

START_TEST(test_free_in_callback)
{
        Record record;
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init(&record, fds[0], -EBADF, 0);
        record.on_frame = free_on_frame;
        feed(fds[1], "a\nfree\nb\nc\n");
        ck_assert_log(&record, "frame(a)frame(free)");
        ck_assert_int_lt(write(fds[1], "x", 1), 0);
        (void)close_fd(fds[1]);
        record_deinit(&record);
}
END_TEST

static void pause_on_frame(Record *record, Slice frame)
{
        if (slice_is(frame, "pause"))
                stream_pause_reading(record->stream, true);
}

START_TEST(test_pause)
{
        Record record;
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init(&record, fds[0], -EBADF, 0);
        record.on_frame = pause_on_frame;
        feed(fds[1], "a\npause\nb\npause\nd\npause\n");
        ck_assert_log(&record, "frame(a)frame(pause)");
        stream_pause_reading(record.stream, false);
        ck_assert_slice(buffer_slice(&record.log), "");
        ck_assert_log(&record, "frame(b)frame(pause)");
        feed(fds[1], "c\n");
        (void)close_fd(fds[1]);
        ck_assert_log(&record, "");
        stream_pause_reading(record.stream, false);
        ck_assert_log(&record, "frame(d)frame(pause)");
        stream_pause_reading(record.stream, false);
        ck_assert_log(&record, "frame(c)end()");
        record_deinit(&record);
}
END_TEST

/* Many messages, one write: none of them is at the peer before the loop turns. */
START_TEST(test_write_is_coalesced)
{
        static const Slice pieces[] = { { "three ", 6 }, { "four", 4 } };
        Record record;
        char got[64];
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_DIRECT), 0);
        record_init(&record, -EBADF, fds[1], 100);
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("one ")), 0);
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("two ")), 0);
        ck_assert_int_eq(stream_writev(record.stream, pieces, 2), 0);
        ck_assert_uint_eq(stream_queued(record.stream), 18);
        ck_assert_log(&record, "");
        ck_assert_uint_eq(stream_queued(record.stream), 0);
        /* A pipe in packet mode gives each write on its own. */
        ck_assert_int_eq(read(fds[0], got, sizeof(got)), 18);
        ck_assert(memcmp(got, "one two three four", 18) == 0);
        (void)close_fd(fds[0]);
        record_deinit(&record);
}
END_TEST

START_TEST(test_write_is_all_or_nothing)
{
        static const Slice pieces[] = { { "12345", 5 }, { "67890", 5 } };
        Record record;
        char got[16];
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init(&record, -EBADF, fds[1], 12);
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("abc")), 0);
        ck_assert_int_eq(stream_writev(record.stream, pieces, 2), -ENOBUFS);
        ck_assert_uint_eq(stream_queued(record.stream), 3);
        ck_assert_int_eq(stream_flush(record.stream), 0);
        ck_assert_int_eq(read(fds[0], got, sizeof(got)), 3);
        /* The refused message may be tried again. */
        ck_assert_log(&record, "drained()");
        ck_assert_int_eq(stream_writev(record.stream, pieces, 2), 0);
        ck_assert_log(&record, "drained()");
        (void)close_fd(fds[0]);
        record_deinit(&record);
}
END_TEST

/* With a mark of its own, a queue counts as drained when it is down to that. */
START_TEST(test_output_mark)
{
        Record record;
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init_mark(&record, -EBADF, fds[1], 100, 4);
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("four")), 0);
        ck_assert_log(&record, "");
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("fives")), 0);
        ck_assert_log(&record, "drained()");
        (void)close_fd(fds[0]);
        record_deinit(&record);
}
END_TEST

/* A reader that stops: the queue fills to its maximum, and all arrives once it reads again. */
START_TEST(test_back_pressure)
{
        static char block[4096], got[65536];
        size_t queued = 0, arrived = 0;
        Record record;
        int fds[2];
        ssize_t n;

        memset(block, 'b', sizeof(block));
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        record_init(&record, -EBADF, fds[1], 256 * 1024);
        while (stream_write(record.stream, (Slice){ block, sizeof(block) }) == 0) {
                queued += sizeof(block);
                settle(&record);
                ck_assert_uint_lt(queued, 1 << 20);
        }
        ck_assert_uint_gt(queued, 256 * 1024);
        ck_assert_log(&record, "");
        while ((n = read(fds[0], got, sizeof(got))) > 0) {
                arrived += (size_t)n;
                settle(&record);
        }
        ck_assert_uint_eq(arrived, queued);
        ck_assert_log(&record, "drained()");
        (void)close_fd(fds[0]);
        record_deinit(&record);
}
END_TEST

START_TEST(test_write_end)
{
        int in[2], out[2];
        Record record;

        ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
        record_init(&record, in[0], out[1], 100);
        (void)close_fd(out[0]);
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("lost")), 0);
        ck_assert_log(&record, "write_end()");
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("x")), -EPIPE);
        feed(in[1], "still\n");
        ck_assert_log(&record, "frame(still)");
        (void)close_fd(in[1]);
        ck_assert_log(&record, "end()");
        record_deinit(&record);
}
END_TEST

START_TEST(test_flush_reports_later)
{
        Record record;
        int out[2];

        ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
        record_init(&record, -EBADF, out[1], 100);
        (void)close_fd(out[0]);
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("lost")), 0);
        ck_assert_int_eq(stream_flush(record.stream), -EPIPE);
        ck_assert_slice(buffer_slice(&record.log), "");
        ck_assert_log(&record, "write_end()");
        record_deinit(&record);
}
END_TEST

/* The same of a queue that waits for its reader, and then has none. */
START_TEST(test_flush_reports_later_when_blocked)
{
        static char block[100000];
        Record record;
        int out[2];

        memset(block, 'b', sizeof(block));
        ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
        record_init(&record, -EBADF, out[1], sizeof(block));
        ck_assert_int_eq(stream_write(record.stream, (Slice){ block, sizeof(block) }), 0);
        ck_assert_log(&record, "drained()");
        ck_assert_uint_gt(stream_queued(record.stream), 0);
        (void)close_fd(out[0]);
        ck_assert_int_eq(stream_flush(record.stream), -EPIPE);
        ck_assert_log(&record, "write_end()");
        record_deinit(&record);
}
END_TEST

START_TEST(test_close_output)
{
        Record record;
        char got[16];
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init(&record, -EBADF, fds[1], 100);
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("last")), 0);
        stream_close_output(record.stream);
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("x")), -EPIPE);
        ck_assert_log(&record, "written()");
        ck_assert_int_eq(read(fds[0], got, sizeof(got)), 4);
        ck_assert_int_eq(read(fds[0], got, sizeof(got)), 0);
        (void)close_fd(fds[0]);
        record_deinit(&record);
}
END_TEST

static void answer_on_frame(Record *record, Slice frame)
{
        ck_assert_int_eq(stream_write(record->stream, frame), 0);
        if (slice_is(frame, "close"))
                stream_close_output(record->stream);
}

/* One fd for both directions: each can end while the other goes on. */
START_TEST(test_socket)
{
        Record record;
        char got[16];
        int fds[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        record_init(&record, fds[0], fds[0], 100);
        ck_assert_int_eq(stream_input_fd(record.stream), fds[0]);
        record.on_frame = answer_on_frame;
        feed(fds[1], "ping\nclose\n");
        ck_assert_log(&record, "frame(ping)frame(close)written()");
        ck_assert_int_eq(read(fds[1], got, sizeof(got)), 9);
        ck_assert_int_eq(read(fds[1], got, sizeof(got)), 0);

        record.on_frame = NULL;
        feed(fds[1], "more\n");
        ck_assert_log(&record, "frame(more)");
        (void)close_fd(fds[1]);
        ck_assert_log(&record, "end()");
        record_deinit(&record);
}
END_TEST

START_TEST(test_socket_answers_after_end)
{
        Record record;
        char got[16];
        int fds[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        record_init(&record, fds[0], fds[0], 100);
        feed(fds[1], "ask\n");
        ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
        ck_assert_log(&record, "frame(ask)end()");
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("answer")), 0);
        ck_assert_log(&record, "");
        ck_assert_int_eq(read(fds[1], got, sizeof(got)), 6);
        (void)close_fd(fds[1]);
        ck_assert_log(&record, "");
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("late")), 0);
        ck_assert_log(&record, "write_end()");
        record_deinit(&record);
}
END_TEST

/* The peer is gone with our bytes unread: the kernel calls it a reset, we an end. */
START_TEST(test_socket_reset)
{
        Record record;
        int fds[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        record_init(&record, fds[0], fds[0], 100);
        feed(fds[1], "bye\n");
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("unread")), 0);
        ck_assert_int_eq(stream_flush(record.stream), 0);
        (void)close_fd(fds[1]);
        ck_assert_log(&record, "frame(bye)end()");
        record_deinit(&record);
}
END_TEST

START_TEST(test_close_empty_output)
{
        Record record;
        char got[16];
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init(&record, -EBADF, fds[1], 100);
        stream_close_output(record.stream);
        ck_assert_slice(buffer_slice(&record.log), "");
        ck_assert_int_eq(read(fds[0], got, sizeof(got)), 0);
        stream_close_output(record.stream);
        ck_assert_log(&record, "written()");
        (void)close_fd(fds[0]);
        record_deinit(&record);
}
END_TEST

START_TEST(test_read_now_is_bounded)
{
        Record record;
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        record_init(&record, fds[0], -EBADF, 0);
        record.on_frame = free_on_frame;
        for (unsigned i = 0; i < 10000; i++)
                feed(fds[1], "1234\n");
        stream_read_now(record.stream, 1);
        ck_assert_uint_eq(record.n_frames, 4096 / 5);
        feed(fds[1], "free\nx\n");
        stream_read_now(record.stream, 1 << 20);
        ck_assert_ptr_null(record.stream);
        ck_assert_uint_eq(record.n_frames, 10001);
        (void)close_fd(fds[1]);
        record_deinit(&record);
}
END_TEST

/* A terminal whose other side was closed gives EIO. */
START_TEST(test_read_error)
{
        Record record;
        int fd, slave;

        fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(grantpt(fd), 0);
        ck_assert_int_eq(unlockpt(fd), 0);
        slave = open(ptsname(fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
        ck_assert_int_ge(slave, 0);
        record_init(&record, fd, fd, 100);
        feed(slave, "x\n");
        ck_assert_int_eq(close(slave), 0);
        ck_assert_log(&record, "frame(x\r)error()");
        ck_assert_int_eq(stream_write(record.stream, SLICE_LITERAL("y")), -EPIPE);
        ck_assert_int_eq(stream_input_fd(record.stream), -EBADF);
        record_deinit(&record);
}
END_TEST

START_TEST(test_refuses_regular_file)
{
        _cleanup_(stream_freep) Stream *stream = NULL;
        StreamOptions options = { .output_fd = -EBADF, .callback = record_callback };
        sd_event *event = NULL;

        options.input_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(options.input_fd, 0);
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(stream_new(&stream, event, &options), -EPERM);
        ck_assert_int_eq(close(options.input_fd), 0);
        sd_event_unref(event);
}
END_TEST

UNIT_MAIN("stream", test_read_now, test_n_taken, test_frames, test_one_byte_at_a_time, test_flood,
          test_free_in_callback, test_pause, test_write_is_coalesced, test_write_is_all_or_nothing,
          test_output_mark, test_back_pressure, test_write_end, test_flush_reports_later,
          test_flush_reports_later_when_blocked, test_close_output, test_socket,
          test_socket_answers_after_end, test_socket_reset, test_close_empty_output,
          test_read_now_is_bounded, test_read_error, test_refuses_regular_file);
