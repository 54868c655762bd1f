/* SPDX-License-Identifier: Apache-2.0 */

#include "pool/pool-stats.h"

#include <string.h>
#include "base/macro.h"

void pool_stats_add(PoolStats *stats, bool failed, usec_t run_usec)
{
        unsigned at = stats->next_result;

        stats->total.n_processed++;

        if (stats->n_results == POOL_STATS_RESULTS)
                stats->n_failed_results -= stats->results[at];
        else
                stats->n_results++;
        stats->results[at] = failed;
        stats->n_failed_results += failed;
        stats->next_result = at + 1 == POOL_STATS_RESULTS ? 0 : at + 1;

        stats->runs[stats->next_run] = (float)run_usec;
        stats->next_run = (stats->next_run + 1) % POOL_STATS_RUNS;
        stats->n_runs = MIN(stats->n_runs + 1, POOL_STATS_RUNS);
}

void pool_stats_set_error(PoolStats *stats, const char *message, size_t size, const char *remedy)
{
        size_t n = MIN(size, sizeof(stats->error) - 1);

        /* not in the middle of a UTF-8 sequence */
        if (n < size)
                while (n > 0 && ((unsigned char)message[n] & 0xC0) == 0x80)
                        n--;
        if (n > 0)
                memcpy(stats->error, message, n);
        stats->error[n] = '\0';
        stats->error_msec = clock_epoch_msec();
        stats->error_remedy = remedy;
}

double pool_stats_error_rate(const PoolStats *stats)
{
        return stats->n_results == 0 ? 0 : (double)stats->n_failed_results / stats->n_results;
}

static int compare_floats(const void *a, const void *b)
{
        float x = *(const float *)a, y = *(const float *)b;

        return (x > y) - (x < y);
}

void pool_stats_percentiles(const PoolStats *stats, usec_t *ret_p50, usec_t *ret_p99)
{
        float sorted[POOL_STATS_RUNS];
        unsigned n = stats->n_runs;

        if (n == 0) {
                *ret_p50 = *ret_p99 = 0;
                return;
        }
        memcpy(sorted, stats->runs, n * sizeof(sorted[0]));
        qsort(sorted, n, sizeof(sorted[0]), compare_floats);
        /* nearest rank: the smallest value that at least p per cent do not exceed */
        *ret_p50 = (usec_t)sorted[(n * 50 + 99) / 100 - 1];
        *ret_p99 = (usec_t)sorted[(n * 99 + 99) / 100 - 1];
}

bool pool_stats_take_minute(PoolStats *stats, PoolCounters *ret)
{
        const PoolCounters *now = &stats->total, *before = &stats->minute;
        PoolCounters delta = {
                .n_processed = now->n_processed - before->n_processed,
                .n_completed = now->n_completed - before->n_completed,
                .n_failed = now->n_failed - before->n_failed,
                .n_retried = now->n_retried - before->n_retried,
                .n_canceled = now->n_canceled - before->n_canceled,
                .n_handed_back = now->n_handed_back - before->n_handed_back,
                .n_crashes = now->n_crashes - before->n_crashes,
                .n_starts = now->n_starts - before->n_starts,
        };
        static const PoolCounters none;

        stats->minute = stats->total;
        *ret = delta;
        return memcmp(&delta, &none, sizeof(delta)) != 0;
}
