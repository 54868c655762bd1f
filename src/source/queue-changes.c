/* SPDX-License-Identifier: Apache-2.0 */

#include "base/clock.h"
#include "source/queue-store.h"

void changes_clear(Changes *changes)
{
        changes->n_types = changes->n_endings = changes->last = 0;
        changes->n_ended = 0;
        for (Alarm i = 0; i < _ALARM_MAX; i++)
                changes->alarm_msec[i] = INT64_MAX;
        changes->bytes = 0;
}

void changes_deinit(Changes *changes)
{
        free(changes->types);
        free(changes->endings);
        *changes = (Changes){ 0 };
}

/* Makes room for one more item of an array. */
static int grow(void *array, size_t n, size_t *capacity, size_t item_size)
{
        size_t wanted = MAX((size_t)8, *capacity * 2);
        void *p;

        if (n < *capacity)
                return 0;
        p = realloc(*(void **)array, wanted * item_size);
        if (!p)
                return -ENOMEM;
        *(void **)array = p;
        *capacity = wanted;
        return 0;
}

static int find_type(Changes *changes, int64_t type, TypeChange **ret)
{
        size_t i = changes->last;

        if (i >= changes->n_types || changes->types[i].type != type) {
                for (i = 0; i < changes->n_types && changes->types[i].type != type; i++)
                        ;
        }
        if (i == changes->n_types) {
                int r = grow(&changes->types, i, &changes->types_capacity, sizeof(TypeChange));

                if (r < 0)
                        return r;
                changes->types[changes->n_types++] = (TypeChange){ .type = type };
        }
        changes->last = i;
        *ret = &changes->types[i];
        return 0;
}

static void count_state(Changes *changes, TypeChange *type, TaskState state, int64_t by)
{
        switch (state) {
        case STATE_NONE:
                break;
        case STATE_READY:
                type->n_ready += by;
                break;
        case STATE_DELAYED:
                type->n_delayed += by;
                break;
        case STATE_RUNNING:
                type->n_running += by;
                break;
        default:
                changes->n_ended += by;
        }
}

int changes_add(Changes *changes, int64_t type, TaskState state, int64_t n)
{
        TypeChange *change;
        int r = find_type(changes, type, &change);

        if (r >= 0)
                count_state(changes, change, state, n);
        return r;
}

int changes_move(Changes *changes, int64_t type, TaskState from, TaskState to)
{
        TypeChange *change;
        int r = find_type(changes, type, &change);

        if (r < 0)
                return r;
        count_state(changes, change, from, -1);
        count_state(changes, change, to, 1);
        return 0;
}

void changes_alarm(Changes *changes, Alarm alarm, int64_t epoch_msec)
{
        changes->alarm_msec[alarm] = MIN(changes->alarm_msec[alarm], epoch_msec);
}

int changes_end(Changes *changes, int64_t row, int64_t type, TaskStatus status, TaskState from)
{
        int r = grow(&changes->endings, changes->n_endings, &changes->endings_capacity,
                     sizeof(Ending));

        if (r >= 0)
                r = changes_move(changes, type, from, state_from_status(status));
        if (r < 0)
                return r;
        changes->endings[changes->n_endings++] = (Ending){
                .row = row,
                .type = type,
                .status = status,
                .was_running = from == STATE_RUNNING,
        };
        return 0;
}

int changes_finish(Changes *changes, QueueStore *store)
{
        sqlite3_stmt *first;
        int r = db_prepare(store->db, SQL_FIRST_READY, &first);

        for (size_t i = 0; r >= 0 && i < changes->n_types; i++) {
                (void)sqlite3_bind_int64(first, 1, changes->types[i].type);
                r = db_run_int64(store->db, first, 0, &changes->types[i].head_msec);
        }
        return r < 0 ? r : db_size(store->db, &changes->bytes);
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

int store_end_task(QueueStore *store, Changes *changes, int64_t row, int64_t type, TaskState from,
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
        changes_alarm(changes, ALARM_PURGE, now_msec);
        if ((r = db_run(store->db, end)) < 0 || (r = set_reason(store, row, reason)) < 0)
                return r;
        return changes_end(changes, row, type, status, from);
}

int store_delete_task(QueueStore *store, Changes *changes, int64_t row, int64_t type,
                      TaskState from)
{
        int r;

        if ((r = store_run_row(store, SQL_TASK_DELETE, row)) < 0 ||
            (r = store_run_row(store, SQL_INPUT_DELETE, row)) < 0 ||
            (r = store_run_row(store, SQL_RESULT_DELETE, row)) < 0 ||
            (r = store_run_row(store, SQL_ATTEMPT_DELETE, row)) < 0 ||
            (r = changes_move(changes, type, from, STATE_NONE)) < 0)
                return r;
        return 0;
}
