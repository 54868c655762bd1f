/* SPDX-License-Identifier: Apache-2.0 */

/* Requests and answers; what a connection is used for; calls that start and free calls. */

#include <fcntl.h>
#include <time.h>
#include "base/http-internal.h"
#include "http-fixture.h"

#define MANY 100

/* The request as it came is the answer. */
static bool script_echo(Peer *peer)
{
        return peer_read_body(peer) &&
               peer_answer(peer, "200 OK", "Content-Type: text/plain; charset=utf-8\r\n",
                           peer->request, peer->header_size + peer->body_size);
}

/* The third answer of a connection is its last, and says so. */
static bool script_three(Peer *peer)
{
        bool last = peer->n_requests == 3;

        return peer_answer(peer, "200 OK", last ? "Connection: close\r\n" : "", "", 0) && !last;
}

/* The connection ends after the answer, which does not say so. */
static bool script_leave(Peer *peer)
{
        return peer_answer(peer, "200 OK", "", "ok", 2) && false;
}

/* Answers when as many requests are there, round by round. */
static bool script_together(Peer *peer)
{
        unsigned n = server_counter(peer->server, &peer->server->n_requests);

        server_wait(peer->server, &peer->server->n_requests, (n + MANY - 1) / MANY * MANY);
        return peer_answer(peer, "200 OK", "", "ok", 2);
}

/* Answers when the test says so. */
static bool script_gate(Peer *peer)
{
        server_wait(peer->server, &peer->server->n_released, 1);
        return peer_answer(peer, "200 OK", "", "ok", 2);
}

static bool script_html(Peer *peer)
{
        static const char page[] = "<!doctype html><h1>HTTP Status 400</h1>";

        return peer_answer(peer, "400 ", "Content-Type: text/html;charset=utf-8\r\n", page,
                           strlen(page));
}

static bool script_chunks(Peer *peer)
{
        return peer_text(peer, "HTTP/1.1 200 \r\nContent-Type: application/json\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n"
                               "3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n");
}

static bool script_bytewise(Peer *peer)
{
        static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

        for (size_t i = 0; answer[i]; i++) {
                if (!peer_write(peer, answer + i, 1))
                        return false;
                (void)sched_yield();
        }
        return true;
}

static bool script_no_content(Peer *peer)
{
        return peer_text(peer, "HTTP/1.1 204 \r\n\r\n");
}

/* The rest of the path is the header's value. */
static bool script_retry(Peer *peer)
{
        char header[256], value[128], date[64];
        time_t soon = time(NULL) + 90;
        struct tm utc;

        (void)sscanf(peer->request, "GET /retry/%127[^ ]", value);
        (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&soon, &utc));
        (void)snprintf(header, sizeof(header), "Retry-After: %s\r\n",
                       streq(value, "date") ? date : value);
        return peer_answer(peer, "503 ", header, "", 0);
}

static bool script_megabytes(Peer *peer)
{
        static char megabytes[3 * 1024 * 1024];

        return peer_answer(peer, "200 OK", "", megabytes, sizeof(megabytes));
}

/* How many bytes the body had. */
static bool script_size(Peer *peer)
{
        char chunk[16384], text[32];
        size_t rest;

        if (strstr(peer->request, "Expect:"))
                return false;
        rest = peer->header_size + peer->body_size - peer->size;
        while (rest > 0) {
                ssize_t n = plain_read(peer, chunk, MIN(rest, sizeof(chunk)));

                if (n <= 0)
                        return false;
                rest -= (size_t)n;
        }
        (void)snprintf(text, sizeof(text), "%zu", peer->body_size);
        return peer_answer(peer, "200 OK", "", text, strlen(text));
}

static const ServerPath paths[] = {
        { "GET /echo", script_echo },
        { "POST /echo", script_echo },
        { "PUT /echo", script_echo },
        { "GET /three", script_three },
        { "GET /leave", script_leave },
        { "GET /together", script_together },
        { "GET /gate", script_gate },
        { "GET /html", script_html },
        { "GET /chunks", script_chunks },
        { "GET /bytewise", script_bytewise },
        { "GET /204", script_no_content },
        { "GET /retry", script_retry },
        { "GET /megabytes", script_megabytes },
        { "POST /size", script_size },
        {},
};

static void setup(void)
{
        http_setup(paths);
}

