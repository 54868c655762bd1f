/* SPDX-License-Identifier: Apache-2.0 */

#include "manager/notify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include "base/list.h"
#include "base/log-ids.h"
#include "base/log.h"

/* Messages that wait for a peer that does not read; the kernel holds about ten more. Further ones
 * are dropped: it has been told often enough. */
#define NOTIFY_QUEUE_MAX 64

/* STATUS= at most once in this time: while pools start or drain it changes with each of them. */
#define NOTIFY_STATUS_INTERVAL_USEC (100 * USEC_PER_MSEC)

/* What does not turn is looked at so many times as often, until it does. */
#define WATCHDOG_LOOKS 8

/* The ping goes before whatever else is to be done: whether the rest gets its turn is what alive
 * tells, and a loop that always has something more important to do than to ping is not stuck. */
#define WATCHDOG_PRIORITY SD_EVENT_PRIORITY_IMPORTANT

typedef struct Message {
        ListLink link;
        int fd; /* goes with it; -EBADF: none */
        char text[];
} Message;

struct Notify {
        sd_event *event;
        int fd;                    /* -EBADF: nobody wants to know */
        sd_event_source *writable; /* armed while messages wait */
        ListLink queue;
        unsigned n_queued;

        char *status; /* the last one, sent or due */
        sd_event_source *status_timer;
        usec_t status_usec; /* when it was sent last */
        bool status_due;

        sd_event_source *watchdog; /* NULL: not asked for */
        usec_t interval_usec;      /* of our pings: a third of what systemd waits */
        notify_alive_t alive;
        void *userdata;
        bool suspected;  /* at the last look something did not turn */
        bool complained; /* about it; once until everything turns again */
};

/* sd_notify would wait while the peer's queue is full; the loop waits for nobody, and this socket
 * does not block. */
static int send_now(const Notify *notify, const char *text, int fd)
{
        struct iovec iov = { (void *)text, strlen(text) };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = { 0 };

        if (fd >= 0) {
                control.header = (struct cmsghdr){
                        .cmsg_len = CMSG_LEN(sizeof(int)),
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                };
                memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
                message.msg_control = &control;
                message.msg_controllen = sizeof(control);
        }
        if (sendmsg(notify->fd, &message, MSG_NOSIGNAL) >= 0)
                return 0;
        return errno == EAGAIN || errno == ENOBUFS ? -EAGAIN : -errno;
}

static void message_free(Message *message)
{
        close_fd(message->fd);
        free(message);
}

static void queue_message(Notify *notify, const char *text, int fd)
{
        size_t size = strlen(text) + 1;
        Message *message;

        if (notify->n_queued >= NOTIFY_QUEUE_MAX)
                return;
        message = malloc(sizeof(Message) + size);
        if (!message)
                return;
        memcpy(message->text, text, size);
        /* a message that has lost its fd would ask for nothing that makes sense */
        message->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -EBADF;
        if (fd >= 0 && message->fd < 0) {
                free(message);
                return;
        }
        list_append(&notify->queue, &message->link);
        notify->n_queued++;
        (void)sd_event_source_set_enabled(notify->writable, SD_EVENT_ON);
}

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Notify *notify = userdata;

        while (notify->n_queued > 0) {
                Message *message = LIST_FIRST(&notify->queue, Message, link);

                if (send_now(notify, message->text, message->fd) == -EAGAIN)
                        return 0;
                list_remove(&message->link);
                notify->n_queued--;
                message_free(message);
        }
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static void tell_with_fd(Notify *notify, const char *text, int fd)
{
        if (notify->fd < 0)
                return;
        if (notify->n_queued > 0 || send_now(notify, text, fd) == -EAGAIN)
                queue_message(notify, text, fd);
}

static void tell(Notify *notify, const char *format, ...) _printf_(2, 3);

static void tell(Notify *notify, const char *format, ...)
{
        char text[1024];
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        tell_with_fd(notify, text, -EBADF);
}

