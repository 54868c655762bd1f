#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Shared by server.c (state, token, backoff) and call.c (requests). */

#include "base/list.h"
#include "source/conductor/token.h"

typedef enum ServerState {
        SERVER_UP,
        SERVER_AWAY,
        SERVER_AUTHORIZING,
} ServerState;

struct Server {
        sd_event *event; /* counted */
        char *source_name;
        ServerCallbacks callbacks;
        void *userdata;
        char *url;
        Http *http;
        Http *elsewhere; /* payload storage; made when first needed */
        HttpOptions elsewhere_options;
        Token *token;
        ServerCall *probe;
        ListLink waiting; /* ServerCall: for the token */

        ServerState state;
        sd_event_source *timer; /* AWAY: the next question; UP: settled */
        sd_event_source *teller;
        unsigned n_failures; /* of the present row; 0: settled */
        unsigned n_bad;      /* answers since the last good one, to calls made after it */
        usec_t delay_usec;   /* the last one */
        usec_t retry_usec;
        usec_t away_usec; /* the first failure of the present row */
        usec_t last_good_usec;
        bool asked_to_wait; /* by Retry-After */
        bool told;          /* the log has told that it is away */
        char cause[32];
        char message[512];
};

struct ServerCall {
        Server *server;
        HttpCall *http;
        HttpMethod method;
        server_callback_t callback;
        void *userdata;
        ListLink link;       /* of server->waiting */
        uint64_t generation; /* of the token that it was sent with */
        bool repeated;       /* with a newer token */
        bool is_elsewhere;
};

/* server.c: an answer that was its own, and one that was not. */

void server_note_good(Server *server);
void server_note_bad(Server *server, const HttpAnswer *answer);
/* The token is not good any more. */
void server_authorize(Server *server);

/* call.c */

int server_call_send(ServerCall *call);
/* It was not sent: VERDICT_AWAY. */
void server_call_fail(ServerCall *call, unsigned status, const char *message);
