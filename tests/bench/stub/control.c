/* SPDX-License-Identifier: Apache-2.0 */

/* The side API of the stub server; --help documents it. */

#include <inttypes.h>
#include <math.h>
#include "base/json.h"
#include "stub/api.h"
#include "stub/model.h"
#include "stub/poll.h"
#include "stub/task-text.h"
#include "stub/wait.h"

#define TASKS_MAX     4000000 /* of one call */
#define IDS_MAX       1000    /* named in the answer */
#define RECORDS_LIMIT 100     /* of /stub/wrong, unless limit= says otherwise */

#define INPUT_DEFAULT                                                                             \
        "{\"n\":\"@n@\",\"text\":\"a realistic input is some two hundred bytes of text, numbers " \
        "and "                                                                                    \
        "names, as this one "                                                                     \
        "is\",\"size\":{\"w\":640,\"h\":480.5},\"tags\":[\"a\",\"b\",true,null]}"

static Buffer body = BUFFER_NULL(SIZE_MAX);

bool stub_is_control(Slice path)
{
        return path.size >= 6 && memcmp(path.data, "/stub/", 6) == 0;
}

static void bad(Connection *connection, const char *message)
{
        http_answer_error(connection, 400, message, false);
}

static int64_t number_of(Slice object, const char *key, int64_t otherwise)
{
        Slice value = json_member(object, key);

        if (value.data)
                (void)json_to_int64(value, &otherwise);
        return otherwise;
}

/* Tasks come at random, so many a second on average: a Poisson process, the same in each run. */
static usec_t next_arrival(usec_t last, double per_second)
{
        static uint64_t state = 88172645463325252U;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return last +
               (usec_t)(-log(((double)(state >> 11) + 1) / 9007199254740993.0) * 1e6 / per_second);
}

static void create(StubQueue *queue, StubBatch *batch, size_t n, double per_second)
{
        usec_t due = clock_monotonic_usec();
        const char *comma = "";

        buffer_clear(&body);
        put_literal(&body, "{\"taskIds\":[");
        for (size_t i = 0; i < n; i++) {
                StubTask *task = model_task_new(queue, batch);

                if (per_second > 0)
                        model_ready_at(task, due = next_arrival(due, per_second));
                else
                        model_ready(task);
                if (i >= IDS_MAX)
                        continue;
                must(buffer_appendf(&body, "%s\"", comma));
                text_put_id(&body, 'a', task->index);
                put_literal(&body, "\"");
                comma = ",";
        }
        put_literal(&body, "]}");
        poll_serve(queue);
}

static void call_create(Connection *connection, const Request *request)
{
        _cleanup_free_ char *type = NULL, *domain = NULL;
        Slice object = request->body, value;
        int64_t n;
        double per_second = 0;
        bool is_full = false;

        if (json_check(object, NULL) < 0 || json_type_of(object) != JSON_OBJECT ||
            json_decode_string(json_member(object, "type"), &type) < 0) {
                bad(connection, "an object with a type is needed");
                return;
        }
        n = number_of(object, "count", 1);
        if (n < 0 || n > TASKS_MAX) {
                bad(connection, "count is out of range");
                return;
        }
        if ((value = json_member(object, "domain")).data)
                (void)json_decode_string(value, &domain);
        if ((value = json_member(object, "ratePerSecond")).data)
                (void)json_to_double(value, &per_second);
        if ((value = json_member(object, "full")).data)
                (void)json_to_bool(value, &is_full);
        value = json_member(object, "input");
        create(model_queue(slice_from_string(type), slice_from_string(domain)),
               model_batch(value.data ? value : SLICE_LITERAL(INPUT_DEFAULT),
                           json_member(object, "expect"), is_full),
               (size_t)n, per_second);
        http_answer_json(connection, 200, buffer_slice(&body));
}

static bool is_of_type(const StubTask *task, Slice type)
{
        return !type.data || slice_is(type, task->queue->type->name);
}

