/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"
#include "source/conductor/server-internal.h"

/* Between our own questions to a server that is away. */
static const Backoff server_backoff = { .base_usec = 500 * USEC_PER_MSEC,
                                        .max_usec = 30 * USEC_PER_SEC };

/* A server that is up again has to stay so for as long as it was last left alone, within these,
 * before the backoff begins anew and the log tells of it. */
#define SETTLE_MIN_USEC (500 * USEC_PER_MSEC)
#define SETTLE_MAX_USEC (5 * USEC_PER_SEC)

/* Longest Retry-After that is believed: a mistyped one must not stop a daemon for a day. */
#define RETRY_AFTER_MAX_USEC (5 * USEC_PER_MINUTE)

/* So long an answer to our own question is waited for; it is a small one. */
#define PROBE_TIMEOUT_USEC (10 * USEC_PER_SEC)

/* The question: cheap, needs the token, changes nothing. */
#define PROBE_PATH "/tasks/queue/size?taskType=yardmaster"

/* Words */

static void explain_cause(const HttpAnswer *answer, char *cause, size_t size)
{
        if (answer->failure != HTTP_ANSWERED)
                (void)snprintf(cause, size, "%s", http_failure_to_string(answer->failure));
        else if (answer->status == 429)
                (void)snprintf(cause, size, "rate limit");
        else if (answer->status == 401 || answer->status == 403)
                (void)snprintf(cause, size, "auth");
        else
                (void)snprintf(cause, size, "http %u", answer->status);
}

static const char *remedy_of_failure(HttpFailure failure)
{
        switch (failure) {
        case HTTP_FAILED_DNS:
                return "check the host name in url and this machine's resolver";
        case HTTP_FAILED_CONNECT:
                return "check that the server runs, the address in url, and firewalls between";
        case HTTP_FAILED_TLS:
                return "check tls.ca_file, tls.certificate, and that url has the name that the "
                       "server's certificate has";
        case HTTP_FAILED_PROXY:
                return "check the key proxy, and that the proxy runs";
        case HTTP_FAILED_TIMEOUT:
                return "it takes connections but does not answer in time: look at its load and "
                       "its database";
        case HTTP_FAILED_CUT:
                return "connections end before the answer: see the log of the server, or of the "
                       "proxy before it";
        default:
                return "see the log of the server";
        }
}

static const char *remedy_of(const Server *server, const HttpAnswer *answer)
{
        if (answer->failure != HTTP_ANSWERED)
                return remedy_of_failure(answer->failure);
        switch (answer->status) {
        case 401:
        case 403:
                return token_auth(server->token) == SERVER_AUTH_NONE
                               ? "it wants authentication: set auth.key_id and auth.secret_file"
                               : "check auth.key_id and its secret, and what that key may do";
        case 429:
                return "fewer requests: raise poll_interval, lower connections, or have its "
                       "limit raised";
        case 502:
        case 503:
        case 504:
                return "something before the server answers in its place: see whether the server "
                       "itself runs";
        default:
                return "that is no answer of Conductor: url must be the base of its API, as "
                       "http://host:8080/api";
        }
}

/* State */

static void server_arm(Server *server, usec_t usec)
{
        (void)sd_event_source_set_time(server->timer, usec);
        (void)sd_event_source_set_enabled(server->timer, SD_EVENT_ONESHOT);
}

static void server_disarm(Server *server)
{
        (void)sd_event_source_set_enabled(server->timer, SD_EVENT_OFF);
}

static void tell_away(Server *server)
{
        if (server->told)
                return;
        server->told = true;
        (void)log_event(
                LOG_WARNING,
                (&(LogFields){ .source = server->source_name, .message_id = LOG_ID_SERVER_AWAY }),
                "server of source '%s' is away (%s): %s", server->source_name, server->cause,
                server->message);
}

/* It has been up for long enough. */
static void server_settle(Server *server)
{
        server->n_failures = 0;
        if (!server->told)
                return;
        server->told = false;
        (void)log_event(
                LOG_NOTICE,
                (&(LogFields){ .source = server->source_name, .message_id = LOG_ID_SERVER_UP }),
                "server of source '%s' answers again", server->source_name);
}

