/* SPDX-License-Identifier: Apache-2.0 */

/* Requests to a Conductor server, and to the payload storage that it names. */

#include <stdio.h>
#include <strings.h>
#include "source/conductor/server-internal.h"

int server_call_send(ServerCall *call)
{
        call->generation = token_generation(call->server->token);
        return http_call_start(call->http);
}

void server_call_fail(ServerCall *call, unsigned status, const char *message)
{
        HttpAnswer answer = { .failure = HTTP_FAILED_OTHER, .status = status, .message = message };

        call->callback(call, VERDICT_AWAY, &answer, call->userdata);
}

/* It was sent with a token that is not good any more: the server has not acted on it. */
static bool call_repeat(ServerCall *call)
{
        Server *server = call->server;

        if (call->repeated || token_auth(server->token) == SERVER_AUTH_NONE ||
            token_auth(server->token) == SERVER_AUTH_NEEDLESS)
                return false;
        call->repeated = true;
        if (token_auth(server->token) == SERVER_AUTH_GRANTED &&
            call->generation != token_generation(server->token))
                return server_call_send(call) >= 0;
        list_append(&server->waiting, &call->link);
        if (server->state != SERVER_AUTHORIZING)
                server_authorize(server);
        return true;
}

static void on_answer(HttpCall *http, const HttpAnswer *answer, void *userdata)
{
        ServerCall *call = userdata;
        Server *server = call->server;
        Verdict verdict;

        if (call->is_elsewhere) {
                call->callback(call, verdict_of_storage(answer), answer, call->userdata);
                return;
        }
        verdict = verdict_of(answer);
        if (verdict == VERDICT_MISSING && answer_is_no_such_path(answer))
                ; /* an old server, or a url that is not the API's: others tell which */
        else if (verdict != VERDICT_AWAY)
                server_note_good(server);
        else if (answer_permission(answer) == PERMISSION_WANTS_TOKEN && call_repeat(call))
                return;
        else if (call != server->probe)
                server_note_bad(server, answer);
        call->callback(call, verdict, answer, call->userdata);
}

int server_call_new(ServerCall **ret, Server *server, HttpMethod method, server_callback_t callback,
                    void *userdata)
{
        _cleanup_(server_call_freep) ServerCall *call = calloc(1, sizeof(*call));
        int r;

        if (!call)
                return -ENOMEM;
        call->server = server;
        call->method = method;
        call->callback = callback;
        call->userdata = userdata;
        if ((r = http_call_new(&call->http, server->http, method, on_answer, call)) < 0)
                return r;
        *ret = TAKE_PTR(call);
        return 0;
}

ServerCall *server_call_free(ServerCall *call)
{
        if (!call)
                return NULL;
        list_remove(&call->link);
        (void)http_call_free(call->http);
        free(call);
        return NULL;
}

int server_call_set_path(ServerCall *call, const char *path)
{
        _cleanup_free_ char *url = NULL;

        if (asprintf(&url, "%s%s", call->server->url, path) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        return http_call_set_url(call->http, url);
}

/* Bytes of url up to its path. */
static size_t origin_length(const char *url)
{
        const char *host = strstr(url, "://");

        return host ? (size_t)(host - url) + 3 + strcspn(host + 3, "/?#") : 0;
}

static int server_open_elsewhere(Server *server)
{
        _cleanup_(http_freep) Http *http = NULL;
        int r;

        if (server->elsewhere)
                return 0;
        if ((r = http_new(&http, server->event)) < 0 ||
            (r = http_configure(http, &server->elsewhere_options)) < 0)
                return r;
        server->elsewhere = TAKE_PTR(http);
        return 0;
}

int server_call_set_url(ServerCall *call, const char *url)
{
        Server *server = call->server;
        size_t n = origin_length(server->url);
        _cleanup_free_ char *own = NULL;
        int r;

        if (url[0] == '/') {
                if (asprintf(&own, "%.*s%s", (int)n, server->url, url) < 0) {
                        own = NULL;
                        return -ENOMEM;
                }
                return http_call_set_url(call->http, own);
        }
        if (n == origin_length(url) && strncasecmp(url, server->url, n) == 0)
                return http_call_set_url(call->http, url);
        if ((r = server_open_elsewhere(server)) < 0)
                return r;
        call->http = http_call_free(call->http);
        call->is_elsewhere = true;
        r = http_call_new(&call->http, server->elsewhere, call->method, on_answer, call);
        return r < 0 ? r : http_call_set_url(call->http, url);
}

void server_call_set_body(ServerCall *call, const char *content_type, Slice body)
{
        http_call_set_body(call->http, content_type, body);
}

void server_call_set_timeout(ServerCall *call, usec_t timeout_usec)
{
        http_call_set_timeout(call->http, timeout_usec);
}

void server_call_set_repeatable(ServerCall *call, bool repeatable)
{
        http_call_set_repeatable(call->http, repeatable);
}

int server_call_start(ServerCall *call)
{
        call->repeated = false;
        if (!call->is_elsewhere && token_auth(call->server->token) == SERVER_AUTH_MISSING) {
                list_append(&call->server->waiting, &call->link);
                return 0;
        }
        return server_call_send(call);
}

bool server_call_is_running(const ServerCall *call)
{
        return list_is_linked(&call->link) || http_call_is_running(call->http);
}

int64_t server_call_date_msec(const ServerCall *call)
{
        return http_call_date_msec(call->http);
}

char *server_escape(const char *text)
{
        static const char hex[] = "0123456789ABCDEF";
        char *escaped = malloc(3 * strlen(text) + 1), *p = escaped;

        if (!escaped)
                return NULL;
        for (; *text; text++) {
                unsigned char c = (unsigned char)*text;

                if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    strchr("-._~", c)) {
                        *p++ = (char)c;
                } else {
                        *p++ = '%';
                        *p++ = hex[c >> 4];
                        *p++ = hex[c & 15];
                }
        }
        *p = '\0';
        return escaped;
}
