/* SPDX-License-Identifier: Apache-2.0 */

#include "source/conductor/internal.h"

/* Without the quotes; escapes stay. */
static Slice text_of(Slice value)
{
        if (!value.data || json_type_of(value) != JSON_STRING)
                return SLICE_NULL;
        return (Slice){ value.data + 1, value.size - 2 };
}

int64_t task_number(Slice value)
{
        int64_t number;

        return value.data && json_to_int64(value, &number) >= 0 ? number : 0;
}

int64_t task_poll_timeout_sec(Slice definition)
{
        if (!definition.data || json_type_of(definition) != JSON_OBJECT)
                return 0;
        return task_number(json_member(definition, "pollTimeoutSeconds"));
}

int task_view_parse(Slice object, TaskView *ret)
{
        TaskView view;

        if (json_type_of(object) != JSON_OBJECT)
                return -EBADMSG;
        view = (TaskView){
                .id = text_of(json_member(object, "taskId")),
                .status = text_of(json_member(object, "status")),
                .type = text_of(json_member(object, "taskType")),
                .workflow_id = text_of(json_member(object, "workflowInstanceId")),
                .worker_id = text_of(json_member(object, "workerId")),
                .domain = text_of(json_member(object, "domain")),
                .output = json_member(object, "outputData"),
                .poll_count = task_number(json_member(object, "pollCount")),
                .scheduled_msec = task_number(json_member(object, "scheduledTime")),
                .poll_timeout_sec = task_poll_timeout_sec(json_member(object, "taskDefinition")),
        };
        if (!view.id.data || !view.status.data)
                return -EBADMSG;
        *ret = view;
        return 0;
}

bool task_view_is_held_by(const TaskView *view, const char *worker_id)
{
        return slice_is(view->status, "IN_PROGRESS") && view->worker_id.data &&
               json_key_is(view->worker_id, worker_id);
}
