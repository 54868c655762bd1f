/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <stdio.h>
#include "base/backoff.h"
#include "base/clock.h"
#include "source/queue/id.h"
#include "source/queue/store.h"

/* Executions kept in a task's history; a task handed back over and over must not grow for ever. */
#define HISTORY_MAX 50

/* "YMQ1" */
#define QUEUE_APPLICATION_ID 0x594d5131

static const char schema_1[] =
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE TABLE type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
        "CREATE TABLE task ("
        " id INTEGER PRIMARY KEY,"
        " type INTEGER NOT NULL,"
        " state INTEGER NOT NULL,"
        " scheduled INTEGER NOT NULL," /* due since, or not before */
        " rank INTEGER NOT NULL,"      /* scheduled - priority * priority_step: lower goes first */
        " priority INTEGER NOT NULL,"
        " attempts_max INTEGER NOT NULL," /* 0: the pool's */
        " attempts INTEGER NOT NULL,"     /* executions used */
        " polls INTEGER NOT NULL,"        /* times handed out: the fence of results */
        " crashes INTEGER NOT NULL,"      /* of the daemon, in a row, while it ran */
        " flags INTEGER NOT NULL,"
        " started INTEGER NOT NULL,"
        " ended INTEGER NOT NULL,"
        " deadline INTEGER,"
        " unique_key TEXT) STRICT;"
        /* With the state as a column they answer counts without a look at the rows. */
        "CREATE INDEX task_ready ON task (type, rank, state) WHERE state = 2;"
        "CREATE INDEX task_delayed ON task (scheduled, type, state) WHERE state = 3;"
        "CREATE INDEX task_running ON task (state) WHERE state = 4;"
        "CREATE INDEX task_ended ON task (ended, state) WHERE state >= 5;"
        "CREATE INDEX task_deadline ON task (deadline) WHERE deadline IS NOT NULL AND state < 5;"
        "CREATE UNIQUE INDEX task_unique ON task (type, unique_key)"
        " WHERE unique_key IS NOT NULL AND state < 5;"
        "CREATE TABLE input (id INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;"
        "CREATE TABLE result (id INTEGER PRIMARY KEY, worker TEXT, reason TEXT, progress TEXT,"
        " output TEXT, logs TEXT) STRICT;"
        "CREATE TABLE attempt (task INTEGER, poll INTEGER, attempt INTEGER NOT NULL,"
        " status TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL, worker TEXT,"
        " reason TEXT, PRIMARY KEY (task, poll)) STRICT, WITHOUT ROWID;";

static const char *const migrations[] = { schema_1 };

