#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A source as the pools see it: hands over at most the credit that a pool has free, takes back what
 * became of each task. Owned by the manager. Everything here is called on the loop and never waits
 * for a disk or a network; answers come by callback, later.
 *
 * A pool subscribes once. Its credit is how many more tasks it can take now; each task handed over
 * lowers it by one, source_set_credit sets it anew (0 while paused, draining, backing off). */

#include <systemd/sd-event.h>
#include "config/config.h"
#include "task/task.h"

typedef struct Source Source;
typedef struct Subscription Subscription;

/* Why a task in hand must be stopped; its result is not wanted any more. */
typedef enum CancelCause {
        CANCEL_ASKED,    /* someone cancelled it */
        CANCEL_DEADLINE, /* its own deadline passed */
        CANCEL_SETTLED,  /* it was settled or deleted from outside */
} CancelCause;

typedef struct SubscriptionCallbacks {
        /* n ≤ the credit; the references are the receiver's. */
        void (*on_tasks)(Subscription *subscription, Task **tasks, size_t n, void *userdata);
        /* The source has settled the task by itself and does not wait for it any more: settling
         * or releasing it is allowed, and answered as stale. */
        void (*on_cancel)(Subscription *subscription, Task *task, CancelCause cause,
                          void *userdata);
        /* A settled task reached its source: accepted with this status (a retry is SCHEDULED), or
         * refused (stale: status is _TASK_STATUS_INVALID). task is borrowed. May be NULL. */
        void (*on_settled)(Subscription *subscription, Task *task, TaskStatus status,
                           void *userdata);
        /* A released task is back, or was refused as stale. task is borrowed. May be NULL. */
        void (*on_released)(Subscription *subscription, Task *task, void *userdata);
} SubscriptionCallbacks;

/* What a source needs to know of a pool; strings are copied. */
typedef struct SubscriptionOptions {
        const char *pool;
        char *const *task_type;
        unsigned retry_attempts; /* where the task does not say itself */
        Backoff retry_backoff;
} SubscriptionOptions;

/* How the last execution of a task went, beside its outcome. Strings are borrowed for the call. */
typedef struct Settlement {
        const char *worker; /* "pool/n" */
        int64_t started_msec;
        int64_t ended_msec;
} Settlement;

int source_subscribe(Source *source, const SubscriptionOptions *options,
                     const SubscriptionCallbacks *callbacks, void *userdata, Subscription **ret);
/* Live change of retry policy and types. */
int source_alter(Subscription *subscription, const SubscriptionOptions *options);
void source_set_credit(Subscription *subscription, unsigned credit);
/* The outcome is now the source's; task: the source keeps its own reference until it is accepted.
 * COMPLETED, FAILED (the source decides about the retry), FAILED_WITH_TERMINAL_ERROR, IN_PROGRESS.
 */
void source_settle(Subscription *subscription, Task *task, Outcome *outcome,
                   const Settlement *settlement);
/* Hand back: someone else may have it at once; no attempt used. reason: for the history. */
void source_release(Subscription *subscription, Task *task, const char *reason);
/* progress: a JSON object; copied. */
void source_report_progress(Subscription *subscription, Task *task, Slice progress);
/* True once nothing handed over is unsettled and every settlement is accepted: the pool may go. */
bool source_is_quiet(const Subscription *subscription);
/* Tasks that are being fetched right now still arrive in on_tasks until the subscription is quiet;
 * with credit 0 and nothing under way it can be freed. */
Subscription *source_unsubscribe(Subscription *subscription);

/* Ends all that is under way with the source first (this waits for the disk); subscriptions that
 * are left die with it. */
Source *source_free(Source *source);
DEFINE_CLEANUP(Source *, source_free);

const char *source_name(const Source *source);
SourceType source_type(const Source *source);

/* For describe and health; all from memory. */
typedef struct SourceStatus {
        const char *state;    /* "ok", "full", "stalled", "failing" */
        const char *problem;  /* what is wrong and the remedy; NULL */
        uint64_t n_scheduled; /* waiting, delayed ones included */
        uint64_t n_delayed;   /* of them not yet due */
        uint64_t n_in_progress;
        uint64_t n_finished;    /* kept, all final states */
        uint64_t n_submitted;   /* since start */
        uint64_t n_settled;     /* since start */
        uint64_t bytes;         /* on disk */
        usec_t last_fetch_usec; /* monotonic: last fetch that worked (answered, even with nothing)
                                 */
        usec_t last_sync_usec;  /* how long the last commit took */
        usec_t stall_usec;      /* how long the storage has been at its current job; 0: idle */
} SourceStatus;
void source_get_status(Source *source, SourceStatus *ret);

typedef struct TypeStatus {
        const char *type;
        uint64_t n_scheduled; /* due and waiting */
        uint64_t n_delayed;
        uint64_t n_in_progress;
        int64_t oldest_msec; /* epoch: since when the oldest due one waits; 0: none */
        bool served;         /* a pool subscribes to it */
} TypeStatus;
typedef void (*type_visitor_t)(const TypeStatus *status, void *userdata);
void source_visit_types(Source *source, type_visitor_t visitor, void *userdata);
