/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <sys/epoll.h>
#include "base/http-internal.h"

/* Sockets served in one pass of the loop, so that others have their turn; more would not lower the
 * cost of a pass for each any further. */
#define EVENTS_PER_TURN 64

/* The table of sockets is made for this many at first. */
#define SOCKETS_MIN 64

/* Answers before what they make the loop do: all that are there go to the workers in one write and
 * to the disk in one. What is not worked off brings no more answers, so this ends. */
#define IO_PRIORITY (SD_EVENT_PRIORITY_NORMAL - 2)

/* Slack of the timer: it guards time-outs of seconds. */
#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)

static HttpSocket *socket_of(Http *http, int fd)
{
        HttpSocket *longer;
        size_t n;

        if (fd < 0)
                return NULL;
        if ((size_t)fd < http->n_sockets)
                return &http->sockets[fd];
        n = MAX((size_t)fd + 1, MAX(http->n_sockets * 2, (size_t)SOCKETS_MIN));
        longer = reallocarray(http->sockets, n, sizeof(*longer));
        if (!longer)
                return NULL;
        memset(longer + http->n_sockets, 0, (n - http->n_sockets) * sizeof(*longer));
        http->sockets = longer;
        http->n_sockets = n;
        return &http->sockets[fd];
}

/* If the kernel refuses (no memory), the requests on this socket end by their time-out. */
static void socket_register(Http *http, int fd, HttpSocket *s, uint32_t events)
{
        struct epoll_event event = {
                .events = events,
                .data.u64 = (uint64_t)s->generation << 32 | (uint32_t)fd,
        };
        int operation = events == 0          ? EPOLL_CTL_DEL
                        : s->registered == 0 ? EPOLL_CTL_ADD
                                             : EPOLL_CTL_MOD;

        if (events == s->registered)
                return;
        s->registered = epoll_ctl(http->epoll_fd, operation, fd, &event) < 0 ? 0 : events;
}

/* Between two requests curl wants nothing of a connection. That it stays registered for reading
 * saves two system calls per request; if it becomes readable meanwhile, on_io drops it. What is not
 * a connection (yet) curl closes without on_close: the ends of a resolver's socket pair, and
 * sockets that did not get connected, which it waits for to be writable only. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_data)
{
        Http *http = userdata;
        HttpSocket *s = socket_of(http, fd);

        if (!s)
                return 0;
        s->wanted = 0;
        if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
                s->wanted |= EPOLLIN;
        if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
                s->wanted |= EPOLLOUT;
        if (s->wanted == 0 && s->registered == EPOLLOUT)
                s->kept = false;
        if (s->wanted != 0)
                socket_register(http, fd, s, s->wanted);
        else
                socket_register(http, fd, s, s->kept ? s->registered & EPOLLIN : 0);
        return 0;
}

static curl_socket_t on_open(void *userdata, curlsocktype purpose, struct curl_sockaddr *address)
{
        Http *http = userdata;
        HttpSocket *s;
        int fd;

        fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);
        s = socket_of(http, fd);
        if (!s) {
                (void)close_fd(fd);
                return CURL_SOCKET_BAD;
        }
        *s = (HttpSocket){ .generation = s->generation + 1, .kept = true };
        return fd;
}

/* Out of the epoll fd before it is closed: a worker that is just being spawned may hold it open for
 * a moment, and events would still come. */
static int on_close(void *userdata, curl_socket_t fd)
{
        Http *http = userdata;
        HttpSocket *s = socket_of(http, fd);

        if (s) {
                socket_register(http, fd, s, 0);
                *s = (HttpSocket){ .generation = s->generation + 1 };
        }
        (void)close_fd(fd);
        return 0;
}

/* Curl looks up host names in a thread that it makes for each look-up. The thread inherits the
 * signal mask, so all signals are held back until curl is left. */
static int on_resolve(void *resolver, void *reserved, void *userdata)
{
        Http *http = userdata;
        sigset_t all;

        if (http->signals_held)
                return 0;
        (void)sigfillset(&all);
        http->signals_held = pthread_sigmask(SIG_SETMASK, &all, &http->signals) == 0;
        return 0;
}

int http_loop_setup(Http *http, CURL *easy)
{
        if (curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, http) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, http) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, on_resolve) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, http) != CURLE_OK)
                return -ENOMEM;
        return 0;
}

/* Only notes what curl wants, and mostly nothing follows: zero is served by the turn that is under
 * way, and a time later than the timer's needs no change. The start of the loop's pass stands for
 * now: the timer may fire too early, and then is set again. */
static int on_timer(CURLM *multi, long timeout_msec, void *userdata)
{
        Http *http = userdata;
        uint64_t now;

        http->run_now = timeout_msec == 0;
        http->wanted_usec = USEC_INFINITY;
        if (timeout_msec > 0 && sd_event_now(http->event, CLOCK_MONOTONIC, &now) >= 0)
                http->wanted_usec = now + (usec_t)timeout_msec * USEC_PER_MSEC;
        return 0;
}

static void http_enter(Http *http, curl_socket_t fd, int what)
{
        (void)curl_multi_socket_action(http->multi, fd, what, &http->n_alive);
        if (http->signals_held) {
                (void)pthread_sigmask(SIG_SETMASK, &http->signals, NULL);
                http->signals_held = false;
        }
}

