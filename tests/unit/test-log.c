/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "base/clock.h"
#include "base/log-journal.h"
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

/* A pipe that waits for its reader, who does not come. */
START_TEST(test_nobody_reads)
{
        int fd = capture_stderr();
        unsigned n_read = 0;
        char missing[128];

        ck_assert_int_eq(fcntl(STDERR_FILENO, F_SETFL, O_DIRECT), 0);
        for (unsigned i = 0; i < 100; i++)
                log_info("line");
        while (streq(next_line(fd), STAMP "INFO line\n"))
                n_read++;
        ck_assert_uint_gt(n_read, 0);
        ck_assert_uint_lt(n_read, 100);
        log_info("again");
        (void)snprintf(missing, sizeof(missing),
                       STAMP "WARNING %u lines are missing here: nobody was reading stderr\n",
                       100 - n_read);
        ck_assert_str_eq(next_line(fd), missing);
        ck_assert_str_eq(next_line(fd), STAMP "INFO again\n");
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

/* What is cut off ends with a whole character, at every offset of the cut. */
START_TEST(test_cut_keeps_characters_whole)
{
        static char text[2 * LOG_LINE_MAX];
        int fd = capture_stderr();

        for (size_t shift = 0; shift < 4; shift++) {
                const char *line;
                size_t size;

                memset(text, 'x', shift);
                for (size_t i = shift; i + 4 < sizeof(text); i += 4)
                        memcpy(text + i, "\xf0\x9f\x98\x80", 4);
                log_info("%s", text);
                line = next_line(fd);
                size = strlen(line);
                ck_assert_uint_gt(size, LOG_LINE_MAX - 16);
                ck_assert_str_eq(line + size - 5, "\xf0\x9f\x98\x80\n");
        }
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
        ck_assert_int_eq(log_to_journal(), access(JOURNAL_SOCKET, W_OK) == 0);
        ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
        log_open("test");
        ck_assert(!log_to_journal());
        (void)close_fd(fd);
}
END_TEST

/* As it starts while the journal is down. */
START_TEST(test_a_service_without_a_standard_error_has_the_journal)
{
        int kept = capture_stderr(), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        ck_assert_int_ge(null, 0);
        ck_assert_int_ge(dup2(null, STDERR_FILENO), 0);
        (void)close(null);
        ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
        ck_assert_int_eq(unsetenv("INVOCATION_ID"), 0);
        log_open("test");
        ck_assert(!log_to_journal());
        ck_assert_int_eq(setenv("INVOCATION_ID", "0123456789abcdef0123456789abcdef", 1), 0);
        log_open("test");
        ck_assert(log_to_journal());
        ck_assert_int_eq(unsetenv("INVOCATION_ID"), 0);
        (void)close_fd(kept);
}
END_TEST

static int write_file(const char *path, const char *text)
{
        FILE *file = fopen(path, "we");

        if (!file)
                return -errno;
        (void)fputs(text, file);
        return fclose(file) == 0 ? 0 : -errno;
}

/* In a mount namespace of our own, where an ordinary user is root too; -errno where that is not
 * allowed. */
static int enter_namespace(void)
{
        char users[32], groups[32];
        int r;

        (void)snprintf(users, sizeof(users), "0 %u 1", geteuid());
        (void)snprintf(groups, sizeof(groups), "0 %u 1", getegid());
        if (geteuid() == 0)
                return unshare(CLONE_NEWNS) < 0 ? -errno : 0;
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                return -errno;
        r = write_file("/proc/self/uid_map", users);
        if (r == 0)
                r = write_file("/proc/self/setgroups", "deny");
        if (r == 0)
                r = write_file("/proc/self/gid_map", groups);
        return r;
}

static int listen_as_journal(void)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        ck_assert_int_ge(fd, 0);
        (void)unlink(JOURNAL_SOCKET);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

/* A journal of our own; -errno where that is not allowed. */
static int fake_journal(void)
{
        char stream[64];
        struct stat st;
        int fd = enter_namespace();

        if (fd < 0)
                return fd;
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0)
                return -errno;
        ck_assert_int_eq(mkdir("/run/systemd", 0755), 0);
        ck_assert_int_eq(mkdir("/run/systemd/journal", 0755), 0);
        fd = listen_as_journal();
        ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
        (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
                       (uintmax_t)st.st_ino);
        ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
        return fd;
}

static const char *next_entry(int journal)
{
        static char entry[2 * JOURNAL_ENTRY_MAX];
        ssize_t n = recv(journal, entry, sizeof(entry) - 1, 0);

        for (ssize_t i = 0; i < n; i++) {
                if (entry[i] == '\0')
                        entry[i] = '.'; /* of sizes */
        }
        entry[MAX(n, 0)] = '\0';
        return entry;
}

