#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Shared by the files of a pool: pool.c (switches, update, timer), pool-workers.c (how many, which,
 * when again), pool-dispatch.c (tasks). */

#include "base/list.h"
#include "base/ratelimit.h"
#include "pool/pool.h"

/* A process that ran this long proves that its handler works: the backoff of the next start begins
 * anew. */
#define POOL_STABLE_USEC (10 * USEC_PER_SEC)

/* After this many starts in a row that came to nothing, with no other worker ready, the pool counts
 * as failed: it shows in status, and on_event is told once. */
#define POOL_FAILED_STARTS 3

/* RSS is read from /proc: at most this often for each worker, after a task. */
#define POOL_MEMORY_INTERVAL_USEC USEC_PER_SEC

/* Nothing is fetched for so long after a worker could not take a task. */
#define POOL_NOT_TAKEN_PAUSE_USEC USEC_PER_SEC

/* How often a pool that has settled everything asks whether its source has too. */
#define POOL_QUIET_INTERVAL_USEC (20 * USEC_PER_MSEC)

/* A worker and what its pool has in mind for it. */
typedef struct Slot {
        Pool *pool; /* borrowed */
        Worker *worker;
        unsigned index;
        unsigned generation;     /* of the configuration its worker was made from */
        unsigned n_failures;     /* starts in a row without a stable run */
        unsigned n_tasks;        /* of this process */
        unsigned tasks_limit;    /* recycled after so many; 0: never */
        usec_t age_usec;         /* recycled then; USEC_INFINITY: never */
        usec_t started_usec;     /* monotonic; 0: no start under way */
        usec_t retry_usec;       /* not started before */
        usec_t memory_read_usec; /* when RSS was looked at last */
        bool surplus;            /* goes for good once it has stopped */
        bool recycle;            /* its process has served its time */
        bool restart;            /* someone asked for a new process */
        bool replacing;          /* being replaced: drained, not ready again yet */
} Slot;

/* Why a pool counts as failed. */
typedef enum PoolFailure {
        POOL_FAILURE_NONE,
        POOL_FAILURE_EXEC,    /* the handler cannot be started: one worker tries, now and then */
        POOL_FAILURE_CRASHES, /* it starts and dies: each worker goes on trying with its backoff */
} PoolFailure;

/* A settlement that its source has not accepted and that someone wants to hear of. */
typedef struct Pending {
        ListLink link;
        Task *task;
        TaskStatus status; /* as the handler said */
        char worker[64];
        char reason[200];
} Pending;

struct Pool {
        PoolContext *context; /* borrowed */
        Source *source;       /* borrowed */
        ConfigPool *base;     /* as the files have it */
        ConfigPool *config;   /* in effect */
        char **settings;      /* "key=value" of pool_set, applied on top of base */

        Subscription *subscription;
        Slot **slots;
        size_t n_slots;
        size_t next_slot;    /* where the search for a free worker begins */
        unsigned generation; /* raised when workers have to be made anew */

        ListLink queue; /* tasks that were fetched and found no worker free */
        unsigned n_queue;
        unsigned n_running_tasks; /* dispatched, not reported */
        unsigned credit;          /* as told to the source */
        bool credit_stale;        /* a task was settled since: a source may count on its place */
        ListLink pending;

        RateLimit rate;
        unsigned n_errors_in_row;
        unsigned n_error_backoffs;
        usec_t error_backoff_usec; /* fetches nothing before; 0: off */

        PoolFailure failure;
        usec_t probe_usec; /* FAILURE_EXEC: not tried again before */
        unsigned n_probes; /* in a row that failed */

        bool paused;
        bool rolling; /* replace one by one */
        bool draining;
        bool settled; /* it has left STARTING, which it never enters again */
        usec_t created_usec;
        PoolState reported; /* last state that was logged */

        sd_event_source *update; /* deferred, armed by pool_mark */
        sd_event_source *timer;
        usec_t marked_usec; /* 0: nothing to do */
        usec_t wake_usec;   /* what timer is set to */
        usec_t minute_usec; /* when the counter line is due; USEC_INFINITY: nothing to tell */

        PoolStats stats;
};

/* pool.c */

/* Something changed: pool_update runs in this loop pass. */
void pool_mark(Pool *pool);
/* event: borrowed strings for what is not the pool's; filled with name and time. */
void pool_emit(Pool *pool, EventType type, const char *worker, const Task *task, const char *status,
               const char *message);
static inline bool pool_wants(const Pool *pool, EventType type)
{
        return event_set_has(pool->context->events_wanted, type);
}
void pool_fail(Pool *pool, PoolFailure failure, const char *message, const char *remedy);
void pool_recover(Pool *pool);

/* pool-workers.c */

unsigned pool_wanted_workers(const Pool *pool);
unsigned pool_n_ready(const Pool *pool);
/* Adds, starts, replaces and drains; lowers *wake_usec to when it wants to be called again. */
int pool_update_workers(Pool *pool, usec_t now_usec, usec_t *wake_usec);
void pool_on_worker(Worker *worker, const WorkerReport *report, void *userdata);
/* After a task: is the process due for recycling? */
void slot_check_recycle(Slot *slot);
void pool_free_slots(Pool *pool);

/* pool-dispatch.c */

/* Neither paused nor draining. */
bool pool_takes_tasks(const Pool *pool);
extern const SubscriptionCallbacks pool_subscription_callbacks;
void pool_dispatch_queue(Pool *pool);
void pool_release_queue(Pool *pool, const char *reason);
void pool_update_credit(Pool *pool, usec_t now_usec, usec_t *wake_usec);
void pool_on_task(Slot *slot, const WorkerReport *report);
void pool_free_tasks(Pool *pool);
