/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include "base/log.h"
#include "unit.h"
#include "worker/output-log.h"

#define STAMP "2026-03-01T12:00:00.123Z "

/* From here on stderr is a pipe in packet mode: each read gives one line. */
static int capture_stderr(void)
{
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_DIRECT | O_NONBLOCK), 0);
        ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
        (void)close_fd(fds[1]);
        clock_freeze(1, 1772366400123);
        log_open("test");
        return fds[0];
}

static void assert_line(int fd, const char *expected)
{
        char line[2 * OUTPUT_LINE_MAX];
        ssize_t n = read(fd, line, sizeof(line) - 1);

        line[MAX(n, 0)] = '\0';
        if (*expected) {
                ck_assert_int_gt(n, 0);
                ck_assert_str_eq(line, expected);
        } else {
                ck_assert_str_eq(line, "");
        }
}

static void feed(OutputLog *log, const char *text)
{
        output_log_feed(log, slice_from_string(text));
}

START_TEST(test_lines)
{
        int fd = capture_stderr();
        OutputLog log;

        output_log_init(&log, "hash", "hash/2");
        feed(&log, "one\ntw");
        assert_line(fd, STAMP "INFO hash/2: one\n");
        assert_line(fd, "");
        feed(&log, "o\r\n\nrest");
        assert_line(fd, STAMP "INFO hash/2: two\n");
        output_log_end(&log);
        assert_line(fd, STAMP "INFO hash/2: rest\n");
        output_log_deinit(&log);
        (void)close_fd(fd);
}
END_TEST

/* As a stream to the journal has it: one digit, at the very beginning. */
START_TEST(test_levels)
{
        int fd = capture_stderr();
        OutputLog log;

        log_set_level(LOG_ERR);
        output_log_init(&log, "hash", "hash/2");
        feed(&log, "<3>bad\n<4");
        assert_line(fd, STAMP "ERROR hash/2: bad\n");
        feed(&log, ">careful\n<7>\n<8>eight\n<a>letter\n <3>blank\n<3\n");
        assert_line(fd, STAMP "WARNING hash/2: careful\n");
        assert_line(fd, STAMP "DEBUG hash/2: \n");
        assert_line(fd, STAMP "INFO hash/2: <8>eight\n");
        assert_line(fd, STAMP "INFO hash/2: <a>letter\n");
        assert_line(fd, STAMP "INFO hash/2:  <3>blank\n");
        assert_line(fd, STAMP "INFO hash/2: <3\n");
        assert_line(fd, "");
        output_log_deinit(&log);
        (void)close_fd(fd);
}
END_TEST

START_TEST(test_flood)
{
        int fd = capture_stderr();
        OutputLog log;

        output_log_init(&log, "hash", "hash/2");
        for (unsigned i = 0; i < OUTPUT_LINES_PER_SECOND; i++) {
                feed(&log, "line\n");
                assert_line(fd, STAMP "INFO hash/2: line\n");
        }
        feed(&log, "more\nmore\nmore\n");
        assert_line(fd, "");
        output_log_end(&log);
        assert_line(fd, STAMP "INFO hash/2: (3 more lines suppressed)\n");
        output_log_deinit(&log);
        (void)close_fd(fd);
}
END_TEST

UNIT_MAIN("output-log", test_lines, test_levels, test_flood);
