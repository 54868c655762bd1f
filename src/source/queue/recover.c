/* SPDX-License-Identifier: Apache-2.0 */

/* What is done once, when the database was opened: executions of a dead predecessor are taken back,
 * and the counts are made. Runs before there is any job. */

#include <stdio.h>
#include "source/queue/internal.h"

/* A task that was running when the daemon died, this often in a row, is taken for the cause. */
#define CRASHES_MAX 3

typedef struct CrashedRow {
        int64_t row, type, started_msec;
        unsigned crashes, attempts, polls;
} CrashedRow;

static int read_crashed(QueueStore *store, CrashedRow **ret_rows, size_t *ret_n)
{
        _cleanup_free_ CrashedRow *rows = NULL;
        sqlite3_stmt *select;
        size_t n = 0, capacity = 0;
        int r = db_prepare(store->db, SQL_SELECT_RUNNING, &select);

        if (r < 0)
                return r;
        while ((r = db_step(store->db, select)) > 0) {
                if (n == capacity) {
                        size_t wanted = MAX((size_t)64, capacity * 2);
                        CrashedRow *p = realloc(rows, wanted * sizeof(*rows));

                        if (!p) {
                                (void)sqlite3_reset(select);
                                return -ENOMEM;
                        }
                        rows = p;
                        capacity = wanted;
                }
                rows[n++] = (CrashedRow){
                        .row = sqlite3_column_int64(select, 0),
                        .type = sqlite3_column_int64(select, 1),
                        .crashes = (unsigned)sqlite3_column_int64(select, 2) + 1,
                        .attempts = (unsigned)sqlite3_column_int64(select, 3),
                        .polls = (unsigned)sqlite3_column_int64(select, 4),
                        .started_msec = sqlite3_column_int64(select, 5),
                };
        }
        *ret_rows = TAKE_PTR(rows);
        *ret_n = n;
        return r;
}

static int count_crash(QueueStore *store, const CrashedRow *row)
{
        sqlite3_stmt *crashed;
        int r = db_prepare(store->db, SQL_CRASHED, &crashed);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(crashed, 1, row->row);
        (void)sqlite3_bind_int64(crashed, 2, row->crashes);
        return db_run(store->db, crashed);
}

/* Back to where it stood in line, no attempt used; or failed, as the likely cause. */
static int take_back(QueueStore *store, Tally *tally, const CrashedRow *row, int64_t now_msec)
{
        char reason[160];
        int r;

        (void)snprintf(reason, sizeof(reason),
                       "the daemon died while this task was running, %u times in a row: it is "
                       "taken for the cause (poison task) and not tried again",
                       row->crashes);
        if ((r = count_crash(store, row)) < 0 ||
            (r = queue_store_add_attempt(
                     store,
                     &(AttemptRow){
                             .row = row->row,
                             .poll_count = row->polls,
                             .attempt = row->attempts + 1,
                             .status = ATTEMPT_DAEMON_CRASHED,
                             .reason = SLICE_LITERAL("the daemon died meanwhile"),
                             .started_msec = row->started_msec,
                             .ended_msec = now_msec,
                     })) < 0 ||
            (r = row->crashes < CRASHES_MAX
                         ? store_run_row(store, SQL_MAKE_READY, row->row)
                         : store_end_task(store, tally, row->row, row->type, STATE_RUNNING,
                                          TASK_FAILED, slice_from_string(reason))) < 0)
                return r;
        return 0;
}

static int take_back_all(QueueStore *store, Tally *tally)
{
        _cleanup_free_ CrashedRow *rows = NULL;
        size_t n = 0;
        int r = db_begin(store->db, false);

        if (r >= 0)
                r = read_crashed(store, &rows, &n);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = take_back(store, tally, &rows[i], clock_epoch_msec());
        if (r >= 0)
                r = db_commit(store->db);
        if (r < 0)
                db_rollback(store->db);
        return r;
}

static int count_types(QueueStore *store, QueueStatement statement, Tally *tally, TaskState state)
{
        sqlite3_stmt *count;
        int r = db_prepare(store->db, statement, &count);

        if (r < 0)
                return r;
        while ((r = db_step(store->db, count)) > 0) {
                int64_t n = sqlite3_column_int64(count, 1);

                r = tally_add(tally, sqlite3_column_int64(count, 0), state, n);
                if (r < 0) {
                        (void)sqlite3_reset(count);
                        return r;
                }
        }
        return r;
}

static int read_value(QueueStore *store, QueueStatement statement, int64_t fallback, int64_t *ret)
{
        sqlite3_stmt *read;
        int r = db_prepare(store->db, statement, &read);

        return r < 0 ? r : db_run_int64(store->db, read, fallback, ret);
}

static int count_all(QueueStore *store, Tally *tally)
{
        int r;

        tally_clear(tally);
        if ((r = count_types(store, SQL_COUNT_READY, tally, STATE_READY)) < 0 ||
            (r = count_types(store, SQL_COUNT_DELAYED, tally, STATE_DELAYED)) < 0 ||
            (r = read_value(store, SQL_COUNT_ENDED, 0, &tally->n_ended)) < 0 ||
            (r = read_value(store, SQL_FIRST_DUE, INT64_MAX, &tally->alarm_msec[ALARM_DUE])) < 0 ||
            (r = read_value(store, SQL_FIRST_DEADLINE, INT64_MAX,
                            &tally->alarm_msec[ALARM_DEADLINE])) < 0 ||
            (r = read_value(store, SQL_FIRST_ENDED, INT64_MAX, &tally->alarm_msec[ALARM_PURGE])) <
                    0 ||
            (r = tally_finish(tally, store)) < 0)
                return r;
        return 0;
}

int queue_recover(Queue *queue)
{
        Tally tally = { 0 };
        int r = queue_types_load(queue);

        tally_clear(&tally);
        if (r >= 0)
                r = take_back_all(&queue->store, &tally);
        if (r >= 0)
                r = count_all(&queue->store, &tally);
        if (r >= 0)
                queue_apply_tally(queue, &tally);
        tally_deinit(&tally);
        return r;
}
