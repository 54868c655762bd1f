/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <string.h>
#include "base/json.h"
#include "source/conductor/token.h"

/* A token goes into a header, and servers take 8 to 16 KB of those. */
#define TOKEN_MAX ((size_t)8192)

/* No token is renewed more often, whatever it says of its life. */
#define RENEWAL_MIN_USEC USEC_PER_SEC

/* Between tries of a renewal in the background, while the old token is good. */
static const Backoff renewal_backoff = { .base_usec = USEC_PER_SEC, .max_usec = USEC_PER_MINUTE };

struct Token {
        sd_event *event; /* borrowed, as http */
        Http *http;
        token_callback_t callback;
        void *userdata;
        HttpCall *call;
        Buffer body; /* of the request under way */
        sd_event_source *timer;
        char *key_id; /* NULL: no authentication */
        char *secret;
        usec_t refresh_usec;
        ServerAuth auth;
        uint64_t generation;
        unsigned n_failures;
};

static char *wipe_string(char *s)
{
        if (s)
                explicit_bzero(s, strlen(s));
        free(s);
        return NULL;
}

static void wipe_buffer(Buffer *buffer)
{
        if (buffer->data)
                explicit_bzero(buffer->data, buffer->capacity);
        buffer_deinit(buffer);
}

/* The life of a token */

