#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* HTTP/1.1 of the stub server: connections on epoll, one request at a time on each, answers with
 * the fault that the request drew. A connection lives until its client closes it, a fault ends it,
 * or it has had its number of requests. */

#include "base/list.h"
#include "stub/fault.h"
#include "stub/timer.h"

typedef struct Poll Poll;
typedef struct Wait Wait;

typedef struct Request {
        Slice method, path, query, body;
        Slice authorization; /* X-Authorization */
} Request;

typedef struct Connection {
        ListLink link;
        int fd;
        Buffer in, out, decoded;
        size_t limit;    /* of out, how much may be sent by now: a slow answer */
        StubTimer timer; /* the next byte of a slow answer */
        unsigned n_requests;
        bool in_request;  /* the head was matched against the faults */
        bool waiting;     /* a request is being answered: nothing more is read from in */
        bool ending;      /* closed when out is sent */
        bool wants_write; /* epoll reports when it can take more */
        bool dead;        /* freed at the end of the pass */
        const Fault *fault;
        Poll *poll; /* what it waits for */
        Wait *wait;
} Connection;

typedef struct HttpOptions {
        unsigned requests_per_connection; /* 0: any number */
        bool with_length;                 /* Content-Length instead of chunks */
} HttpOptions;

typedef struct HttpCounts {
        uint64_t n_connections, n_requests, n_open, n_open_max;
} HttpCounts;

extern HttpCounts http_counts;

/* Listens on 127.0.0.1; 0: any port. Returns the port. */
int http_start(const HttpOptions *options, unsigned port);
/* One pass: waits for events, with no signal blocked, and handles them. At the end of each
 * every_pass() is called. */
void http_run(void (*every_pass)(void));
void http_stop(void);
/* The server is away: connections are reset and refused until then. */
void http_away(usec_t until);

void http_answer(Connection *connection, unsigned status, const char *content_type, Slice body);
void http_answer_json(Connection *connection, unsigned status, Slice body);
/* An error as the server writes it. */
void http_answer_error(Connection *connection, unsigned status, const char *message,
                       bool retryable);
