#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The queue's own structs, shared by the files of this folder: each holds one kind of job, both its
 * half on the storage thread (run, with the QueueStore) and its half on the loop (post, done).
 *
 * The loop keeps counts of every type, exact as of the last job done, so that status and the
 * decision to fetch cost no disk. A task handed out is a Holding: in queue->holdings while the pool
 * has it, then on queue->settling until a job that settles it was accepted. */

#include "base/json.h"
#include "base/list.h"
#include "base/table.h"
#include "source/queue/queue.h"
#include "source/queue/id.h"
#include "source/queue/store.h"
#include "source/source-class.h"

typedef struct Queue Queue;
typedef struct QueueJob QueueJob;
typedef struct QueueSubscription QueueSubscription;

/* Rows that one job reads or changes at most, so that others get their turn: a few milliseconds. */
#define QUEUE_CHUNK_ROWS 500

/* With those of pools: what is submitted must not keep a pool from its types. */
#define QUEUE_TYPES_SERVED_MAX (2 * QUEUE_TYPES_MAX)

/* Never freed before the queue; id and names never change, so the storage thread may read them. */
typedef struct QueueType {
        TableLink by_name;
        int64_t id;
        char *name;
        char *json;  /* the name as a JSON string */
        bool stored; /* a job that wrote it was done */
        unsigned n_subscriptions;
        unsigned n_submitting; /* submit jobs under way that may bring some */
        uint64_t generation;   /* raised whenever there may be more ready ones */
        int64_t n_ready, n_delayed, n_running;
        int64_t head_msec; /* since when the next in line waits; 0: none */
} QueueType;

struct QueueJob {
        StorageJob storage;
        Queue *queue;
        bool probe; /* its success alone does not end a row of troubles */
        bool wrote; /* the thread's: it changed something, so its success says that writing works */
        Tally tally;
        /* On the storage thread; from scratch each time; the tally is cleared before. */
        int (*run)(QueueJob *job, QueueStore *store);
        /* On the loop; counts and trouble are up to date. Frees the job, or posts it again. */
        void (*done)(QueueJob *job, int error);
};

struct QueueCall {
        QueueJob job;
        bool abandoned;
        void *userdata;
};

typedef enum HoldingEnd {
        HOLDING_HELD,
        HOLDING_SETTLED,
        HOLDING_RELEASED,
        HOLDING_STALE, /* settled or released although it was not held any more */
} HoldingEnd;

typedef struct Holding {
        TableLink by_row;   /* while held */
        ListLink link;      /* held: of its subscription; else of settling, or of a job */
        ListLink reporting; /* has progress that is not written */
        QueueSubscription *subscription;
        Task *task;
        int64_t type;
        unsigned attempts_max; /* the task's own; 0: the pool's */
        unsigned flags;
        char *progress; /* not written yet; NULL: none */

        HoldingEnd end;
        Outcome *outcome;
        char *worker;
        char *reason; /* of a release */
        int64_t started_msec, ended_msec;
        /* Of the settlement, decided when it is made. */
        TaskState state;
        int64_t scheduled_msec;
        bool accepted; /* the storage thread's answer: the row was still this execution's */
} Holding;

struct QueueSubscription {
        Subscription subscription;
        ListLink link;  /* of the queue; unlinked once unsubscribed */
        unsigned n_ref; /* itself, each holding that is settling, and each claim under way */
        SubscriptionCallbacks callbacks;
        void *userdata;
        char *pool;
        char *pool_json;
        QueueType **types;
        size_t n_types;
        size_t turn; /* the type that goes first in the next claim */
        unsigned retry_attempts;
        Backoff retry_backoff;
        unsigned credit;
        bool claiming;
        uint64_t seen_generation; /* sum over its types when the last claim was posted */
        bool last_claim_empty;
        ListLink held;
        size_t n_unsettled; /* held or settling */
};

struct Queue {
        Source source;
        Storage *storage;
        sd_event *event;
        char *path;
        bool sync; /* durability is full */
        uint64_t max_tasks, max_bytes;
        int64_t retention_msec; /* INT64_MAX: for ever */
        int64_t step_msec;

        QueueStore store;  /* the storage thread's */
        QueueType **types; /* types[id - 1]; NULL where an id was never stored */
        size_t n_types, types_capacity;
        Table types_by_name;

