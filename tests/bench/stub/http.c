/* SPDX-License-Identifier: Apache-2.0 */

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include "base/json.h"
#include "stub/api.h"
#include "stub/http.h"
#include "stub/poll.h"
#include "stub/request.h"
#include "stub/wait.h"

#define N_EVENTS       256
#define READ_SIZE      16384
#define BUFFER_MAX     (64U << 20) /* more than any answer or request that a test makes */
#define BUFFER_KEEP    65536       /* what an idle connection may hold on to */
#define LISTEN_BACKLOG 1024

HttpCounts http_counts;

static HttpOptions options;
static ListLink connections = LIST_INIT(connections), dead = LIST_INIT(dead);
static int epoll_fd = -EBADF, listen_fd = -EBADF;
static unsigned listen_port;
static StubTimer away_timer;
static usec_t away_until;
static char date[64];

static void connection_close(Connection *connection)
{
        if (connection->dead)
                return;
        connection->dead = true;
        http_counts.n_open--;
        stub_timer_clear(&connection->timer);
        if (connection->poll)
                poll_abandon(connection->poll);
        if (connection->wait)
                wait_abandon(connection->wait);
        (void)close(connection->fd);
        list_remove(&connection->link);
        list_append(&dead, &connection->link);
}

/* Closing with this lingering sends RST, not FIN. */
static void connection_reset(Connection *connection)
{
        struct linger linger = { .l_onoff = 1 };

        (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        connection_close(connection);
}

static void free_dead(void)
{
        for (ListLink *link; (link = list_pop_first(&dead));) {
                Connection *connection = LIST_ENTRY(link, Connection, link);

                buffer_deinit(&connection->in);
                buffer_deinit(&connection->out);
                buffer_deinit(&connection->decoded);
                free(connection);
        }
}

static void watch_write(Connection *connection, bool on)
{
        struct epoll_event event = { .events = EPOLLIN | (on ? EPOLLOUT : 0),
                                     .data.ptr = connection };

        if (connection->wants_write == on)
                return;
        connection->wants_write = on;
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event);
}

static void connection_send(Connection *connection)
{
        while (!connection->dead && connection->limit > 0) {
                Slice out = buffer_slice(&connection->out);
                ssize_t n = send(connection->fd, out.data, MIN(out.size, connection->limit),
                                 MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EAGAIN) {
                        watch_write(connection, true);
                        return;
                }
                if (n < 0) {
                        connection_close(connection);
                        return;
                }
                buffer_consume(&connection->out, (size_t)n);
                connection->limit -= (size_t)n;
        }
        if (connection->dead)
                return;
        watch_write(connection, false);
        buffer_trim(&connection->out, BUFFER_KEEP);
        if (connection->ending && !connection->waiting && connection->out.size == 0)
                connection_close(connection);
}

static void on_next_byte(StubTimer *timer)
{
        Connection *connection = container_of(timer, Connection, timer);
        const Fault *fault = connection->fault;

        if (fault && fault->byte_interval > 0 && connection->out.size > 1) {
                connection->limit++;
                stub_timer_set(timer, clock_monotonic_usec() + fault->byte_interval, on_next_byte);
        } else {
                connection->limit = connection->out.size;
                connection->fault = NULL;
        }
        connection_send(connection);
}

static const char *reason_of(unsigned status)
{
        return status == 204 ? "No Content" : status == 503 ? "Service Unavailable" : "";
}

static void put_answer(Connection *connection, unsigned status, const char *content_type,
                       Slice body)
{
        Buffer *out = &connection->out;
        const Fault *fault = connection->fault;
        bool with_body = status != 204;

        put_literal(out, "HTTP/1.1 ");
        put_uint(out, status);
        put_literal(out, " ");
        put_slice(out, slice_from_string(reason_of(status)));
        if (with_body) {
                put_literal(out, "\r\nContent-Type: ");
                put_slice(out, slice_from_string(content_type));
        }
        if (fault && fault->kind == FAULT_STATUS && fault->retry_after) {
                put_literal(out, "\r\nRetry-After: ");
                put_slice(out, slice_from_string(fault->retry_after));
        }
        put_slice(out, slice_from_string(date));
        put_slice(out, connection->ending ? SLICE_LITERAL("\r\nConnection: close")
                                          : SLICE_LITERAL("\r\nKeep-Alive: timeout=60\r\n"
                                                          "Connection: keep-alive"));
        if (!with_body) {
                put_literal(out, "\r\n\r\n");
        } else if (options.with_length || body.size == 0 || content_type[0] == 't') {
                put_literal(out, "\r\nContent-Length: ");
                put_uint(out, body.size);
                put_literal(out, "\r\n\r\n");
                put_slice(out, body);
        } else {
                must(buffer_appendf(out, "\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
                                    body.size));
                put_slice(out, body);
                put_literal(out, "\r\n0\r\n\r\n");
        }
}

