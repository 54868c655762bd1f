/* SPDX-License-Identifier: Apache-2.0 */

#include "stub/api.h"
#include "stub/poll.h"
#include "stub/task-text.h"

#define TIMEOUT_MSEC_MAX 5000 /* the server's own */

struct Poll {
        ListLink link; /* in queue->polls */
        StubTimer timer;
        StubQueue *queue;
        Connection *connection; /* NULL: its client has gone */
        const char *worker;
        size_t count;
        bool single; /* of update-v2: one task or 204 */
};

static void note_end(StubQueue *queue)
{
        usec_t now = clock_monotonic_usec();

        if (queue->last_poll > 0)
                queue->gap_max = MAX(queue->gap_max, now - queue->last_poll);
        queue->last_poll = now;
}

/* Hands out up to count tasks; with nobody there to get them they are stranded. */
static void answer_tasks(Connection *connection, StubQueue *queue, const char *worker, size_t count)
{
        static Buffer body = BUFFER_NULL(SIZE_MAX);
        StubTask *task;
        size_t n = 0;

        buffer_clear(&body);
        put_literal(&body, "[");
        while (n < count && (task = model_take(queue, worker))) {
                if (n++ > 0)
                        put_literal(&body, ",");
                task_text_put(&body, task);
        }
        put_literal(&body, "]");
        api_counts.n_given += n;
        api_counts.n_polls_empty += n == 0;
        note_end(queue);
        if (connection)
                http_answer_json(connection, 200, buffer_slice(&body));
        else
                api_counts.n_stranded += n;
}

static void answer_one(Connection *connection, StubQueue *queue, const char *worker)
{
        static Buffer body = BUFFER_NULL(SIZE_MAX);
        StubTask *task = model_take(queue, worker);

        if (!task) {
                if (connection)
                        http_answer(connection, 204, NULL, SLICE_NULL);
                return;
        }
        api_counts.n_given++;
        api_counts.n_next++;
        buffer_clear(&body);
        task_text_put(&body, task);
        if (connection)
                http_answer_json(connection, 200, buffer_slice(&body));
        else
                api_counts.n_stranded++;
}

static void poll_finish(Poll *poll)
{
        Poll done = *poll;

        stub_timer_clear(&poll->timer);
        list_remove(&poll->link);
        free(poll);
        if (done.single)
                answer_one(done.connection, done.queue, done.worker);
        else
                answer_tasks(done.connection, done.queue, done.worker, done.count);
}

static void on_timeout(StubTimer *timer)
{
        poll_finish(container_of(timer, Poll, timer));
}

static bool is_enough(const Poll *poll)
{
        return poll->queue->n_ready >= (api_options.holds_polls && !poll->single ? poll->count : 1);
}

void poll_serve(StubQueue *queue)
{
        bool served;

        do {
                served = false;
                LIST_FOREACH (link, &queue->polls) {
                        Poll *poll = LIST_ENTRY(link, Poll, link);

                        if (!is_enough(poll))
                                continue;
                        poll_finish(poll);
                        served = true;
                        break;
                }
        } while (served);
}

void poll_wait(Connection *connection, StubQueue *queue, const char *worker, int64_t count,
               usec_t timeout)
{
        Poll *poll = must_alloc(calloc(1, sizeof(*poll)));

        poll->queue = queue;
        poll->connection = connection;
        poll->worker = worker;
        poll->single = count == POLL_SINGLE;
        poll->count = count < 0 ? SIZE_MAX : (size_t)count;
        list_append(&queue->polls, &poll->link);
        if (timeout == 0 || count == 0 || is_enough(poll)) {
                poll_finish(poll);
                return;
        }
        connection->poll = poll;
        stub_timer_set(&poll->timer, clock_monotonic_usec() + timeout, on_timeout);
}

void poll_batch(Connection *connection, const Request *request, Slice type)
{
        Slice worker = text_query(request->query, "workerid", &api_scratch),
              domain = text_query(request->query, "domain", &api_scratch);
        int64_t count = text_query_number(request->query, "count", 1),
                timeout = text_query_number(request->query, "timeout", 100);
        const Fault *fault = connection->fault;
        StubQueue *queue = model_queue(type, domain);

        api_counts.n_polls++;
        queue->n_polls++;
        if (timeout > TIMEOUT_MSEC_MAX) {
                http_answer_error(connection, 400,
                                  "Long Poll Timeout value cannot be more than 5 seconds", false);
                return;
        }
        if (fault && fault->kind == FAULT_EMPTY) {
                http_answer_json(connection, 200, SLICE_LITERAL("[]"));
                return;
        }
        if (fault && fault->kind == FAULT_MORE)
                count += (int64_t)fault->extra;
        poll_wait(connection, queue, text_intern(worker), MAX(count, (int64_t)-1),
                  timeout > 0 ? (usec_t)timeout * USEC_PER_MSEC : 0);
}

void poll_abandon(Poll *poll)
{
        poll->connection = NULL;
}

void polls_deinit(void)
{
        LIST_FOREACH (link, &model.all_queues) {
                ListLink *polls = &LIST_ENTRY(link, StubQueue, all)->polls;

                for (ListLink *waiting; (waiting = list_pop_first(polls));)
                        free(LIST_ENTRY(waiting, Poll, link));
        }
}
