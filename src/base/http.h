#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* HTTP requests on the event loop, by libcurl's multi interface: one Http per server, one HttpCall
 * per request that may be under way at a time.
 *
 * An Http keeps its connections and lends them to its calls; it is owned by the source. A call is
 * made once and started again and again: what does not change (URL, method, headers) is parsed
 * once. Each start ends in exactly one callback, from the loop, never from within http_call_start;
 * the call may be started again or freed in it. HTTP/1.1, or 2 where TLS agrees on it (ALPN); no
 * redirects are followed, no proxy is taken from the environment.
 *
 * Nothing is sent twice behind the caller's back: where libcurl would silently repeat a request
 * because the connection that it had kept was dead, the call fails with HTTP_FAILED_CUT unless it
 * is repeatable (http_call_set_repeatable). A kept connection that the server had closed before the
 * request began is replaced silently: nothing was written to it. If it broke later, the answer says
 * sent, even where not a byte may have left this host.
 *
 * A host name (other than localhost) is looked up in a thread that libcurl makes for this look-up,
 * with all signals blocked; an answer is used for a minute. Giving a request up does not wait for
 * it. Writing to a broken TLS connection raises SIGPIPE, which the program must ignore. */

#include <systemd/sd-event.h>
#include "base/clock.h"
#include "base/macro.h"
#include "base/slice.h"

typedef struct Http Http;
typedef struct HttpCall HttpCall;

/* Requests to servers end after this, unless told otherwise: a busy server was seen to take 11 s.
 */
#define HTTP_TIMEOUT_USEC (30 * USEC_PER_SEC)

/* Largest answer that is kept; beyond it a call fails with HTTP_FAILED_TOO_BIG. A batch of tasks
 * with inputs at the server's inline limit of 3 MB each must fit. */
#define HTTP_ANSWER_MAX ((size_t)64 * 1024 * 1024)

typedef struct HttpOptions {
        const char *ca_file;     /* NULL: the system's */
        const char *certificate; /* PEM files of the client; NULL: none */
        const char *key;
        bool verify;          /* certificate and name of the server */
        const char *proxy;    /* URL; NULL: none */
        char *const *headers; /* "Name: value" of every request; may be NULL */
} HttpOptions;

int http_new(Http **ret, sd_event *event);
/* Closes the connections; the calls must be freed before. May be called in a callback. */
Http *http_free(Http *http);
DEFINE_CLEANUP(Http *, http_free);

/* All are copied, and hold for calls that are started from now on. */
int http_configure(Http *http, const HttpOptions *options);
/* "X-Authorization: …": a whole header, beside the configured headers; NULL: none. */
int http_set_authorization(Http *http, const char *header);

typedef enum HttpMethod {
        HTTP_GET,
        HTTP_POST,
        HTTP_PUT,
} HttpMethod;

typedef enum HttpFailure {
        HTTP_ANSWERED, /* whatever its status */
        HTTP_FAILED_DNS,
        HTTP_FAILED_CONNECT, /* refused, unreachable, or no answer to connect */
        HTTP_FAILED_TLS,     /* certificate, name, handshake */
        HTTP_FAILED_PROXY,
        HTTP_FAILED_TIMEOUT, /* connected, but no whole answer in time */
        HTTP_FAILED_CUT,     /* the connection ended before the answer was whole */
        HTTP_FAILED_TOO_BIG,
        HTTP_FAILED_OTHER, /* memory, our own mistakes */
        _HTTP_FAILURE_MAX,
} HttpFailure;
const char *http_failure_to_string(HttpFailure failure); /* "dns", "connect", "tls", … */

typedef struct HttpAnswer {
        HttpFailure failure;
        const char *message;     /* for people: what failed; NULL: answered */
        bool sent;               /* the server may have got the request, or part of it */
        unsigned status;         /* 0: no status line came; may be set on a failure, too */
        Slice content_type;      /* without parameters, lower case not ensured */
        Slice body;              /* what came of it, also after a failure; borrowed */
        usec_t retry_after_usec; /* Retry-After, seconds or a date, at most an hour; 0: none */
        usec_t took_usec;        /* since the start */
} HttpAnswer;

/* answer is borrowed for the call. */
typedef void (*http_callback_t)(HttpCall *call, const HttpAnswer *answer, void *userdata);

int http_call_new(HttpCall **ret, Http *http, HttpMethod method, http_callback_t callback,
                  void *userdata);
/* Without a callback; a request that is under way is cut off. */
HttpCall *http_call_free(HttpCall *call);
DEFINE_CLEANUP(HttpCall *, http_call_free);

/* Only between requests. */
int http_call_set_url(HttpCall *call, const char *url); /* -EINVAL: none */
/* body must stay until the callback. POST and PUT only; SLICE_NULL: an empty body.
 * content_type is a literal. */
void http_call_set_body(HttpCall *call, const char *content_type, Slice body);
/* Of the whole request; USEC_INFINITY: none. To connect, 10 s at most. */
void http_call_set_timeout(HttpCall *call, usec_t timeout_usec);
/* The request may be sent twice without harm. */
void http_call_set_repeatable(HttpCall *call, bool repeatable);
/* Of the authorization header: off for the request that fetches a token, whose answer is wiped from
 * memory after the callback. On by default. */
void http_call_set_authorized(HttpCall *call, bool authorized);
/* 0 or -ENOMEM: then no callback follows. */
int http_call_start(HttpCall *call);
bool http_call_is_running(const HttpCall *call);
/* In the callback: when the answer was made, by the clock of who made it, to the second; epoch. 0:
 * it does not say. */
int64_t http_call_date_msec(const HttpCall *call);