/* After the answer was put behind what was in out: all may go, or as the fault says. */
static void release_answer(Connection *connection, size_t before)
{
        const Fault *fault = connection->fault;

        if (fault && fault->kind == FAULT_TRUNCATE) {
                buffer_truncate(&connection->out, before + (connection->out.size - before) / 2);
                connection->ending = true;
        }
        if (fault && fault->kind == FAULT_SLOW) {
                stub_timer_set(&connection->timer, clock_monotonic_usec() + fault->delay,
                               on_next_byte);
                return;
        }
        connection->fault = NULL;
        connection->limit = connection->out.size;
}

static void handle_input(Connection *connection);

void http_answer(Connection *connection, unsigned status, const char *content_type, Slice body)
{
        const Fault *fault = connection->fault;
        size_t before = connection->out.size;
        bool was_parked = connection->poll || connection->wait;

        connection->poll = NULL;
        connection->wait = NULL;
        if (connection->dead || (fault && fault->kind == FAULT_NEVER))
                return;
        if (fault && fault->kind == FAULT_RESET_AFTER) {
                connection_reset(connection);
                return;
        }
        if (fault && fault->kind == FAULT_STATUS) {
                status = fault->status;
                content_type = fault->content_type;
                body = slice_from_string(fault->body);
        }
        if (fault && fault->kind == FAULT_GARBAGE)
                body.size /= 2;
        put_answer(connection, status, content_type, body);
        connection->waiting = false;
        release_answer(connection, before);
        if (was_parked) {
                connection_send(connection);
                handle_input(connection);
        }
}

void http_answer_json(Connection *connection, unsigned status, Slice body)
{
        http_answer(connection, status, "application/json", body);
}

void http_answer_error(Connection *connection, unsigned status, const char *message, bool retryable)
{
        Buffer body = BUFFER_NULL(BUFFER_MAX);

        must(buffer_appendf(&body, "{\"status\":%u,\"message\":", status));
        must(json_append_string(&body, slice_from_string(message)));
        must(buffer_appendf(&body, ",\"instance\":\"stub\",\"retryable\":%s}",
                            retryable ? "true" : "false"));
        http_answer_json(connection, status, buffer_slice(&body));
        buffer_deinit(&body);
}

/* What a fault does before anything is applied; whether that was all. */
static bool fail_early(Connection *connection, const Fault *fault, bool complete, bool has_part)
{
        if (!fault)
                return false;
        if (fault->kind == FAULT_RESET_BEFORE ||
            (fault->kind == FAULT_RESET_MIDDLE && (has_part || complete))) {
                connection_reset(connection);
                return true;
        }
        if (!complete || fault->apply ||
            (fault->kind != FAULT_STATUS && fault->kind != FAULT_NEVER))
                return false;
        connection->waiting = true;
        http_answer(connection, 200, "application/json", SLICE_NULL);
        return true;
}