START_TEST(test_get)
{
        Request request;

        request_init(&request, HTTP_GET, "/echo/%2e/./a?b=c%20d");
        request_run(&request);
        ck_assert_answered(&request, 200);
        ck_assert_str_eq(request.content_type, "text/plain");
        ck_assert(body_has(&request, "GET /echo/%2e/./a?b=c%20d HTTP/1.1\r\n"));
        ck_assert(!body_has(&request, "Content-Type: "));
        ck_assert_int_gt(request.took_usec, 0);
        request_get(&request, "/chunks");
        ck_assert_answered(&request, 200);
        ck_assert_str_eq(request.content_type, "application/json");
        ck_assert_slice(buffer_slice(&request.body), "[1,2]");
        request_get(&request, "/204");
        ck_assert_answered(&request, 204);
        ck_assert_str_eq(request.content_type, "");
        ck_assert_slice(buffer_slice(&request.body), "");
        request_get(&request, "/bytewise");
        ck_assert_answered(&request, 200);
        ck_assert_slice(buffer_slice(&request.body), "hello");
        request_get(&request, "/html");
        ck_assert_answered(&request, 400);
        ck_assert_str_eq(request.content_type, "text/html");
        ck_assert(body_has(&request, "<h1>"));
        request_deinit(&request);
}
END_TEST

/* What a server reads of a body is what was set; an empty one is sent, too. */
START_TEST(test_bodies)
{
        static const HttpMethod methods[] = { HTTP_POST, HTTP_PUT };
        Request request;

        for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
                request_init(&request, methods[i], "/echo");
                http_call_set_body(request.call, "application/json", SLICE_LITERAL("{\"a\": 1}"));
                request_run(&request);
                ck_assert(body_has(&request, "\r\nContent-Type: application/json\r\n"));
                ck_assert(body_has(&request, "\r\nContent-Length: 8\r\n"));
                ck_assert(body_has(&request, "\r\n\r\n{\"a\": 1}"));
                http_call_set_body(request.call, "text/plain", SLICE_NULL);
                request_run(&request);
                ck_assert(body_has(&request, i == 0 ? "POST /echo " : "PUT /echo "));
                ck_assert(body_has(&request, "\r\nContent-Type: text/plain\r\n"));
                ck_assert(body_has(&request, "\r\nContent-Length: 0\r\n"));
                http_call_set_body(request.call, "text/plain", SLICE_LITERAL("a longer one"));
                request_run(&request);
                ck_assert(body_has(&request, "\r\n\r\na longer one"));
                request_deinit(&request);
        }
        ck_assert_uint_eq(server.n_connections, 1);
}
END_TEST

/* A large body is sent at once, without asking. */
START_TEST(test_large_body)
{
        size_t size = 5 * 1024 * 1024;
        _cleanup_free_ char *body = malloc(size);
        Request request;

        memset(body, 'x', size);
        request_init(&request, HTTP_POST, "/size");
        for (unsigned i = 0; i < 2; i++) {
                http_call_set_body(request.call, "text/plain", (Slice){ body, size });
                request_run(&request);
                ck_assert_answered(&request, 200);
                ck_assert_slice(buffer_slice(&request.body), "5242880");
                http_call_set_body(request.call, "text/plain", (Slice){ body, 10 });
                request_run(&request);
                ck_assert_slice(buffer_slice(&request.body), "10");
        }
        ck_assert_uint_eq(server.n_connections, 1);
        request_deinit(&request);
}
END_TEST

/* Headers and authorization are those of the moment of the start. */
START_TEST(test_headers)
{
        char *const headers[] = { (char *)"X-One: 1", (char *)"X-Two: 2", NULL };
        HttpOptions options = { .verify = true, .headers = headers };
        Request request;

        request_init(&request, HTTP_POST, "/echo");
        ck_assert_int_eq(http_configure(http, &options), 0);
        ck_assert_int_eq(http_set_authorization(http, "X-Authorization: first"), 0);
        request_run(&request);
        ck_assert(body_has(&request, "\r\nX-One: 1\r\nX-Two: 2\r\n"));
        ck_assert(body_has(&request, "\r\nX-Authorization: first\r\n"));

        request_start(&request);
        ck_assert_int_eq(http_set_authorization(http, "X-Authorization: second"), 0);
        request_wait(&request, 2);
        ck_assert(body_has(&request, "first") && !body_has(&request, "second"));
        request_run(&request);
        ck_assert(!body_has(&request, "first") && body_has(&request, "second"));

        http_call_set_authorized(request.call, false);
        request_run(&request);
        ck_assert(!body_has(&request, "X-Authorization"));
        ck_assert(body_has(&request, "\r\nX-Two: 2\r\n"));
        http_call_set_authorized(request.call, true);
        options.headers = NULL;
        ck_assert_int_eq(http_configure(http, &options), 0);
        request_run(&request);
        ck_assert(!body_has(&request, "X-Two") && body_has(&request, "second"));
        ck_assert_int_eq(http_set_authorization(http, NULL), 0);
        request_run(&request);
        ck_assert(!body_has(&request, "X-"));
        ck_assert_uint_eq(server.n_connections, 1);
        request_deinit(&request);
}
END_TEST

