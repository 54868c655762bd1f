/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/json-scan.h"
#include "base/macro.h"
#include "base/parse.h"
#include "worker/notify-socket.h"

/* Before timers, which are at SD_EVENT_PRIORITY_NORMAL. */
#define NOTIFY_PRIORITY (SD_EVENT_PRIORITY_NORMAL - 10)

/* Datagrams handled before others get their turn; the kernel queues fewer (max_dgram_qlen). */
#define NOTIFY_BATCH_MAX 1024

/* Most fds that the kernel passes with one message (SCM_MAX_FD). */
#define NOTIFY_FDS_MAX 253

/* A worker keeps its socket for good, so the last fds are not for this: a few tasks' pipes and a
 * few clients need them now and then. */
#define RESERVED_FDS 16

struct NotifySocket {
        sd_event_source *source;
        int fd;
        char *path;
        bool bound;
        bool *freed; /* set where a callback frees the socket that is being read */
        notify_callback_t callback;
        void *userdata;
};

/* Bytes that are no UTF-8, and control characters, become one '?' or blank each, in place. */
static void clean_status(char *status)
{
        char *end = status + strlen(status), *p = status;

        while (p < end) {
                unsigned n = json_utf8_length(p, end);

                if (n == 0)
                        *p = '?';
                else if ((unsigned char)*p < 0x20 || *p == 0x7F)
                        *p = ' ';
                if (p + MAX(n, 1U) > status + NOTIFY_STATUS_MAX)
                        break;
                p += MAX(n, 1U);
        }
        *p = '\0';
}

static const char *field_value(char *line, const char *name)
{
        size_t size = strlen(name);

        return strncmp(line, name, size) == 0 && line[size] == '=' ? line + size + 1 : NULL;
}

static void parse_field(char *line, NotifyMessage *message)
{
        const char *value;
        uint64_t usec;

        if ((value = field_value(line, "STATUS"))) {
                clean_status(line + (value - line));
                message->status = value;
        } else if ((value = field_value(line, "WATCHDOG"))) {
                message->watchdog = message->watchdog || streq(value, "1");
                message->watchdog_trigger = message->watchdog_trigger || streq(value, "trigger");
        } else if ((value = field_value(line, "EXTEND_TIMEOUT_USEC"))) {
                if (parse_uint64(value, &usec) >= 0)
                        message->extend_timeout_usec = usec;
        } else if ((value = field_value(line, "READY"))) {
                message->ready = message->ready || streq(value, "1");
        } else if ((value = field_value(line, "STOPPING"))) {
                message->stopping = message->stopping || streq(value, "1");
        }
}

void notify_message_parse(char *buffer, size_t size, NotifyMessage *ret)
{
        char *line = buffer, *next;

        *ret = (NotifyMessage){};
        buffer[size] = '\0';
        for (; line; line = next) {
                next = strchr(line, '\n');
                if (next)
                        *next++ = '\0';
                parse_field(line, ret);
        }
}

/* What came beside the bytes: who sent them, and fds that are ours now. */
typedef struct Ancillary {
        bool trusted;
        int fds[NOTIFY_FDS_MAX];
        size_t n_fds;
} Ancillary;

static void ancillary_deinit(Ancillary *ancillary)
{
        while (ancillary->n_fds > 0)
                (void)close_fd(ancillary->fds[--ancillary->n_fds]);
}

static void ancillary_take(Ancillary *ancillary, struct msghdr *header)
{
        struct ucred credentials;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
                size_t size = c->cmsg_len - CMSG_LEN(0);

                if (c->cmsg_level != SOL_SOCKET)
                        continue;
                if (c->cmsg_type == SCM_RIGHTS && size <= sizeof(ancillary->fds)) {
                        memcpy(ancillary->fds, CMSG_DATA(c), size);
                        ancillary->n_fds = size / sizeof(int);
                } else if (c->cmsg_type == SCM_CREDENTIALS && size == sizeof(credentials)) {
                        memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
                        ancillary->trusted = credentials.uid == 0 || credentials.uid == getuid();
                }
        }
}

