#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Shared by the files of HTTP: http.c (what is configured), http-loop.c (sockets and timer of curl
 * on the event loop), http-call.c (one request after another), http-answer.c (what became of it).
 *
 * curl is entered only through http_enter, curl_multi_add_handle and curl_multi_remove_handle, and
 * never from one of its callbacks; callers of this module are called back only from http_turn, when
 * curl has been left. So they may start and free calls as they like. */

#include <curl/curl.h>
#include <signal.h>
#include "base/buffer.h"
#include "base/http.h"

/* A connection that was idle for longer is not used again: a server closes it after 60 s, and a
 * request that meets this halfway is cut. */
#define HTTP_IDLE_SECONDS 50L

/* Of look-up, TCP and TLS together. */
#define HTTP_CONNECT_TIMEOUT_MSEC 10000L

/* A peer that vanished is noticed by the kernel even where no time-out runs. */
#define HTTP_KEEPALIVE_IDLE_SECONDS     30L
#define HTTP_KEEPALIVE_INTERVAL_SECONDS 10L

/* The certificates of ca_file are read again when this old: parsing the system's takes some ms, and
 * a server may close a connection after each 100 requests. */
#define HTTP_CA_CACHE_SECONDS 600L

/* What curl reads at a time; one for each request under way. */
#define HTTP_READ_SIZE 8192L

/* From about this size on libcurl would announce a body by "Expect: 100-continue". */
#define HTTP_LARGE_BODY ((size_t)512 * 1024)

/* Longest header section of an answer: curl keeps it in memory. */
#define HTTP_HEADERS_MAX ((size_t)128 * 1024)

/* Longest Retry-After that is believed. */
#define HTTP_RETRY_AFTER_MAX_SECONDS 3600

/* A call keeps this much memory for its next answer, and not more than four times the last one. */
#define HTTP_BODY_KEEP ((size_t)16 * 1024)

/* What calls are started with; shared and counted, because those under way keep what they have. A
 * change makes a new one. */
typedef struct HttpSettings {
        unsigned n_refs;
        char *ca_file;
        char *certificate;
        char *key;
        bool verify;
        char *proxy;
        char **configured;             /* headers as configured */
        char *authorization;           /* NULL: none */
        struct curl_slist *headers;    /* of every request */
        struct curl_slist with_header; /* authorization, then headers */
} HttpSettings;

HttpSettings *http_settings_ref(HttpSettings *settings);
HttpSettings *http_settings_unref(HttpSettings *settings);
DEFINE_CLEANUP(HttpSettings *, http_settings_unref);
/* What a request sends beside its Content-Type. */
struct curl_slist *http_settings_headers(HttpSettings *settings, bool authorized);

/* One per file descriptor number. */
typedef struct HttpSocket {
        uint32_t generation; /* counts closes: an event of an older one is stale */
        uint32_t wanted;     /* EPOLLIN, EPOLLOUT: what curl waits for; 0: nothing */
        uint32_t registered; /* the same in the epoll fd; 0: not there */
        bool kept;           /* a connection: stays registered while curl waits for nothing */
} HttpSocket;

struct Http {
        sd_event *event;
        sd_event_source *io;    /* of epoll_fd */
        sd_event_source *timer; /* may be armed earlier than curl wants it, never later */
        sd_event_source *again; /* defer: another turn in the next pass of the loop */
        CURLM *multi;
        CURLSH *share; /* TLS sessions */
        HttpSettings *settings;

        int epoll_fd;
        HttpSocket *sockets; /* by fd */
        size_t n_sockets;

        bool run_now;       /* curl wants to be entered at once */
        usec_t wanted_usec; /* when else; USEC_INFINITY: not */
        usec_t armed_usec;  /* when timer fires; USEC_INFINITY: not */
        bool in_turn;       /* a turn ends soon: what is started need not enter curl */
        bool signals_held;  /* a resolver's thread may have been made: see on_resolve */
        sigset_t signals;   /* to be restored then */
        int n_alive;        /* curl's count of requests that are not done */
        unsigned n_running; /* ours; more than n_alive: some are done and not collected */
        unsigned n_calls;
        HttpCall *reporting; /* whose callback runs; NULL as soon as it is freed */
        bool *gone;          /* set when the Http is freed in a callback */
};

int http_loop_init(Http *http);
void http_loop_deinit(Http *http);
/* How the sockets of a call's connections are made. */
int http_loop_setup(Http *http, CURL *easy);
/* Requests were added: sends them, at the latest before the loop waits again. */
void http_loop_started(Http *http);

struct HttpCall {
        Http *http;
        CURL *easy;
        CURLU *url;    /* as set */
        CURLU *origin; /* without path and query */
        char *target;  /* those */
        bool url_changed;
        HttpMethod method;
        http_callback_t callback;
        void *userdata;

        HttpSettings *settings;           /* that easy is set up with; NULL: none yet */
        const char *content_type;         /* literal */
        char *content_header;             /* "Content-Type: …" */
        struct curl_slist with_type;      /* content_header, then those of settings */
        struct curl_slist with_no_expect; /* "Expect:", then with_type */
        Slice request_body;
        bool large;
        usec_t timeout_usec;
        bool repeatable;
        bool authorized;
        bool headers_changed; /* with_type is not what easy has */

        bool running;
        usec_t started_usec;
        unsigned n_sendings; /* how often curl began to send the request */
        bool resend_refused;
        bool out_of_memory;
        size_t header_size;
        bool header_whole; /* the empty line after it came */
        Buffer body;
        size_t body_keep; /* memory for the next answer */
        char error[CURL_ERROR_SIZE];
};

/* Its request has ended: tells the callback. */
void http_call_finish(HttpCall *call, CURLcode code);
/* After that, if it is still there: gives back what a large answer took. */
void http_call_trim(HttpCall *call);

/* What became of the request, borrowed from the call. */
void http_answer_read(HttpCall *call, CURLcode code, HttpAnswer *ret);
