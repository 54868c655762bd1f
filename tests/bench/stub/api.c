/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <stdio.h>
#include "base/json.h"
#include "stub/api.h"
#include "stub/model.h"
#include "stub/poll.h"
#include "stub/task-text.h"

#define SCRATCH_SIZE 262144 /* above any request head, so that it never moves */
#define TOKENS_MAX   4096

typedef struct Route {
        const char *method, *path; /* path ends in *: one more segment, which the call gets */
        void (*call)(Connection *connection, const Request *request, Slice rest);
} Route;

ApiOptions api_options;
ApiCounts api_counts;
Buffer api_scratch = BUFFER_NULL(SCRATCH_SIZE);

static usec_t tokens[TOKENS_MAX]; /* when each expires */
static size_t n_tokens;

static Buffer body = BUFFER_NULL(SIZE_MAX);

void api_init(void)
{
        char *data;

        must(buffer_reserve(&api_scratch, SCRATCH_SIZE, &data));
}

void api_deinit(void)
{
        buffer_deinit(&api_scratch);
        buffer_deinit(&body);
}

void api_expire_tokens(void)
{
        for (size_t i = 0; i < n_tokens; i++)
                tokens[i] = 0;
}

static void call_update_v2(Connection *connection, const Request *request, Slice rest)
{
        if (api_options.has_update_v2)
                api_update(connection, request, true);
        else
                http_answer_error(connection, 404, "No static resource", false);
}

static void call_update(Connection *connection, const Request *request, Slice rest)
{
        api_update(connection, request, false);
}

static void call_poll(Connection *connection, const Request *request, Slice rest)
{
        poll_batch(connection, request, text_percent_decode(rest, false, &api_scratch));
}

static void call_search(Connection *connection, const Request *request, Slice rest)
{
        api_search(connection, request, false);
}

static void call_search_v2(Connection *connection, const Request *request, Slice rest)
{
        api_search(connection, request, true);
}

static void call_sizes(Connection *connection, const Request *request, Slice rest)
{
        static const char name[] = "taskType=";
        Slice query = request->query;
        const char *comma = "", *found;

        buffer_clear(&body);
        put_literal(&body, "{");
        while ((found = memmem(query.data, query.size, name, sizeof(name) - 1))) {
                Slice type;

                query.size -= (size_t)(found - query.data);
                query.data = found;
                type = text_query(query, "taskType", &api_scratch);
                put_slice(&body, slice_from_string(comma));
                must(json_append_string(&body, type));
                must(buffer_appendf(&body, ":%zu", model_queue(type, SLICE_NULL)->n_ready));
                comma = ",";
                query.size -= sizeof(name) - 1;
                query.data += sizeof(name) - 1;
        }
        put_literal(&body, "}");
        http_answer_json(connection, 200, buffer_slice(&body));
}

static void call_size(Connection *connection, const Request *request, Slice rest)
{
        Slice type = text_query(request->query, "taskType", &api_scratch),
              domain = text_query(request->query, "domain", &api_scratch);

        buffer_clear(&body);
        put_uint(&body, model_queue(type, domain)->n_ready);
        http_answer_json(connection, 200, buffer_slice(&body));
}

static void call_get_task(Connection *connection, const Request *request, Slice id)
{
        StubTask *task = model_find_task(id);

        api_counts.n_gets++;
        if (!task) {
                http_answer_error(connection, 404, "Task not found", false);
                return;
        }
        buffer_clear(&body);
        task_text_put(&body, task);
        http_answer_json(connection, 200, buffer_slice(&body));
}

/* POST /tasks/{id}/log: also for unknown tasks. */
static void call_log(Connection *connection, const Request *request, Slice rest)
{
        Slice id = { rest.data, MIN(rest.size, (size_t)STUB_ID_SIZE) };
        StubTask *task = model_find_task(id);

        if (rest.size < 4 || memcmp(rest.data + rest.size - 4, "/log", 4) != 0) {
                http_answer_error(connection, 404, "No static resource", false);
                return;
        }
        if (request->body.size == 0) {
                api_counts.n_logs_empty++;
                http_answer_error(connection, 500, "Required request body is missing", false);
                return;
        }
        api_counts.n_logs++;
        if (task)
                task->n_logs++;
        http_answer(connection, 200, "text/plain", SLICE_NULL);
}

