#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What a pool has done: counters since the daemon's start, the share of failures among the last
 * executions, run times, the last error. Pure; everything is in memory and of fixed size. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/clock.h"
#include "worker/worker.h"

/* How many executions error_rate looks back on, and how many run times the percentiles use. */
#define POOL_STATS_RESULTS 100
#define POOL_STATS_RUNS    512

typedef struct PoolCounters {
        uint64_t n_processed; /* executions that ended with an outcome */
        uint64_t n_completed;
        uint64_t n_failed; /* executions, each attempt counts */
        uint64_t n_retried;
        uint64_t n_canceled;
        uint64_t n_handed_back;
        uint64_t n_crashes;
        uint64_t n_starts;
        uint64_t n_exits[_WORKER_EXIT_CAUSE_MAX]; /* of processes, by why they ended */
} PoolCounters;

typedef struct PoolStats {
        PoolCounters total;
        PoolCounters minute; /* total as it was when the last counter line was written */

        bool results[POOL_STATS_RESULTS]; /* ring: true: failed */
        unsigned n_results;               /* valid ones */
        unsigned next_result;
        unsigned n_failed_results;

        float runs[POOL_STATS_RUNS]; /* ring, microseconds; a float's 24 bits are exact enough */
        unsigned n_runs;
        unsigned next_run;

        int64_t error_msec;       /* epoch; 0: no error yet */
        char error[320];          /* cut at a character */
        const char *error_remedy; /* static text or NULL */
} PoolStats;

/* An execution that ended. */
void pool_stats_add(PoolStats *stats, bool failed, usec_t run_usec);
/* remedy: static text, or NULL. */
void pool_stats_set_error(PoolStats *stats, const char *message, size_t size, const char *remedy);

double pool_stats_error_rate(const PoolStats *stats);
/* Both 0 before the first run. */
void pool_stats_percentiles(const PoolStats *stats, usec_t *ret_p50, usec_t *ret_p99);

/* What was counted since the last call; false if nothing was. */
bool pool_stats_take_minute(PoolStats *stats, PoolCounters *ret);