static const char *const statements[] = {
        [SQL_META_GET] = "SELECT value FROM meta WHERE key = ?1",
        [SQL_META_SET] = "REPLACE INTO meta (key, value) VALUES (?1, ?2)",
        [SQL_TYPE_ALL] = "SELECT id, name FROM type",
        [SQL_TYPE_COUNT] = "SELECT count(*) FROM type",
        [SQL_TYPE_FORGET] = "DELETE FROM type WHERE id NOT IN (SELECT type FROM task)",
        [SQL_TYPE_INSERT] = "INSERT OR IGNORE INTO type (id, name) VALUES (?1, ?2)",
        [SQL_LAST_ROW] = "SELECT max(id) FROM task",
        [SQL_COUNT_READY] = "SELECT type, count(*) FROM task WHERE state = 2 GROUP BY type",
        [SQL_COUNT_DELAYED] = "SELECT type, count(*) FROM task WHERE state = 3 GROUP BY type",
        [SQL_COUNT_ENDED] = "SELECT count(*) FROM task WHERE state >= 5",
        [SQL_FIRST_ENDED] = "SELECT min(ended) FROM task WHERE state >= 5",
        [SQL_FIRST_DUE] = "SELECT min(scheduled) FROM task WHERE state = 3",
        [SQL_FIRST_DEADLINE] =
                "SELECT min(deadline) FROM task WHERE deadline IS NOT NULL AND state < 5",
        [SQL_FIRST_READY] =
                "SELECT scheduled FROM task WHERE state = 2 AND type = ?1 ORDER BY rank LIMIT 1",
        [SQL_SELECT_RUNNING] =
                "SELECT id, type, crashes, attempts, polls, started FROM task WHERE state = 4",
        [SQL_CRASHED] = "UPDATE task SET crashes = ?2 WHERE id = ?1",
        [SQL_UNIQUE_FIND] = "SELECT id, state FROM task"
                            " WHERE type = ?1 AND unique_key = ?2 AND unique_key IS NOT NULL"
                            " AND state < 5",
        [SQL_TASK_INSERT] =
                "INSERT INTO task (id, type, state, scheduled, rank, priority, attempts_max,"
                " attempts, polls, crashes, flags, started, ended, deadline, unique_key)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, 0, 0, ?4, ?4, ?8, ?9)",
        [SQL_TASK_REPLACE] =
                "UPDATE task SET state = ?3, scheduled = ?4, rank = ?5, priority = ?6,"
                " attempts_max = ?7, attempts = 0, crashes = 0, flags = 0, deadline = ?8"
                " WHERE id = ?1",
        [SQL_INPUT_SET] = "REPLACE INTO input (id, json) VALUES (?1, ?2)",
        [SQL_INPUT_GET] = "SELECT json FROM input WHERE id = ?1",
        [SQL_CLAIM_SELECT] = "SELECT id, scheduled, priority, attempts_max, attempts, polls, flags"
                             " FROM task WHERE state = 2 AND type = ?1 ORDER BY rank LIMIT ?2",
        [SQL_CLAIM] = "UPDATE task SET state = 4, polls = polls + 1, started = ?2 WHERE id = ?1",
        [SQL_END] = "UPDATE task SET state = ?3, attempts = ?4, crashes = 0, flags = 0,"
                    " started = ?5, ended = ?6 WHERE id = ?1 AND state = 4 AND polls = ?2",
        [SQL_RETRY_LATER] =
                "UPDATE task SET state = ?3, attempts = ?4, crashes = 0, flags = ?5, started = ?6,"
                " ended = ?7, scheduled = ?8, rank = ?8 - priority * ?9"
                " WHERE id = ?1 AND state = 4 AND polls = ?2",
        [SQL_RELEASE] = "UPDATE task SET state = 2, crashes = 0"
                        " WHERE id = ?1 AND state = 4 AND polls = ?2",
        [SQL_RESULT_SET] = "INSERT INTO result (id, worker, reason, progress, output, logs)"
                           " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET"
                           " worker = excluded.worker, reason = excluded.reason,"
                           " progress = ifnull(excluded.progress, progress),"
                           " output = ifnull(excluded.output, iif(?7, output, NULL)),"
                           " logs = ifnull(excluded.logs, iif(?7, logs, NULL))",
        [SQL_RESULT_REASON] = "INSERT INTO result (id, reason) VALUES (?1, ?2)"
                              " ON CONFLICT (id) DO UPDATE SET reason = excluded.reason",
        [SQL_RESULT_PROGRESS] = "INSERT INTO result (id, progress) SELECT ?1, ?3 WHERE EXISTS"
                                " (SELECT 1 FROM task WHERE id = ?1 AND state = 4 AND polls = ?2)"
                                " ON CONFLICT (id) DO UPDATE SET progress = excluded.progress",
        [SQL_RESULT_OUTPUT] = "SELECT output FROM result WHERE id = ?1",
        [SQL_RESULT_DELETE] = "DELETE FROM result WHERE id = ?1",
        [SQL_ATTEMPT_INSERT] =
                "REPLACE INTO attempt (task, poll, attempt, status, started, ended, worker, reason)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        [SQL_ATTEMPT_TRIM] = "DELETE FROM attempt WHERE task = ?1 AND poll <= ?2",
        [SQL_ATTEMPT_DELETE] = "DELETE FROM attempt WHERE task = ?1",
        [SQL_MAKE_READY] = "UPDATE task SET state = 2 WHERE id = ?1",
        [SQL_FORCE_END] = "UPDATE task SET state = ?2, ended = ?3 WHERE id = ?1",
        [SQL_TASK_DELETE] = "DELETE FROM task WHERE id = ?1",
        [SQL_INPUT_DELETE] = "DELETE FROM input WHERE id = ?1",
        [SQL_DUE_SELECT] = "SELECT id, type, state FROM task WHERE state = 3"
                           " AND scheduled <= ?1 ORDER BY scheduled LIMIT ?2",
        [SQL_DEADLINE_SELECT] = "SELECT id, type, state FROM task"
                                " WHERE deadline IS NOT NULL AND state < 5"
                                " AND deadline <= ?1 ORDER BY deadline LIMIT ?2",
        [SQL_PURGE_SELECT] = "SELECT id, type, state FROM task WHERE state >= 5"
                             " AND ended <= ?1 ORDER BY ended LIMIT ?2",
        [SQL_TASK_ROW] = "SELECT name, state, priority, attempts, attempts_max, polls, scheduled,"
                         " started, ended, deadline, unique_key, worker, reason, progress"
                         " FROM task JOIN type ON type.id = task.type"
                         " LEFT JOIN result ON result.id = task.id WHERE task.id = ?1",
        [SQL_TASK_BODIES] = "SELECT json, output, logs FROM task"
                            " LEFT JOIN input ON input.id = task.id"
                            " LEFT JOIN result ON result.id = task.id WHERE task.id = ?1",
        [SQL_TASK_HISTORY] = "SELECT attempt, status, reason, worker, started, ended FROM attempt"
                             " WHERE task = ?1 ORDER BY poll",
        [SQL_SCAN] = "SELECT id, type, state FROM task WHERE id > ?1 ORDER BY id",
        [SQL_SCAN_RUNNING] = "SELECT id, type, state FROM task WHERE state = 4 AND id > ?1"
                             " ORDER BY id",
        /* The last column: another unfinished task that has its key. */
        [SQL_CHANGE_LOOK] =
                "SELECT type, state, (SELECT other.id FROM task AS other"
                " WHERE other.type = task.type AND other.unique_key = task.unique_key"
                " AND other.unique_key IS NOT NULL AND other.state < 5) FROM task WHERE id = ?1",
        [SQL_RESTART] = "UPDATE task SET state = 2, attempts = 0, crashes = 0, flags = 0,"
                        " scheduled = ?2, rank = ?2 - priority * ?3,"
                        " deadline = iif(deadline <= ?2, NULL, deadline) WHERE id = ?1",
        [SQL_RESTART_HISTORY] =
                "INSERT OR IGNORE INTO attempt"
                " (task, poll, attempt, status, started, ended, worker, reason)"
                " SELECT task.id, polls, max(attempts, 1), ?2, started, ended, worker, reason"
                " FROM task LEFT JOIN result ON result.id = task.id"
                " WHERE task.id = ?1 AND polls > 0",
        [SQL_OUTPUT_SET] = "INSERT INTO result (id, output) VALUES (?1, ?2)"
                           " ON CONFLICT (id) DO UPDATE SET output = excluded.output",
};
static_assert(ELEMENTSOF(statements) == _QUEUE_STATEMENT_MAX, "a statement has no text");

