/* SPDX-License-Identifier: Apache-2.0 */

/* The queue's own statements in a bare loop: no socket, no JSON, no workers, no second thread. What
 * is left is what SQLite takes for it, with the group sizes of the real thing.
 *
 *     bare-sqlite FOLDER TASKS
 */

#include <inttypes.h>
#include <stdio.h>
#include "base/clock.h"
#include "source/queue-store.h"

#define SUBMIT_GROUP 1000
#define CLAIM_GROUP  256

static const char input[] =
        "{\"text\":"
        "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "x"
        "xxxxxxxxxxxx\"}";

static void check(int r, const char *what)
{
        if (r >= 0)
                return;
        (void)fprintf(stderr, "bare-sqlite: %s: %s\n", what, strerror(-r));
        exit(EXIT_FAILURE);
}

static sqlite3_stmt *prepare(QueueStore *store, QueueStatement statement)
{
        sqlite3_stmt *prepared;

        check(db_prepare(store->db, statement, &prepared), "prepare");
        return prepared;
}

static void submit(QueueStore *store, size_t n)
{
        sqlite3_stmt *task = prepare(store, SQL_TASK_INSERT);
        sqlite3_stmt *body = prepare(store, SQL_INPUT_SET);
        int64_t now_msec = clock_epoch_msec();

        check(db_begin(store->db, true), "begin");
        for (size_t i = 0; i < n; i++) {
                int64_t row = queue_store_next_row(store, now_msec);

                (void)sqlite3_bind_int64(task, 1, row);
                (void)sqlite3_bind_int64(task, 2, 1);
                (void)sqlite3_bind_int64(task, 3, STATE_READY);
                (void)sqlite3_bind_int64(task, 4, now_msec);
                (void)sqlite3_bind_int64(task, 5, now_msec);
                (void)sqlite3_bind_int64(task, 6, 0);
                (void)sqlite3_bind_int64(task, 7, 0);
                check(db_run(store->db, task), "insert task");
                (void)sqlite3_bind_int64(body, 1, row);
                (void)db_bind_slice(body, 2, SLICE_LITERAL(input));
                check(db_run(store->db, body), "insert input");
        }
        check(db_commit(store->db), "commit");
}

static size_t select_ready(QueueStore *store, int64_t *rows)
{
        sqlite3_stmt *select = prepare(store, SQL_CLAIM_SELECT);
        size_t n = 0;
        int r;

        (void)sqlite3_bind_int64(select, 1, 1);
        (void)sqlite3_bind_int64(select, 2, CLAIM_GROUP);
        while ((r = db_step(store->db, select)) > 0)
                rows[n++] = sqlite3_column_int64(select, 0);
        check(r, "select");
        return n;
}

static size_t claim(QueueStore *store, int64_t *rows)
{
        sqlite3_stmt *update = prepare(store, SQL_CLAIM);
        sqlite3_stmt *body = prepare(store, SQL_INPUT_GET);
        size_t n;

        check(db_begin(store->db, false), "begin");
        n = select_ready(store, rows);
        for (size_t i = 0; i < n; i++) {
                (void)sqlite3_bind_int64(body, 1, rows[i]);
                check(db_run(store->db, body), "read input");
                (void)sqlite3_bind_int64(update, 1, rows[i]);
                (void)sqlite3_bind_int64(update, 2, clock_epoch_msec());
                check(db_run(store->db, update), "claim");
        }
        check(db_commit(store->db), "commit");
        return n;
}

static void settle(QueueStore *store, const int64_t *rows, size_t n)
{
        sqlite3_stmt *end = prepare(store, SQL_END);
        sqlite3_stmt *result = prepare(store, SQL_RESULT_SET);

        check(db_begin(store->db, true), "begin");
        for (size_t i = 0; i < n; i++) {
                (void)sqlite3_bind_int64(end, 1, rows[i]);
                (void)sqlite3_bind_int64(end, 2, 1);
                (void)sqlite3_bind_int64(end, 3, STATE_ENDED);
                (void)sqlite3_bind_int64(end, 4, 1);
                (void)sqlite3_bind_int64(end, 5, clock_epoch_msec());
                (void)sqlite3_bind_int64(end, 6, clock_epoch_msec());
                check(db_run(store->db, end), "settle");
                (void)sqlite3_bind_int64(result, 1, rows[i]);
                (void)db_bind_slice(result, 2, SLICE_LITERAL("bench/1"));
                (void)db_bind_slice(result, 5, SLICE_LITERAL("{}"));
                (void)sqlite3_bind_int(result, 7, 0);
                check(db_run(store->db, result), "store result");
        }
        check(db_commit(store->db), "commit");
}

static void run(QueueStore *store, size_t n_tasks)
{
        int64_t rows[CLAIM_GROUP];
        size_t n_submitted = 0, n_settled = 0;

        while (n_settled < n_tasks) {
                size_t n = MIN((size_t)SUBMIT_GROUP, n_tasks - n_submitted);

                if (n > 0 && n_submitted - n_settled < 2 * SUBMIT_GROUP) {
                        submit(store, n);
                        n_submitted += n;
                }
                n = claim(store, rows);
                settle(store, rows, n);
                n_settled += n;
                if (db_wal_pages(store->db) >= 8000)
                        check(db_checkpoint(store->db), "checkpoint");
        }
}

int main(int argc, char *argv[])
{
        char path[4096], *error = NULL;
        size_t n_tasks;
        QueueStore store;
        usec_t begun;

        if (argc != 3) {
                (void)fprintf(stderr, "usage: bare-sqlite FOLDER TASKS\n");
                return 2;
        }
        n_tasks = strtoul(argv[2], NULL, 10);
        (void)snprintf(path, sizeof(path), "%s/bare.db", argv[1]);
        if (queue_store_open(&store, path, &error) < 0) {
                (void)fprintf(stderr, "bare-sqlite: %s\n", error ? error : path);
                free(error);
                return EXIT_FAILURE;
        }
        begun = clock_monotonic_usec();
        run(&store, n_tasks);
        (void)printf("{\"tasksPerSecond\": %.0f}\n",
                     (double)n_tasks * 1e6 / (double)(clock_monotonic_usec() - begun));
        queue_store_close(&store);
        return EXIT_SUCCESS;
}
