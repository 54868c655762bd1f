/* SPDX-License-Identifier: Apache-2.0 */

/* The leases of tasks in hand: a server gives a task to someone else, at the cost of a retry, once
 * it has heard nothing of it for its response time-out. While the pool holds a task that is put
 * off, during a drain too; the worker ends what hangs, and so its lease. */

#include "source/conductor/clock.h"

#include "base/log.h"

/* Between tries. A task with a time-out of an hour need not wait minutes for the next. */
#define LEASE_RETRY_MIN_USEC (100 * USEC_PER_MSEC)
#define LEASE_RETRY_MAX_USEC (10 * USEC_PER_SEC)

/* What is due waits so long while there is no memory to send it. */
#define LEASE_PAUSE_USEC (500 * USEC_PER_MSEC)

struct LeaseCall {
        Conductor *conductor;
        ServerCall *call;
        Buffer body;
        char *id; /* of the task; it may end meanwhile */
        usec_t started_usec;
};

usec_t lease_delay_usec(int64_t response_timeout_sec, uint64_t random)
{
        usec_t timeout;

        if (response_timeout_sec <= 0)
                return USEC_INFINITY;
        timeout = (usec_t)MIN(response_timeout_sec, (int64_t)INT32_MAX) * USEC_PER_SEC;
        return timeout / 2 + random % (timeout / 10);
}

usec_t lease_retry_usec(int64_t response_timeout_sec)
{
        usec_t timeout = (usec_t)CLAMP(response_timeout_sec, 1, INT32_MAX) * USEC_PER_SEC;

        return CLAMP(timeout / 10, LEASE_RETRY_MIN_USEC, LEASE_RETRY_MAX_USEC);
}

void lease_queue(ConductorTask *holding)
{
        if (holding->extending || list_is_linked(&holding->lease_link))
                return;
        list_append(&holding->subscription->conductor->clock->leases, &holding->lease_link);
}

static bool is_kept(const ConductorTask *holding)
{
        ConductorSubscription *subscription = holding->subscription;

        return !subscription->callbacks.is_stuck ||
               !subscription->callbacks.is_stuck(&subscription->subscription, holding->task,
                                                 subscription->userdata);
}

static void try_again(ConductorTask *holding, usec_t now)
{
        holding->lease_usec = usec_add(now, lease_retry_usec(holding->response_timeout_sec));
        clock_wake(holding->subscription->conductor, holding->lease_usec);
}

static void note_answer(const LeaseCall *lease, ConductorTask *holding, Verdict verdict)
{
        usec_t now = clock_monotonic_usec();

        holding->extending = false;
        if (verdict == VERDICT_DONE) {
                holding->lease_usec =
                        usec_add(lease->started_usec,
                                 lease_delay_usec(holding->response_timeout_sec, random_u64()));
                clock_wake(lease->conductor, holding->lease_usec);
                return;
        }
        if (verdict == VERDICT_MISSING)
                holding->watch_usec = now; /* removed, it seems */
        try_again(holding, now);
}

static void on_answer(ServerCall *call, Verdict verdict, const HttpAnswer *answer, void *userdata)
{
        LeaseCall *lease = userdata;
        Conductor *conductor = lease->conductor;
        ConductorTask *holding = conductor_find_task(conductor, slice_from_string(lease->id));

        free(TAKE_PTR(lease->id));
        /* who it was extended for may have gone, and the task have come again: that it is extended
         * is true all the same */
        if (holding)
                note_answer(lease, holding, verdict);
        lease_run(conductor);
}

static int append_body(Buffer *body, const ConductorTask *holding)
{
        int r;

        buffer_clear(body);
        if ((r = buffer_append_string(body, "{\"taskId\":")) < 0 ||
            (r = json_append_string(body, slice_from_string(holding->task->id))) < 0)
                return r;
        return buffer_appendf(body, ",\"workflowInstanceId\":\"%.*s\",\"extendLease\":true}",
                              (int)holding->workflow_id.size, holding->workflow_id.data);
}

static int start(LeaseCall *lease, ConductorTask *holding)
{
        int r = append_body(&lease->body, holding);

        if (r < 0)
                return r;
        lease->id = strdup(holding->task->id);
        if (!lease->id)
                return -ENOMEM;
        server_call_set_body(lease->call, "application/json", buffer_slice(&lease->body));
        lease->started_usec = clock_monotonic_usec();
        r = server_call_start(lease->call);
        if (r < 0) {
                free(TAKE_PTR(lease->id));
                return r;
        }
        holding->extending = true;
        holding->lease_usec = USEC_INFINITY;
        return 0;
}

static LeaseCall *lease_call_free(LeaseCall *lease)
{
        if (!lease)
                return NULL;
        (void)server_call_free(lease->call);
        buffer_deinit(&lease->body);
        free(lease->id);
        free(lease);
        return NULL;
}

static LeaseCall *lease_call_new(Conductor *conductor)
{
        LeaseCall *lease = malloc(sizeof(*lease));

        if (!lease)
                return NULL;
        *lease = (LeaseCall){ .conductor = conductor, .body = BUFFER_NULL(OUTBOX_HEAD_MAX) };
        if (server_call_new(&lease->call, conductor->server, HTTP_POST, on_answer, lease) < 0 ||
            server_call_set_path(lease->call, "/tasks") < 0)
                return lease_call_free(lease);
        server_call_set_repeatable(lease->call, true);
        return lease;
}

/* NULL: all are under way, or there is no memory. */
static LeaseCall *find_idle(Conductor *conductor)
{
        for (size_t i = 0; i < LEASE_CALLS_MAX; i++) {
                LeaseCall **lease = &conductor->clock->calls[i];

                if (!*lease)
                        *lease = lease_call_new(conductor);
                if (*lease && !(*lease)->id)
                        return *lease;
        }
        return NULL;
}

static bool is_running(const struct ConductorClock *clock)
{
        for (size_t i = 0; i < LEASE_CALLS_MAX; i++)
                if (clock->calls[i] && clock->calls[i]->id)
                        return true;
        return false;
}

void lease_run(Conductor *conductor)
{
        ListLink *leases = &conductor->clock->leases;
        LeaseCall *lease;

        if (!server_may_send(conductor->server))
                return;
        while (!list_is_empty(leases) && (lease = find_idle(conductor))) {
                ConductorTask *holding = LIST_FIRST(leases, ConductorTask, lease_link);

                list_remove(&holding->lease_link);
                if (!is_kept(holding)) {
                        holding->lease_usec = USEC_INFINITY;
                        log_full(LOG_WARNING, 0,
                                 &(LogFields){ .pool = holding->subscription->pool,
                                               .task_id = holding->task->id },
                                 "task %s is not kept any longer: its worker was killed and does "
                                 "not go",
                                 holding->task->id);
                } else if (start(lease, holding) < 0)
                        try_again(holding, clock_monotonic_usec());
        }
        if (!list_is_empty(leases) && !is_running(conductor->clock))
                clock_wake(conductor, usec_add(clock_monotonic_usec(), LEASE_PAUSE_USEC));
}

void lease_free(struct ConductorClock *clock)
{
        for (size_t i = 0; i < LEASE_CALLS_MAX; i++)
                (void)lease_call_free(clock->calls[i]);
}