/* What a large answer took is given back. */
START_TEST(test_memory)
{
        Request request;

        request_init(&request, HTTP_GET, "/megabytes");
        request_run(&request);
        ck_assert_answered(&request, 200);
        ck_assert_uint_eq(request.body.size, 3 * 1024 * 1024);
        ck_assert_uint_le(request.call->body.capacity, HTTP_BODY_KEEP);
        request_deinit(&request);
}
END_TEST

START_TEST(test_retry_after)
{
        static const struct {
                const char *path;
                usec_t low, high;
        } cases[] = {
                { "/retry/7", 7, 7 },
                { "/retry/0", 0, 0 },
                { "/retry/-5", 0, 0 },
                { "/retry/soon", 0, 0 },
                { "/retry/99999999999999999999", 0, 0 },
                { "/retry/99999999", 3600, 3600 },
                { "/retry/86400", 3600, 3600 },
                { "/retry/date", 80, 91 },
        };
        Request request;

        request_init(&request, HTTP_GET, "/echo");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                request_get(&request, cases[i].path);
                ck_assert_answered(&request, 503);
                ck_assert_msg(request.retry_after_usec >= cases[i].low * USEC_PER_SEC &&
                                      request.retry_after_usec <= cases[i].high * USEC_PER_SEC,
                              "%s: %ju", cases[i].path, (uintmax_t)request.retry_after_usec);
        }
        request_get(&request, "/echo");
        ck_assert_uint_eq(request.retry_after_usec, 0);
        request_deinit(&request);
}
END_TEST

START_TEST(test_url)
{
        Request request;

        request_init(&request, HTTP_GET, "/echo");
        ck_assert_int_eq(http_call_set_url(request.call, "http://"), -EINVAL);
        ck_assert_int_eq(http_call_set_url(request.call, "127.0.0.1:x/"), -EINVAL);
        request_run(&request);
        ck_assert_answered(&request, 200);
        ck_assert_int_eq(http_call_set_url(request.call, "file:///etc/passwd"), 0);
        request_run(&request);
        ck_assert_failed(&request, HTTP_FAILED_OTHER, false);
        ck_assert_slice(buffer_slice(&request.body), "");
        request_deinit(&request);
}
END_TEST

START_TEST(test_closed_after_some)
{
        Request request;

        request_init(&request, HTTP_GET, "/three");
        for (unsigned i = 0; i < 10; i++) {
                request_run(&request);
                ck_assert_answered(&request, 200);
        }
        ck_assert_uint_eq(server_counter(&server, &server.n_connections), 4);
        request_deinit(&request);
}
END_TEST

/* A connection that was closed while it was idle is replaced before anything is sent; it does not
 * keep the loop busy, nor does it stay in the way of the next. */
START_TEST(test_closed_when_idle)
{
        Request requests[10];

        for (size_t i = 0; i < ELEMENTSOF(requests); i++)
                request_init(&requests[i], HTTP_GET, "/leave");
        for (unsigned round = 1; round <= 3; round++) {
                for (size_t i = 0; i < ELEMENTSOF(requests); i++)
                        request_start(&requests[i]);
                for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                        request_wait(&requests[i], round);
                        ck_assert_answered(&requests[i], 200);
                }
                server_wait(&server, &server.n_closed, round * ELEMENTSOF(requests));
                ck_assert_uint_le(settle(), 2 * ELEMENTSOF(requests));
        }
        ck_assert_uint_eq(server.n_requests, 3 * ELEMENTSOF(requests));
        for (size_t i = 0; i < ELEMENTSOF(requests); i++)
                request_deinit(&requests[i]);
}
END_TEST

/* Each has a connection of its own, and all are used again. */
START_TEST(test_many)
{
        static Request requests[MANY];

        for (size_t i = 0; i < MANY; i++)
                request_init(&requests[i], HTTP_GET, "/together");
        for (unsigned round = 1; round <= 3; round++) {
                for (size_t i = 0; i < MANY; i++)
                        request_start(&requests[i]);
                for (size_t i = 0; i < MANY; i++) {
                        request_wait(&requests[i], round);
                        ck_assert_answered(&requests[i], 200);
                }
        }
        ck_assert_uint_eq(server_counter(&server, &server.n_connections), MANY);
        for (size_t i = 0; i < MANY; i++)
                request_deinit(&requests[i]);
}
END_TEST

