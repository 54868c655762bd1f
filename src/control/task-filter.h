#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A TaskFilter of the control interface. */

#include "control/answer.h"

typedef struct TaskFilter {
        char **ids; /* NULL: by the rest */
        size_t n_ids;
        Source *source; /* NULL: all */
        QueueFilter queue;
} TaskFilter;

/* object: SLICE_NULL matches everything. 0; 1: the caller has been answered; -ENOMEM. The strings
 * live as long as the call. */
int task_filter_read(ControlCall *call, const Manager *manager, Slice object, TaskFilter *ret);
