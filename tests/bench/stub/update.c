/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json.h"
#include "stub/api.h"
#include "stub/model.h"
#include "stub/poll.h"

#define LOGS_MAX 10 /* the server keeps as many of one update */

typedef struct Update {
        StubResult result;
        Slice task_id, workflow_id;
        bool bad_output;
} Update;

static void read_logs(StubResult *result, Slice logs)
{
        Slice entry;

        if (json_type_of(logs) != JSON_ARRAY)
                return;
        JSON_FOREACH_ELEMENT (entry, logs) {
                JsonType type = json_type_of(entry);
                Slice text = type == JSON_OBJECT ? json_member(entry, "log") : entry;

                if (!text.data || json_type_of(text) == JSON_NULL)
                        result->bad_log = true;
                result->n_logs = MIN(result->n_logs + 1, (uint32_t)LOGS_MAX);
        }
}

static Slice text_of(Slice value)
{
        Slice text;

        return json_raw_string(value, &text) < 0 ? SLICE_NULL : text;
}

static void read_member(Update *update, Slice key, Slice value)
{
        StubResult *result = &update->result;

        if (json_type_of(value) == JSON_NULL)
                return;
        if (json_key_is(key, "taskId"))
                update->task_id = text_of(value);
        else if (json_key_is(key, "workflowInstanceId"))
                update->workflow_id = text_of(value);
        else if (json_key_is(key, "status"))
                result->status = stub_status_from(text_of(value));
        else if (json_key_is(key, "outputData"))
                result->output = value;
        else if (json_key_is(key, "workerId"))
                result->worker = text_of(value);
        else if (json_key_is(key, "reasonForIncompletion"))
                result->reason = value;
        else if (json_key_is(key, "callbackAfterSeconds"))
                (void)json_to_int64(value, &result->callback_seconds);
        else if (json_key_is(key, "extendLease"))
                (void)json_to_bool(value, &result->extend_lease);
        else if (json_key_is(key, "logs"))
                read_logs(result, value);
}

/* What the server refuses before it looks for the task: a status to answer with, else 0. */
static unsigned refuse(const Update *update, bool with_next, const char **ret_message)
{
        const StubResult *result = &update->result;

        if (update->task_id.size == 0 || update->workflow_id.size == 0) {
                *ret_message = "Validation failed, check below errors for detail.";
                return with_next ? 500 : 400;
        }
        if (!result->extend_lease && (result->status < 0 || result->status == STUB_SCHEDULED ||
                                      result->status == STUB_TIMED_OUT)) {
                *ret_message = "JSON parse error: not one of the values accepted for Enum class";
                return 500;
        }
        if (result->output.data && json_type_of(result->output) != JSON_OBJECT) {
                *ret_message = "JSON parse error: outputData";
                return 500;
        }
        return 0;
}

static bool parse(const Request *request, bool with_next, Update *ret, Connection *connection)
{
        Update update = { .result.status = _STUB_STATUS_INVALID };
        const char *message = "JSON parse error";
        unsigned status = 500;
        Slice key, value;

        if (json_check(request->body, NULL) >= 0 && json_type_of(request->body) == JSON_OBJECT) {
                JSON_FOREACH_MEMBER (key, value, request->body)
                        read_member(&update, key, value);
                status = refuse(&update, with_next, &message);
        }
        if (status > 0) {
                api_counts.n_refused++;
                http_answer_error(connection, status, message, false);
                return false;
        }
        *ret = update;
        return true;
}

/* Whether the server stores the result but fails before the workflow goes on. */
static bool fails_half(const Connection *connection, const Request *request, const Update *update)
{
        if (connection->fault && connection->fault->kind == FAULT_UNDECIDED)
                return true;
        return update->result.bad_log ||
               (model.rejects_nul && memmem(request->body.data, request->body.size, "\\u0000", 6));
}

static void answer(Connection *connection, const StubTask *task, const StubResult *result,
                   bool with_next, Slice task_id)
{
        bool is_final = !result->extend_lease && result->status > STUB_IN_PROGRESS;

        if (!with_next)
                http_answer(connection, 200, "text/plain", task_id);
        else if (!is_final)
                http_answer(connection, 204, NULL, SLICE_NULL);
        else
                poll_wait(connection, task->queue, text_intern(result->worker), POLL_SINGLE,
                          api_options.update_wait);
}

void api_update(Connection *connection, const Request *request, bool with_next)
{
        Update update;
        StubTask *task;
        uint32_t root;
        bool half;
        StubVerdict verdict;

        if (!parse(request, with_next, &update, connection))
                return;
        task = model_find_task(update.task_id);
        if (!task || text_parse_id(update.workflow_id, 'b', &root) < 0 || !model_task(root)) {
                api_counts.n_unknown++;
                http_answer_error(connection, 404, "Task not found", false);
                return;
        }
        api_counts.n_updates++;
        api_counts.n_leases += update.result.extend_lease;
        half = fails_half(connection, request, &update);
        verdict = model_settle(task, &update.result, !half && root == task->root);
        api_counts.n_hand_backs += verdict == VERDICT_RETURNED && !update.result.extend_lease;
        if (half && verdict == VERDICT_ACCEPTED)
                http_answer_error(connection, 500, "stored, but the workflow was not decided",
                                  connection->fault != NULL);
        else
                answer(connection, task, &update.result, with_next, update.task_id);
}