static void then_again(Request *request)
{
        ck_assert_answered(request, 200);
        if (request->n_done < 50)
                ck_assert_int_eq(http_call_start(request->call), 0);
}

START_TEST(test_start_in_callback)
{
        Request request;

        request_init(&request, HTTP_GET, "/echo");
        request.then = then_again;
        request_start(&request);
        request_wait(&request, 50);
        ck_assert(!http_call_is_running(request.call));
        ck_assert_uint_eq(server.n_connections, 1);
        request_deinit(&request);
}
END_TEST

static void then_again_failed(Request *request)
{
        ck_assert_failed(request, HTTP_FAILED_OTHER, false);
        if (request->n_done < 5)
                ck_assert_int_eq(http_call_start(request->call), 0);
}

/* Requests that end at once, started again at once, leave the loop its passes. */
START_TEST(test_failing_at_once)
{
        Request request;

        request_init(&request, HTTP_GET, "/echo");
        ck_assert_int_eq(http_call_set_url(request.call, "ftp://127.0.0.1/"), 0);
        request.then = then_again_failed;
        request_start(&request);
        while (request.n_done < 5) {
                unsigned before = request.n_done;

                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
                ck_assert_uint_le(request.n_done, before + 1);
        }
        request_deinit(&request);
}
END_TEST

static void then_free(Request *request)
{
        request->call = http_call_free(request->call);
        if (request->other)
                request->other->call = http_call_free(request->other->call);
}

/* Its own call and another one, whose answer may have come in the same pass. */
START_TEST(test_free_in_callback)
{
        Request requests[2];

        for (size_t i = 0; i < 2; i++) {
                request_init(&requests[i], HTTP_GET, "/gate");
                requests[i].then = then_free;
                requests[i].other = &requests[1 - i];
                request_start(&requests[i]);
        }
        run_until(&server.n_requests, 2);
        server_count(&server, &server.n_released);
        while (requests[0].call)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        (void)settle();
        ck_assert_ptr_null(requests[1].call);
        ck_assert_uint_eq(requests[0].n_done + requests[1].n_done, 1);
        for (size_t i = 0; i < 2; i++)
                request_deinit(&requests[i]);
}
END_TEST

static void then_free_all(Request *request)
{
        request->call = http_call_free(request->call);
        http = http_free(http);
}

START_TEST(test_free_http_in_callback)
{
        Request request;

        request_init(&request, HTTP_GET, "/echo");
        request.then = then_free_all;
        request_start(&request);
        while (http)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        (void)settle();
        ck_assert_uint_eq(request.n_done, 1);
        request_deinit(&request);
}
END_TEST

/* A request that is freed is not told of, and others go on. */
START_TEST(test_free_when_running)
{
        Request requests[2];

        for (size_t i = 0; i < 2; i++) {
                request_init(&requests[i], HTTP_GET, "/gate");
                request_start(&requests[i]);
        }
        run_until(&server.n_requests, 2);
        requests[0].call = http_call_free(requests[0].call);
        server_count(&server, &server.n_released);
        request_wait(&requests[1], 1);
        ck_assert_answered(&requests[1], 200);
        (void)settle();
        ck_assert_uint_eq(requests[0].n_done, 0);
        request_start(&requests[1]);
        for (size_t i = 0; i < 2; i++)
                request_deinit(&requests[i]);
}
END_TEST

/* What is inherited by a process that is started meanwhile. */
START_TEST(test_close_on_exec)
{
        Request request;
        int before = fcntl(server.fd, F_DUPFD_CLOEXEC, 0);

        request_init(&request, HTTP_GET, "/echo");
        request_run(&request);
        for (int fd = before + 1; fd < before + 20; fd++)
                ck_assert(fcntl(fd, F_GETFD) < 0 || fcntl(fd, F_GETFD) & FD_CLOEXEC);
        (void)close_fd(before);
        request_deinit(&request);
}
END_TEST

/* A proxy of the environment is none of ours. */
START_TEST(test_environment)
{
        Request request;

        ck_assert_int_eq(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
        request_init(&request, HTTP_GET, "/echo");
        request_run(&request);
        ck_assert_answered(&request, 200);
        request_deinit(&request);
        ck_assert_int_eq(unsetenv("http_proxy"), 0);
}
END_TEST

UNIT_MAIN_WITH("http", setup, http_teardown, test_get, test_bodies, test_large_body, test_headers,
               test_memory, test_retry_after, test_url, test_closed_after_some,
               test_closed_when_idle, test_many, test_start_in_callback, test_failing_at_once,
               test_free_in_callback, test_free_http_in_callback, test_free_when_running,
               test_close_on_exec, test_environment);