/* These leave the process in their own namespace where check does not fork, so they are last. */
START_TEST(test_journal_fields)
{
        static const LogFields fields = { .pool = "hash",
                                          .worker = "hash/2",
                                          .task_id = "t7",
                                          .task_type = "sum",
                                          .source = "local",
                                          .status = "FAILED",
                                          .message_id = "0123456789abcdef0123456789abcdef",
                                          .pid = "42" };
        int fd = capture_stderr(), journal = fake_journal();
        uint64_t n_dropped = log_n_dropped();

        if (journal < 0)
                return;
        log_open("test");
        ck_assert(log_to_journal());
        ck_assert_int_eq(log_full(LOG_ERR, -ENOENT, &fields, "lost: %m"), -ENOENT);
        ck_assert_str_eq(next_entry(journal),
                         "MESSAGE=hash/2: lost: No such file or directory\nPRIORITY=3\n"
                         "SYSLOG_IDENTIFIER=test\n"
                         "MESSAGE_ID=0123456789abcdef0123456789abcdef\n"
                         "YARDMASTER_POOL=hash\nYARDMASTER_WORKER=hash/2\n"
                         "YARDMASTER_TASK_ID=t7\nYARDMASTER_TASK_TYPE=sum\n"
                         "YARDMASTER_SOURCE=local\nYARDMASTER_STATUS=FAILED\n"
                         "YARDMASTER_PID=42\n");
        log_info("two\nlines");
        ck_assert_str_eq(next_entry(journal),
                         "MESSAGE\n\x09.......two\nlines\nPRIORITY=6\nSYSLOG_IDENTIFIER=test\n");
        ck_assert_str_eq(next_line(fd), "");

        /* A journal that has gone: the line goes to stderr instead, and to the next one. */
        (void)close_fd(journal);
        log_info("still here");
        ck_assert_str_eq(next_line(fd), STAMP "INFO still here\n");
        journal = listen_as_journal();
        log_info("back");
        ck_assert_str_eq(next_entry(journal), "MESSAGE=back\nPRIORITY=6\nSYSLOG_IDENTIFIER=test\n");
        ck_assert_str_eq(next_line(fd), "");
        ck_assert_uint_eq(log_n_dropped(), n_dropped);
        (void)close_fd(journal);
        (void)close_fd(fd);
}
END_TEST

/* What a worker printed is its own line, whatever the level; on stderr it is told whose. */
START_TEST(test_journal_printed)
{
        static const LogFields fields = {
                .pool = "hash", .worker = "hash/2", .task_id = "t7", .pid = "42", .printed = true
        };
        int fd = capture_stderr(), journal = fake_journal();

        if (journal < 0)
                return;
        log_open("test");
        log_set_level(LOG_ERR);
        (void)log_full(LOG_DEBUG, 0, &fields, "%s", "hello");
        ck_assert_str_eq(next_entry(journal),
                         "MESSAGE=hello\nPRIORITY=7\nSYSLOG_IDENTIFIER=hash/2\n"
                         "YARDMASTER_POOL=hash\nYARDMASTER_WORKER=hash/2\n"
                         "YARDMASTER_TASK_ID=t7\nYARDMASTER_PID=42\n"
                         "SYSLOG_PID=42\n");
        (void)close_fd(journal);
        (void)log_full(LOG_DEBUG, 0, &fields, "%s", "hello");
        ck_assert_str_eq(next_line(fd), STAMP "DEBUG hash/2: hello\n");
        (void)close_fd(fd);
}
END_TEST

/* A journald that hangs holds up nobody: one wait, then lines are dropped and counted. */
START_TEST(test_journal_hangs)
{
        int fd = capture_stderr(), journal = fake_journal();
        uint64_t n_dropped = log_n_dropped();
        unsigned n_taken = 0, n_sent = 2000;
        char missing[128];
        usec_t begin;

        if (journal < 0)
                return;
        clock_freeze(0, 0);
        log_open("test");
        begin = clock_monotonic_usec();
        for (unsigned i = 0; i < n_sent; i++)
                log_info("line");
        ck_assert_uint_ge(clock_monotonic_usec() - begin, JOURNAL_WAIT_USEC);
        ck_assert_uint_lt(clock_monotonic_usec() - begin, 10 * JOURNAL_WAIT_USEC);
        ck_assert(journal_is_stuck());
        while (next_entry(journal)[0] != '\0')
                n_taken++;
        ck_assert_uint_gt(n_taken, 0);
        ck_assert_uint_eq(n_taken + log_n_dropped() - n_dropped, n_sent);

        log_info("again");
        (void)snprintf(missing, sizeof(missing),
                       "MESSAGE=%u lines are missing here: the journal took none\n"
                       "PRIORITY=4\nSYSLOG_IDENTIFIER=test\n",
                       n_sent - n_taken);
        ck_assert_str_eq(next_entry(journal), missing);
        ck_assert_str_eq(next_entry(journal),
                         "MESSAGE=again\nPRIORITY=6\nSYSLOG_IDENTIFIER=test\n");
        ck_assert(!journal_is_stuck());
        ck_assert_str_eq(next_line(fd), "");
        (void)close_fd(journal);
        (void)close_fd(fd);
}
END_TEST

UNIT_MAIN("log", test_line, test_nobody_reads, test_errno, test_one_event_is_one_line,
          test_line_is_bounded, test_cut_keeps_characters_whole, test_levels, test_level_names,
          test_journal_is_recognised, test_a_service_without_a_standard_error_has_the_journal,
          test_journal_fields, test_journal_printed, test_journal_hangs);
