#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A Conductor server's side and ours: a Server on a loop, and a scripted HTTP server that gives
 * each path its canned answers, the last one again and again, and keeps the last request of each.
 */

#include <systemd/sd-event.h>
#include "base/clock.h"
#include "source/conductor/server.h"
#include "http-server.h"

#define CANNED_MAX 8

typedef struct Canned {
        const char *status; /* NULL: the connection is reset */
        const char *more;   /* further header lines */
        const char *body;
} Canned;

#define JSON_HEADER "Content-Type: application/json\r\n"
#define HTML_HEADER "Content-Type: text/html; charset=utf-8\r\n"
#define OWN(number, text)                                                                       \
        {                                                                                       \
#number " x", JSON_HEADER,                                                      \
                        "{\"status\":" #number ",\"message\":\"" text "\",\"retryable\":false}" \
        }
#define OK_JSON(text)                         \
        {                                     \
                "200 OK", JSON_HEADER, (text) \
        }
#define PROXY(number)                                        \
        {                                                    \
#number " x", HTML_HEADER, "<html>no</html>" \
        }
#define CANNED_RESET             \
        {                        \
                NULL, NULL, NULL \
        }

typedef struct Route {
        const char *path; /* "GET /api/x " */
        Canned answers[CANNED_MAX];
        bool waits; /* for a release before it answers: fixture_release */
        unsigned n; /* answered */
        char request[4096];
} Route;

typedef struct Fixture {
        sd_event *event;
        ConfigSource config;
        char url[64];
        Server *server;
        HttpServer peer;
        Route *routes;
        unsigned n_up;
} Fixture;

typedef struct Asked {
        ServerCall *call;
        unsigned n; /* callbacks */
        Verdict verdict;
        unsigned status;
        char text[256];
} Asked;

#define FIXTURE_TIMEOUT_USEC (20 * USEC_PER_SEC)

#define run_until(f, condition)                                                             \
        do {                                                                                \
                usec_t _end = clock_monotonic_usec() + FIXTURE_TIMEOUT_USEC;                \
                while (!(condition)) {                                                      \
                        ck_assert_msg(clock_monotonic_usec() < _end, "never: " #condition); \
                        ck_assert_int_ge(sd_event_run((f)->event, 50 * USEC_PER_MSEC), 0);  \
                }                                                                           \
        } while (0)

static inline const Canned *route_next(Route *route)
{
        unsigned i = 0;

        while (i < route->n && i + 1 < CANNED_MAX && route->answers[i + 1].body)
                i++;
        return &route->answers[i];
}

static inline bool fixture_script(Peer *peer)
{
        Fixture *f = peer->server->userdata;
        const Canned *canned;
        Route *route = f->routes;

        while (strncmp(peer->request, route->path, strlen(route->path)) != 0)
                route++;
        if (!peer_read_body(peer))
                return false;
        if (route->waits)
                server_wait(peer->server, &peer->server->n_released, 1);
        (void)pthread_mutex_lock(&peer->server->mutex);
        (void)snprintf(route->request, sizeof(route->request), "%.*s",
                       (int)(peer->header_size + peer->body_size), peer->request);
        canned = route_next(route);
        route->n++;
        (void)pthread_mutex_unlock(&peer->server->mutex);
        if (!canned->status)
                return peer_reset(peer);
        return peer_answer(peer, canned->status, canned->more, canned->body, strlen(canned->body));
}

static inline unsigned route_count(Fixture *f, const Route *route)
{
        return server_counter(&f->peer, &route->n);
}

/* Whether the last request of the route had this in it. */
static inline bool route_saw(Fixture *f, Route *route, const char *text)
{
        bool saw;

        (void)pthread_mutex_lock(&f->peer.mutex);
        saw = strstr(route->request, text);
        (void)pthread_mutex_unlock(&f->peer.mutex);
        return saw;
}

static inline void fixture_release(Fixture *f)
{
        server_count(&f->peer, &f->peer.n_released);
}

static inline void fixture_on_up(Server *unused, void *userdata)
{
        Fixture *f = userdata;

        f->n_up++;
}

/* routes end with one without a path; paths: the same for the scripted server. */
static inline void fixture_open(Fixture *f, Route *routes, ServerPath *paths)
{
        static const ServerCallbacks callbacks = { .on_up = fixture_on_up };
        size_t i;

        for (i = 0; routes[i].path; i++)
                paths[i] = (ServerPath){ routes[i].path, fixture_script };
        paths[i] = (ServerPath){ 0 };
        *f = (Fixture){ .routes = routes };
        server_start(&f->peer, paths, NULL, f);
        ck_assert_int_ge(sd_event_new(&f->event), 0);
        ck_assert_int_eq(server_new(&f->server, f->event, "prod", &callbacks, f), 0);
        (void)snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u/api", f->peer.port);
        f->config.conductor.url = f->url;
        f->config.conductor.auth.refresh_usec = 45 * USEC_PER_MINUTE;
}

static inline void fixture_close(Fixture *f)
{
        fixture_release(f);
        f->server = server_free(f->server);
        server_stop(&f->peer);
        (void)sd_event_unref(f->event);
}

static inline void use_key(Fixture *f)
{
        f->config.conductor.auth.key_id = (char *)"the-key";
        f->config.conductor.auth.secret = (char *)"the-\"secret\"";
}

static inline void fixture_configure(Fixture *f)
{
        ck_assert_int_eq(server_configure(f->server, &f->config), 0);
}

static inline ServerStatus fixture_status(Fixture *f)
{
        ServerStatus status;

        server_get_status(f->server, &status);
        return status;
}

static inline void asked_on_answer(ServerCall *call, Verdict verdict, const HttpAnswer *answer,
                                   void *userdata)
{
        Asked *asked = userdata;

        asked->n++;
        asked->verdict = verdict;
        asked->status = answer->status;
        answer_explain(answer, asked->text, sizeof(asked->text));
}

static inline void ask_start(Fixture *f, Asked *asked, const char *path)
{
        if (!asked->call) {
                ck_assert_int_eq(
                        server_call_new(&asked->call, f->server, HTTP_GET, asked_on_answer, asked),
                        0);
                ck_assert_int_eq(server_call_set_path(asked->call, path), 0);
        }
        ck_assert_int_eq(server_call_start(asked->call), 0);
}

/* And waits for the answer. */
static inline Verdict ask(Fixture *f, Asked *asked, const char *path)
{
        unsigned n = asked->n;

        ask_start(f, asked, path);
        run_until(f, asked->n > n);
        return asked->verdict;
}

/* Asks until enough bad answers have made the server one that is away; how many that took. */
static inline unsigned ask_away(Fixture *f, Asked *asked, const char *path)
{
        unsigned n = 0;

        ck_assert(server_may_send(f->server));
        while (server_may_send(f->server)) {
                ck_assert_int_eq(ask(f, asked, path), VERDICT_AWAY);
                n++;
        }
        return n;
}

static inline void asked_free(Asked *asked)
{
        asked->call = server_call_free(asked->call);
}
