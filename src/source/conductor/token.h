#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The token that a server with authentication (Orkes) wants with each request: POST /token with key
 * and secret. Owned by its Server, which asks for one when a call fails for want of it; while there
 * is one it is renewed in the background, at four fifths of its life.
 *
 *   NONE ──token_fetch──▶ (fetching) ──▶ GRANTED ──four fifths of its life──▶ (fetching) ──▶ …
 *                              └──404──▶ NEEDLESS, until configured anew
 *
 * Key, secret and token are wiped from what memory of ours is given back; libcurl keeps copies of
 * its own. */

#include "base/http.h"
#include "source/conductor/server.h"

typedef struct Token Token;

typedef enum TokenResult {
        TOKEN_FRESH,
        TOKEN_NEEDLESS, /* the server knows no tokens */
        TOKEN_FAILED,
} TokenResult;

/* answer: of TOKEN_FAILED; problem: it was answered, but not with a token: what is wrong; else
 * NULL. Both are borrowed. */
typedef void (*token_callback_t)(Token *token, TokenResult result, const HttpAnswer *answer,
                                 const char *problem, void *userdata);

int token_new(Token **ret, sd_event *event, Http *http, token_callback_t callback, void *userdata);
Token *token_free(Token *token);
DEFINE_CLEANUP(Token *, token_free);

/* Copied. key_id NULL: no authentication. A token that was got with another key is dropped; true in
 * *ret_changed then. */
int token_configure(Token *token, const char *url, const ConfigSource *config, bool *ret_changed);

/* Gets a new one unless that is under way already; answered by the callback. -ENOMEM: not. */
int token_fetch(Token *token);
/* The server has refused the token that there is. */
void token_drop(Token *token);

ServerAuth token_auth(const Token *token);
/* Counts the tokens that there were: tells whether a call was sent with the present one. */
uint64_t token_generation(const Token *token);

/* Pure: how long the token is good from now on, by what a JWT says of itself; USEC_INFINITY: it
 * says nothing. */
usec_t token_life_usec(Slice token, int64_t now_msec);