static void http_enter_timer(Http *http)
{
        http->run_now = false;
        http_enter(http, CURL_SOCKET_TIMEOUT, 0);
}

static void http_arm_timer(Http *http)
{
        if (http->wanted_usec >= http->armed_usec)
                return;
        if (sd_event_source_set_time(http->timer, http->wanted_usec) < 0 ||
            sd_event_source_set_enabled(http->timer, SD_EVENT_ONESHOT) < 0)
                return;
        http->armed_usec = http->wanted_usec;
}

/* What remains for the next pass of the loop: requests that ended as they were started, and
 * whatever curl wants at once although it has just been entered. */
static void http_settle(Http *http)
{
        if (http->run_now || http->n_running > (unsigned)MAX(http->n_alive, 0))
                (void)sd_event_source_set_enabled(http->again, SD_EVENT_ONESHOT);
        http_arm_timer(http);
}

/* Hands out what has ended. Whether the Http is still there. */
static bool http_collect(Http *http)
{
        bool gone = false;
        CURLMsg *message;
        int n_left;

        http->gone = &gone;
        while ((message = curl_multi_info_read(http->multi, &n_left))) {
                CURLcode code = message->data.result;
                CURL *easy = message->easy_handle;
                char *call = NULL;

                if (message->msg != CURLMSG_DONE)
                        continue;
                (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
                http->reporting = (HttpCall *)call;
                http_call_finish(http->reporting, code);
                if (gone)
                        return false;
                if (http->reporting)
                        http_call_trim(http->reporting);
        }
        http->reporting = NULL;
        http->gone = NULL;
        return true;
}

/* After curl was entered: what has ended is handed out, what was started by that is sent, in one
 * go. That happens once, so that requests which end at once cannot keep the loop. */
static void http_turn(Http *http)
{
        http->in_turn = true;
        if (!http_collect(http))
                return;
        http->in_turn = false;
        if (http->run_now)
                http_enter_timer(http);
        http_settle(http);
}

void http_loop_started(Http *http)
{
        http->run_now = true;
        if (http->in_turn)
                return;
        http_enter_timer(http);
        http_settle(http);
}

static void http_serve_socket(Http *http, const struct epoll_event *event)
{
        int fd = (int)(uint32_t)event->data.u64;
        HttpSocket *s = &http->sockets[fd];
        uint32_t events = event->events;
        int what = 0;

        if (s->generation != (uint32_t)(event->data.u64 >> 32) || s->registered == 0)
                return;
        if (s->wanted == 0) {
                /* The server closed a kept connection; curl finds out when it wants to use it. */
                socket_register(http, fd, s, 0);
                return;
        }
        /* An error is not curl's to guess at: reading or writing tells it, after what came before.
         */
        if (events & (EPOLLERR | EPOLLHUP))
                events |= s->wanted;
        if (events & EPOLLIN)
                what |= CURL_CSELECT_IN;
        if (events & EPOLLOUT)
                what |= CURL_CSELECT_OUT;
        http_enter(http, fd, what);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        struct epoll_event events[EVENTS_PER_TURN];
        Http *http = userdata;
        int n;

        n = epoll_wait(http->epoll_fd, events, ELEMENTSOF(events), 0);
        for (int i = 0; i < n; i++)
                http_serve_socket(http, &events[i]);
        http_turn(http);
        return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
        Http *http = userdata;
        uint64_t now;

        http->armed_usec = USEC_INFINITY;
        if (sd_event_now(http->event, CLOCK_MONOTONIC, &now) >= 0 && now < http->wanted_usec) {
                http_arm_timer(http);
                return 0;
        }
        http_enter_timer(http);
        http_turn(http);
        return 0;
}

static int on_again(sd_event_source *source, void *userdata)
{
        http_turn(userdata);
        return 0;
}

static int http_loop_init_curl(Http *http)
{
        http->multi = curl_multi_init();
        if (!http->multi)
                return -ENOMEM;
        if (curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
            curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http) != CURLM_OK ||
            curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
            curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http) != CURLM_OK)
                return -EINVAL;
        return 0;
}

int http_loop_init(Http *http)
{
        int r;

        http->wanted_usec = http->armed_usec = USEC_INFINITY;
        r = http_loop_init_curl(http);
        if (r < 0)
                return r;
        http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (http->epoll_fd < 0)
                return -errno;
        r = sd_event_add_io(http->event, &http->io, http->epoll_fd, EPOLLIN, on_io, http);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(http->io, IO_PRIORITY);
        if (r < 0)
                return r;
        r = sd_event_add_time(http->event, &http->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY_USEC,
                              on_time, http);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(http->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_defer(http->event, &http->again, on_again, http);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(http->again, SD_EVENT_OFF);
}

void http_loop_deinit(Http *http)
{
        sd_event_source_disable_unref(http->again);
        sd_event_source_disable_unref(http->timer);
        sd_event_source_disable_unref(http->io);
        if (http->multi)
                (void)curl_multi_cleanup(http->multi);
        (void)close_fd(http->epoll_fd);
        free(http->sockets);
}
