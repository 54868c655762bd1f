/* SPDX-License-Identifier: Apache-2.0 */

/* How many tasks wait at the server for a pool: asked for only while someone looks, because each
 * question counts rows in the server's database. */

#include <stdio.h>
#include "source/conductor/internal.h"

/* So often at most. */
#define DEPTH_INTERVAL_USEC (10 * USEC_PER_SEC)

/* So long after the last look it is kept up to date. */
#define DEPTH_WANTED_USEC USEC_PER_MINUTE

struct ConductorDepth {
        ConductorSubscription *subscription;
        ServerCall *call;
        sd_event_source *timer;
        usec_t wanted_until_usec;
        size_t next;   /* of the types: the one that is asked about */
        int64_t total; /* of those before it */
};

/* The next round, if someone still looks. */
static void depth_arm(struct ConductorDepth *depth)
{
        usec_t next = usec_add(clock_monotonic_usec(), DEPTH_INTERVAL_USEC);

        if (next > depth->wanted_until_usec) {
                (void)sd_event_source_set_enabled(depth->timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(depth->timer, next);
        (void)sd_event_source_set_enabled(depth->timer, SD_EVENT_ONESHOT);
}

static void depth_end(struct ConductorDepth *depth, int64_t n)
{
        depth->subscription->status.n_queued = n;
        depth_arm(depth);
}

static int depth_ask(struct ConductorDepth *depth)
{
        const ConductorSubscription *subscription = depth->subscription;
        _cleanup_free_ char *type = server_escape(subscription->types[depth->next]);
        _cleanup_free_ char *domain = server_escape(subscription->domain ?: "");
        _cleanup_free_ char *path = NULL;
        int r;

        if (!type || !domain)
                return -ENOMEM;
        /* An empty domain= would be a queue of its own. */
        if (asprintf(&path, "/tasks/queue/size?taskType=%s%s%s", type,
                     subscription->domain ? "&domain=" : "", domain) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = server_call_set_path(depth->call, path);
        return r < 0 ? r : server_call_start(depth->call);
}

static void on_answer(ServerCall *call, Verdict verdict, const HttpAnswer *answer, void *userdata)
{
        struct ConductorDepth *depth = userdata;
        int64_t n;

        if (verdict != VERDICT_DONE || json_check(answer->body, NULL) < 0 ||
            json_to_int64(answer->body, &n) < 0 || n < 0 ||
            __builtin_add_overflow(depth->total, n, &depth->total)) {
                depth_end(depth, -1);
                return;
        }
        if (++depth->next == depth->subscription->n_types)
                depth_end(depth, depth->total);
        else if (depth_ask(depth) < 0)
                depth_end(depth, -1);
}

static void depth_begin(struct ConductorDepth *depth)
{
        depth->next = 0;
        depth->total = 0;
        if (!server_may_send(depth->subscription->conductor->server) || depth_ask(depth) < 0)
                depth_end(depth, -1);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        depth_begin(userdata);
        return 0;
}

static int depth_new(ConductorSubscription *subscription)
{
        Conductor *conductor = subscription->conductor;
        struct ConductorDepth *depth = calloc(1, sizeof(*depth));
        int r;

        if (!depth)
                return -ENOMEM;
        subscription->depth = depth;
        depth->subscription = subscription;
        if ((r = server_call_new(&depth->call, conductor->server, HTTP_GET, on_answer, depth)) <
                    0 ||
            (r = sd_event_add_time(conductor->event, &depth->timer, CLOCK_MONOTONIC, 0,
                                   USEC_PER_SEC, on_timer, depth)) < 0) {
                depth_free(subscription);
                return r;
        }
        (void)sd_event_source_set_enabled(depth->timer, SD_EVENT_OFF);
        (void)sd_event_source_set_description(depth->timer, "conductor-depth");
        server_call_set_repeatable(depth->call, true);
        return 0;
}

void depth_free(ConductorSubscription *subscription)
{
        struct ConductorDepth *depth = TAKE_PTR(subscription->depth);

        if (!depth)
                return;
        (void)sd_event_source_disable_unref(depth->timer);
        (void)server_call_free(depth->call);
        free(depth);
}

void depth_want(ConductorSubscription *subscription)
{
        struct ConductorDepth *depth;
        int enabled = SD_EVENT_OFF;

        if (!subscription->depth) {
                subscription->status.n_queued = -1;
                if (depth_new(subscription) < 0)
                        return;
        }
        depth = subscription->depth;
        depth->wanted_until_usec = usec_add(clock_monotonic_usec(), DEPTH_WANTED_USEC);
        (void)sd_event_source_get_enabled(depth->timer, &enabled);
        if (enabled == SD_EVENT_OFF && !server_call_is_running(depth->call))
                depth_begin(depth);
}
