/* SPDX-License-Identifier: Apache-2.0 */

#include "control/task-filter.h"

#include "base/strv.h"

typedef struct FilterParams {
        char **ids;
        const char *source;
        const char *type;
        char **status;
        int64_t since_msec;
} FilterParams;

static const ParamField filter_fields[] = {
        { "ids", PARAM_STRINGS, false, offsetof(FilterParams, ids) },
        { "source", PARAM_STRING, false, offsetof(FilterParams, source) },
        { "type", PARAM_STRING, false, offsetof(FilterParams, type) },
        { "status", PARAM_STRINGS, false, offsetof(FilterParams, status) },
        { "sinceTime", PARAM_INTEGER, false, offsetof(FilterParams, since_msec) },
};

static int answered(int r)
{
        return r < 0 ? r : 1;
}

int task_filter_read(ControlCall *call, const Manager *manager, Slice object, TaskFilter *ret)
{
        FilterParams params = { 0 };
        TaskFilter filter = { 0 };
        int r;

        if (object.data) {
                r = control_call_decode_object(call, object, "filter", filter_fields,
                                               ELEMENTSOF(filter_fields), &params);
                if (r != 0)
                        return r;
        }
        STRV_FOREACH (word, params.status) {
                TaskStatus status = task_status_from_slice(slice_from_string(*word));

                if (status < 0)
                        return answered(control_call_invalid_parameter(call, "filter.status"));
                filter.queue.statuses |= 1u << status;
        }
        if (params.source) {
                r = find_queue(call, manager, params.source, &filter.source);
                if (r != 0)
                        return r;
        }
        filter.ids = params.ids;
        filter.n_ids = strv_length(params.ids);
        if (filter.n_ids > QUEUE_SUBMIT_MAX)
                return answered(
                        control_call_refused(call, "at most %d ids in one call", QUEUE_SUBMIT_MAX));
        filter.queue.type = params.type;
        filter.queue.since_msec = params.since_msec;
        *ret = filter;
        return 0;
}
