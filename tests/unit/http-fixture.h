#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* An Http on a loop of its own beside a scripted server, and calls that remember what they were
 * told. */

#include <signal.h>
#include "base/buffer.h"
#include "base/http.h"
#include "http-server.h"

static HttpServer server;
static sd_event *event;
static Http *http;

static inline void http_setup_with(const ServerPath *paths, const ServerTransport *transport)
{
        (void)signal(SIGPIPE, SIG_IGN);
        server_start(&server, paths, transport, NULL);
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(http_new(&http, event), 0);
}

static inline void http_setup(const ServerPath *paths)
{
        http_setup_with(paths, NULL);
}

static inline void http_teardown(void)
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
        usec_t took_usec;
        char message[512];
        char content_type[64];
        Buffer body;
        void (*then)(struct Request *request); /* in the callback */
        struct Request *other;
} Request;

static inline void on_answer(HttpCall *call, const HttpAnswer *answer, void *userdata)
{
        Request *request = userdata;

        ck_assert_ptr_eq(call, request->call);
        ck_assert(!http_call_is_running(call));
        ck_assert_int_eq(answer->message == NULL, answer->failure == HTTP_ANSWERED);
        request->n_done++;
        request->failure = answer->failure;
        request->sent = answer->sent;
        request->status = answer->status;
        request->retry_after_usec = answer->retry_after_usec;
        request->took_usec = answer->took_usec;
        (void)snprintf(request->message, sizeof(request->message), "%s", answer->message ?: "");
        (void)snprintf(request->content_type, sizeof(request->content_type), "%.*s",
                       (int)answer->content_type.size, answer->content_type.data ?: "");
        buffer_clear(&request->body);
        ck_assert_int_eq(buffer_append_slice(&request->body, answer->body), 0);
        if (request->then)
                request->then(request);
}

static inline void request_url(Request *request, const char *path)
{
        char url[256];

        (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", server.port, path);
        ck_assert_int_eq(http_call_set_url(request->call, url), 0);
}

static inline void request_init(Request *request, HttpMethod method, const char *path)
{
        *request = (Request){ .body = BUFFER_NULL(HTTP_ANSWER_MAX) };
        ck_assert_int_eq(http_call_new(&request->call, http, method, on_answer, request), 0);
        request_url(request, path);
}

static inline void request_deinit(Request *request)
{
        request->call = http_call_free(request->call);
        buffer_deinit(&request->body);
}

/* Never told from within. */
static inline void request_start(Request *request)
{
        unsigned n = request->n_done;

        ck_assert_int_eq(http_call_start(request->call), 0);
        ck_assert(http_call_is_running(request->call));
        ck_assert_uint_eq(request->n_done, n);
}

static inline void request_wait(Request *request, unsigned n)
{
        while (request->n_done < n)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        ck_assert_uint_eq(request->n_done, n);
}

static inline void request_run(Request *request)
{
        request_start(request);
        request_wait(request, request->n_done + 1);
}

static inline void request_get(Request *request, const char *path)
{
        request_url(request, path);
        request_run(request);
}

#define ck_assert_answered(request, code)                                                      \
        do {                                                                                   \
                ck_assert_msg((request)->failure == HTTP_ANSWERED, "%s: %s",                   \
                              http_failure_to_string((request)->failure), (request)->message); \
                ck_assert_uint_eq((request)->status, (code));                                  \
                ck_assert((request)->sent);                                                    \
        } while (0)

#define ck_assert_failed(request, class, was_sent)                                             \
        do {                                                                                   \
                ck_assert_msg((request)->failure == (class), "%s: %s",                         \
                              http_failure_to_string((request)->failure), (request)->message); \
                ck_assert_int_eq((request)->sent, (was_sent));                                 \
                ck_assert_str_ne((request)->message, "");                                      \
        } while (0)

static inline bool body_has(const Request *request, const char *text)
{
        return request->body.size > 0 &&
               memmem(request->body.data, request->body.size, text, strlen(text));
}

/* Until a counter of the server has reached n. */
static inline void run_until(const unsigned *counter, unsigned n)
{
        while (server_counter(&server, counter) < n)
                ck_assert_int_ge(sd_event_run(event, USEC_PER_MSEC), 0);
}

/* Runs what is to be done at once; how many passes of the loop that took. */
static inline unsigned settle(void)
{
        unsigned n = 0;

        while (sd_event_run(event, 0) > 0)
                ck_assert_uint_lt(++n, 1000);
        return n;
}
