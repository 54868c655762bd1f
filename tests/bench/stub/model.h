#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The stub server's tasks: what a Conductor server would know of them, and beside it what proves
 * a loss: which result was accepted first, which others came, whether decide is owed.
 *
 *   SCHEDULED (ready in its queue, or waiting for a delay) -> IN_PROGRESS (handed to a poll)
 *     -> COMPLETED, FAILED, FAILED_WITH_TERMINAL_ERROR, CANCELED (a result), TIMED_OUT (silence)
 *     -> SCHEDULED (a result IN_PROGRESS: handed back)
 *   FAILED and TIMED_OUT make a new task, while the type's retryCount allows one.
 *
 * Each task is its own workflow; its retries share it. Tasks are never freed before the end. */

#include "base/list.h"
#include "base/table.h"
#include "stub/timer.h"
#include "stub/text.h"

typedef enum StubStatus {
        STUB_SCHEDULED,
        STUB_IN_PROGRESS,
        STUB_COMPLETED,
        STUB_FAILED,
        STUB_FAILED_TERMINAL,
        STUB_CANCELED,
        STUB_TIMED_OUT,
        _STUB_STATUS_MAX,
        _STUB_STATUS_INVALID = -EINVAL,
} StubStatus;

const char *stub_status_to_string(StubStatus status);
StubStatus stub_status_from(Slice text);

typedef struct StubType {
        TableLink link;
        ListLink all;
        const char *name;
        char *definition; /* as it was registered; NULL: never */
        int64_t retry_count;
        usec_t retry_delay;
        int64_t response_timeout_seconds; /* 0: none */
        int64_t poll_timeout_seconds;
} StubType;

/* One per type and domain that was ever named. */
typedef struct StubQueue {
        TableLink link;
        ListLink all;
        StubType *type;
        const char *domain; /* NULL: none; "" is one of its own, as on a real server */
        ListLink ready;     /* tasks */
        size_t n_ready;
        ListLink polls; /* waiting, oldest first: see poll.h */
        size_t n_in_progress, n_in_progress_max;
        uint64_t n_polls;
        usec_t last_poll, gap_max; /* from the end of a poll to the end of the next one */
} StubQueue;

/* What the tasks of one /stub/tasks have in common. */
typedef struct StubBatch StubBatch;
struct StubBatch {
        StubBatch *next;
        char *input;  /* JSON; "@n@" in it, quotes and all, is the task's number */
        char *expect; /* the output that its handler must give, likewise; NULL: any */
        bool is_full; /* the 3.6 KB shape of a real task, else 1 KB */
        uint32_t n_tasks;
};

typedef struct StubTask {
        ListLink link; /* in queue->ready */
        StubQueue *queue;
        StubBatch *batch;
        StubTimer timer; /* SCHEDULED: ready then; IN_PROGRESS: the response timeout */
        const char *worker;
        char *output, *reason;
        size_t output_size;
        uint64_t result_hash; /* of the accepted result */
        usec_t ready_usec, given_usec;
        int64_t scheduled_msec, start_msec, update_msec, end_msec;
        uint32_t index, number,
                root; /* number: in its batch, from 1; root: first of its workflow */
        uint32_t retried_by, retry_of; /* indices, 0: none */
        uint32_t poll_count, retry_count;
        uint32_t n_ignored;     /* results that came when it had ended, with the accepted content */
        uint32_t n_conflicting; /* the same with another content */
        uint32_t n_handed_back, n_leases, n_logs;
        uint8_t status;
        bool is_ready, undecided, wrong;
} StubTask;

typedef struct StubResult {
        StubStatus status; /* _STUB_STATUS_INVALID: absent or unknown */
        bool extend_lease, bad_log;
        Slice output, reason, worker; /* raw JSON or SLICE_NULL; worker decoded */
        int64_t callback_seconds;     /* may be negative, as sent */
        uint32_t n_logs;
} StubResult;

typedef enum StubVerdict {
        VERDICT_IGNORED,  /* the task had ended */
        VERDICT_ACCEPTED, /* it has ended by this */
        VERDICT_RETURNED, /* it is SCHEDULED again, or its lease was extended */
} StubVerdict;

/* Durations in microseconds, kept until the statistics are reset. */
typedef enum StubSpan {
        SPAN_HANDOUT, /* ready -> handed to a poll */
        SPAN_PICKUP,  /* ready -> handler started, if its output says "start" (monotonic usec) */
        SPAN_SETTLE,  /* handed out -> result accepted */
        _STUB_SPAN_MAX,
} StubSpan;

typedef struct StubSpans {
        uint32_t *values;
        size_t n, n_allocated;
} StubSpans;

typedef struct StubModel {
        bool rejects_nul; /* as on Postgres: U+0000 in a result is 500, half stored */
        uint32_t n_tasks; /* indices 1 to n_tasks */
        uint64_t n_status[_STUB_STATUS_MAX];
        uint64_t n_undecided;
        uint64_t n_completed; /* ever; not reset */
        StubSpans spans[_STUB_SPAN_MAX];
        Table queues, types;
        ListLink all_queues, all_types;
        int64_t response_timeout_seconds; /* of types that are not defined; 0: none */
        StubBatch *batches;
} StubModel;

extern StubModel model;

void model_init(void);
void model_deinit(void);

StubType *model_type(Slice name);
/* NULL if it was never named. */
StubType *model_find_type(Slice name);
void model_define(StubType *type, Slice definition);
StubQueue *model_queue(Slice type, Slice domain);

StubBatch *model_batch(Slice input, Slice expect, bool is_full);
/* A new task, not ready yet. */
StubTask *model_task_new(StubQueue *queue, StubBatch *batch);
StubTask *model_task(uint32_t index);
StubTask *model_find_task(Slice id);
/* Appends it to its queue, now or later; whoever does it calls poll_serve afterwards. */
void model_ready(StubTask *task);
void model_ready_at(StubTask *task, usec_t due);
/* The first ready task of the queue is in progress with this worker; NULL: there is none. */
StubTask *model_take(StubQueue *queue, const char *worker);
/* decide: whether the workflow goes on by this (else it is owed a decide). */
StubVerdict model_settle(StubTask *task, const StubResult *result, bool decide);
void model_cancel(StubTask *task);
void model_decide(StubTask *task);
/* Not COMPLETED by exactly one result of the right content, or owed a decide. */
bool model_is_wrong(const StubTask *task);

void spans_add(StubSpans *spans, usec_t value);
/* {"n":…,"p50":…,"p90":…,"p99":…,"max":…}; sorts. */
void spans_put(Buffer *buffer, StubSpans *spans);
