#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Task and Outcome: the one currency of source, pool, worker and outbox.
 *
 * A Task is made by its source, possibly on another thread, and from then on belongs to the event
 * loop; it is counted (task_ref, task_unref) because source, pool and worker hold it at the same
 * time. Its JSON is what the handler gets, byte for byte. An Outcome is what became of one
 * execution; it has one owner at a time. */

#include <stdbool.h>
#include <stdint.h>
#include "base/buffer.h"
#include "base/list.h"

/* Conductor's words; the queue uses all of them, a handler may answer the middle four. */
typedef enum TaskStatus {
        TASK_SCHEDULED,
        TASK_IN_PROGRESS,
        TASK_COMPLETED,
        TASK_FAILED,
        TASK_FAILED_WITH_TERMINAL_ERROR,
        TASK_CANCELED,
        TASK_TIMED_OUT, /* a passed task deadline, nothing else */
        _TASK_STATUS_MAX,
        _TASK_STATUS_INVALID = -EINVAL,
} TaskStatus;

const char *task_status_to_string(TaskStatus status);
TaskStatus task_status_from_slice(Slice s); /* exact, upper case */
static inline bool task_status_is_final(TaskStatus status)
{
        return status >= TASK_COMPLETED;
}

/* Largest task or result message anywhere, and so the largest line to or from a worker: 16 MiB, as
 * Varlink's, plus room for the envelope. */
#define TASK_MESSAGE_MAX ((size_t)16 * 1024 * 1024)
#define TASK_LINE_MAX    (TASK_MESSAGE_MAX + 4096)

typedef struct Task {
        unsigned n_ref;
        ListLink link; /* for whoever holds it in an order: a worker's tasks in hand */

        const char *id; /* in one allocation with the Task */
        const char *type;
        uint64_t id_hash; /* task_id_hash(id): tells ids apart before their bytes are compared */
        unsigned retry_count;   /* executions used before this one */
        unsigned poll_count;    /* this handing out; with the id it is the fence of its result */
        int64_t scheduled_msec; /* epoch */
        int64_t row;            /* the queue's own key; 0 elsewhere */
        void *holding;          /* a server's source keeps its own record of it; NULL elsewhere */
        Slice json;             /* the whole task object, one line */
} Task;

/* Copies id, type and json into one allocation. */
int task_new(Task **ret, const char *id, const char *type, Slice json);
Task *task_ref(Task *task);
Task *task_unref(Task *task);
DEFINE_CLEANUP(Task *, task_unref);
uint64_t task_id_hash(Slice id);

/* Bounds of what a result may hold, beside limits.output. */
#define OUTCOME_REASON_MAX ((size_t)64 * 1024) /* longer: cut at a character, start kept */
#define OUTCOME_LOGS_MAX   1000 /* further lines are dropped and counted in a last line */

typedef struct Outcome {
        TaskStatus status;
        Slice output; /* raw JSON object; SLICE_NULL: none given */
        Slice reason; /* text, not escaped; SLICE_NULL: none */
        Slice logs;   /* raw JSON array of {"log","createdTime"} objects; SLICE_NULL: none */
        int64_t callback_after_msec; /* IN_PROGRESS: put back for that long; absent: 1000 */
        int64_t retry_after_msec;    /* FAILED: the least delay before the next try; -1: none */
        /* the bytes that the slices point into follow in the same allocation */
} Outcome;

/* A result of our own making: no output, no logs; reason is copied (NULL: none). */
int outcome_new(Outcome **ret, TaskStatus status, const char *reason);
int outcome_newf(Outcome **ret, TaskStatus status, const char *format, ...) _printf_(3, 4);
Outcome *outcome_free(Outcome *outcome);
DEFINE_CLEANUP(Outcome *, outcome_free);

/* Reads the members of a result: a persistent worker's "result" message or the stdout of a per-task
 * command (text that json_check accepted and that is an object). Follows the contract of
 * Conductor's command line: keys in any letter case, unknown keys ignored, status exactly one of
 * ours else FAILED with "invalid status from worker: FAILED" (output and logs kept), output an
 * object or null, logs strings or {log, createdTime} objects (empty lines are left out), reason a
 * string. outputData, reasonForIncompletion accepted too. 0, -ENOMEM, or -EBADMSG with *ret_error
 * (fresh text) naming the member and what is wrong with it. */
int outcome_parse(Slice object, Outcome **ret, char **ret_error);

/* Puts log lines before the outcome's own: elements as in logs, without the brackets. *outcome is
 * replaced; untouched on failure (-ENOMEM). */
int outcome_prepend_logs(Outcome **outcome, Slice elements);
