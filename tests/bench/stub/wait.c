/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <stdio.h>
#include "stub/api.h"
#include "stub/model.h"
#include "stub/wait.h"

#define WAIT_MSEC_DEFAULT 60000

typedef enum WaitFor {
        WAIT_COMPLETED,   /* so many, since the start */
        WAIT_IN_PROGRESS, /* so many at a time */
        WAIT_POLLS,       /* so many poll requests, since the start */
        WAIT_SETTLED,     /* no task SCHEDULED or IN_PROGRESS, no decide owed */
        _WAIT_FOR_MAX,
} WaitFor;

static const char *const wait_names[] = {
        [WAIT_COMPLETED] = "completed",
        [WAIT_IN_PROGRESS] = "in-progress",
        [WAIT_POLLS] = "polls",
        [WAIT_SETTLED] = "settled",
};

struct Wait {
        ListLink link;
        StubTimer timer;
        Connection *connection;
        WaitFor what;
        uint64_t n;
};

static ListLink waits = LIST_INIT(waits);

static bool holds(const Wait *wait)
{
        switch (wait->what) {
        case WAIT_COMPLETED:
                return model.n_completed >= wait->n;
        case WAIT_IN_PROGRESS:
                return model.n_status[STUB_IN_PROGRESS] >= wait->n;
        case WAIT_POLLS:
                return api_counts.n_polls >= wait->n;
        default:
                return model.n_status[STUB_SCHEDULED] + model.n_status[STUB_IN_PROGRESS] +
                               model.n_undecided ==
                       0;
        }
}

static void wait_free(Wait *wait)
{
        stub_timer_clear(&wait->timer);
        list_remove(&wait->link);
        free(wait);
}

static void wait_answer(Wait *wait)
{
        Connection *connection = wait->connection;
        char text[128];
        int n = snprintf(text, sizeof(text),
                         "{\"reached\":%s,\"completed\":%" PRIu64 ",\"usec\":%" PRIu64 "}",
                         holds(wait) ? "true" : "false", model.n_completed, clock_monotonic_usec());

        wait_free(wait);
        http_answer_json(connection, 200, (Slice){ text, (size_t)n });
}

static void on_timeout(StubTimer *timer)
{
        wait_answer(container_of(timer, Wait, timer));
}

void wait_start(Connection *connection, const Request *request)
{
        Slice name = text_query(request->query, "for", &api_scratch);
        usec_t timeout = (usec_t)text_query_number(request->query, "timeout", WAIT_MSEC_DEFAULT) *
                         USEC_PER_MSEC;
        Wait *wait;
        int what = 0;

        while (what < _WAIT_FOR_MAX && !slice_is(name, wait_names[what]))
                what++;
        if (what == _WAIT_FOR_MAX) {
                http_answer_error(connection, 400, "for= names no condition; see --help", false);
                return;
        }
        wait = must_alloc(calloc(1, sizeof(*wait)));
        wait->connection = connection;
        wait->what = (WaitFor)what;
        wait->n = (uint64_t)text_query_number(request->query, "n", 1);
        connection->wait = wait;
        list_append(&waits, &wait->link);
        stub_timer_set(&wait->timer, clock_monotonic_usec() + timeout, on_timeout);
}

void wait_check_all(void)
{
        LIST_FOREACH_SAFE (link, &waits) {
                Wait *wait = LIST_ENTRY(link, Wait, link);

                if (holds(wait))
                        wait_answer(wait);
        }
}

void wait_abandon(Wait *wait)
{
        wait_free(wait);
}
