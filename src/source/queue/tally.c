/* SPDX-License-Identifier: Apache-2.0 */

#include "base/clock.h"
#include "source/queue/store.h"

void tally_clear(Tally *tally)
{
        tally->n_types = tally->n_endings = tally->last = 0;
        tally->n_ended = 0;
        for (Alarm i = 0; i < _ALARM_MAX; i++)
                tally->alarm_msec[i] = INT64_MAX;
        tally->bytes = 0;
}

void tally_deinit(Tally *tally)
{
        free(tally->types);
        free(tally->endings);
        *tally = (Tally){ 0 };
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

static int find_type(Tally *tally, int64_t type, TypeTally **ret)
{
        size_t i = tally->last;

        if (i >= tally->n_types || tally->types[i].type != type) {
                for (i = 0; i < tally->n_types && tally->types[i].type != type; i++)
                        ;
        }
        if (i == tally->n_types) {
                int r = grow(&tally->types, i, &tally->types_capacity, sizeof(TypeTally));

                if (r < 0)
                        return r;
                tally->types[tally->n_types++] = (TypeTally){ .type = type };
        }
        tally->last = i;
        *ret = &tally->types[i];
        return 0;
}

static void count_state(Tally *tally, TypeTally *type, TaskState state, int64_t by)
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
                tally->n_ended += by;
        }
}

int tally_add(Tally *tally, int64_t type, TaskState state, int64_t n)
{
        TypeTally *change;
        int r = find_type(tally, type, &change);

        if (r >= 0)
                count_state(tally, change, state, n);
        return r;
}

int tally_move(Tally *tally, int64_t type, TaskState from, TaskState to)
{
        TypeTally *change;
        int r = find_type(tally, type, &change);

        if (r < 0)
                return r;
        count_state(tally, change, from, -1);
        count_state(tally, change, to, 1);
        return 0;
}

void tally_alarm(Tally *tally, Alarm alarm, int64_t epoch_msec)
{
        tally->alarm_msec[alarm] = MIN(tally->alarm_msec[alarm], epoch_msec);
}

int tally_end(Tally *tally, int64_t row, int64_t type, TaskStatus status, TaskState from)
{
        int r = grow(&tally->endings, tally->n_endings, &tally->endings_capacity, sizeof(Ending));

        if (r >= 0)
                r = tally_move(tally, type, from, state_from_status(status));
        if (r < 0)
                return r;
        tally->endings[tally->n_endings++] = (Ending){
                .row = row,
                .type = type,
                .status = status,
                .was_running = from == STATE_RUNNING,
        };
        return 0;
}

int tally_finish(Tally *tally, QueueStore *store)
{
        sqlite3_stmt *first;
        int r = db_prepare(store->db, SQL_FIRST_READY, &first);

        for (size_t i = 0; r >= 0 && i < tally->n_types; i++) {
                (void)sqlite3_bind_int64(first, 1, tally->types[i].type);
                r = db_run_int64(store->db, first, 0, &tally->types[i].head_msec);
        }
        return r < 0 ? r : db_size(store->db, &tally->bytes);
}