void server_explain(const Server *server, const HttpAnswer *answer, char *text, size_t size)
{
        char said[256];

        answer_explain(answer, said, sizeof(said));
        (void)snprintf(text, size, "%s; %s", said, remedy_of(server, answer));
}

static void describe_failure(Server *server, const HttpAnswer *answer, const char *problem)
{
        if (problem) {
                (void)snprintf(server->cause, sizeof(server->cause), "auth");
                (void)snprintf(server->message, sizeof(server->message), "%s", problem);
                return;
        }
        explain_cause(answer, server->cause, sizeof(server->cause));
        server_explain(server, answer, server->message, sizeof(server->message));
}

/* answer or, of a token, problem says why. */
static void server_go_away(Server *server, const HttpAnswer *answer, const char *problem)
{
        usec_t pause = MIN(answer->retry_after_usec, RETRY_AFTER_MAX_USEC);
        uint64_t random = random_u64();

        describe_failure(server, answer, problem);
        server->state = SERVER_AWAY;
        server->n_bad = 0;
        if (server->n_failures++ == 0)
                server->away_usec = clock_monotonic_usec();
        server->asked_to_wait = pause > 0;
        server->delay_usec = backoff_delay(&server_backoff, server->n_failures, random);
        /* Whoever was told the same pause must not come back all at the same time. */
        if (pause > 0)
                server->delay_usec = MAX(server->delay_usec, pause + random % (pause / 8 + 1));
        server->retry_usec = usec_add(clock_monotonic_usec(), server->delay_usec);
        server_arm(server, server->retry_usec);
        tell_away(server);
}

static void server_come_up(Server *server)
{
        server->state = SERVER_UP;
        server->asked_to_wait = false;
        server->retry_usec = 0;
        server_disarm(server);
        if (server->n_failures > 0)
                server_arm(server,
                           usec_add(clock_monotonic_usec(),
                                    CLAMP(server->delay_usec, SETTLE_MIN_USEC, SETTLE_MAX_USEC)));
        (void)sd_event_source_set_enabled(server->teller, SD_EVENT_ONESHOT);
}

static int on_tell(sd_event_source *source, void *userdata)
{
        Server *server = userdata;

        if (server->state == SERVER_UP && server->callbacks.on_up)
                server->callbacks.on_up(server, server->userdata);
        return 0;
}

void server_note_good(Server *server)
{
        server->last_good_usec = clock_monotonic_usec();
        server->n_bad = 0;
        if (server->state == SERVER_AWAY && !server->asked_to_wait &&
            token_auth(server->token) != SERVER_AUTH_MISSING)
                server_come_up(server);
}

/* How many such answers in a row, without a good one in between, make a server one that is away. */
static unsigned n_bad_enough(const HttpAnswer *answer)
{
        switch (answer->failure) {
        case HTTP_FAILED_DNS:
        case HTTP_FAILED_CONNECT:
        case HTTP_FAILED_TLS:
        case HTTP_FAILED_PROXY:
                return 1; /* it is not about the request */
        case HTTP_FAILED_TIMEOUT:
                return 2; /* it may be a slow request; and to wait once more takes long */
        case HTTP_ANSWERED:
                return answer->status == 401 ? 1 : 3;
        default:
                return 3; /* connections end: after 100 requests, when idle */
        }
}

void server_note_bad(Server *server, const HttpAnswer *answer)
{
        usec_t now = clock_monotonic_usec();
        bool told_to_wait =
                answer->retry_after_usec > 0 && (answer->status == 429 || answer->status == 503);

        if (server->state != SERVER_UP || answer->failure == HTTP_FAILED_OTHER ||
            answer_permission(answer) == PERMISSION_DENIED)
                return;
        if (!told_to_wait) {
                if (now - MIN(answer->took_usec, now) < server->last_good_usec)
                        return;
                if (++server->n_bad < n_bad_enough(answer))
                        return;
        }
        server_go_away(server, answer, NULL);
}

