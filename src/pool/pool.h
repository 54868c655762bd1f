#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A pool: one handler, its workers, and the subscription that feeds them. Owned by the manager.
 *
 *   STARTING ──workers are ready──▶ RUNNING ◀──▶ DEGRADED      fewer workers ready than wanted
 *       │                             │  ▲
 *       │                             │  └─▶ BACKOFF           error_backoff: fetches nothing new
 *       └──────cannot run─────────────┴────▶ FAILED            retried with backoff, recovers
 * itself PAUSED: by an administrator; what runs goes on. DRAINING ──every worker gone, everything
 * settled──▶ STOPPED
 *
 * The state is derived from what the workers and the switches are, never stored; the one above wins
 * that stands further down here. What has to happen follows from the difference between what is
 * wanted and what is (pool_update, once per loop pass after anything changed): start, replace and
 * drain workers, dispatch, tell the source the credit. So nothing is lost when two changes meet. */

#include <systemd/sd-event.h>
#include "config/config.h"
#include "pool/event.h"
#include "pool/pool-stats.h"
#include "source/source.h"
#include "worker/worker.h"

typedef struct Pool Pool;

typedef enum PoolState {
        POOL_STATE_STARTING,
        POOL_STATE_RUNNING,
        POOL_STATE_DEGRADED,
        POOL_STATE_BACKOFF,
        POOL_STATE_FAILED,
        POOL_STATE_PAUSED,
        POOL_STATE_DRAINING,
        POOL_STATE_STOPPED,
        _POOL_STATE_MAX,
        _POOL_STATE_INVALID = -EINVAL,
} PoolState;

const char *pool_state_to_string(PoolState state);

/* What all pools share; outlives them. */
typedef struct PoolContext {
        sd_event *event;
        WorkerContext *worker;
        EventSet events_wanted; /* others are not built */
        /* Something happened. The pool must not be freed in it. */
        void (*on_event)(const Event *event, void *userdata);
        /* The state may have changed; comes from the loop. The pool may be freed in it. */
        void (*on_change)(Pool *pool, void *userdata);
        void *userdata;
} PoolContext;

/* Subscribes to source (borrowed) and starts the workers. */
int pool_new(Pool **ret, PoolContext *context, Source *source, ConfigPool *config);
/* Kills what still runs. Tasks in hand are forgotten: only after a drain, or when all ends. */
Pool *pool_free(Pool *pool);
DEFINE_CLEANUP(Pool *, pool_free);

/* The pool as its file has it now; source and task_type may differ only within the same source
 * (POOL_REPLACE is the manager's work). What pool_set changed stays. */
int pool_apply(Pool *pool, ConfigPool *config);
/* Live keys, "key=value" each, all or none, until the daemon ends. CONFIG_E_INVALID with
 * *ret_message. */
int pool_set(Pool *pool, char *const *settings, char **ret_message);
void pool_pause(Pool *pool);
void pool_resume(Pool *pool);
/* Replaces every worker after the tasks it holds: one after the other, or all at once. */
void pool_restart(Pool *pool, bool rolling);
/* Workers that pool_restart (or a changed restart key) has still to replace. */
unsigned pool_n_to_replace(const Pool *pool);

/* Takes nothing new, hands back what has not started, ends each worker after its tasks. */
void pool_drain(Pool *pool);
/* While draining: what runs is stopped and handed back (worker_stop), or killed now. */
void pool_stop(Pool *pool);
void pool_kill(Pool *pool);

/* Ready, or waited for as long as start_timeout says. */
bool pool_is_settled(const Pool *pool);
/* No process, no task, nothing unsettled. */
bool pool_is_stopped(const Pool *pool);
/* What pool_update had to do was done within max_usec: the pool really turns. */
bool pool_turns(const Pool *pool, usec_t now_usec, usec_t max_usec);

const char *pool_name(const Pool *pool);
/* As in effect, pool_set included. */
const ConfigPool *pool_config(const Pool *pool);
/* As the files have it. */
const ConfigPool *pool_base_config(const Pool *pool);
Source *pool_source(const Pool *pool);
Subscription *pool_subscription(const Pool *pool);
PoolState pool_state(const Pool *pool);
const PoolStats *pool_stats(const Pool *pool);

/* For describe: what is not in config or stats. */
typedef struct PoolStatus {
        bool paused;
        unsigned n_wanted;
        unsigned n_running; /* ready, or stopping with a task in hand */
        unsigned n_busy;
        unsigned n_in_hand; /* tasks: running and not yet dispatched */
        bool fetching;      /* takes tasks as soon as a worker is free */
} PoolStatus;
void pool_get_status(const Pool *pool, PoolStatus *ret);

typedef struct PoolWorkerStatus {
        Worker *worker;
        const char *state; /* worker_state_to_string, or "backoff" */
} PoolWorkerStatus;
typedef void (*pool_worker_visitor_t)(const PoolWorkerStatus *status, void *userdata);
/* In order of their index. */
void pool_visit_workers(const Pool *pool, pool_worker_visitor_t visitor, void *userdata);
