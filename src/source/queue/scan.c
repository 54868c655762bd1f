/* SPDX-License-Identifier: Apache-2.0 */

#include "source/queue/scan.h"

/* What a step may take, and after how many rows the clock is read. */
#define STEP_USEC      (5 * USEC_PER_MSEC)
#define ROWS_PER_CLOCK 64

/* * any number of bytes, ? one byte. */
static bool glob_matches(const char *pattern, const char *text)
{
        const char *star = NULL, *retry = NULL;

        while (*text) {
                if (*pattern == '*') {
                        star = pattern++;
                        retry = text;
                } else if (*pattern == '?' || *pattern == *text) {
                        pattern++;
                        text++;
                } else if (star) {
                        pattern = star + 1;
                        text = ++retry;
                } else {
                        return false;
                }
        }
        while (*pattern == '*')
                pattern++;
        return *pattern == '\0';
}

int scan_init(Scan *scan, const Queue *queue, const QueueFilter *filter)
{
        *scan = (Scan){ .statuses = filter->statuses, .until = INT64_MAX };
        if (filter->since_msec > 0)
                scan->after = queue_row_from_msec(filter->since_msec) - 1;
        if (!filter->type)
                return 0;
        scan->n_types = queue->n_types;
        scan->types = calloc(queue->n_types + 1, sizeof(bool));
        if (!scan->types)
                return -ENOMEM;
        for (size_t i = 0; i < queue->n_types; i++)
                scan->types[i] =
                        queue->types[i] && glob_matches(filter->type, queue->types[i]->name);
        return 0;
}

void scan_deinit(Scan *scan)
{
        free(scan->types);
        scan->types = NULL;
}

static bool matches(const Scan *scan, const ScanRow *row)
{
        if (scan->statuses != 0 && !(scan->statuses >> state_to_status(row->state) & 1))
                return false;
        return !scan->types || (row->type >= 1 && (uint64_t)row->type <= scan->n_types &&
                                scan->types[row->type - 1]);
}

/* The few that run have an index of their own. */
static int prepare_scan(const Scan *scan, QueueStore *store, int64_t after, sqlite3_stmt **ret)
{
        bool running = scan->statuses == 1u << TASK_IN_PROGRESS;
        int r = db_prepare(store->db, running ? SQL_SCAN_RUNNING : SQL_SCAN, ret);

        if (r >= 0)
                (void)sqlite3_bind_int64(*ret, 1, after);
        return r;
}

int scan_step(const Scan *scan, QueueStore *store, int64_t *after, ScanRow *rows, size_t n,
              size_t *ret_n, bool *ret_ended)
{
        usec_t end = clock_monotonic_usec() + STEP_USEC;
        unsigned n_looked = 0;
        size_t n_found = 0;
        sqlite3_stmt *select;
        int r = prepare_scan(scan, store, *after, &select);

        if (r < 0)
                return r;
        while (n_found < n && (r = db_step(store->db, select)) > 0) {
                ScanRow row = { .row = sqlite3_column_int64(select, 0),
                                .type = sqlite3_column_int64(select, 1),
                                .state = (TaskState)sqlite3_column_int(select, 2) };

                if (row.row > scan->until) {
                        r = 0;
                        break;
                }
                *after = row.row;
                if (matches(scan, &row))
                        rows[n_found++] = row;
                if (++n_looked % ROWS_PER_CLOCK == 0 && clock_monotonic_usec() >= end)
                        break;
        }
        (void)sqlite3_reset(select);
        *ret_n = n_found;
        *ret_ended = r == 0;
        return MIN(r, 0);
}