static const DbSchema schema = {
        .what = "queue",
        .application_id = QUEUE_APPLICATION_ID,
        .migrations = migrations,
        .version = ELEMENTSOF(migrations),
        .statements = statements,
        .n_statements = ELEMENTSOF(statements),
};

TaskStatus state_to_status(TaskState state)
{
        if (state < STATE_RUNNING)
                return TASK_SCHEDULED;
        if (state == STATE_RUNNING)
                return TASK_IN_PROGRESS;
        return (TaskStatus)(TASK_COMPLETED + (state - STATE_ENDED));
}

static int meta_get(QueueStore *store, const char *key, int64_t fallback, int64_t *ret)
{
        sqlite3_stmt *get;
        int r = db_prepare(store->db, SQL_META_GET, &get);

        if (r < 0)
                return r;
        (void)db_bind_slice(get, 1, slice_from_string(key));
        return db_run_int64(store->db, get, fallback, ret);
}

static int meta_set(QueueStore *store, const char *key, int64_t value)
{
        sqlite3_stmt *set;
        int r = db_prepare(store->db, SQL_META_SET, &set);

        if (r < 0)
                return r;
        (void)db_bind_slice(set, 1, slice_from_string(key));
        (void)sqlite3_bind_int64(set, 2, value);
        return db_run(store->db, set);
}

static int load_tag(QueueStore *store)
{
        int64_t tag;
        int r = meta_get(store, "tag", -1, &tag);

        if (r >= 0 && tag < 0) {
                tag = (int64_t)queue_id_tag(random_u64());
                r = meta_set(store, "tag", tag);
        }
        if (r >= 0)
                store->tag = (uint64_t)tag;
        return r;
}

