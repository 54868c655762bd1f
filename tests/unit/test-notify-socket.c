/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include "unit.h"
#include "worker/notify-socket.h"

typedef struct Log {
        unsigned n_messages;
        NotifyMessage last;
        char status[NOTIFY_STATUS_MAX + 1];
        int barrier_fd; /* end of file is looked for when a message comes */
        bool barrier_open;
        NotifySocket **free_me;
} Log;

static char directory[] = "/tmp/test-notify-XXXXXX";
static sd_event *event;
static NotifySocket *notify;

static bool is_at_end(int fd)
{
        char c;

        return read(fd, &c, 1) == 0;
}

static void on_message(NotifySocket *socket, const NotifyMessage *message, void *userdata)
{
        Log *log = userdata;

        log->n_messages++;
        log->last = *message;
        if (message->status)
                (void)snprintf(log->status, sizeof(log->status), "%s", message->status);
        if (log->barrier_fd >= 0)
                log->barrier_open = !is_at_end(log->barrier_fd);
        if (log->free_me)
                *log->free_me = notify_socket_free(*log->free_me);
}

static void setup(Log *log)
{
        *log = (Log){ .barrier_fd = -EBADF };
        strcpy(directory, "/tmp/test-notify-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(directory));
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(notify_socket_new(&notify, event, directory, "pool-1", on_message, log),
                         0);
        (void)setenv("NOTIFY_SOCKET", notify_socket_path(notify), 1);
}

/* The directory is empty again. */
static void teardown(void)
{
        notify = notify_socket_free(notify);
        event = sd_event_unref(event);
        ck_assert_int_eq(rmdir(directory), 0);
}

static void send_message(const void *data, size_t size, int type, const void *control,
                         size_t control_size)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        union {
                char bytes[CMSG_SPACE(64)];
                struct cmsghdr align;
        } buffer = {};
        struct iovec iov = { (void *)data, size };
        struct msghdr header = {
                .msg_name = &address,
                .msg_namelen = sizeof(address),
                .msg_iov = &iov,
                .msg_iovlen = 1,
        };

        strcpy(address.sun_path, notify_socket_path(notify));
        if (control) {
                header.msg_control = &buffer;
                header.msg_controllen = CMSG_SPACE(control_size);
                *CMSG_FIRSTHDR(&header) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(control_size),
                                                            .cmsg_level = SOL_SOCKET,
                                                            .cmsg_type = type };
                memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), control, control_size);
        }
        ck_assert_int_eq(sendmsg(fd, &header, 0), (ssize_t)size);
}

static NotifyMessage parse(const char *text)
{
        static char buffer[8192];
        NotifyMessage message;

        strcpy(buffer, text);
        notify_message_parse(buffer, strlen(text), &message);
        return message;
}

START_TEST(test_fields)
{
        NotifyMessage m = parse("READY=1\nSTATUS=two words\nWATCHDOG=1\nUNKNOWN=1\n\nnonsense\n"
                                "EXTEND_TIMEOUT_USEC=5000000\nSTOPPING=1");

        ck_assert(m.ready);
        ck_assert(m.stopping);
        ck_assert(m.watchdog);
        ck_assert(!m.watchdog_trigger);
        ck_assert_uint_eq(m.extend_timeout_usec, 5000000);
        ck_assert_str_eq(m.status, "two words");

        m = parse("WATCHDOG=trigger\nREADY=0\nSTOPPING=\nREADYX=1\nEXTEND_TIMEOUT_USEC=soon");
        ck_assert(m.watchdog_trigger);
        ck_assert(!m.watchdog && !m.ready && !m.stopping);
        ck_assert_uint_eq(m.extend_timeout_usec, 0);
        ck_assert_ptr_null(m.status);

        m = parse("STATUS=first\nSTATUS=");
        ck_assert_str_eq(m.status, "");
        m = parse("");
        ck_assert(!m.ready && !m.status);
}
END_TEST

START_TEST(test_status_is_clean)
{
        char text[4000] = "STATUS=";

        ck_assert_str_eq(parse("STATUS=a\tb\x1b[1m \xc3\xa9 \xff\xc3 z").status,
                         "a b [1m \xc3\xa9 ?? z");
        memset(text + 7, 'x', 3000);
        ck_assert_uint_eq(strlen(parse(text).status), NOTIFY_STATUS_MAX);

        /* A character of two bytes across the bound goes as a whole. */
        memcpy(text + 7 + NOTIFY_STATUS_MAX - 1, "\xc3\xa9", 2);
        ck_assert_uint_eq(strlen(parse(text).status), NOTIFY_STATUS_MAX - 1);
}
END_TEST

START_TEST(test_sd_notify)
{
        Log log;

        setup(&log);
        ck_assert_int_gt(sd_notify(0, "READY=1\nSTATUS=up"), 0);
        ck_assert_int_gt(sd_event_run(event, USEC_PER_SEC), 0);
        ck_assert_uint_eq(log.n_messages, 1);
        ck_assert(log.last.ready);
        ck_assert_str_eq(log.status, "up");
        teardown();
}
END_TEST