/* Connects to NOTIFY_SOCKET: a path, or an abstract name after '@'. */
static int connect_to_peer(Notify *notify)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const char *path = getenv("NOTIFY_SOCKET");
        size_t length = path ? strlen(path) : 0;

        if (length == 0 || length >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
                return 0;
        memcpy(address.sun_path, path, length);
        if (path[0] == '@')
                address.sun_path[0] = '\0';
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (notify->fd < 0)
                return -errno;
        if (connect(notify->fd, (struct sockaddr *)&address,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0) {
                log_warning_errno(-errno, "cannot reach NOTIFY_SOCKET %s: %m", path);
                notify->fd = close_fd(notify->fd);
                return 0;
        }
        return 0;
}

/* After a pass of the loop that came late, nothing has had its turn yet: so what does not turn is
 * looked at again soon, and a machine that was busy or paused costs no ping. */
static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata)
{
        Notify *notify = userdata;
        usec_t next = notify->interval_usec;
        /* Before the ping: a process that is stopped right behind it has the next one due. */
        usec_t now = clock_monotonic_usec();

        if (notify->alive(notify->interval_usec, notify->userdata)) {
                tell(notify, "WATCHDOG=1");
                notify->complained = false;
                notify->suspected = false;
        } else {
                next /= WATCHDOG_LOOKS;
                if (notify->suspected && !notify->complained) {
                        log_event(LOG_ERR,
                                  (&(LogFields){ .message_id = LOG_ID_SUPERVISION_STALLED }),
                                  "a pool's supervision stands still: no watchdog ping");
                        notify->complained = true;
                }
                notify->suspected = true;
        }
        (void)sd_event_source_set_time(source, usec_add(now, next));
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void send_status(Notify *notify)
{
        tell(notify, "STATUS=%s", notify->status);
        notify->status_usec = clock_monotonic_usec();
        notify->status_due = false;
}

static int on_status_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Notify *notify = userdata;

        if (notify->status_due)
                send_status(notify);
        return 0;
}

static int add_watchdog(Notify *notify)
{
        uint64_t watchdog_usec;
        int r;

        r = sd_watchdog_enabled(0, &watchdog_usec);
        if (r <= 0)
                return r;
        /* A third: late by its accuracy or a busy loop pass, it still comes within half. */
        notify->interval_usec = watchdog_usec / 3;
        r = sd_event_add_time(notify->event, &notify->watchdog, CLOCK_MONOTONIC,
                              usec_add(clock_monotonic_usec(), notify->interval_usec),
                              notify->interval_usec / 8, on_watchdog, notify);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(notify->watchdog, "watchdog");
        return sd_event_source_set_priority(notify->watchdog, WATCHDOG_PRIORITY);
}

static int add_sources(Notify *notify)
{
        int r;

        if (notify->fd < 0)
                return 0;
        r = sd_event_add_io(notify->event, &notify->writable, notify->fd, EPOLLOUT, on_writable,
                            notify);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(notify->writable, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_time(notify->event, &notify->status_timer, CLOCK_MONOTONIC, 0, 0,
                              on_status_timer, notify);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(notify->status_timer, SD_EVENT_OFF);
}

int notify_new(Notify **ret, sd_event *event, notify_alive_t alive, void *userdata)
{
        _cleanup_(notify_freep) Notify *notify = calloc(1, sizeof(Notify));
        int r;

        if (!notify)
                return -ENOMEM;
        list_init(&notify->queue);
        notify->fd = -EBADF;
        notify->event = event;
        notify->alive = alive;
        notify->userdata = userdata;
        r = connect_to_peer(notify);
        if (r >= 0)
                r = add_sources(notify);
        if (r >= 0)
                r = add_watchdog(notify);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(notify);
        return 0;
}

Notify *notify_free(Notify *notify)
{
        ListLink *link;

        if (!notify)
                return NULL;
        while ((link = list_pop_first(&notify->queue)))
                message_free(LIST_ENTRY(link, Message, link));
        sd_event_source_disable_unref(notify->watchdog);
        sd_event_source_disable_unref(notify->writable);
        sd_event_source_disable_unref(notify->status_timer);
        close_fd(notify->fd);
        free(notify->status);
        free(notify);
        return NULL;
}

/* Who waited for this looks at the status next. */
void notify_ready(Notify *notify)
{
        if (notify->status_due)
                send_status(notify);
        tell(notify, "READY=1");
}

void notify_reloading(Notify *notify)
{
        /* one datagram: newer versions refuse RELOADING=1 without the time */
        tell(notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_monotonic_usec());
}

void notify_stopping(Notify *notify)
{
        tell(notify, "STOPPING=1");
}

void notify_status(Notify *notify, const char *status)
{
        usec_t due = usec_add(notify->status_usec, NOTIFY_STATUS_INTERVAL_USEC);
        char *copy;

        if (notify->fd < 0 || (notify->status && streq(notify->status, status)))
                return;
        copy = strdup(status);
        if (!copy)
                return;
        free(notify->status);
        notify->status = copy;
        if (notify->status_due)
                return;
        if (clock_monotonic_usec() >= due) {
                send_status(notify);
                return;
        }
        notify->status_due = true;
        (void)sd_event_source_set_time(notify->status_timer, due);
        (void)sd_event_source_set_enabled(notify->status_timer, SD_EVENT_ONESHOT);
}

void notify_extend_timeout(Notify *notify, usec_t usec)
{
        tell(notify, "EXTEND_TIMEOUT_USEC=%" PRIu64, usec);
}

bool notify_store_fd(Notify *notify, const char *name, int fd)
{
        char text[128];

        if (notify->fd < 0)
                return false;
        (void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
        tell_with_fd(notify, text, fd);
        return true;
}

void notify_forget_fd(Notify *notify, const char *name)
{
        tell(notify, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}
