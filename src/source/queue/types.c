/* SPDX-License-Identifier: Apache-2.0 */

#include "source/queue/internal.h"

QueueType *queue_type_find(const Queue *queue, Slice name)
{
        for (TableLink *i = table_find(&queue->types_by_name, task_id_hash(name)); i;
             i = table_next(i)) {
                QueueType *type = container_of(i, QueueType, by_name);

                if (slice_is(name, type->name))
                        return type;
        }
        return NULL;
}

QueueType *queue_type_by_id(const Queue *queue, int64_t id)
{
        return id >= 1 && (uint64_t)id <= queue->n_types ? queue->types[id - 1] : NULL;
}

static QueueType *type_free(QueueType *type)
{
        if (type) {
                free(type->name);
                free(type->json);
                free(type);
        }
        return NULL;
}
DEFINE_CLEANUP(QueueType *, type_free);

static int type_new(Slice name, int64_t id, QueueType **ret)
{
        _cleanup_(type_freep) QueueType *type = calloc(1, sizeof(*type));
        Buffer json = BUFFER_NULL(TASK_MESSAGE_MAX);
        int r;

        if (!type)
                return -ENOMEM;
        type->id = id;
        type->name = strndup(name.data, name.size);
        if (!type->name)
                return -ENOMEM;
        r = json_append_string(&json, name);
        if (r >= 0 && !(type->json = buffer_steal_string(&json)))
                r = -ENOMEM;
        buffer_deinit(&json);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(type);
        return 0;
}

static int reserve_types(Queue *queue, size_t n)
{
        size_t wanted = queue->types_capacity;
        QueueType **types;

        if (n <= wanted)
                return 0;
        while (wanted < n)
                wanted = MAX((size_t)16, wanted * 2);
        types = realloc(queue->types, wanted * sizeof(QueueType *));
        if (!types)
                return -ENOMEM;
        memset(types + queue->types_capacity, 0,
               (wanted - queue->types_capacity) * sizeof(QueueType *));
        queue->types = types;
        queue->types_capacity = wanted;
        return 0;
}

static int type_add(Queue *queue, Slice name, int64_t id, QueueType **ret)
{
        _cleanup_(type_freep) QueueType *type = NULL;
        int r;

        if ((r = reserve_types(queue, (size_t)id)) < 0 || (r = type_new(name, id, &type)) < 0 ||
            (r = table_insert(&queue->types_by_name, &type->by_name, task_id_hash(name))) < 0)
                return r;
        queue->n_types = MAX(queue->n_types, (size_t)id);
        *ret = queue->types[id - 1] = TAKE_PTR(type);
        return 0;
}

/* The next one, or one below max that was never stored or was forgotten. 0: there is none. */
static int64_t unused_id(const Queue *queue, size_t max)
{
        if (queue->n_types < max)
                return (int64_t)queue->n_types + 1;
        for (size_t i = 0; i < max; i++) {
                if (!queue->types[i])
                        return (int64_t)i + 1;
        }
        return 0;
}

int queue_type_get(Queue *queue, Slice name, size_t max, QueueType **ret)
{
        QueueType *type = queue_type_find(queue, name);
        int64_t id;

        if (type) {
                *ret = type;
                return 0;
        }
        id = unused_id(queue, max);
        return id > 0 ? type_add(queue, name, id, ret) : -ENOBUFS;
}

/* Looks at every task, so only where many types are kept. */
static int forget_unused(Db *db)
{
        sqlite3_stmt *statement;
        int64_t n;
        int r = db_prepare(db, SQL_TYPE_COUNT, &statement);

        if (r >= 0)
                r = db_run_int64(db, statement, 0, &n);
        if (r < 0 || n <= QUEUE_TYPES_MAX / 2)
                return r;
        r = db_prepare(db, SQL_TYPE_FORGET, &statement);
        return r < 0 ? r : db_run(db, statement);
}

int queue_types_load(Queue *queue)
{
        Db *db = queue->store.db;
        sqlite3_stmt *all;
        int r = forget_unused(db);

        if (r >= 0)
                r = db_prepare(db, SQL_TYPE_ALL, &all);
        if (r < 0)
                return r;
        while ((r = db_step(db, all)) > 0) {
                int64_t id = sqlite3_column_int64(all, 0);
                QueueType *type;

                r = id < 1 || id > QUEUE_TYPES_SERVED_MAX || queue_type_by_id(queue, id)
                            ? -EBADMSG
                            : type_add(queue, db_column_slice(all, 1), id, &type);
                if (r < 0) {
                        (void)sqlite3_reset(all);
                        return r;
                }
                type->stored = true;
        }
        return r;
}

void queue_types_free(Queue *queue)
{
        for (size_t i = 0; i < queue->n_types; i++)
                (void)type_free(queue->types[i]);
        free(queue->types);
        table_deinit(&queue->types_by_name);
}

void queue_apply_tally(Queue *queue, const Tally *tally)
{
        for (size_t i = 0; i < tally->n_types; i++) {
                const TypeTally *change = &tally->types[i];
                QueueType *type = queue_type_by_id(queue, change->type);

                queue->n_ready += change->n_ready;
                queue->n_delayed += change->n_delayed;
                queue->n_running += change->n_running;
                if (!type)
                        continue;
                type->n_ready += change->n_ready;
                type->n_delayed += change->n_delayed;
                type->n_running += change->n_running;
                type->head_msec = change->head_msec;
                if (change->n_ready > 0)
                        type->generation++;
        }
        queue->n_ended += tally->n_ended;
        for (Alarm i = 0; i < _ALARM_MAX; i++)
                queue->alarm_msec[i] = MIN(queue->alarm_msec[i], tally->alarm_msec[i]);
        if (tally->bytes > 0)
                queue->bytes = tally->bytes;
}
