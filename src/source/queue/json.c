/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json.h"
#include "source/queue/id.h"
#include "source/queue/json.h"

/* Columns of SQL_TASK_ROW. */
enum {
        COLUMN_TYPE,
        COLUMN_STATE,
        COLUMN_PRIORITY,
        COLUMN_ATTEMPTS,
        COLUMN_ATTEMPTS_MAX,
        COLUMN_POLLS,
        COLUMN_SCHEDULED,
        COLUMN_STARTED,
        COLUMN_ENDED,
        COLUMN_DEADLINE,
        COLUMN_UNIQUE,
        COLUMN_WORKER,
        COLUMN_REASON,
        COLUMN_PROGRESS,
};

static int append_int(Buffer *json, const char *name, int64_t value)
{
        int r = buffer_append_string(json, name);

        return r < 0 ? r : buffer_append_int(json, value);
}

/* The three below: a column that is NULL is left out. */
static int append_int_column(Buffer *json, const char *name, sqlite3_stmt *row, int column)
{
        if (sqlite3_column_type(row, column) == SQLITE_NULL)
                return 0;
        return append_int(json, name, sqlite3_column_int64(row, column));
}

static int append_text_column(Buffer *json, const char *name, sqlite3_stmt *row, int column)
{
        Slice text = db_column_slice(row, column);
        int r;

        if (!text.data)
                return 0;
        r = buffer_append_string(json, name);
        return r < 0 ? r : json_append_string(json, text);
}

static int append_json_column(Buffer *json, const char *name, sqlite3_stmt *row, int column)
{
        Slice text = db_column_slice(row, column);
        int r;

        if (!text.data)
                return 0;
        r = buffer_append_string(json, name);
        return r < 0 ? r : buffer_append_slice(json, text);
}

/* Times that the row holds only as placeholders are left out. */
static int append_times(Buffer *json, sqlite3_stmt *row, int64_t submitted_msec)
{
        TaskState state = (TaskState)sqlite3_column_int(row, COLUMN_STATE);
        int r = append_int(json, ",\"scheduledTime\":", submitted_msec);

        if (r >= 0 && state == STATE_DELAYED)
                r = append_int_column(json, ",\"runTime\":", row, COLUMN_SCHEDULED);
        if (r >= 0 && sqlite3_column_int64(row, COLUMN_POLLS) > 0)
                r = append_int_column(json, ",\"startTime\":", row, COLUMN_STARTED);
        if (r >= 0 && state >= STATE_ENDED)
                r = append_int_column(json, ",\"endTime\":", row, COLUMN_ENDED);
        return r < 0 ? r : append_int_column(json, ",\"deadlineTime\":", row, COLUMN_DEADLINE);
}

static int append_members(Buffer *json, sqlite3_stmt *row, const char *id, int64_t submitted_msec)
{
        TaskState state = (TaskState)sqlite3_column_int(row, COLUMN_STATE);
        int r;

        if ((r = buffer_append_string(json, "{\"taskId\":\"")) < 0 ||
            (r = buffer_append_string(json, id)) < 0 ||
            (r = append_text_column(json, "\",\"taskType\":", row, COLUMN_TYPE)) < 0 ||
            (r = buffer_append_string(json, ",\"status\":\"")) < 0 ||
            (r = buffer_append_string(json, task_status_to_string(state_to_status(state)))) < 0 ||
            (r = append_int_column(json, "\",\"priority\":", row, COLUMN_PRIORITY)) < 0 ||
            (r = append_int_column(json, ",\"attempts\":", row, COLUMN_ATTEMPTS)) < 0)
                return r;
        if (sqlite3_column_int64(row, COLUMN_ATTEMPTS_MAX) > 0 &&
            (r = append_int_column(json, ",\"attemptsMax\":", row, COLUMN_ATTEMPTS_MAX)) < 0)
                return r;
        if ((r = append_int_column(json, ",\"pollCount\":", row, COLUMN_POLLS)) < 0 ||
            (r = append_times(json, row, submitted_msec)) < 0 ||
            (r = append_text_column(json, ",\"uniqueKey\":", row, COLUMN_UNIQUE)) < 0 ||
            (r = append_text_column(json, ",\"worker\":", row, COLUMN_WORKER)) < 0 ||
            (r = append_text_column(json, ",\"reason\":", row, COLUMN_REASON)) < 0)
                return r;
        return append_json_column(json, ",\"progress\":", row, COLUMN_PROGRESS);
}

static int append_bodies(QueueStore *store, int64_t row, Buffer *json)
{
        sqlite3_stmt *bodies;
        int r = db_prepare(store->db, SQL_TASK_BODIES, &bodies);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(bodies, 1, row);
        r = db_step(store->db, bodies);
        if (r <= 0)
                return r;
        r = append_json_column(json, ",\"inputData\":", bodies, 0);
        if (r >= 0)
                r = append_json_column(json, ",\"output\":", bodies, 1);
        if (r >= 0)
                r = append_json_column(json, ",\"logs\":", bodies, 2);
        (void)sqlite3_reset(bodies);
        return r;
}

static int append_attempt(Buffer *json, sqlite3_stmt *attempt, bool first)
{
        int r = buffer_append_string(json, first ? "{\"attempt\":" : ",{\"attempt\":");

        if (r < 0 || (r = buffer_append_int(json, sqlite3_column_int64(attempt, 0))) < 0 ||
            (r = append_text_column(json, ",\"status\":", attempt, 1)) < 0 ||
            (r = append_text_column(json, ",\"reason\":", attempt, 2)) < 0 ||
            (r = append_text_column(json, ",\"worker\":", attempt, 3)) < 0 ||
            (r = append_int_column(json, ",\"startTime\":", attempt, 4)) < 0 ||
            (r = append_int_column(json, ",\"endTime\":", attempt, 5)) < 0)
                return r;
        return buffer_append_byte(json, '}');
}

static int append_history(QueueStore *store, int64_t row, Buffer *json)
{
        bool first = true;
        sqlite3_stmt *history;
        int r = db_prepare(store->db, SQL_TASK_HISTORY, &history);

        if (r >= 0)
                r = buffer_append_string(json, ",\"history\":[");
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(history, 1, row);
        while ((r = db_step(store->db, history)) > 0) {
                r = append_attempt(json, history, first);
                if (r < 0) {
                        (void)sqlite3_reset(history);
                        return r;
                }
                first = false;
        }
        return r < 0 ? r : buffer_append_byte(json, ']');
}

int task_append_json(QueueStore *store, int64_t row, bool bodies, Buffer *json)
{
        char id[QUEUE_ID_LENGTH + 1];
        sqlite3_stmt *task;
        int r = db_prepare(store->db, SQL_TASK_ROW, &task);

        if (r < 0)
                return r;
        queue_id_format(row, store->tag, id);
        (void)sqlite3_bind_int64(task, 1, row);
        r = db_step(store->db, task);
        if (r <= 0)
                return r;
        r = append_members(json, task, id, queue_row_msec(row));
        (void)sqlite3_reset(task);
        if (r >= 0 && bodies)
                r = append_bodies(store, row, json);
        if (r >= 0 && bodies)
                r = append_history(store, row, json);
        if (r >= 0)
                r = buffer_append_byte(json, '}');
        return r < 0 ? r : 1;
}