/* Asking a server that is away */

static void on_probe(ServerCall *call, Verdict verdict, const HttpAnswer *answer, void *userdata)
{
        Server *server = userdata;

        bool without_token = answer->failure == HTTP_FAILED_OTHER && answer->status == 401;

        if (server->state == SERVER_UP || without_token)
                return;
        if (verdict != VERDICT_AWAY || answer_permission(answer) == PERMISSION_DENIED)
                server_come_up(server);
        else if (server->state == SERVER_AWAY)
                server_go_away(server, answer, NULL);
}

static int server_ask(Server *server)
{
        int r;

        if (token_auth(server->token) == SERVER_AUTH_MISSING)
                return token_fetch(server->token);
        if (!server->probe) {
                r = server_call_new(&server->probe, server, HTTP_GET, on_probe, server);
                if (r < 0)
                        return r;
                if ((r = server_call_set_path(server->probe, PROBE_PATH)) < 0) {
                        server->probe = server_call_free(server->probe);
                        return r;
                }
                server_call_set_timeout(server->probe, PROBE_TIMEOUT_USEC);
                server_call_set_repeatable(server->probe, true);
        }
        if (server_call_is_running(server->probe))
                return 0;
        return server_call_start(server->probe);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Server *server = userdata;

        if (server->state == SERVER_UP) {
                server_settle(server);
                return 0;
        }
        server->asked_to_wait = false;
        if (server_ask(server) < 0)
                server_arm(server, usec_add(clock_monotonic_usec(), server_backoff.max_usec));
        return 0;
}

/* The token */

void server_authorize(Server *server)
{
        server->state = SERVER_AUTHORIZING;
        server_disarm(server);
        token_drop(server->token);
        if (token_fetch(server->token) < 0)
                server_go_away(
                        server,
                        &(HttpAnswer){ .failure = HTTP_FAILED_OTHER, .message = "out of memory" },
                        NULL);
}

/* The calls that wait for a token are sent or, without one, have failed. */
static void server_release_waiting(Server *server, bool send)
{
        ListLink calls, *link;

        list_init(&calls);
        list_splice(&calls, &server->waiting);
        while ((link = list_pop_first(&calls))) {
                ServerCall *call = LIST_ENTRY(link, ServerCall, link);

                if (!send)
                        server_call_fail(call, 401, "there is no token");
                else if (server_call_send(call) < 0)
                        server_call_fail(call, 0, "out of memory");
        }
}

static void tell_needless(Server *server)
{
        (void)log_event(LOG_NOTICE,
                        (&(LogFields){ .source = server->source_name,
                                       .message_id = LOG_ID_SERVER_WITHOUT_TOKENS }),
                        "server of source '%s' knows no tokens (POST /token is 404): goes on "
                        "without authentication until the next reload",
                        server->source_name);
}

static void on_token(Token *token, TokenResult result, const HttpAnswer *answer,
                     const char *problem, void *userdata)
{
        Server *server = userdata;

        if (result == TOKEN_FAILED) {
                if (token_auth(token) == SERVER_AUTH_GRANTED)
                        return;
                server_go_away(server, answer, problem);
                server_release_waiting(server, false);
                return;
        }
        if (result == TOKEN_NEEDLESS)
                tell_needless(server);
        server->last_good_usec = clock_monotonic_usec();
        if (server->state != SERVER_UP && !server->asked_to_wait)
                server_come_up(server);
        server_release_waiting(server, true);
}

/* Life */

bool server_may_send(const Server *server)
{
        return server->state == SERVER_UP;
}

void server_hurry(Server *server)
{
        if (server->state == SERVER_AWAY &&
            (!server->probe || !server_call_is_running(server->probe)))
                server_arm(server, clock_monotonic_usec());
}

ServerAuth server_auth(const Server *server)
{
        return token_auth(server->token);
}

