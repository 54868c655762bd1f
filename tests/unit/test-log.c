/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/log.h"
#include "unit.h"

#define STAMP "2026-03-01T12:00:00.123Z "

/* From here on stderr is a pipe in packet mode: each read gives one write, thus one line. */
static int capture_stderr(void)
{
        int fds[2];

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_DIRECT | O_NONBLOCK), 0);
        ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
        (void)close_fd(fds[1]);
        clock_freeze(1, 1772366400123);
        log_open("test");
        log_set_level(LOG_INFO);
        return fds[0];
}

static const char *next_line(int fd)
{
        static char line[2 * LOG_LINE_MAX];
        ssize_t n = read(fd, line, sizeof(line) - 1);

        line[MAX(n, 0)] = '\0';
        return line;
}

START_TEST(test_line)
{
        int fd = capture_stderr();

        log_info("started %u workers", 3U);
        ck_assert_str_eq(next_line(fd), STAMP "INFO started 3 workers\n");
        log_warning("%s", "odd");
        ck_assert_str_eq(next_line(fd), STAMP "WARNING odd\n");
        log_event(LOG_ERR, (&(LogFields){ .pool = "hash", .task_id = "7" }), "gone");
        ck_assert_str_eq(next_line(fd), STAMP "ERROR hash: gone\n");
        log_event(LOG_NOTICE, (&(LogFields){ .pool = "hash", .worker = "hash/2" }), "up");
        ck_assert_str_eq(next_line(fd), STAMP "NOTICE hash/2: up\n");
        ck_assert_str_eq(next_line(fd), "");
        (void)close_fd(fd);
}
END_TEST

START_TEST(test_errno)
{
        int fd = capture_stderr();

        errno = EPIPE;
        ck_assert_int_eq(log_error_errno(-ENOENT, "open: %m"), -ENOENT);
        ck_assert_str_eq(next_line(fd), STAMP "ERROR open: No such file or directory\n");
        ck_assert_int_eq(errno, EPIPE);
        ck_assert_int_eq(log_error_errno(ENOENT, "positive: %m"), -ENOENT);
        ck_assert_str_eq(next_line(fd), STAMP "ERROR positive: No such file or directory\n");
        ck_assert_int_eq(log_error("none"), 0);
        (void)close_fd(fd);
}
END_TEST

START_TEST(test_one_event_is_one_line)
{
        int fd = capture_stderr();

        log_info("one\ntwo\tthree\x01\x7f\xc3\xa9");
        ck_assert_str_eq(next_line(fd), STAMP "INFO one\\ntwo\\tthree\\x01\\x7f\xc3\xa9\n");
        (void)close_fd(fd);
}
END_TEST

START_TEST(test_line_is_bounded)
{
        static char text[3 * LOG_LINE_MAX];
        int fd = capture_stderr();
        const char *line;

        memset(text, '\n', sizeof(text) - 1);
        log_info("%s", text);
        line = next_line(fd);
        ck_assert_uint_le(strlen(line), LOG_LINE_MAX);
        ck_assert_uint_gt(strlen(line), LOG_LINE_MAX - 16);
        ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
        ck_assert_str_eq(next_line(fd), "");
        (void)close_fd(fd);
}
END_TEST

START_TEST(test_levels)
{
        int fd = capture_stderr();

        log_debug("unseen");
        ck_assert_int_eq(log_full(LOG_DEBUG, -EIO, NULL, "unseen"), -EIO);
        ck_assert_str_eq(next_line(fd), "");
        log_set_level(LOG_DEBUG);
        ck_assert_int_eq(log_level(), LOG_DEBUG);
        log_debug("seen");
        ck_assert_str_eq(next_line(fd), STAMP "DEBUG seen\n");
        log_set_level(LOG_ERR);
        log_warning("unseen");
        ck_assert_str_eq(next_line(fd), "");
        (void)close_fd(fd);
}
END_TEST

START_TEST(test_level_names)
{
        for (int level = LOG_EMERG; level <= LOG_DEBUG; level++)
                ck_assert_int_eq(log_level_from_string(log_level_to_string(level)), level);
        ck_assert_str_eq(log_level_to_string(LOG_ERR), "error");
        ck_assert_int_eq(log_level_from_string("err"), LOG_ERR);
        ck_assert_int_eq(log_level_from_string("warn"), LOG_WARNING);
        ck_assert_int_eq(log_level_from_string("INFO"), -EINVAL);
        ck_assert_int_eq(log_level_from_string(""), -EINVAL);
}
END_TEST

/* Only a JOURNAL_STREAM that names this very stderr counts. */
START_TEST(test_journal_is_recognised)
{
        int fd = capture_stderr();
        char stream[64];
        struct stat st;

        ck_assert_int_eq(setenv("JOURNAL_STREAM", "1:1", 1), 0);
        log_open("test");
        ck_assert(!log_to_journal());
        ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
        (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
                       (uintmax_t)st.st_ino);
        ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
        log_open("test");
        ck_assert(log_to_journal());
        ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
        log_open("test");
        ck_assert(!log_to_journal());
        (void)close_fd(fd);
}
END_TEST

UNIT_MAIN("log", test_line, test_errno, test_one_event_is_one_line, test_line_is_bounded,
          test_levels, test_level_names, test_journal_is_recognised);