static int load_last_row(QueueStore *store)
{
        sqlite3_stmt *last;
        int64_t saved, present;
        int r = meta_get(store, "last_row", 0, &saved);

        if (r >= 0)
                r = db_prepare(store->db, SQL_LAST_ROW, &last);
        if (r >= 0)
                r = db_run_int64(store->db, last, 0, &present);
        if (r >= 0)
                store->last_row = MAX(saved, present);
        return r;
}

int queue_store_open(QueueStore *store, const char *path, char **ret_error)
{
        int r;

        *store = (QueueStore){ .json = BUFFER_NULL(TASK_MESSAGE_MAX) };
        r = db_open(&store->db, path, &schema, ret_error);
        if (r < 0)
                return r;
        r = load_tag(store);
        if (r >= 0)
                r = load_last_row(store);
        if (r < 0 && asprintf(ret_error, "queue database %s cannot be read: %s", path,
                              db_error_text(store->db)) < 0)
                *ret_error = NULL;
        return r;
}

void queue_store_close(QueueStore *store)
{
        store->db = db_close(store->db);
        buffer_deinit(&store->json);
}

int64_t queue_store_next_row(QueueStore *store, int64_t now_msec)
{
        return store->last_row = queue_row_next(store->last_row, now_msec);
}

int queue_store_save_last_row(QueueStore *store)
{
        return meta_set(store, "last_row", store->last_row);
}

int queue_store_tidy(QueueStore *store)
{
        int r = queue_store_save_last_row(store);

        return r < 0 ? r : db_shrink(store->db);
}

int queue_store_add_attempt(QueueStore *store, const AttemptRow *attempt)
{
        sqlite3_stmt *statement;
        int r = db_prepare(store->db, SQL_ATTEMPT_INSERT, &statement);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, attempt->row);
        (void)sqlite3_bind_int64(statement, 2, attempt->poll_count);
        (void)sqlite3_bind_int64(statement, 3, attempt->attempt);
        (void)db_bind_slice(statement, 4, slice_from_string(attempt->status));
        (void)sqlite3_bind_int64(statement, 5, attempt->started_msec);
        (void)sqlite3_bind_int64(statement, 6, attempt->ended_msec);
        (void)db_bind_slice(statement, 7, attempt->worker);
        (void)db_bind_slice(statement, 8, attempt->reason);
        r = db_run(store->db, statement);
        if (r < 0 || attempt->poll_count <= HISTORY_MAX)
                return r;
        r = db_prepare(store->db, SQL_ATTEMPT_TRIM, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, attempt->row);
        (void)sqlite3_bind_int64(statement, 2, (int64_t)attempt->poll_count - HISTORY_MAX);
        return db_run(store->db, statement);
}

int store_run_row(QueueStore *store, QueueStatement statement, int64_t row)
{
        sqlite3_stmt *run;
        int r = db_prepare(store->db, statement, &run);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(run, 1, row);
        return db_run(store->db, run);
}

static int set_reason(QueueStore *store, int64_t row, Slice reason)
{
        sqlite3_stmt *set;
        int r;

        if (!reason.data)
                return 0;
        r = db_prepare(store->db, SQL_RESULT_REASON, &set);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(set, 1, row);
        (void)db_bind_slice(set, 2, reason);
        return db_run(store->db, set);
}

int store_end_task(QueueStore *store, Tally *tally, int64_t row, int64_t type, TaskState from,
                   TaskStatus status, Slice reason)
{
        int64_t now_msec = clock_epoch_msec();
        sqlite3_stmt *end;
        int r = db_prepare(store->db, SQL_FORCE_END, &end);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(end, 1, row);
        (void)sqlite3_bind_int64(end, 2, state_from_status(status));
        (void)sqlite3_bind_int64(end, 3, now_msec);
        tally_alarm(tally, ALARM_PURGE, now_msec);
        if ((r = db_run(store->db, end)) < 0 || (r = set_reason(store, row, reason)) < 0)
                return r;
        return tally_end(tally, row, type, status, from);
}

int store_delete_task(QueueStore *store, Tally *tally, int64_t row, int64_t type, TaskState from)
{
        int r;

        if ((r = store_run_row(store, SQL_TASK_DELETE, row)) < 0 ||
            (r = store_run_row(store, SQL_INPUT_DELETE, row)) < 0 ||
            (r = store_run_row(store, SQL_RESULT_DELETE, row)) < 0 ||
            (r = store_run_row(store, SQL_ATTEMPT_DELETE, row)) < 0 ||
            (r = tally_move(tally, type, from, STATE_NONE)) < 0)
                return r;
        return 0;
}