        ListLink subscriptions;
        Table holdings;     /* by row */
        ListLink settling;  /* not posted yet */
        ListLink outgoing;  /* jobs of this pass of the loop */
        ListLink reporting; /* holdings with progress that is not written */
        bool closing;

        int64_t n_ready, n_delayed, n_running, n_ended;
        int64_t n_submitting; /* tasks of submit jobs under way */
        uint64_t bytes_submitting;
        uint64_t n_submitted, n_settled;
        uint64_t bytes;
        usec_t last_fetch_usec;

        sd_event_source *flush;    /* deferred: posts what a pass of the loop has collected */
        sd_event_source *clock;    /* CLOCK_REALTIME: the next due task, deadline or purge */
        sd_event_source *retry;    /* after trouble */
        sd_event_source *reporter; /* one write of progress a second */
        bool retry_armed, reporter_armed;
        int64_t alarm_msec[_ALARM_MAX]; /* epoch: the earliest, or before it; INT64_MAX: none */
        bool alarm_posted[_ALARM_MAX];
        int64_t clock_msec; /* what the clock stands at */

        int trouble; /* -errno of the last job that failed to write; 0: all is well */
        unsigned n_troubles;
        char problem[512]; /* what the last status said */

        queue_listener_t listener;
        void *listener_userdata;
};

static inline Queue *queue_of(Source *source)
{
        return container_of(source, Queue, source);
}

/* queue.c */
/* To the storage thread at the end of this pass of the loop. */
void queue_post(Queue *queue, QueueJob *job);
void queue_job_deinit(QueueJob *job);
/* Has queue_flush called at the end of this pass of the loop. */
void queue_wake(Queue *queue);
/* Room for tasks that are to become unfinished, in number and bytes; the text names limit and
 * remedy. */
bool queue_has_room(const Queue *queue, uint64_t n, uint64_t bytes);
void queue_room_text(const Queue *queue, char *text, size_t size);
/* Says what is wrong with the database and what to do. */
void queue_trouble_text(const Queue *queue, int error, char *text, size_t size);
#define QUEUE_TEXT_MAX 512 /* of the two */

/* types.c */
/* Made if it is new and there are fewer than max: else -ENOBUFS. */
int queue_type_get(Queue *queue, Slice name, size_t max, QueueType **ret);
QueueType *queue_type_find(const Queue *queue, Slice name);
QueueType *queue_type_by_id(const Queue *queue, int64_t id);
int queue_types_load(Queue *queue);
void queue_types_free(Queue *queue);
void queue_apply_tally(Queue *queue, const Tally *tally);

/* fetch.c */
void queue_fetch(Queue *queue);

/* subscription.c */
int queue_subscribe(Source *source, const SubscriptionOptions *options,
                    const SubscriptionCallbacks *callbacks, void *userdata, Subscription **ret);
int queue_subscription_alter(Subscription *subscription, const SubscriptionOptions *options);
void queue_set_credit(Subscription *subscription, unsigned credit);
bool queue_is_quiet(const Subscription *subscription);
void queue_unsubscribe(Subscription *subscription);
QueueSubscription *subscription_ref(QueueSubscription *subscription);
void subscription_unref(QueueSubscription *subscription);

/* holding.c */
int holding_new(QueueSubscription *subscription, Task *task, Holding **ret);
Holding *holding_free(Holding *holding);
Holding *holding_find(const Queue *queue, int64_t row);
/* Tells the pool of a task that ended without it. */
void holding_cancel(Queue *queue, int64_t row, CancelCause cause);

/* settle.c */
void queue_settle(Subscription *subscription, Task *task, Outcome *outcome,
                  const Settlement *settlement);
void queue_release(Subscription *subscription, Task *task, const char *reason);
void queue_post_settling(Queue *queue);

/* progress.c */
void queue_post_progress(Queue *queue);
void queue_report_progress(Subscription *subscription, Task *task, Slice progress);

/* recover.c: all in queue_new's thread, before any job. */
int queue_recover(Queue *queue);

/* clock.c */
int queue_clock_start(Queue *queue);
void queue_clock_stop(Queue *queue);
void queue_clock_arm(Queue *queue);
/* Comes back to what failed, later each time in a row. */
void queue_retry_arm(Queue *queue);
void queue_reporter_arm(Queue *queue, usec_t interval_usec);