static int base64url_digit(char c)
{
        static const char digits[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        const char *p = c ? strchr(digits, c) : NULL;

        return p ? (int)(p - digits) : -1;
}

static int base64url_decode(Slice text, char *bytes, size_t *ret_size)
{
        uint32_t bits = 0;
        unsigned n_bits = 0;
        size_t n = 0;

        for (size_t i = 0; i < text.size && text.data[i] != '='; i++) {
                int digit = base64url_digit(text.data[i]);

                if (digit < 0)
                        return -EBADMSG;
                bits = bits << 6 | (uint32_t)digit;
                n_bits += 6;
                if (n_bits >= 8) {
                        n_bits -= 8;
                        bytes[n++] = (char)(bits >> n_bits);
                }
        }
        *ret_size = n;
        return 0;
}

/* Between the two dots: what a JWT says of itself. */
static Slice jwt_claims(Slice token)
{
        const char *start = memchr(token.data, '.', token.size), *end;

        if (!start)
                return SLICE_NULL;
        start++;
        end = memchr(start, '.', (size_t)(token.data + token.size - start));
        return end ? (Slice){ start, (size_t)(end - start) } : SLICE_NULL;
}

usec_t token_life_usec(Slice token, int64_t now_msec)
{
        char bytes[TOKEN_MAX];
        Slice claims, text = { .data = bytes };
        int64_t expires, issued = now_msec / 1000, life;

        if (token.size == 0 || token.size > TOKEN_MAX)
                return USEC_INFINITY;
        claims = jwt_claims(token);
        if (base64url_decode(claims, bytes, &text.size) < 0 || json_check(text, NULL) < 0 ||
            json_type_of(text) != JSON_OBJECT ||
            json_to_int64(json_member(text, "exp"), &expires) < 0)
                return USEC_INFINITY;
        /* By the server's own clock where it tells it: ours may be wrong. */
        (void)json_to_int64(json_member(text, "iat"), &issued);
        if (__builtin_sub_overflow(expires, issued, &life) || life <= 0)
                return 0;
        return (uint64_t)life > UINT32_MAX ? USEC_INFINITY : (usec_t)life * USEC_PER_SEC;
}

/* Renewal */

static void token_arm(Token *token, usec_t delay_usec)
{
        (void)sd_event_source_set_time(token->timer, usec_add(clock_monotonic_usec(), delay_usec));
        (void)sd_event_source_set_enabled(token->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Token *token = userdata;

        if (token_fetch(token) < 0)
                token_arm(token, renewal_backoff.max_usec);
        return 0;
}

/* Getting one */

static bool is_header_value(const char *s)
{
        for (; *s; s++) {
                if (*s <= ' ' || *s > '~')
                        return false;
        }
        return true;
}

static int token_use(Token *token, char *value)
{
        size_t length = strlen(value);
        usec_t life = MIN(token_life_usec((Slice){ value, length }, clock_epoch_msec()),
                          token->refresh_usec);
        char header[sizeof("X-Authorization: ") + TOKEN_MAX];
        int r;

        (void)snprintf(header, sizeof(header), "X-Authorization: %s", value);
        r = http_set_authorization(token->http, header);
        explicit_bzero(header, sizeof(header));
        if (r < 0)
                return r;
        token->auth = SERVER_AUTH_GRANTED;
        token->generation++;
        token->n_failures = 0;
        if (life != USEC_INFINITY)
                token_arm(token, MAX(life / 5 * 4, RENEWAL_MIN_USEC));
        return 0;
}

/* NULL, or what is wrong with it. */
static const char *token_take(Token *token, Slice body)
{
        char *value = NULL;
        const char *problem = NULL;

        if (json_check(body, NULL) < 0 || json_type_of(body) != JSON_OBJECT ||
            json_decode_string(json_member(body, "token"), &value) < 0)
                return "no token in the answer to POST /token";
        if (value[0] == '\0' || strlen(value) > TOKEN_MAX || !is_header_value(value))
                problem = "what came as a token cannot be sent in a header";
        else if (token_use(token, value) < 0)
                problem = "out of memory";
        wipe_string(value);
        return problem;
}

static void token_fail(Token *token, const HttpAnswer *answer, const char *problem)
{
        token->n_failures++;
        if (token->auth == SERVER_AUTH_GRANTED)
                token_arm(token, backoff_delay(&renewal_backoff, token->n_failures, random_u64()));
        token->callback(token, TOKEN_FAILED, answer, problem, token->userdata);
}

static void on_answer(HttpCall *call, const HttpAnswer *answer, void *userdata)
{
        Token *token = userdata;
        Verdict verdict = verdict_of(answer);
        const char *problem = NULL;

        wipe_buffer(&token->body);
        if (verdict == VERDICT_MISSING) {
                token->auth = SERVER_AUTH_NEEDLESS;
                (void)http_set_authorization(token->http, NULL);
                token->callback(token, TOKEN_NEEDLESS, NULL, NULL, token->userdata);
                return;
        }
        if (verdict == VERDICT_DONE)
                problem = token_take(token, answer->body);
        if (verdict == VERDICT_DONE && !problem)
                token->callback(token, TOKEN_FRESH, NULL, NULL, token->userdata);
        else
                token_fail(token, answer, problem);
}

/* Room for all of it at once: growth would leave copies of the secret behind. */
static int make_body(Buffer *buffer, const char *key_id, const char *secret)
{
        /* Each byte may become an escape of six. */
        size_t size = 6 * (strlen(key_id) + strlen(secret)) + 64;
        char *unused;
        int r;

        *buffer = BUFFER_NULL(size);
        if ((r = buffer_reserve(buffer, size, &unused)) < 0 ||
            (r = buffer_append_string(buffer, "{\"keyId\":")) < 0 ||
            (r = json_append_string(buffer, slice_from_string(key_id))) < 0 ||
            (r = buffer_append_string(buffer, ",\"keySecret\":")) < 0 ||
            (r = json_append_string(buffer, slice_from_string(secret))) < 0)
                return r;
        return buffer_append_byte(buffer, '}');
}

int token_fetch(Token *token)
{
        int r;

        if (!token->key_id || token->auth == SERVER_AUTH_NEEDLESS)
                return 0;
        if (!token->call)
                return -ENOMEM;
        if (http_call_is_running(token->call))
                return 0;
        wipe_buffer(&token->body);
        r = make_body(&token->body, token->key_id, token->secret);
        if (r >= 0) {
                http_call_set_body(token->call, "application/json", buffer_slice(&token->body));
                r = http_call_start(token->call);
        }
        if (r < 0)
                wipe_buffer(&token->body);
        return r;
}

void token_drop(Token *token)
{
        if (token->auth != SERVER_AUTH_GRANTED)
                return;
        token->auth = SERVER_AUTH_MISSING;
        (void)http_set_authorization(token->http, NULL);
        (void)sd_event_source_set_enabled(token->timer, SD_EVENT_OFF);
}

ServerAuth token_auth(const Token *token)
{
        return token->auth;
}

uint64_t token_generation(const Token *token)
{
        return token->generation;
}

/* Life */

static bool is_same(const char *a, const char *b)
{
        return a && b ? streq(a, b) : a == b;
}

/* What is under way was asked with the old key: its answer must not come. */
static int token_renew_call(Token *token, const char *url)
{
        _cleanup_free_ char *address = NULL;
        int r;

        token->call = http_call_free(token->call);
        wipe_buffer(&token->body);
        if (asprintf(&address, "%s/token", url) < 0) {
                address = NULL;
                return -ENOMEM;
        }
        if ((r = http_call_new(&token->call, token->http, HTTP_POST, on_answer, token)) < 0 ||
            (r = http_call_set_url(token->call, address)) < 0) {
                token->call = http_call_free(token->call);
                return r;
        }
        http_call_set_authorized(token->call, false);
        http_call_set_repeatable(token->call, true);
        return 0;
}

int token_configure(Token *token, const char *url, const ConfigSource *config, bool *ret_changed)
{
        const char *key_id = config->conductor.auth.key_id;
        const char *secret = key_id ? config->conductor.auth.secret : NULL;
        char *new_key_id = NULL, *new_secret = NULL;
        int r;

        token->refresh_usec = config->conductor.auth.refresh_usec;
        /* A reload is how one says that the server wants tokens by now. */
        *ret_changed = !token->call || !is_same(token->key_id, key_id) ||
                       !is_same(token->secret, secret) || token->auth == SERVER_AUTH_NEEDLESS;
        if (!*ret_changed)
                return 0;
        if ((key_id && !(new_key_id = strdup(key_id))) ||
            (key_id && !(new_secret = strdup(secret ? secret : "")))) {
                free(new_key_id);
                return -ENOMEM;
        }
        r = token_renew_call(token, url);
        token_drop(token);
        token->key_id = wipe_string(token->key_id);
        token->secret = wipe_string(token->secret);
        token->key_id = new_key_id;
        token->secret = new_secret;
        token->auth = key_id ? SERVER_AUTH_MISSING : SERVER_AUTH_NONE;
        return r;
}

int token_new(Token **ret, sd_event *event, Http *http, token_callback_t callback, void *userdata)
{
        _cleanup_(token_freep) Token *token = calloc(1, sizeof(*token));
        int r;

        if (!token)
                return -ENOMEM;
        token->event = event;
        token->http = http;
        token->callback = callback;
        token->userdata = userdata;
        r = sd_event_add_time(event, &token->timer, CLOCK_MONOTONIC, 0, 0, on_timer, token);
        if (r < 0)
                return r;
        (void)sd_event_source_set_enabled(token->timer, SD_EVENT_OFF);
        (void)sd_event_source_set_description(token->timer, "token");
        *ret = TAKE_PTR(token);
        return 0;
}

Token *token_free(Token *token)
{
        if (!token)
                return NULL;
        (void)sd_event_source_disable_unref(token->timer);
        (void)http_call_free(token->call);
        wipe_buffer(&token->body);
        (void)wipe_string(token->key_id);
        (void)wipe_string(token->secret);
        free(token);
        return NULL;
}