static void call_decide(Connection *connection, const Request *request, Slice id)
{
        uint32_t root;
        StubTask *task = text_parse_id(id, 'b', &root) < 0 ? NULL : model_task(root);

        api_counts.n_decides++;
        if (!task) {
                http_answer_error(connection, 404, "No such workflow found by id", false);
                return;
        }
        model_decide(task);
        http_answer(connection, 200, "text/plain", SLICE_NULL);
}

static StubTask *latest_of(Slice workflow_id)
{
        uint32_t root;
        StubTask *task = text_parse_id(workflow_id, 'b', &root) < 0 ? NULL : model_task(root);

        while (task && task->retried_by > 0)
                task = model_task(task->retried_by);
        return task;
}

static void call_terminate(Connection *connection, const Request *request, Slice id)
{
        StubTask *task = latest_of(id);

        if (!task) {
                http_answer_error(connection, 404, "No such workflow found by id", false);
                return;
        }
        model_cancel(task);
        http_answer(connection, 200, "text/plain", SLICE_NULL);
}

static void call_workflow(Connection *connection, const Request *request, Slice id)
{
        StubTask *task = latest_of(id);
        const char *status;

        if (!task) {
                http_answer_error(connection, 404, "No such workflow found by id", false);
                return;
        }
        status = task->undecided || task->status <= STUB_IN_PROGRESS ? "RUNNING"
                 : task->status == STUB_COMPLETED                    ? "COMPLETED"
                 : task->status == STUB_CANCELED                     ? "TERMINATED"
                                                                     : "FAILED";
        buffer_clear(&body);
        put_literal(&body, "{\"workflowId\":");
        must(json_append_string(&body, id));
        must(buffer_appendf(&body, ",\"status\":\"%s\",\"tasks\":[", status));
        task_text_put(&body, task);
        put_literal(&body, "]}");
        http_answer_json(connection, 200, buffer_slice(&body));
}

static void call_get_definition(Connection *connection, const Request *request, Slice name)
{
        StubType *type = model_find_type(text_percent_decode(name, false, &api_scratch));

        if (type && type->definition)
                http_answer_json(connection, 200, slice_from_string(type->definition));
        else
                http_answer_error(connection, 404, "No such taskType found by name", false);
}

static void define(Slice definition)
{
        _cleanup_free_ char *name = NULL;

        if (json_type_of(definition) == JSON_OBJECT &&
            json_decode_string(json_member(definition, "name"), &name) >= 0)
                model_define(model_type(slice_from_string(name)), definition);
}

static void call_define(Connection *connection, const Request *request, Slice rest)
{
        Slice element;

        if (json_check(request->body, NULL) < 0) {
                http_answer_error(connection, 500, "JSON parse error", false);
                return;
        }
        if (json_type_of(request->body) != JSON_ARRAY)
                define(request->body);
        else
                JSON_FOREACH_ELEMENT (element, request->body)
                        define(element);
        http_answer(connection, 200, "text/plain", SLICE_NULL);
}

static void call_definitions(Connection *connection, const Request *request, Slice rest)
{
        const char *comma = "";

        buffer_clear(&body);
        put_literal(&body, "[");
        LIST_FOREACH (link, &model.all_types) {
                StubType *type = LIST_ENTRY(link, StubType, all);

                if (!type->definition)
                        continue;
                must(buffer_appendf(&body, "%s%s", comma, type->definition));
                comma = ",";
        }
        put_literal(&body, "]");
        http_answer_json(connection, 200, buffer_slice(&body));
}

static void call_health(Connection *connection, const Request *request, Slice rest)
{
        http_answer_json(connection, 200, SLICE_LITERAL("{\"healthResults\":[],\"healthy\":true}"));
}

static void call_version(Connection *connection, const Request *request, Slice rest)
{
        http_answer(connection, 200, "text/plain", SLICE_LITERAL("3.32.3"));
}

/* No external storage: a path, and no uri. */
static void call_storage(Connection *connection, const Request *request, Slice rest)
{
        http_answer_json(connection, 200, SLICE_LITERAL("{\"path\":\"stub.json\"}"));
}

