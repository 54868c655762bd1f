/* SPDX-License-Identifier: Apache-2.0 */

/* What SQLite can do at most with the queue's own statements: a plain loop without threads, task
 * objects or counts. Tasks are inserted and settled in the groups in which the storage thread gets
 * them, each group one synced transaction; claims are transactions of their own, not synced.
 *
 *   bare-sqlite DIRECTORY N_TASKS
 *
 * Prints one JSON object. The database stays in the directory. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "source/queue/store.h"

#define INPUT_SIZE       200
#define N_INSERT         1000 /* one call of yardctl submit --from */
#define N_CLAIM          256  /* one claim of the queue; they are settled together too */
#define CHECKPOINT_PAGES 8000 /* as the storage thread when it is busy */

static const Slice output = SLICE_LITERAL("{\"n\":1}");

static QueueStore store;
static unsigned n_commits, n_checkpoints;

static void check(int r)
{
        if (r < 0)
                errx(1, "%s (%s)", strerror(-r), db_error_text(store.db));
}

static sqlite3_stmt *prepare(QueueStatement statement, int64_t row)
{
        sqlite3_stmt *prepared;

        check(db_prepare(store.db, statement, &prepared));
        (void)sqlite3_bind_int64(prepared, 1, row);
        return prepared;
}

static void commit(void)
{
        check(db_commit(store.db));
        n_commits++;
        if (db_wal_pages(store.db) < CHECKPOINT_PAGES)
                return;
        check(db_checkpoint(store.db));
        n_checkpoints++;
}

static void insert(int64_t now_msec, Slice input)
{
        int64_t row = queue_store_next_row(&store, now_msec);
        sqlite3_stmt *insert = prepare(SQL_TASK_INSERT, row), *set;

        (void)sqlite3_bind_int64(insert, 2, 1);
        (void)sqlite3_bind_int64(insert, 3, STATE_READY);
        (void)sqlite3_bind_int64(insert, 4, now_msec);
        (void)sqlite3_bind_int64(insert, 5, now_msec);
        (void)sqlite3_bind_int64(insert, 6, 0);
        (void)sqlite3_bind_int64(insert, 7, 0);
        (void)sqlite3_bind_null(insert, 8);
        (void)sqlite3_bind_null(insert, 9);
        check(db_run(store.db, insert));
        set = prepare(SQL_INPUT_SET, row);
        (void)db_bind_slice(set, 2, input);
        check(db_run(store.db, set));
}

/* Rows first, then their inputs and the claim itself. */
static size_t claim(int64_t *ret_rows)
{
        sqlite3_stmt *select = prepare(SQL_CLAIM_SELECT, 1);
        int64_t now_msec = clock_epoch_msec();
        size_t n = 0;
        int r;

        (void)sqlite3_bind_int64(select, 2, N_CLAIM);
        while ((r = db_step(store.db, select)) > 0)
                ret_rows[n++] = sqlite3_column_int64(select, 0);
        check(r);
        for (size_t i = 0; i < n; i++) {
                sqlite3_stmt *get = prepare(SQL_INPUT_GET, ret_rows[i]), *update;

                check(db_step(store.db, get));
                (void)sqlite3_reset(get);
                update = prepare(SQL_CLAIM, ret_rows[i]);
                (void)sqlite3_bind_int64(update, 2, now_msec);
                check(db_run(store.db, update));
        }
        return n;
}

static void settle(int64_t row, int64_t now_msec)
{
        sqlite3_stmt *end = prepare(SQL_END, row), *result;

        (void)sqlite3_bind_int64(end, 2, 1);
        (void)sqlite3_bind_int64(end, 3, STATE_ENDED);
        (void)sqlite3_bind_int64(end, 4, 1);
        (void)sqlite3_bind_int64(end, 5, now_msec);
        (void)sqlite3_bind_int64(end, 6, now_msec);
        check(db_run(store.db, end));
        result = prepare(SQL_RESULT_SET, row);
        (void)db_bind_slice(result, 2, SLICE_LITERAL("bench/1"));
        (void)sqlite3_bind_null(result, 3);
        (void)sqlite3_bind_null(result, 4);
        (void)db_bind_slice(result, 5, output);
        (void)sqlite3_bind_null(result, 6);
        (void)sqlite3_bind_int(result, 7, 0);
        check(db_run(store.db, result));
}

static void insert_group(size_t n, Slice input)
{
        int64_t now_msec = clock_epoch_msec();

        check(db_begin(store.db, true));
        for (size_t i = 0; i < n; i++)
                insert(now_msec, input);
        commit();
}

/* 0: nothing is ready. */
static size_t claim_group(int64_t *ret_rows)
{
        size_t n;

        check(db_begin(store.db, false));
        n = claim(ret_rows);
        commit();
        return n;
}

static void settle_group(const int64_t *rows, size_t n)
{
        int64_t now_msec = clock_epoch_msec();

        check(db_begin(store.db, true));
        for (size_t i = 0; i < n; i++)
                settle(rows[i], now_msec);
        commit();
}

static void run(size_t n_tasks)
{
        int64_t rows[N_CLAIM];
        char text[INPUT_SIZE + 1];
        int length = snprintf(text, sizeof(text), "{\"text\":\"%0*d\"}", INPUT_SIZE - 11, 0);

        for (size_t n_inserted = 0, n; n_inserted < n_tasks; n_inserted += n) {
                n = MIN((size_t)N_INSERT, n_tasks - n_inserted);
                insert_group(n, (Slice){ text, (size_t)length });
                for (size_t n_claimed; (n_claimed = claim_group(rows)) > 0;)
                        settle_group(rows, n_claimed);
        }
}

int main(int argc, char *argv[])
{
        char *error = NULL, *path = NULL;
        size_t n_tasks;
        usec_t begin, spent;

        if (argc != 3 || (n_tasks = strtoul(argv[2], NULL, 10)) < 1)
                errx(2, "usage: bare-sqlite DIRECTORY N_TASKS");
        if (asprintf(&path, "%s/bare.db", argv[1]) < 0)
                errx(1, "out of memory");
        if (queue_store_open(&store, path, &error) < 0)
                errx(1, "%s", error ?: "out of memory");
        begin = clock_monotonic_usec();
        run(n_tasks);
        spent = MAX(clock_monotonic_usec() - begin, (usec_t)1);
        printf("{\"tasks\":%zu,\"tasksPerSecond\":%.0f,\"commits\":%u,\"checkpoints\":%u}\n",
               n_tasks, (double)n_tasks * 1e6 / (double)spent, n_commits, n_checkpoints);
        queue_store_close(&store);
        free(path);
        return 0;
}
