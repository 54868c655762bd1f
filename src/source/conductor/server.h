#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One Conductor server as an HTTP peer: its address, what an answer means, the token, and whether
 * it is worth asking. Owned by its source.
 *
 *   UP ──no usable answer──▶ AWAY ──backoff over: asked by a request of our own──▶ UP, or AWAY
 *   UP ──401 or 403 that a new token may cure──▶ AUTHORIZING ──token──▶ UP, the calls are repeated
 *                                                    └──refused──▶ AWAY, cause "auth"
 *
 * While it is not UP nothing should be sent (server_may_send); on_up tells when it is again. Any
 * good answer to a call that was under way makes it UP, too, unless it asked for a pause
 * (Retry-After). One bad answer among good ones is that request's own affair: AWAY is only what has
 * given no good answer since the bad one was asked for, and more than once where the cause may be
 * the connection's or the request's. A server that goes away again as soon as it is asked is told
 * of once: the backoff grows on until it has been up for as long as the last delay.
 *
 * Each server has a backoff of its own, so a dead one slows none but itself. */

#include "base/http.h"
#include "config/config.h"

typedef struct Server Server;
typedef struct ServerCall ServerCall;

/* What an answer means for the request. */
typedef enum Verdict {
        VERDICT_DONE,     /* 2xx */
        VERDICT_AWAY,     /* no answer, or one that is not the server's own (a proxy's, HTML), 429,
                             502 to 504, authorization: this request again later; whether the
                             server is away is server_may_send's to say */
        VERDICT_BUSY,     /* 500 with retryable true: this request again later; the server is up */
        VERDICT_DOUBTFUL, /* 500 otherwise: a fault of ours, or of its database */
        VERDICT_MISSING,  /* 404 of its own: no such task, workflow, definition, path */
        VERDICT_REFUSED,  /* other 4xx of its own, or anyone's 413: never accepted as it is */
        _VERDICT_MAX,
} Verdict;
const char *verdict_to_string(Verdict verdict);
/* answer.c: pure. */
Verdict verdict_of(const HttpAnswer *answer);
/* Of payload storage, which is not the server: MISSING also for what has expired there. */
Verdict verdict_of_storage(const HttpAnswer *answer);
/* MISSING because the server has no such call, not because it has no such task. */
bool answer_is_no_such_path(const HttpAnswer *answer);
/* Among answers that are AWAY: the request is refused, by the server or by something before it, and
 * that may be so for this path only. */
bool answer_is_withheld(const HttpAnswer *answer);
typedef enum AnswerPermission {
        PERMISSION_GIVEN, /* it is about something else */
        PERMISSION_WANTS_TOKEN,
        PERMISSION_DENIED, /* whatever the token */
} AnswerPermission;
AnswerPermission answer_permission(const HttpAnswer *answer);
/* The server's message, or what failed, as one line of at most size - 1 bytes. */
void answer_explain(const HttpAnswer *answer, char *text, size_t size);

typedef struct ServerCallbacks {
        /* It may be asked again: polls start, the outbox hurries. From the loop, never from within
         * a call. */
        void (*on_up)(Server *server, void *userdata);
} ServerCallbacks;

int server_new(Server **ret, sd_event *event, const char *source_name,
               const ServerCallbacks *callbacks, void *userdata);
Server *server_free(Server *server);
DEFINE_CLEANUP(Server *, server_free);
/* All of config->conductor that it needs is copied; a live change. */
int server_configure(Server *server, const ConfigSource *config);

bool server_may_send(const Server *server);
/* Where it is away: asks it now, whatever pause it asked for. */
void server_hurry(Server *server);

typedef struct ServerStatus {
        const char *cause; /* http_failure_to_string, "http 503", "auth", "rate limit"; NULL: up */
        const char *message;   /* of the last failure, with a remedy; NULL: up */
        usec_t away_usec;      /* monotonic: since when it is not up */
        unsigned n_failures;   /* in a row */
        usec_t retry_usec;     /* monotonic; 0: no backoff */
        usec_t last_good_usec; /* monotonic: last answer that was its own */
} ServerStatus;
void server_get_status(const Server *server, ServerStatus *ret);
/* What an answer that is AWAY says, with a remedy. */
void server_explain(const Server *server, const HttpAnswer *answer, char *text, size_t size);

typedef enum ServerAuth {
        SERVER_AUTH_NONE,     /* not configured */
        SERVER_AUTH_NEEDLESS, /* configured, but the server knows no tokens */
        SERVER_AUTH_MISSING,  /* no token yet, or none any more */
        SERVER_AUTH_GRANTED,
} ServerAuth;
ServerAuth server_auth(const Server *server);

/* A request that is made once and sent again and again, as HttpCall. The verdict has been entered
 * into the server's state when the callback comes. One that failed for want of a token is repeated
 * by itself once there is a new one (the server has not acted on it): no callback in between. */
typedef void (*server_callback_t)(ServerCall *call, Verdict verdict, const HttpAnswer *answer,
                                  void *userdata);
int server_call_new(ServerCall **ret, Server *server, HttpMethod method, server_callback_t callback,
                    void *userdata);
ServerCall *server_call_free(ServerCall *call);
DEFINE_CLEANUP(ServerCall *, server_call_free);
/* Behind the url: "/tasks/update-v2"; percent-encoded where needed (server_escape). */
int server_call_set_path(ServerCall *call, const char *path);
/* A URL of payload storage, before anything else is set: absolute and elsewhere, then without
 * authorization, headers and client certificate of the source, and its answers say nothing about
 * the server; or a path on the server itself. */
int server_call_set_url(ServerCall *call, const char *url);
/* As http_call_set_body, _timeout, _repeatable. */
void server_call_set_body(ServerCall *call, const char *content_type, Slice body);
void server_call_set_timeout(ServerCall *call, usec_t timeout_usec);
void server_call_set_repeatable(ServerCall *call, bool repeatable);
/* Whether server_may_send is the caller's to ask. Waits for the token while there is none. */
int server_call_start(ServerCall *call);
bool server_call_is_running(const ServerCall *call);
/* In the callback: http_call_date_msec. */
int64_t server_call_date_msec(const ServerCall *call);

/* text percent-encoded for a path segment or a query value. Fresh, or NULL: out of memory. */
char *server_escape(const char *text);