void server_get_status(const Server *server, ServerStatus *ret)
{
        bool up = server->state == SERVER_UP;

        /* A token that is just being fetched is no failure. */
        *ret = (ServerStatus){
                .cause = up || !server->told ? NULL : server->cause,
                .message = up || !server->told ? NULL : server->message,
                .away_usec = server->away_usec,
                .n_failures = server->n_failures,
                .retry_usec = server->state == SERVER_AWAY ? server->retry_usec : 0,
                .last_good_usec = server->last_good_usec,
        };
}

static int server_set_url(Server *server, const char *url)
{
        char *copy = strdup(url);

        if (!copy)
                return -ENOMEM;
        free(server->url);
        server->url = copy;
        return 0;
}

static void elsewhere_options_clear(HttpOptions *options)
{
        free((char *)options->ca_file);
        free((char *)options->proxy);
        *options = (HttpOptions){ 0 };
}

/* What holds for any server: not what would tell another one who we are. */
static int server_set_elsewhere(Server *server, const HttpOptions *options)
{
        HttpOptions *own = &server->elsewhere_options;

        elsewhere_options_clear(own);
        own->verify = options->verify;
        if ((options->ca_file && !(own->ca_file = strdup(options->ca_file))) ||
            (options->proxy && !(own->proxy = strdup(options->proxy))))
                return -ENOMEM;
        return server->elsewhere ? http_configure(server->elsewhere, own) : 0;
}

int server_configure(Server *server, const ConfigSource *config)
{
        HttpOptions options = {
                .ca_file = config->conductor.tls.ca_file,
                .certificate = config->conductor.tls.certificate,
                .key = config->conductor.tls.key,
                .verify = config->conductor.tls.verify,
                .proxy = config->conductor.proxy,
                .headers = config->conductor.headers,
        };
        bool changed;
        int r;

        if ((r = server_set_url(server, config->conductor.url)) < 0 ||
            (r = http_configure(server->http, &options)) < 0 ||
            (r = server_set_elsewhere(server, &options)) < 0 ||
            (r = token_configure(server->token, server->url, config, &changed)) < 0)
                return r;
        if (changed && token_auth(server->token) == SERVER_AUTH_MISSING)
                server_authorize(server);
        else
                /* Perhaps that was the remedy. */
                server_hurry(server);
        return 0;
}

static int server_open(Server *server)
{
        int r;

        if ((r = http_new(&server->http, server->event)) < 0 ||
            (r = token_new(&server->token, server->event, server->http, on_token, server)) < 0 ||
            (r = sd_event_add_defer(server->event, &server->teller, on_tell, server)) < 0 ||
            (r = sd_event_source_set_enabled(server->teller, SD_EVENT_OFF)) < 0 ||
            (r = sd_event_add_time(server->event, &server->timer, CLOCK_MONOTONIC, 0, 0, on_timer,
                                   server)) < 0)
                return r;
        server_disarm(server);
        (void)sd_event_source_set_description(server->teller, "server-up");
        (void)sd_event_source_set_description(server->timer, "server-retry");
        return 0;
}

int server_new(Server **ret, sd_event *event, const char *source_name,
               const ServerCallbacks *callbacks, void *userdata)
{
        _cleanup_(server_freep) Server *server = calloc(1, sizeof(*server));
        int r;

        if (!server)
                return -ENOMEM;
        server->event = sd_event_ref(event);
        server->callbacks = *callbacks;
        server->userdata = userdata;
        list_init(&server->waiting);
        server->source_name = strdup(source_name);
        if (!server->source_name)
                return -ENOMEM;
        if ((r = server_open(server)) < 0)
                return r;
        *ret = TAKE_PTR(server);
        return 0;
}

Server *server_free(Server *server)
{
        if (!server)
                return NULL;
        (void)server_call_free(server->probe);
        (void)token_free(server->token);
        (void)http_free(server->http);
        (void)http_free(server->elsewhere);
        (void)sd_event_source_disable_unref(server->timer);
        (void)sd_event_source_disable_unref(server->teller);
        (void)sd_event_unref(server->event);
        elsewhere_options_clear(&server->elsewhere_options);
        free(server->source_name);
        free(server->url);
        free(server);
        return NULL;
}
