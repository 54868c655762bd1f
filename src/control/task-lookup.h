#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Finds a task by its id: an id does not say which queue it belongs to, so they are asked in turn.
 */

#include "manager/manager.h"

typedef struct TaskLookup TaskLookup;

/* error: 0, -ENOENT or what a database said; task: everything of it, borrowed, as is source. The
 * lookup is over and may be started again. */
typedef void (*task_lookup_done_t)(TaskLookup *lookup, int error, Slice task, Source *source);

/* Embedded in its owner. */
struct TaskLookup {
        const Manager *manager;
        task_lookup_done_t done;
        QueueCall *queue_call; /* NULL: none under way */
        size_t at;             /* the place of the source that is asked */
        Source *source;        /* that source */
        char id[QUEUE_ID_LENGTH + 1];
};

/* -ENOENT at once if no queue can have the id; then done is not called. */
int task_lookup_start(TaskLookup *lookup, const Manager *manager, const char *id,
                      task_lookup_done_t done);
void task_lookup_cancel(TaskLookup *lookup);

/* Appends task as the interface shows it: with its source, and with or without its bodies
 * (inputData, output, logs, history). */
int append_task(Buffer *buffer, Slice task, const char *source, bool bodies);