/* One datagram: its size, 0 if there was none that counts, -errno (-EAGAIN: none at all). */
static ssize_t receive(int fd, char *buffer, Ancillary *ancillary)
{
        union {
                char bytes[CMSG_SPACE(sizeof(struct ucred)) +
                           CMSG_SPACE(sizeof(int) * NOTIFY_FDS_MAX)];
                struct cmsghdr align;
        } control;
        struct iovec iov = { buffer, NOTIFY_MESSAGE_MAX };
        struct msghdr header = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t n;

        n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return -errno;
        ancillary_take(ancillary, &header);
        if (!ancillary->trusted || (header.msg_flags & MSG_TRUNC))
                return 0;
        if (n > 0 && buffer[n - 1] == '\0')
                n--;
        return memchr(buffer, '\0', (size_t)n) ? 0 : n;
}

void notify_socket_read(NotifySocket *socket)
{
        char buffer[NOTIFY_MESSAGE_MAX + 1];
        NotifyMessage message;
        bool freed = false;

        socket->freed = &freed;
        for (unsigned i = 0; i < NOTIFY_BATCH_MAX; i++) {
                _cleanup_(ancillary_deinit) Ancillary ancillary;
                ssize_t n;

                ancillary.trusted = false;
                ancillary.n_fds = 0;
                n = receive(socket->fd, buffer, &ancillary);
                if (n < 0)
                        break;
                if (n == 0)
                        continue;
                notify_message_parse(buffer, (size_t)n, &message);
                socket->callback(socket, &message, socket->userdata);
                if (freed)
                        return;
        }
        socket->freed = NULL;
}

static int notify_socket_on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        notify_socket_read(userdata);
        return 0;
}

static bool is_one_of_the_last(int fd)
{
        struct rlimit limit;

        return getrlimit(RLIMIT_NOFILE, &limit) >= 0 && (rlim_t)fd + RESERVED_FDS >= limit.rlim_cur;
}

static int notify_socket_bind(NotifySocket *notify)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int on = 1;

        if (strlen(notify->path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, notify->path);
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (notify->fd < 0)
                return -errno;
        if (is_one_of_the_last(notify->fd))
                return -EMFILE;
        if (setsockopt(notify->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
                return -errno;
        if (unlink(notify->path) < 0 && errno != ENOENT)
                return -errno;
        if (bind(notify->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        notify->bound = true;
        return 0;
}

int notify_socket_new(NotifySocket **ret, sd_event *event, const char *directory, const char *name,
                      notify_callback_t callback, void *userdata)
{
        _cleanup_(notify_socket_freep) NotifySocket *socket = NULL;
        int r;

        socket = malloc(sizeof(*socket));
        if (!socket)
                return -ENOMEM;
        *socket = (NotifySocket){ .fd = -EBADF, .callback = callback, .userdata = userdata };
        if (asprintf(&socket->path, "%s/%s", directory, name) < 0) {
                socket->path = NULL;
                return -ENOMEM;
        }
        r = notify_socket_bind(socket);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &socket->source, socket->fd, EPOLLIN, notify_socket_on_io,
                            socket);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(socket->source, NOTIFY_PRIORITY);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(socket->source, "notify-socket");
        *ret = TAKE_PTR(socket);
        return 0;
}

NotifySocket *notify_socket_free(NotifySocket *socket)
{
        if (!socket)
                return NULL;
        if (socket->freed)
                *socket->freed = true;
        (void)sd_event_source_disable_unref(socket->source);
        (void)close_fd(socket->fd);
        if (socket->bound)
                (void)unlink(socket->path);
        free(socket->path);
        free(socket);
        return NULL;
}

const char *notify_socket_path(const NotifySocket *socket)
{
        return socket->path;
}
