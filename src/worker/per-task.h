#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Between the two files of the per-task mode: process and result. */

#include "worker/worker-internal.h"

/* How much of stderr's end is kept: one log line of the failed task. */
#define STDERR_TAIL_MAX ((size_t)64 * 1024)

/* Our end of one of the process's pipes. The source is kept for the slot's next process. */
typedef struct PipeEnd {
        int fd; /* -EBADF: closed */
        bool watched;
        sd_event_source *source;
} PipeEnd;

/* What a slot has beside its process. */
struct PerTask {
        PipeEnd input;
        PipeEnd output;
        PipeEnd errors;
        size_t n_written; /* of the task's JSON */
        Buffer stdout_bytes;
        Buffer stderr_tail;
};

void per_task_keep_stderr(Worker *worker, Slice bytes);
/* Its stdout is over limits.output. */
void per_task_end_oversized(Worker *worker);
/* False: what it said does not matter, its task's fate is decided. */
bool per_task_needs_outcome(const Worker *worker, const HeldTask *held);
/* What the exited process means for its task, from its exit, stdout and stderr. NULL: no memory. */
Outcome *per_task_outcome(Worker *worker);
