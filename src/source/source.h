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
        /* Its worker has been killed and does not go: nothing more is done to keep the task. May be
         * NULL: none is. */
        bool (*is_stuck)(Subscription *subscription, const Task *task, void *userdata);
        /* A released task is back, or was refused as stale. task is borrowed. May be NULL. */
        void (*on_released)(Subscription *subscription, Task *task, void *userdata);
} SubscriptionCallbacks;

/* What a source needs to know of a pool; strings are copied. */
typedef struct SubscriptionOptions {
        const char *pool;
        char *const *task_type;
        /* Queue: */
        unsigned retry_attempts; /* where the task does not say itself */
        Backoff retry_backoff;
        /* Conductor: */
        const char *domain; /* NULL: none */
        unsigned batch;     /* most tasks in one answer */
        usec_t poll_timeout_usec;
        usec_t poll_interval_usec;
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
        usec_t problem_usec;  /* monotonic: since when; 0: it is not known */
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
        /* A server's; 0 and NULL for a queue. */
        const char *cause;         /* "dns", "connect", "tls", "auth", …; NULL: it answers */
        unsigned n_failures;       /* in a row */
        usec_t retry_usec;         /* monotonic: not asked before; 0: no backoff */
        const char *sweep_problem; /* why tasks that were handed out in an answer that was never
                                      read are not found; NULL: they are */
        usec_t watch_usec;         /* a cancelled task is noticed within this */
        uint64_t n_resent;
} SourceStatus;
void source_get_status(Source *source, SourceStatus *ret);

/* Of one pool at its source, since its subscription began; 0 where the source has no such thing. */
typedef struct SubscriptionStatus {
        unsigned n_in_hand;       /* handed over, not settled */
        unsigned n_polls;         /* under way */
        usec_t last_poll_usec;    /* monotonic: last that was answered well; 0: none yet */
        usec_t poll_latency_usec; /* of the last poll that brought something, beyond its waiting */
        uint64_t n_polled;        /* tasks that came */
        uint64_t n_completed, n_failed, n_put_back, n_handed_back, n_canceled;
        int64_t n_queued; /* waiting at the server; -1: not known */
        const char *worker_id;
        const char *problem; /* what is wrong with this pool's polls; NULL */
} SubscriptionStatus;
void source_get_subscription_status(Subscription *subscription, SubscriptionStatus *ret);

/* When a drain must not end before: answers that may bring tasks are still under way; monotonic,
 * 0: none. */
usec_t source_busy_until_usec(const Source *source);

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
