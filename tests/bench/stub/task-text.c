/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json.h"
#include "stub/task-text.h"

#define NUMBER_MARK "\"@n@\""

static const char definition_small[] =
        ",\"retryLogic\":\"FIXED\",\"retryDelaySeconds\":1,\"timeoutSeconds\":0,"
        "\"timeoutPolicy\":\"RETRY\",\"inputKeys\":[],\"outputKeys\":[]}";

static const char definition_full[] =
        ",\"createTime\":1795211450348,\"updateTime\":0,\"createdBy\":\"\","
        "\"description\":\"a task definition as a server sends it\",\"timeoutSeconds\":600,"
        "\"inputKeys\":[\"url\"],\"outputKeys\":[\"path\"],\"runtimeMetadata\":[],"
        "\"timeoutPolicy\":\"RETRY\",\"retryLogic\":\"EXPONENTIAL_BACKOFF\","
        "\"retryDelaySeconds\":1,\"concurrentExecLimit\":10,\"inputTemplate\":{},"
        "\"rateLimitPerFrequency\":0,\"rateLimitFrequencyInSeconds\":1,"
        "\"ownerEmail\":\"dev@example.com\",\"backoffScaleFactor\":1,\"maxRetryDelaySeconds\":0,"
        "\"backoffJitterMs\":0,\"totalTimeoutSeconds\":0,\"taskStatusListenerEnabled\":true,"
        "\"enforceSchema\":false}";

static const char workflow_task_full[] =
        "\"inputParameters\":{\"url\":\"${workflow.input.url}\",\"size\":\"${workflow.input.size}"
        "\","
        "\"tags\":\"${workflow.input.tags}\",\"note\":\"${workflow.input.note}\","
        "\"missing\":\"${workflow.input.missing}\"},\"decisionCases\":{},\"defaultCase\":[],"
        "\"forkTasks\":[],\"startDelay\":0,\"joinOn\":[],\"optional\":false,"
        "\"defaultExclusiveJoinTask\":[],\"asyncComplete\":false,\"loopOver\":[],"
        "\"onStateChange\":{},\"permissive\":false,\"metadata\":{},";

static const char rest[] = ",\"rateLimitPerFrequency\":0,\"rateLimitFrequencyInSeconds\":1,"
                           "\"workflowPriority\":5,\"iteration\":0,\"subworkflowChanged\":false,"
                           "\"firstStartTime\":0,\"executionMetadata\":{\"additionalContext\":{},"
                           "\"empty\":true,\"additionalContextMap\":{}}";

static void put_string(Buffer *buffer, const char *s)
{
        must(json_append_string(buffer, slice_from_string(s)));
}

/* ,"key":NUMBER with the comma and the colon in key. */
static void put_number(Buffer *buffer, Slice key, int64_t number)
{
        put_slice(buffer, key);
        must(buffer_append_int(buffer, number));
}
#define put_member(buffer, key, number) \
        put_number((buffer), SLICE_LITERAL(",\"" key "\":"), (int64_t)(number))

static void put_numbered(Buffer *buffer, const char *template, uint32_t number)
{
        const char *mark;

        while ((mark = strstr(template, NUMBER_MARK))) {
                put_slice(buffer, (Slice){ template, (size_t)(mark - template) });
                put_uint(buffer, number);
                template = mark + sizeof(NUMBER_MARK) - 1;
        }
        put_slice(buffer, slice_from_string(template));
}

static void put_definition(Buffer *buffer, const StubTask *task)
{
        const StubType *type = task->queue->type;

        if (type->definition) {
                put_slice(buffer, slice_from_string(type->definition));
                return;
        }
        put_literal(buffer, "{\"name\":");
        put_string(buffer, type->name);
        put_member(buffer, "retryCount", type->retry_count);
        put_member(buffer, "responseTimeoutSeconds",
                   type->response_timeout_seconds > 0 ? type->response_timeout_seconds : 3600);
        put_slice(buffer, task->batch->is_full ? SLICE_LITERAL(definition_full)
                                               : SLICE_LITERAL(definition_small));
}

static void put_workflow_task(Buffer *buffer, const StubTask *task)
{
        put_literal(buffer, ",\"workflowTask\":{\"name\":");
        put_string(buffer, task->queue->type->name);
        put_literal(buffer, ",\"taskReferenceName\":\"t0\",");
        if (task->batch->is_full)
                put_slice(buffer, SLICE_LITERAL(workflow_task_full));
        put_literal(buffer, "\"type\":\"SIMPLE\",\"taskDefinition\":");
        put_definition(buffer, task);
        put_literal(buffer, "}");
}

static void put_ids(Buffer *buffer, const StubTask *task)
{
        put_literal(buffer, ",\"workflowInstanceId\":\"");
        text_put_id(buffer, 'b', task->root);
        put_literal(buffer, "\",\"workflowType\":");
        put_string(buffer, task->queue->type->name);
        put_literal(buffer, ",\"taskId\":\"");
        text_put_id(buffer, 'a', task->index);
        put_literal(buffer, "\"");
}

