/* SPDX-License-Identifier: Apache-2.0 */

/* Servers that end, hang or overdo it, and the words for what failed. */

#include <netdb.h>
#include <semaphore.h>
#include "http-fixture.h"

/* What a request meets that a kept connection does not survive: no byte of an answer. */
static bool script_second_unanswered(Peer *peer)
{
        return peer_read_body(peer) && peer->n_requests == 1 &&
               peer_answer(peer, "200 OK", "", "ok", 2);
}

static bool script_second_reset(Peer *peer)
{
        if (!peer_read_body(peer))
                return false;
        return peer->n_requests == 1 ? peer_answer(peer, "200 OK", "", "ok", 2) : peer_reset(peer);
}

static bool script_unanswered(Peer *peer)
{
        return false;
}

static bool script_cut_header(Peer *peer)
{
        return peer_text(peer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-") && false;
}

static bool script_cut_body(Peer *peer)
{
        return peer_text(peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") && false;
}

static bool script_cut_chunk(Peer *peer)
{
        return peer_text(peer,
                         "HTTP/1.1 500 \r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n") &&
               false;
}

static bool script_garbage(Peer *peer)
{
        return peer_text(peer, "SSH-2.0-OpenSSH_9.2\r\n") && false;
}

/* Answers when the server is stopped. */
static bool script_silent(Peer *peer)
{
        return peer_fill(peer, sizeof(peer->request));
}

static bool script_half_then_silent(Peer *peer)
{
        return peer_text(peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") &&
               script_silent(peer);
}

static bool script_announced_too_big(Peer *peer)
{
        char header[128];

        (void)snprintf(header, sizeof(header), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                       HTTP_ANSWER_MAX + 1);
        return peer_text(peer, header) && script_silent(peer);
}

static bool script_endless(Peer *peer)
{
        static char chunk[7 + 0x10000 + 2] = "10000\r\n";

        memset(chunk + 7, 'x', 0x10000);
        memcpy(chunk + 7 + 0x10000, "\r\n", 2);
        if (!peer_text(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
                return false;
        while (peer_write(peer, chunk, sizeof(chunk)))
                ;
        return false;
}

static bool script_endless_header(Peer *peer)
{
        if (!peer_text(peer, "HTTP/1.1 200 OK\r\n"))
                return false;
        while (peer_text(peer, "X-Filler: 0123456789012345678901234567890123456789\r\n"))
                ;
        return false;
}

/* As Tomcat does: answers before the body is there, takes another 2 MB of it, and closes; as some
 * of it was not read, that is a reset. */
static bool script_early(Peer *peer)
{
        static const char body[] = "{\"message\": \"String value length exceeds\"}";
        static char swallowed[65536];

        (void)peer_answer(peer, "500 ", "Connection: close\r\n", body, strlen(body));
        for (unsigned size = 0; size < 2 * 1024 * 1024;) {
                ssize_t n = plain_read(peer, swallowed, sizeof(swallowed));

                if (n <= 0)
                        return false;
                size += (unsigned)n;
        }
        return false;
}

static bool script_ok(Peer *peer)
{
        return peer_read_body(peer) && peer_answer(peer, "200 OK", "", "ok", 2);
}

static bool script_last(Peer *peer)
{
        return peer_answer(peer, "200 OK", "Connection: close\r\n", "ok", 2) && false;
}

static bool script_proxy_refuses(Peer *peer)
{
        return peer_answer(peer, "407 Proxy Authentication Required", "", "", 0) && false;
}

/* A proxy is told the whole URL. */
static bool script_proxied(Peer *peer)
{
        return peer_answer(peer, "299 Proxied", "", "", 0);
}

static const ServerPath paths[] = {
        { "GET http://server.example/ok?a=b HTTP/1.1\r\n", script_proxied },
        { "POST /second-unanswered", script_second_unanswered },
        { "POST /second-reset", script_second_reset },
        { "POST /unanswered", script_unanswered },
        { "GET /cut-header", script_cut_header },
        { "GET /cut-body", script_cut_body },
        { "GET /cut-chunk", script_cut_chunk },
        { "GET /garbage", script_garbage },
        { "GET /silent", script_silent },
        { "GET /half-then-silent", script_half_then_silent },
        { "GET /announced-too-big", script_announced_too_big },
        { "GET /endless-header", script_endless_header },
        { "GET /endless", script_endless },
        { "POST /early", script_early },
        { "POST /ok", script_ok },
        { "GET /ok", script_ok },
        { "GET /last", script_last },
        { "CONNECT ", script_proxy_refuses },
        {},
};

static sem_t look_up;
static bool look_up_hangs, signals_blocked;
static unsigned n_look_ups;

/* In one allocation, as freeaddrinfo expects it. */
static struct addrinfo *loopback_address(const char *service)
{
        struct {
                struct addrinfo info;
                struct sockaddr_in address;
        } *found = calloc(1, sizeof(*found));

        found->address.sin_family = AF_INET;
        found->address.sin_port = htons((uint16_t)atoi(service));
        found->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        found->info.ai_family = AF_INET;
        found->info.ai_socktype = SOCK_STREAM;
        found->info.ai_addrlen = sizeof(found->address);
        found->info.ai_addr = (struct sockaddr *)&found->address;
        return &found->info;
}

/* In place of libc's for libcurl, in the thread that it makes for a look-up. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **ret)
{
        sigset_t mask;

        (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
        signals_blocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGUSR1) == 1;
        if (look_up_hangs)
                (void)sem_wait(&look_up);
        n_look_ups++;
        if (!strstr(node, ".example"))
                return EAI_NONAME;
        *ret = loopback_address(service);
        return 0;
}

static void setup(void)
{
        http_setup(paths);
        look_up_hangs = signals_blocked = false;
        n_look_ups = 0;
        ck_assert_int_eq(sem_init(&look_up, 0, 0), 0);
}

static void request_fault(Request *request, const char *path, HttpFailure failure)
{
        request_get(request, path);
        ck_assert_failed(request, failure, true);
}

/* The server got the second one once, and the caller knows that it may have. */
static void check_unanswered(const char *path)
{
        Request request;

        request_init(&request, HTTP_POST, path);
        http_call_set_body(request.call, "text/plain", SLICE_LITERAL("x"));
        request_run(&request);
        ck_assert_answered(&request, 200);
        request_run(&request);
        ck_assert_failed(&request, HTTP_FAILED_CUT, true);
        ck_assert_uint_eq(request.status, 0);
        ck_assert_uint_eq(server_counter(&server, &server.n_requests), 2);

        http_call_set_repeatable(request.call, true);
        request_run(&request);
        request_run(&request);
        ck_assert_answered(&request, 200);
        ck_assert_uint_eq(server_counter(&server, &server.n_requests), 5);
        request_deinit(&request);
}

START_TEST(test_kept_connection_dead)
{
        check_unanswered("/second-unanswered");
}
END_TEST

START_TEST(test_kept_connection_reset)
{
        check_unanswered("/second-reset");
}
END_TEST

START_TEST(test_cut)
{
        Request request;

        request_init(&request, HTTP_POST, "/unanswered");
        request_run(&request);
        ck_assert_failed(&request, HTTP_FAILED_CUT, true);
        ck_assert_uint_eq(server_counter(&server, &server.n_requests), 1);
        request_deinit(&request);

        request_init(&request, HTTP_GET, "/ok");
        request_fault(&request, "/cut-header", HTTP_FAILED_CUT);
        ck_assert_uint_eq(request.status, 200);
        request_fault(&request, "/cut-body", HTTP_FAILED_CUT);
        ck_assert_uint_eq(request.status, 200);
        ck_assert_slice(buffer_slice(&request.body), "half");
        request_fault(&request, "/cut-chunk", HTTP_FAILED_CUT);
        ck_assert_uint_eq(request.status, 500);
        ck_assert_slice(buffer_slice(&request.body), "half");
        request_fault(&request, "/garbage", HTTP_FAILED_CUT);
        request_get(&request, "/ok");
        ck_assert_answered(&request, 200);
        request_deinit(&request);
}
END_TEST

START_TEST(test_timeout)
{
        Request request;

        request_init(&request, HTTP_GET, "/silent");
        http_call_set_timeout(request.call, 50 * USEC_PER_MSEC);
        request_fault(&request, "/silent", HTTP_FAILED_TIMEOUT);
        ck_assert_int_ge(request.took_usec, 50 * USEC_PER_MSEC);
        ck_assert_int_lt(request.took_usec, 5 * USEC_PER_SEC);
        ck_assert_uint_eq(request.status, 0);
        request_fault(&request, "/half-then-silent", HTTP_FAILED_TIMEOUT);
        ck_assert_uint_eq(request.status, 200);
        ck_assert_slice(buffer_slice(&request.body), "half");
        http_call_set_timeout(request.call, HTTP_TIMEOUT_USEC);
        request_get(&request, "/ok");
        ck_assert_answered(&request, 200);
        request_deinit(&request);
}
END_TEST

/* A time-out is in time though another request's, earlier started, ends later or earlier. */
START_TEST(test_timeouts)
{
        static const unsigned msec[] = { 400, 50, 200, 100 };
        Request requests[ELEMENTSOF(msec)];
        unsigned n_passes = 0;

        for (size_t i = 0; i < ELEMENTSOF(msec); i++) {
                request_init(&requests[i], HTTP_GET, "/silent");
                http_call_set_timeout(requests[i].call, msec[i] * USEC_PER_MSEC);
                request_start(&requests[i]);
        }
        for (; requests[0].n_done == 0; n_passes++)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        ck_assert_uint_lt(n_passes, 60);
        for (size_t i = 0; i < ELEMENTSOF(msec); i++) {
                ck_assert_failed(&requests[i], HTTP_FAILED_TIMEOUT, true);
                ck_assert_int_ge(requests[i].took_usec, msec[i] * USEC_PER_MSEC);
                ck_assert_int_lt(requests[i].took_usec, (msec[i] + 2000) * USEC_PER_MSEC);
                request_deinit(&requests[i]);
        }
}
END_TEST

START_TEST(test_refused)
{
        Request request;

        request_init(&request, HTTP_GET, "/ok");
        ck_assert_int_eq(http_call_set_url(request.call, "http://127.0.0.1:1/"), 0);
        request_run(&request);
        ck_assert_failed(&request, HTTP_FAILED_CONNECT, false);
        ck_assert(strstr(request.message, "Connection refused"));
        request_get(&request, "/ok");
        ck_assert_answered(&request, 200);
        request_deinit(&request);
}
END_TEST

/* A listener whose backlog is full answers nothing. */
START_TEST(test_connect_timeout)
{
        struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        socklen_t size = sizeof(address);
        Request request;
        char url[64];
        int fd, clients[4];

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        ck_assert_int_eq(listen(fd, 0), 0);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                (void)connect(clients[i], (struct sockaddr *)&address, size);
        }
        request_init(&request, HTTP_GET, "/ok");
        (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(address.sin_port));
        ck_assert_int_eq(http_call_set_url(request.call, url), 0);
        http_call_set_timeout(request.call, 100 * USEC_PER_MSEC);
        request_run(&request);
        ck_assert_failed(&request, HTTP_FAILED_CONNECT, false);
        for (unsigned i = 0; i < 3; i++) {
                request_get(&request, "/ok");
                ck_assert_answered(&request, 200);
        }
        request_deinit(&request);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                (void)close_fd(clients[i]);
        (void)close_fd(fd);
}
END_TEST

START_TEST(test_dns)
{
        Request request;

        request_init(&request, HTTP_GET, "/ok");
        ck_assert_int_eq(http_call_set_url(request.call, "http://no-such-host.invalid/"), 0);
        request_run(&request);
        ck_assert_failed(&request, HTTP_FAILED_DNS, false);
        ck_assert(strstr(request.message, "no-such-host.invalid"));
        ck_assert(signals_blocked);
        request_deinit(&request);
}
END_TEST

/* The ends of the sockets by which a look-up is told of, and of those that do not get connected,
 * get the numbers of connections, and the other way round. */
START_TEST(test_dns_found)
{
        Request request, given_up;
        char url[128];

        request_init(&request, HTTP_GET, "/ok");
        for (unsigned i = 0; i < 12; i++) {
                bool refused = i % 3 == 0, twice = i % 3 == 2;

                request_init(&given_up, HTTP_GET, "/ok");
                request_start(&given_up);
                request_deinit(&given_up);
                (void)snprintf(url, sizeof(url), "http://host-%u.example:%u/last",
                               twice ? i - 1 : i, refused ? 1 : server.port);
                ck_assert_int_eq(http_call_set_url(request.call, url), 0);
                request_run(&request);
                if (refused)
                        ck_assert_failed(&request, HTTP_FAILED_CONNECT, false);
                else
                        ck_assert_answered(&request, 200);
                ck_assert_int_lt(request.took_usec, 5 * USEC_PER_SEC);
        }
        ck_assert_uint_eq(n_look_ups, 8);
        request_get(&request, "/ok");
        ck_assert_answered(&request, 200);
        (void)snprintf(url, sizeof(url), "http://localhost:%u/ok", server.port);
        ck_assert_int_eq(http_call_set_url(request.call, url), 0);
        request_run(&request);
        ck_assert_answered(&request, 200);
        ck_assert_uint_eq(n_look_ups, 8);
        request_deinit(&request);
}
END_TEST

/* Neither a time-out nor the end waits for a resolver, and the loop's own signals are as before. */
START_TEST(test_dns_hangs)
{
        usec_t start;
        Request request;
        sigset_t mask;

        look_up_hangs = true;
        request_init(&request, HTTP_GET, "/ok");
        ck_assert_int_eq(http_call_set_url(request.call, "http://slow-host.invalid/"), 0);
        http_call_set_timeout(request.call, 50 * USEC_PER_MSEC);
        request_run(&request);
        ck_assert_failed(&request, HTTP_FAILED_DNS, false);
        ck_assert_int_lt(request.took_usec, 5 * USEC_PER_SEC);
        ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
        ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);

        start = clock_monotonic_usec();
        http_call_set_timeout(request.call, HTTP_TIMEOUT_USEC);
        request_start(&request);
        request_deinit(&request);
        http = http_free(http);
        ck_assert_int_lt(clock_monotonic_usec() - start, 5 * USEC_PER_SEC);
        for (unsigned i = 0; i < 2; i++)
                ck_assert_int_eq(sem_post(&look_up), 0);
}
END_TEST

START_TEST(test_too_big)
{
        Request request;

        request_init(&request, HTTP_GET, "/ok");
        request_fault(&request, "/announced-too-big", HTTP_FAILED_TOO_BIG);
        ck_assert_uint_eq(request.status, 200);
        request_fault(&request, "/endless", HTTP_FAILED_TOO_BIG);
        ck_assert_uint_eq(request.status, 200);
        ck_assert(strstr(request.message, "64 MiB"));
        request_fault(&request, "/endless-header", HTTP_FAILED_TOO_BIG);
        ck_assert(strstr(request.message, "header"));
        request_deinit(&request);
}
END_TEST

/* Far more than the sockets hold is still to be sent when the answer comes. */
START_TEST(test_early_answer)
{
        size_t size = 25 * 1024 * 1024;
        _cleanup_free_ char *body = malloc(size);
        Request request;

        memset(body, 'x', size);
        request_init(&request, HTTP_POST, "/early");
        http_call_set_body(request.call, "application/json", (Slice){ body, size });
        request_run(&request);
        ck_assert_answered(&request, 500);
        ck_assert(body_has(&request, "String value length exceeds"));
        request_url(&request, "/ok");
        http_call_set_body(request.call, "application/json", SLICE_LITERAL("{}"));
        request_run(&request);
        ck_assert_answered(&request, 200);
        ck_assert_uint_eq(server_counter(&server, &server.n_requests), 2);
        request_deinit(&request);
}
END_TEST

START_TEST(test_proxy)
{
        HttpOptions options = { .verify = true, .proxy = "http://127.0.0.1:1" };
        Request request;
        char proxy[64];

        request_init(&request, HTTP_GET, "/ok");
        ck_assert_int_eq(http_configure(http, &options), 0);
        request_run(&request);
        ck_assert_failed(&request, HTTP_FAILED_PROXY, false);

        options.proxy = "http://no-such-proxy.invalid:3128";
        ck_assert_int_eq(http_configure(http, &options), 0);
        request_run(&request);
        ck_assert_failed(&request, HTTP_FAILED_PROXY, false);
        ck_assert(strstr(request.message, "no-such-proxy.invalid"));

        (void)snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", server.port);
        options.proxy = proxy;
        ck_assert_int_eq(http_configure(http, &options), 0);
        ck_assert_int_eq(http_call_set_url(request.call, "https://server.example/"), 0);
        request_run(&request);
        ck_assert_failed(&request, HTTP_FAILED_PROXY, false);
        ck_assert(strstr(request.message, "407"));

        ck_assert_int_eq(http_call_set_url(request.call, "http://server.example/ok?a=b"), 0);
        request_run(&request);
        ck_assert_answered(&request, 299);

        options.proxy = NULL;
        ck_assert_int_eq(http_configure(http, &options), 0);
        request_get(&request, "/ok");
        ck_assert_answered(&request, 200);
        request_deinit(&request);
}
END_TEST

START_TEST(test_names)
{
        for (HttpFailure i = 0; i < _HTTP_FAILURE_MAX; i++)
                ck_assert_ptr_nonnull(http_failure_to_string(i));
        ck_assert_str_eq(http_failure_to_string(HTTP_FAILED_TOO_BIG), "too-big");
        ck_assert_ptr_null(http_failure_to_string(_HTTP_FAILURE_MAX));
}
END_TEST

UNIT_MAIN_WITH("http-faults", setup, http_teardown, test_kept_connection_dead,
               test_kept_connection_reset, test_cut, test_timeout, test_timeouts, test_refused,
               test_connect_timeout, test_dns, test_dns_found, test_dns_hangs, test_too_big,
               test_early_answer, test_proxy, test_names);