static void call_token(Connection *connection, const Request *request, Slice rest)
{
        _cleanup_free_ char *key = NULL, *secret = NULL;
        char text[64];
        int n;

        if (!api_options.key) {
                http_answer_error(connection, 404, "No static resource api/token.", false);
                return;
        }
        if (json_check(request->body, NULL) < 0 || json_type_of(request->body) != JSON_OBJECT ||
            json_decode_string(json_member(request->body, "keyId"), &key) < 0 ||
            json_decode_string(json_member(request->body, "keySecret"), &secret) < 0 ||
            !streq(key, api_options.key) || !streq(secret, api_options.secret) ||
            n_tokens == TOKENS_MAX) {
                http_answer_json(connection, 401,
                                 SLICE_LITERAL("{\"status\":401,\"error\":\"INVALID_KEY\","
                                               "\"message\":\"unknown key or wrong secret\"}"));
                return;
        }
        tokens[n_tokens++] = usec_add(clock_monotonic_usec(), api_options.token_ttl);
        api_counts.n_tokens++;
        n = snprintf(text, sizeof(text), "{\"token\":\"stub-%zu\"}", n_tokens);
        http_answer_json(connection, 200, (Slice){ text, (size_t)n });
}

static const Route routes[] = {
        { "POST", "/api/tasks/update-v2", call_update_v2 },
        { "GET", "/api/tasks/poll/batch/*", call_poll },
        { "POST", "/api/tasks", call_update },
        { "GET", "/api/tasks/search", call_search },
        { "GET", "/api/tasks/search-v2", call_search_v2 },
        { "GET", "/api/tasks/queue/sizes", call_sizes },
        { "GET", "/api/tasks/queue/size", call_size },
        { "GET", "/api/tasks/externalstoragelocation", call_storage },
        { "GET", "/api/tasks/*", call_get_task },
        { "POST", "/api/tasks/*", call_log },
        { "PUT", "/api/workflow/decide/*", call_decide },
        { "GET", "/api/workflow/*", call_workflow },
        { "DELETE", "/api/workflow/*", call_terminate },
        { "GET", "/api/metadata/taskdefs", call_definitions },
        { "GET", "/api/metadata/taskdefs/*", call_get_definition },
        { "POST", "/api/metadata/taskdefs", call_define },
        { "PUT", "/api/metadata/taskdefs", call_define },
        { "GET", "/api/version", call_version },
        { "GET", "/health", call_health },
        { "POST", "/api/token", call_token },
};

static bool route_matches(const Route *route, const Request *request, Slice *ret_rest)
{
        size_t size = strlen(route->path);
        bool open = route->path[size - 1] == '*';

        size -= open;
        if (!slice_is(request->method, route->method) || request->path.size < size + open ||
            memcmp(request->path.data, route->path, size) != 0 ||
            (!open && request->path.size != size))
                return false;
        *ret_rest = (Slice){ request->path.data + size, request->path.size - size };
        return true;
}

/* NULL: let in; else the error word of the 401. */
static const char *refuse_token(const Request *request)
{
        int64_t number;
        Slice token = request->authorization;

        if (!api_options.key || slice_is(request->path, "/api/token") ||
            slice_is(request->path, "/health"))
                return NULL;
        if (token.size < 6 || memcmp(token.data, "stub-", 5) != 0 ||
            text_number((Slice){ token.data + 5, token.size - 5 }, &number) < 0 || number < 1 ||
            (size_t)number > n_tokens)
                return "INVALID_TOKEN";
        return clock_monotonic_usec() < tokens[number - 1] ? NULL : "EXPIRED_TOKEN";
}

void api_dispatch(Connection *connection, const Request *request)
{
        const char *refusal;
        Slice rest;

        buffer_clear(&api_scratch);
        if (stub_is_control(request->path)) {
                control_dispatch(connection, request);
                return;
        }
        refusal = refuse_token(request);
        if (refusal) {
                char text[128];
                int n = snprintf(text, sizeof(text),
                                 "{\"status\":401,\"error\":\"%s\",\"message\":\"%s\"}", refusal,
                                 refusal);

                http_answer_json(connection, 401, (Slice){ text, (size_t)n });
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(routes); i++) {
                if (!route_matches(&routes[i], request, &rest))
                        continue;
                routes[i].call(connection, request, rest);
                return;
        }
        http_answer_error(connection, 404, "No static resource", false);
}