static void call_counts(Connection *connection, const Request *request)
{
        Slice type = text_query(request->query, "type", &api_scratch);
        uint64_t n[_STUB_STATUS_MAX] = { 0 }, n_undecided = 0, n_wrong = 0, n_retries = 0,
                 n_handed_back = 0, n_again = 0;

        for (uint32_t i = 1; i <= model.n_tasks; i++) {
                const StubTask *task = model_task(i);

                if (!is_of_type(task, type))
                        continue;
                n[task->status]++;
                n_undecided += task->undecided;
                n_wrong += model_is_wrong(task);
                n_retries += task->retry_of > 0;
                n_handed_back += task->n_handed_back;
                n_again += task->poll_count > 1;
        }
        buffer_clear(&body);
        put_literal(&body, "{");
        for (int i = 0; i < _STUB_STATUS_MAX; i++)
                must(buffer_appendf(&body, "\"%s\":%" PRIu64 ",", stub_status_to_string(i), n[i]));
        must(buffer_appendf(&body,
                            "\"undecided\":%" PRIu64 ",\"wrong\":%" PRIu64 ",\"retries\":%" PRIu64
                            ",\"handedBack\":%" PRIu64 ",\"polledAgain\":%" PRIu64 "}",
                            n_undecided, n_wrong, n_retries, n_handed_back, n_again));
        http_answer_json(connection, 200, buffer_slice(&body));
}

/* Records of all tasks, or of those that are not as they should be. */
static void list_records(Connection *connection, const Request *request, bool only_wrong)
{
        Slice type = text_query(request->query, "type", &api_scratch);
        int64_t left = text_query_number(request->query, "limit", RECORDS_LIMIT);
        uint64_t n = 0;
        const char *comma = "";

        buffer_clear(&body);
        put_literal(&body, "{\"tasks\":[");
        for (uint32_t i = 1; i <= model.n_tasks; i++) {
                const StubTask *task = model_task(i);

                if (!is_of_type(task, type) || (only_wrong && !model_is_wrong(task)))
                        continue;
                n++;
                if (left-- <= 0)
                        continue;
                put_slice(&body, slice_from_string(comma));
                task_text_put_record(&body, task);
                comma = ",";
        }
        must(buffer_appendf(&body, "],\"total\":%" PRIu64 "}", n));
        http_answer_json(connection, 200, buffer_slice(&body));
}

static void call_wrong(Connection *connection, const Request *request)
{
        list_records(connection, request, true);
}

static void call_tasks(Connection *connection, const Request *request)
{
        list_records(connection, request, false);
}

static void call_task(Connection *connection, const Request *request)
{
        StubTask *task = model_find_task(text_query(request->query, "id", &api_scratch));

        if (!task) {
                http_answer_error(connection, 404, "no such task", false);
                return;
        }
        buffer_clear(&body);
        task_text_put_record(&body, task);
        http_answer_json(connection, 200, buffer_slice(&body));
}

static void call_queues(Connection *connection, const Request *request)
{
        usec_t now = clock_monotonic_usec();
        const char *comma = "";

        buffer_clear(&body);
        put_literal(&body, "[");
        LIST_FOREACH (link, &model.all_queues) {
                const StubQueue *queue = LIST_ENTRY(link, StubQueue, all);
                usec_t since = queue->last_poll > 0 ? now - queue->last_poll : 0;

                must(buffer_appendf(&body, "%s{\"type\":", comma));
                must(json_append_string(&body, slice_from_string(queue->type->name)));
                if (queue->domain) {
                        put_literal(&body, ",\"domain\":");
                        must(json_append_string(&body, slice_from_string(queue->domain)));
                }
                must(buffer_appendf(
                        &body,
                        ",\"ready\":%zu,\"inProgress\":%zu,\"inProgressMax\":%zu,"
                        "\"polls\":%" PRIu64 ",\"waiting\":%s,\"sinceLastPollMsec\":%" PRIu64
                        ",\"pollGapMaxMsec\":%" PRIu64 "}",
                        queue->n_ready, queue->n_in_progress, queue->n_in_progress_max,
                        queue->n_polls, list_is_empty(&queue->polls) ? "false" : "true",
                        since / USEC_PER_MSEC, MAX(queue->gap_max, since) / USEC_PER_MSEC));
                comma = ",";
        }
        put_literal(&body, "]");
        http_answer_json(connection, 200, buffer_slice(&body));
}

