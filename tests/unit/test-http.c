/* SPDX-License-Identifier: Apache-2.0 */

#include <signal.h>
#include "base/buffer.h"
#include "base/http.h"
#include "http-fixture.h"

static Server server;
static sd_event *event;
static Http *http;

/* The request as it came is the answer. */
static bool script_echo(Peer *peer)
{
        return peer_read_body(peer) &&
               peer_answer(peer, "200 OK", "Content-Type: text/plain; charset=utf-8\r\n",
                           peer->request, peer->header_size + peer->body_size);
}

static const ServerPath paths[] = {
        { "GET /echo", script_echo },
        { "POST /echo", script_echo },
        { "PUT /echo", script_echo },
        {},
};

static void setup(void)
{
        (void)signal(SIGPIPE, SIG_IGN);
        server_start(&server, paths, NULL, NULL);
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(http_new(&http, event), 0);
}

static void teardown(void)
{
        http = http_free(http);
        event = sd_event_unref(event);
        server_stop(&server);
}

/* A call and what was last heard of it, copied. */
typedef struct Request {
        HttpCall *call;
        unsigned n_done;
        HttpFailure failure;
        bool sent;
        unsigned status;
        usec_t retry_after_usec;
        char message[512];
        char content_type[64];
        Buffer body;
} Request;

static void on_answer(HttpCall *call, const HttpAnswer *answer, void *userdata)
{
        Request *request = userdata;

        ck_assert_ptr_eq(call, request->call);
        ck_assert(!http_call_is_running(call));
        request->n_done++;
        request->failure = answer->failure;
        request->sent = answer->sent;
        request->status = answer->status;
        request->retry_after_usec = answer->retry_after_usec;
        (void)snprintf(request->message, sizeof(request->message), "%s", answer->message ?: "");
        (void)snprintf(request->content_type, sizeof(request->content_type), "%.*s",
                       (int)answer->content_type.size, answer->content_type.data ?: "");
        buffer_clear(&request->body);
        ck_assert_int_eq(buffer_append_slice(&request->body, answer->body), 0);
}

static void request_url(Request *request, const char *path)
{
        char url[256];

        (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", server.port, path);
        ck_assert_int_eq(http_call_set_url(request->call, url), 0);
}

static void request_init(Request *request, HttpMethod method, const char *path)
{
        *request = (Request){ .body = BUFFER_NULL(HTTP_ANSWER_MAX) };
        ck_assert_int_eq(http_call_new(&request->call, http, method, on_answer, request), 0);
        request_url(request, path);
}

static void request_deinit(Request *request)
{
        request->call = http_call_free(request->call);
        buffer_deinit(&request->body);
}

static void request_run(Request *request)
{
        unsigned n = request->n_done;

        ck_assert_int_eq(http_call_start(request->call), 0);
        ck_assert(http_call_is_running(request->call));
        ck_assert_uint_eq(request->n_done, n);
        while (request->n_done == n)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        ck_assert_uint_eq(request->n_done, n + 1);
}

static bool has_line(Request *request, const char *line)
{
        char sought[256];

        (void)snprintf(sought, sizeof(sought), "\r\n%s\r\n", line);
        return memmem(request->body.data, request->body.size, sought, strlen(sought));
}

START_TEST(test_get)
{
        Request request;

        request_init(&request, HTTP_GET, "/echo/%2e%2e/a?b=c%20d");
        request_run(&request);
        ck_assert_int_eq(request.failure, HTTP_ANSWERED);
        ck_assert_uint_eq(request.status, 200);
        ck_assert(request.sent);
        ck_assert_str_eq(request.message, "");
        ck_assert_str_eq(request.content_type, "text/plain");
        ck_assert(memmem(request.body.data, request.body.size,
                         "GET /echo/%2e%2e/a?b=c%20d HTTP/1.1\r\n", 35));
        ck_assert(!has_line(&request, "Content-Type: "));
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
                ck_assert(has_line(&request, "Content-Type: application/json"));
                ck_assert(has_line(&request, "Content-Length: 8"));
                ck_assert(memmem(request.body.data, request.body.size, "\r\n\r\n{\"a\": 1}", 12));
                http_call_set_body(request.call, "text/plain", SLICE_NULL);
                request_run(&request);
                ck_assert(has_line(&request, "Content-Type: text/plain"));
                ck_assert(has_line(&request, "Content-Length: 0"));
                request_deinit(&request);
        }
        ck_assert_uint_eq(server.n_connections, 1);
}
END_TEST

UNIT_MAIN_WITH("http", setup, teardown, test_get, test_bodies);
