#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A task in this process: what its handler sees of it and what we keep beside. Made by the reader,
 * then in the queue, then a thread's until it is answered. */

#include <stdatomic.h>
#include "base/list.h"
#include "base/slice.h"
#include "handler/yardmaster-handler.h"
#include "runner/output.h"

typedef struct JobText JobText;

typedef struct Job {
        ListLink link;
        struct yardmaster_task task;
        Slice id_json;  /* its taskId as it came, with quotes; SLICE_NULL: it had none */
        size_t size;    /* of the memory that it holds */
        Output *output; /* borrowed: where its log and progress go */
        atomic_bool cancelled;
        JobText *texts; /* what the handler asked for with input_string */
        /* the texts of task follow in the same allocation */
} Job;

/* object: text that json_check accepted. Members that are absent or of another type are empty or 0.
 */
int job_new(Job **ret, Slice object, const struct yardmaster_host *host, Output *output,
            int64_t deadline_msec);
Job *job_free(Job *job);
DEFINE_CLEANUP(Job *, job_free);

static inline Job *job_of_task(const struct yardmaster_task *task)
{
        return container_of(task, Job, task);
}

/* A string member of the input, decoded; NULL if there is none (or no memory). Lives with job. */
const char *job_input_string(Job *job, const char *name);
/* 0, -ENOENT, -EINVAL, -ERANGE */
int job_input_int64(const Job *job, const char *name, int64_t *ret);
