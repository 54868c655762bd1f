/* SPDX-License-Identifier: Apache-2.0 */

/* Reads single tasks as the server has them, few at a time and not many a second: what a search of
 * the index says may be old, this is not. */

#include "source/conductor/internal.h"

#include <stdio.h>
#include "base/ratelimit.h"

/* Under way at a time, and a second: a server without an index is asked about every task. */
#define LOOK_CALLS_MAX 4

typedef struct Look {
        ListLink link;
        look_done_t done;
        void *userdata;
        char *id;
} Look;

typedef struct LookCall {
        Conductor *conductor;
        ServerCall *call;
        Look *look; /* under way; NULL: none */
} LookCall;

struct ConductorLooks {
        ListLink waiting;
        RateLimit rate;
        LookCall calls[LOOK_CALLS_MAX];
};

static void look_end(Look *look, Verdict verdict, const TaskView *view)
{
        look->done(look->userdata, verdict, view);
        free(look->id);
        free(look);
}

static void on_answer(ServerCall *server_call, Verdict verdict, const HttpAnswer *answer,
                      void *userdata)
{
        LookCall *call = userdata;
        Conductor *conductor = call->conductor;
        Look *look = TAKE_PTR(call->look);
        TaskView view;

        if (verdict == VERDICT_MISSING && answer_is_no_such_path(answer))
                look_end(look, VERDICT_DOUBTFUL, NULL);
        else if (verdict != VERDICT_DONE)
                look_end(look, verdict, NULL);
        else if (json_check(answer->body, NULL) < 0 || task_view_parse(answer->body, &view) < 0 ||
                 !json_key_is(view.id, look->id))
                look_end(look, VERDICT_DOUBTFUL, NULL);
        else
                look_end(look, VERDICT_DONE, &view);
        look_run(conductor);
}

static int start(LookCall *call, const Look *look)
{
        _cleanup_free_ char *id = server_escape(look->id), *path = NULL;
        int r;

        if (!id)
                return -ENOMEM;
        if (asprintf(&path, "/tasks/%s", id) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (!call->call) {
                r = server_call_new(&call->call, call->conductor->server, HTTP_GET, on_answer,
                                    call);
                if (r < 0)
                        return r;
                server_call_set_repeatable(call->call, true);
        }
        r = server_call_set_path(call->call, path);
        return r < 0 ? r : server_call_start(call->call);
}

static LookCall *find_idle(struct ConductorLooks *looks)
{
        for (size_t i = 0; i < LOOK_CALLS_MAX; i++)
                if (!looks->calls[i].look)
                        return &looks->calls[i];
        return NULL;
}

void look_run(Conductor *conductor)
{
        struct ConductorLooks *looks = conductor->looks;
        usec_t now = clock_monotonic_usec();
        LookCall *call;

        while (!list_is_empty(&looks->waiting) && (call = find_idle(looks))) {
                Look *look = LIST_FIRST(&looks->waiting, Look, link);

                if (!server_may_send(conductor->server)) {
                        list_remove(&look->link);
                        look_end(look, VERDICT_AWAY, NULL);
                        continue;
                }
                if (ratelimit_available(&looks->rate, now) == 0) {
                        clock_wake(conductor, ratelimit_next_usec(&looks->rate, now));
                        return;
                }
                ratelimit_take(&looks->rate, 1, now);
                list_remove(&look->link);
                call->look = look;
                if (start(call, look) < 0) {
                        call->look = NULL;
                        look_end(look, VERDICT_BUSY, NULL);
                }
        }
}

int look_at(Conductor *conductor, const char *id, look_done_t done, void *userdata)
{
        Look *look = malloc(sizeof(*look));

        if (!look)
                return -ENOMEM;
        *look = (Look){ .done = done, .userdata = userdata, .id = strdup(id) };
        if (!look->id) {
                free(look);
                return -ENOMEM;
        }
        list_append(&conductor->looks->waiting, &look->link);
        clock_wake(conductor, clock_monotonic_usec());
        return 0;
}

int look_new(Conductor *conductor)
{
        struct ConductorLooks *looks = calloc(1, sizeof(*looks));

        if (!looks)
                return -ENOMEM;
        conductor->looks = looks;
        list_init(&looks->waiting);
        ratelimit_init(&looks->rate, LOOKS_PER_SEC, USEC_PER_SEC, clock_monotonic_usec());
        for (size_t i = 0; i < LOOK_CALLS_MAX; i++)
                looks->calls[i].conductor = conductor;
        return 0;
}

void look_free(Conductor *conductor)
{
        struct ConductorLooks *looks = conductor->looks;
        ListLink *link;

        if (!looks)
                return;
        for (size_t i = 0; i < LOOK_CALLS_MAX; i++) {
                (void)server_call_free(looks->calls[i].call);
                if (looks->calls[i].look)
                        look_end(looks->calls[i].look, VERDICT_AWAY, NULL);
        }
        while ((link = list_pop_first(&looks->waiting)))
                look_end(LIST_ENTRY(link, Look, link), VERDICT_AWAY, NULL);
        free(looks);
        conductor->looks = NULL;
}