static void put_counts(void)
{
        const struct {
                const char *name;
                uint64_t value;
        } counts[] = {
                { "connections", http_counts.n_connections },
                { "connectionsOpen", http_counts.n_open },
                { "connectionsOpenMax", http_counts.n_open_max },
                { "requests", http_counts.n_requests },
                { "polls", api_counts.n_polls },
                { "pollsEmpty", api_counts.n_polls_empty },
                { "given", api_counts.n_given },
                { "stranded", api_counts.n_stranded },
                { "updates", api_counts.n_updates },
                { "updatesWithNext", api_counts.n_next },
                { "updatesUnknown", api_counts.n_unknown },
                { "updatesRefused", api_counts.n_refused },
                { "handBacks", api_counts.n_hand_backs },
                { "leases", api_counts.n_leases },
                { "decides", api_counts.n_decides },
                { "logs", api_counts.n_logs },
                { "logsEmpty", api_counts.n_logs_empty },
                { "searches", api_counts.n_searches },
                { "gets", api_counts.n_gets },
                { "tokens", api_counts.n_tokens },
        };

        for (size_t i = 0; i < ELEMENTSOF(counts); i++)
                must(buffer_appendf(&body, "\"%s\":%" PRIu64 ",", counts[i].name, counts[i].value));
}

static void call_stats(Connection *connection, const Request *request)
{
        buffer_clear(&body);
        put_literal(&body, "{");
        put_counts();
        put_literal(&body, "\"handoutUsec\":");
        spans_put(&body, &model.spans[SPAN_HANDOUT]);
        put_literal(&body, ",\"pickupUsec\":");
        spans_put(&body, &model.spans[SPAN_PICKUP]);
        put_literal(&body, ",\"settleUsec\":");
        spans_put(&body, &model.spans[SPAN_SETTLE]);
        put_literal(&body, "}");
        http_answer_json(connection, 200, buffer_slice(&body));
}

static void done(Connection *connection)
{
        http_answer_json(connection, 200, SLICE_LITERAL("{}"));
}

static void call_reset(Connection *connection, const Request *request)
{
        uint64_t n_open = http_counts.n_open;

        api_counts = (ApiCounts){ 0 };
        http_counts = (HttpCounts){ .n_open = n_open, .n_open_max = n_open };
        for (size_t i = 0; i < _STUB_SPAN_MAX; i++)
                model.spans[i].n = 0;
        LIST_FOREACH (link, &model.all_queues) {
                StubQueue *queue = LIST_ENTRY(link, StubQueue, all);

                queue->n_in_progress_max = queue->n_in_progress;
                queue->gap_max = 0;
                queue->n_polls = 0;
        }
        done(connection);
}

static void call_add_fault(Connection *connection, const Request *request)
{
        const char *error = "no JSON object";
        unsigned id;

        if (json_check(request->body, NULL) < 0 || json_type_of(request->body) != JSON_OBJECT ||
            fault_add(request->body, &id, &error) < 0) {
                bad(connection, error);
                return;
        }
        buffer_clear(&body);
        must(buffer_appendf(&body, "{\"id\":%u}", id));
        http_answer_json(connection, 200, buffer_slice(&body));
}

static void call_faults(Connection *connection, const Request *request)
{
        buffer_clear(&body);
        faults_put(&body);
        http_answer_json(connection, 200, buffer_slice(&body));
}

static void call_clear_faults(Connection *connection, const Request *request)
{
        faults_clear();
        done(connection);
}

static void call_away(Connection *connection, const Request *request)
{
        http_away(clock_monotonic_usec() +
                  (usec_t)text_query_number(request->query, "msec", 1000) * USEC_PER_MSEC);
        done(connection);
}

static void call_expire(Connection *connection, const Request *request)
{
        api_expire_tokens();
        done(connection);
}

void control_dispatch(Connection *connection, const Request *request)
{
        static const struct {
                const char *method, *path;
                void (*call)(Connection *connection, const Request *request);
        } routes[] = {
                { "POST", "/stub/tasks", call_create },
                { "GET", "/stub/tasks", call_tasks },
                { "GET", "/stub/wrong", call_wrong },
                { "GET", "/stub/task", call_task },
                { "GET", "/stub/counts", call_counts },
                { "GET", "/stub/queues", call_queues },
                { "GET", "/stub/wait", wait_start },
                { "GET", "/stub/stats", call_stats },
                { "POST", "/stub/stats/reset", call_reset },
                { "POST", "/stub/faults", call_add_fault },
                { "GET", "/stub/faults", call_faults },
                { "DELETE", "/stub/faults", call_clear_faults },
                { "POST", "/stub/away", call_away },
                { "POST", "/stub/expire-tokens", call_expire },
        };

        for (size_t i = 0; i < ELEMENTSOF(routes); i++) {
                if (slice_is(request->method, routes[i].method) &&
                    slice_is(request->path, routes[i].path)) {
                        routes[i].call(connection, request);
                        return;
                }
        }
        http_answer_error(connection, 404, "no such call of the side API; see --help", false);
}
