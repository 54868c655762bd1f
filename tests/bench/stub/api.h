#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What the stub server answers: Conductor's calls under /api, the side API under /stub. */

#include "stub/http.h"

typedef struct ApiOptions {
        bool holds_polls;         /* as SQLite and Postgres: until count or the time-out */
        usec_t update_wait;       /* how long update-v2 looks for the next task */
        bool has_update_v2;       /* else it is 404, as on an old server */
        bool has_search;          /* else searches find nothing, as without an index */
        const char *key, *secret; /* NULL: no authentication, /token is 404 */
        usec_t token_ttl;
} ApiOptions;

/* Reset by POST /stub/stats/reset. */
typedef struct ApiCounts {
        uint64_t n_polls, n_polls_empty, n_given, n_stranded;
        uint64_t n_updates, n_next, n_unknown, n_hand_backs, n_leases;
        uint64_t n_decides, n_logs, n_logs_empty, n_searches, n_gets, n_tokens, n_refused;
} ApiCounts;

extern ApiOptions api_options;
extern ApiCounts api_counts;
/* For decoded parameters of the request at hand; never moves. */
extern Buffer api_scratch;

void api_init(void);
void api_deinit(void);
void api_dispatch(Connection *connection, const Request *request);

bool stub_is_control(Slice path);
void control_dispatch(Connection *connection, const Request *request);
/* Invalidates all tokens given so far. */
void api_expire_tokens(void);

/* POST /api/tasks and update-v2 */
void api_update(Connection *connection, const Request *request, bool with_next);
/* GET /api/tasks/search and search-v2 */
void api_search(Connection *connection, const Request *request, bool whole_tasks);