static int on_defer(sd_event_source *source, void *userdata)
{
        ck_assert_uint_eq(((Log *)userdata)->n_messages, 3);
        return 0;
}

/* All that is queued is handled in one go, and before what else is due. */
START_TEST(test_drain_first)
{
        Log log;

        setup(&log);
        ck_assert_int_ge(sd_event_add_defer(event, NULL, on_defer, &log), 0);
        for (unsigned i = 0; i < 3; i++)
                ck_assert_int_gt(sd_notify(0, "WATCHDOG=1"), 0);
        ck_assert_int_gt(sd_event_run(event, USEC_PER_SEC), 0);
        ck_assert_uint_eq(log.n_messages, 3);
        ck_assert_int_gt(sd_event_run(event, USEC_PER_SEC), 0);
        teardown();
}
END_TEST

START_TEST(test_ignored)
{
        char large[NOTIFY_MESSAGE_MAX + 1];
        Log log;

        setup(&log);
        memset(large, 'x', sizeof(large));
        memcpy(large, "READY=1\n", 8);
        send_message(large, sizeof(large), 0, NULL, 0);
        send_message("READY=1\0STATUS=x", 16, 0, NULL, 0);
        notify_socket_read(notify);
        ck_assert_uint_eq(log.n_messages, 0);
        send_message(large, sizeof(large) - 1, 0, NULL, 0);
        send_message("WATCHDOG=1\0", 11, 0, NULL, 0);
        notify_socket_read(notify);
        ck_assert_uint_eq(log.n_messages, 2);
        ck_assert(log.last.watchdog);
        teardown();
}
END_TEST

/* Only root can pretend to be someone else; for others the kernel refuses it at the sender. */
START_TEST(test_other_user)
{
        struct ucred credentials = { getpid(), 12345, 12345 };
        Log log;

        setup(&log);
        if (geteuid() == 0) {
                send_message("READY=1", 7, SCM_CREDENTIALS, &credentials, sizeof(credentials));
                notify_socket_read(notify);
        }
        ck_assert_uint_eq(log.n_messages, 0);
        teardown();
}
END_TEST

/* The barrier's fd is closed when the message before it has been handled, and not earlier. */
START_TEST(test_barrier)
{
        int fds[2];
        Log log;

        setup(&log);
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        log.barrier_fd = fds[0];
        ck_assert_int_gt(sd_notify(0, "READY=1"), 0);
        send_message("BARRIER=1", 9, SCM_RIGHTS, &fds[1], sizeof(int));
        (void)close_fd(fds[1]);
        ck_assert(!is_at_end(fds[0]));
        notify_socket_read(notify);
        ck_assert_uint_eq(log.n_messages, 2);
        ck_assert(log.barrier_open);
        ck_assert(is_at_end(fds[0]));
        (void)close_fd(fds[0]);
        teardown();
}
END_TEST

START_TEST(test_free_in_callback)
{
        Log log;

        setup(&log);
        log.free_me = &notify;
        ck_assert_int_gt(sd_notify(0, "READY=1"), 0);
        ck_assert_int_gt(sd_notify(0, "READY=1"), 0);
        ck_assert_int_gt(sd_event_run(event, USEC_PER_SEC), 0);
        ck_assert_uint_eq(log.n_messages, 1);
        ck_assert_ptr_null(notify);
        teardown();
}
END_TEST

START_TEST(test_path)
{
        _cleanup_(notify_socket_freep) NotifySocket *stale = NULL, *other = NULL;
        char name[128];
        Log log;

        setup(&log);
        memset(name, 'n', sizeof(name));
        name[107 - strlen(directory)] = '\0'; /* with the slash one byte too many */
        ck_assert_int_eq(notify_socket_new(&other, event, directory, name, on_message, &log),
                         -ENAMETOOLONG);
        ck_assert_ptr_null(other);
        name[106 - strlen(directory)] = '\0';
        ck_assert_int_eq(notify_socket_new(&other, event, directory, name, on_message, &log), 0);
        ck_assert_uint_eq(strlen(notify_socket_path(other)), 107);
        other = notify_socket_free(other);

        stale = TAKE_PTR(notify);
        ck_assert_int_eq(notify_socket_new(&notify, event, directory, "pool-1", on_message, &log),
                         0);
        ck_assert_int_gt(sd_notify(0, "READY=1"), 0);
        notify_socket_read(notify);
        ck_assert_uint_eq(log.n_messages, 1);

        ck_assert_int_eq(notify_socket_new(&other, event, "/nonexistent", "a", on_message, &log),
                         -ENOENT);
        notify = notify_socket_free(notify);
        stale = notify_socket_free(stale);
        teardown();
}
END_TEST

UNIT_MAIN("notify-socket", test_fields, test_status_is_clean, test_sd_notify, test_drain_first,
          test_ignored, test_other_user, test_barrier, test_free_in_callback, test_path);