static void put_optional(Buffer *buffer, const StubTask *task)
{
        if (task->retry_of > 0) {
                put_literal(buffer, ",\"retriedTaskId\":\"");
                text_put_id(buffer, 'a', task->retry_of);
                put_literal(buffer, "\"");
        }
        if (task->reason) {
                put_literal(buffer, ",\"reasonForIncompletion\":");
                put_string(buffer, task->reason);
        }
        if (task->worker) {
                put_literal(buffer, ",\"workerId\":");
                put_string(buffer, task->worker);
        }
        if (task->queue->domain) {
                put_literal(buffer, ",\"domain\":");
                put_string(buffer, task->queue->domain);
        }
}

void task_text_put(Buffer *buffer, const StubTask *task)
{
        put_literal(buffer, "{\"taskType\":");
        put_string(buffer, task->queue->type->name);
        put_literal(buffer, ",\"status\":\"");
        put_slice(buffer, slice_from_string(stub_status_to_string(task->status)));
        put_literal(buffer, "\",\"inputData\":");
        put_numbered(buffer, task->batch->input, task->number);
        put_literal(buffer, ",\"referenceTaskName\":\"t0\"");
        put_member(buffer, "retryCount", task->retry_count);
        put_member(buffer, "seq", task->retry_count + 1);
        put_member(buffer, "pollCount", task->poll_count);
        put_literal(buffer, ",\"taskDefName\":");
        put_string(buffer, task->queue->type->name);
        put_member(buffer, "scheduledTime", task->scheduled_msec);
        put_member(buffer, "startTime", task->start_msec);
        put_member(buffer, "endTime", task->end_msec);
        put_member(buffer, "updateTime", task->update_msec);
        put_literal(buffer, ",\"startDelayInSeconds\":0,\"retried\":false,\"executed\":false,"
                            "\"callbackFromWorker\":true");
        put_member(buffer, "responseTimeoutSeconds",
                   task->queue->type->response_timeout_seconds > 0
                           ? task->queue->type->response_timeout_seconds
                           : 3600);
        put_ids(buffer, task);
        put_optional(buffer, task);
        put_literal(buffer, ",\"callbackAfterSeconds\":0,\"outputData\":");
        put_slice(buffer,
                  task->output ? (Slice){ task->output, task->output_size } : SLICE_LITERAL("{}"));
        put_workflow_task(buffer, task);
        put_slice(buffer, SLICE_LITERAL(rest));
        if (task->batch->is_full || task->queue->type->definition) {
                put_literal(buffer, ",\"taskDefinition\":");
                put_definition(buffer, task);
        }
        put_literal(buffer, ",\"loopOverTask\":false");
        put_member(buffer, "queueWaitTime",
                   task->start_msec > 0 ? task->start_msec - task->scheduled_msec : 0);
        put_literal(buffer, "}");
}

void task_text_put_summary(Buffer *buffer, const StubTask *task)
{
        put_literal(buffer, "{\"taskType\":");
        put_string(buffer, task->queue->type->name);
        put_literal(buffer, ",\"taskDefName\":");
        put_string(buffer, task->queue->type->name);
        put_literal(buffer, ",\"status\":\"");
        put_slice(buffer, slice_from_string(stub_status_to_string(task->status)));
        put_literal(buffer, "\",\"workflowId\":\"");
        text_put_id(buffer, 'b', task->root);
        put_literal(buffer, "\",\"taskId\":\"");
        text_put_id(buffer, 'a', task->index);
        put_literal(buffer, "\",\"input\":\"\",\"output\":\"\"");
        put_member(buffer, "workflowPriority", 5);
        put_optional(buffer, task);
        put_literal(buffer, "}");
}

void task_text_put_record(Buffer *buffer, const StubTask *task)
{
        put_literal(buffer, "{\"type\":");
        put_string(buffer, task->queue->type->name);
        put_literal(buffer, ",\"status\":\"");
        put_slice(buffer, slice_from_string(stub_status_to_string(task->status)));
        put_literal(buffer, "\"");
        put_ids(buffer, task);
        put_optional(buffer, task);
        put_member(buffer, "n", task->number);
        put_member(buffer, "retryCount", task->retry_count);
        put_member(buffer, "pollCount", task->poll_count);
        put_member(buffer, "ignored", task->n_ignored);
        put_member(buffer, "conflicting", task->n_conflicting);
        put_member(buffer, "handedBack", task->n_handed_back);
        put_member(buffer, "leases", task->n_leases);
        put_member(buffer, "logs", task->n_logs);
        must(buffer_appendf(buffer, ",\"ready\":%s,\"undecided\":%s,\"wrongOutput\":%s",
                            task->is_ready ? "true" : "false", task->undecided ? "true" : "false",
                            task->wrong ? "true" : "false"));
        if (task->output) {
                put_literal(buffer, ",\"outputData\":");
                put_slice(buffer, (Slice){ task->output, task->output_size });
        }
        put_literal(buffer, "}");
}

bool task_text_expected(const StubTask *task)
{
        static Buffer expected = BUFFER_NULL(SIZE_MAX), found = BUFFER_NULL(SIZE_MAX);

        if (!task->batch->expect)
                return true;
        if (!task->output)
                return false;
        buffer_clear(&expected);
        buffer_clear(&found);
        put_numbered(&expected, task->batch->expect, task->number);
        must(json_append_compact(&found, (Slice){ task->output, task->output_size }));
        return slice_equal(buffer_slice(&expected), buffer_slice(&found));
}