/* One request if there is a whole one: whether it was. */
static bool handle_request(Connection *connection)
{
        Slice in = buffer_slice(&connection->in);
        RequestHead head;
        Request request;
        size_t used;
        int r = request_parse_head(in, &head);

        if (r == 0)
                return false;
        if (r < 0) {
                connection->ending = true;
                http_answer(
                        connection, 400, "text/html;charset=utf-8",
                        SLICE_LITERAL("<!doctype html><html lang=\"en\"><head><title>HTTP Status "
                                      "400</title></head><body></body></html>"));
                return false;
        }
        if (!connection->in_request) {
                connection->in_request = true;
                connection->fault =
                        stub_is_control(head.path) ? NULL : fault_match(head.method, head.path);
                if (head.expects_continue && head.size == in.size)
                        (void)send(connection->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25,
                                   MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        r = request_body(&head, in, &connection->decoded, &request.body, &used);
        if (r < 0) {
                connection_reset(connection);
                return false;
        }
        if (r > 0) {
                http_counts.n_requests++;
                connection->n_requests++;
                connection->ending = head.wants_close ||
                                     connection->n_requests == options.requests_per_connection;
        }
        if (!fail_early(connection, connection->fault, r > 0, in.size > head.size) && r > 0) {
                request.method = head.method;
                request.path = head.path;
                request.query = head.query;
                request.authorization = head.authorization;
                connection->waiting = true;
                api_dispatch(connection, &request);
        }
        if (r == 0 || connection->dead)
                return false;
        connection->in_request = false;
        buffer_consume(&connection->in, used);
        return true;
}

static void handle_input(Connection *connection)
{
        while (!connection->dead && !connection->waiting && !connection->ending &&
               connection->in.size > 0 && handle_request(connection))
                ;
        if (!connection->dead)
                connection_send(connection);
}

static void connection_read(Connection *connection)
{
        char *data;
        ssize_t n;

        must(buffer_reserve(&connection->in, READ_SIZE, &data));
        n = recv(connection->fd, data, READ_SIZE, MSG_DONTWAIT);
        if (n <= 0) {
                if (n == 0 || errno != EAGAIN)
                        connection_close(connection);
                return;
        }
        buffer_commit(&connection->in, (size_t)n);
        handle_input(connection);
        if (!connection->dead)
                buffer_trim(&connection->in, BUFFER_KEEP);
}

static void accept_all(void)
{
        int fd, on = 1;

        while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                Connection *connection = must_alloc(calloc(1, sizeof(*connection)));
                struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };

                connection->fd = fd;
                connection->in = connection->out = connection->decoded = BUFFER_NULL(BUFFER_MAX);
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
                if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                        err(1, "epoll_ctl");
                list_append(&connections, &connection->link);
                http_counts.n_connections++;
                http_counts.n_open++;
                http_counts.n_open_max = MAX(http_counts.n_open_max, http_counts.n_open);
        }
}

static int start_listening(void)
{
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)listen_port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct epoll_event event = { .events = EPOLLIN };
        socklen_t size = sizeof(address);
        int on = 1;

        listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (listen_fd < 0 || setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            bind(listen_fd, (struct sockaddr *)&address, size) < 0 ||
            listen(listen_fd, LISTEN_BACKLOG) < 0 ||
            getsockname(listen_fd, (struct sockaddr *)&address, &size) < 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) < 0)
                err(1, "cannot listen on 127.0.0.1:%u", listen_port);
        return ntohs(address.sin_port);
}

int http_start(const HttpOptions *chosen, unsigned port)
{
        options = *chosen;
        listen_port = port;
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_fd < 0)
                err(1, "epoll_create1");
        listen_port = (unsigned)start_listening();
        return (int)listen_port;
}

static void on_back(StubTimer *timer)
{
        (void)start_listening();
}

static void on_away(StubTimer *timer)
{
        listen_fd = close_fd(listen_fd);
        LIST_FOREACH_SAFE (link, &connections)
                connection_reset(LIST_ENTRY(link, Connection, link));
        stub_timer_set(timer, away_until, on_back);
}

/* At the end of this pass, so that who asked for it gets its answer. */
void http_away(usec_t until)
{
        away_until = until;
        stub_timer_set(&away_timer, 0, on_away);
}

static void update_date(void)
{
        static time_t shown;
        time_t now = time(NULL);
        struct tm tm;

        if (now == shown)
                return;
        shown = now;
        (void)gmtime_r(&now, &tm);
        (void)strftime(date, sizeof(date), "\r\nDate: %a, %d %b %Y %H:%M:%S GMT", &tm);
}

void http_run(void (*every_pass)(void))
{
        struct epoll_event events[N_EVENTS];
        sigset_t none;
        int n;

        (void)sigemptyset(&none);
        n = epoll_pwait(epoll_fd, events, N_EVENTS, stub_timers_wait_msec(clock_monotonic_usec()),
                        &none);
        if (n < 0 && errno != EINTR)
                err(1, "epoll_pwait");
        update_date();
        for (int i = 0; i < n; i++) {
                Connection *connection = events[i].data.ptr;

                if (!connection) {
                        accept_all();
                        continue;
                }
                if (!connection->dead && (events[i].events & EPOLLOUT))
                        connection_send(connection);
                if (!connection->dead && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                        connection_read(connection);
        }
        stub_timers_run(clock_monotonic_usec());
        every_pass();
        free_dead();
}

void http_stop(void)
{
        stub_timer_clear(&away_timer);
        LIST_FOREACH_SAFE (link, &connections)
                connection_close(LIST_ENTRY(link, Connection, link));
        free_dead();
        listen_fd = close_fd(listen_fd);
        epoll_fd = close_fd(epoll_fd);
}
