#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A queue on a real database in a folder of its own, a loop, and a pool that keeps what it is
 * given. Everything is driven by running the loop until something is true. */

#include <ftw.h>
#include <stdio.h>
#include "source/queue/queue.h"
#include "unit.h"

#define POOL_TASKS_MAX 4096

typedef struct Pool {
        Subscription *subscription;
        Task *tasks[POOL_TASKS_MAX]; /* in hand, in order of arrival */
        size_t n_tasks;
        size_t n_settled, n_stale, n_released;
        TaskStatus last_status;
        size_t n_cancelled;
        CancelCause last_cause;
} Pool;

typedef struct Fixture {
        char folder[64];
        sd_event *event;
        Storage *storage;
        ConfigSource config;
        Source *queue;

        bool answered;
        int error;
        QueueReceipt receipts[QUEUE_SUBMIT_MAX];
        char message[512]; /* of the first receipt that has one */
        size_t n_receipts;
        char *text;
        uint64_t count;
        char next[QUEUE_ID_LENGTH + 1];

        size_t n_ended, n_retried, n_refused;
        char ended_id[QUEUE_ID_LENGTH + 1];
        TaskStatus ended_status;
} Fixture;

#define FIXTURE_TIMEOUT_USEC (10 * USEC_PER_SEC)

#define run_until(f, condition)                                                             \
        do {                                                                                \
                usec_t _end = clock_monotonic_usec() + FIXTURE_TIMEOUT_USEC;                \
                while (!(condition)) {                                                      \
                        ck_assert_msg(clock_monotonic_usec() < _end, "never: " #condition); \
                        ck_assert_int_ge(sd_event_run((f)->event, 100 * USEC_PER_MSEC), 0); \
                }                                                                           \
        } while (0)

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        return remove(path);
}

static inline void fixture_on_event(Source *source, const QueueEvent *event, void *userdata)
{
        Fixture *f = userdata;

        switch (event->kind) {
        case QUEUE_EVENT_ENDED:
                f->n_ended++;
                strcpy(f->ended_id, event->id);
                f->ended_status = event->status;
                break;
        case QUEUE_EVENT_RETRIED:
                f->n_retried++;
                break;
        case QUEUE_EVENT_REFUSED:
                f->n_refused++;
                break;
        }
}

static inline void fixture_open(Fixture *f)
{
        _cleanup_free_ char *error = NULL;
        int r = queue_new(&f->queue, f->storage, f->event, &f->config, f->folder, &error);

        ck_assert_msg(r == 0, "%s", error ? error : strerror(-r));
        queue_set_listener(f->queue, fixture_on_event, f);
}

static inline Fixture *fixture_new(void)
{
        Fixture *f = calloc(1, sizeof(*f));

        ck_assert_ptr_nonnull(f);
        strcpy(f->folder, "/tmp/test-queue-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(f->folder));
        ck_assert_int_ge(sd_event_new(&f->event), 0);
        ck_assert_int_eq(storage_new(&f->storage, f->event), 0);
        f->config = (ConfigSource){
                .name = (char *)"local",
                .type = SOURCE_QUEUE,
                .max_tasks = 1000000,
                .retention_usec = USEC_INFINITY,
                .priority_step_usec = USEC_PER_MINUTE,
        };
        fixture_open(f);
        return f;
}

static inline void fixture_close(Fixture *f)
{
        f->queue = source_free(f->queue);
}

static inline void fixture_free(Fixture *f)
{
        fixture_close(f);
        (void)storage_free(f->storage);
        (void)sd_event_unref(f->event);
        (void)nftw(f->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        free(f->text);
        free(f);
        clock_freeze(0, 0);
}

/* Another connection, as an administrator's tool would be. */
static inline int64_t fixture_query(Fixture *f, const char *sql)
{
        char path[128];
        sqlite3 *db;
        sqlite3_stmt *statement;
        int64_t value;

        (void)snprintf(path, sizeof(path), "%s/queue-local.db", f->folder);
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        (void)sqlite3_busy_timeout(db, 5000);
        ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s",
                      sqlite3_errmsg(db));
        value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
        (void)sqlite3_finalize(statement);
        (void)sqlite3_close(db);
        return value;
}

/* Submitting */

static inline void fixture_on_receipts(const QueueReceipt *receipts, size_t n, void *userdata)
{
        Fixture *f = userdata;

        f->answered = true;
        f->n_receipts = n;
        f->message[0] = '\0';
        memcpy(f->receipts, receipts, n * sizeof(*receipts));
        for (size_t i = 0; i < n; i++) {
                if (receipts[i].message && f->message[0] == '\0')
                        (void)snprintf(f->message, sizeof(f->message), "%s", receipts[i].message);
        }
}

static inline QueueVerdict submit_all(Fixture *f, const QueueTask *tasks, size_t n)
{
        f->answered = false;
        ck_assert_int_eq(queue_submit(f->queue, tasks, n, fixture_on_receipts, f, NULL), 0);
        run_until(f, f->answered);
        ck_assert_uint_eq(f->n_receipts, n);
        return f->receipts[0].verdict;
}

static inline QueueVerdict submit(Fixture *f, QueueTask task)
{
        if (!task.type.data)
                task.type = SLICE_LITERAL("t");
        return submit_all(f, &task, 1);
}

/* n plain tasks of a type, inputs {"n":0}, {"n":1} … */
static inline void submit_many(Fixture *f, const char *type, size_t n)
{
        QueueTask *tasks = calloc(n, sizeof(*tasks));
        char(*inputs)[32] = calloc(n, sizeof(*inputs));

        for (size_t i = 0; i < n; i++) {
                (void)snprintf(inputs[i], sizeof(inputs[i]), "{\"n\":%zu}", i);
                tasks[i] = (QueueTask){ .type = slice_from_string(type),
                                        .input = slice_from_string(inputs[i]) };
        }
        ck_assert_int_eq(submit_all(f, tasks, n), QUEUE_ACCEPTED);
        free(tasks);
        free(inputs);
}

/* A pool */

static inline void pool_on_tasks(Subscription *subscription, Task **tasks, size_t n, void *userdata)
{
        Pool *pool = userdata;

        ck_assert_uint_le(pool->n_tasks + n, POOL_TASKS_MAX);
        memcpy(pool->tasks + pool->n_tasks, tasks, n * sizeof(*tasks));
        pool->n_tasks += n;
}

static inline void pool_remove(Pool *pool, Task *task)
{
        for (size_t i = 0; i < pool->n_tasks; i++) {
                if (pool->tasks[i] != task)
                        continue;
                memmove(pool->tasks + i, pool->tasks + i + 1,
                        (pool->n_tasks - i - 1) * sizeof(*pool->tasks));
                pool->n_tasks--;
                (void)task_unref(task);
                return;
        }
        ck_abort_msg("not the pool's task");
}

static inline void pool_on_cancel(Subscription *subscription, Task *task, CancelCause cause,
                                  void *userdata)
{
        Pool *pool = userdata;

        pool->n_cancelled++;
        pool->last_cause = cause;
}

static inline void pool_on_settled(Subscription *subscription, Task *task, TaskStatus status,
                                   void *userdata)
{
        Pool *pool = userdata;

        pool->n_settled++;
        pool->n_stale += status == _TASK_STATUS_INVALID;
        pool->last_status = status;
}

static inline void pool_on_released(Subscription *subscription, Task *task, void *userdata)
{
        ((Pool *)userdata)->n_released++;
}

/* types: NULL-terminated; attempts: of the pool. */
static inline void pool_open_types(Pool *pool, Fixture *f, const char *const *types,
                                   unsigned attempts)
{
        static const SubscriptionCallbacks callbacks = {
                .on_tasks = pool_on_tasks,
                .on_cancel = pool_on_cancel,
                .on_settled = pool_on_settled,
                .on_released = pool_on_released,
        };

        *pool = (Pool){ .last_status = _TASK_STATUS_INVALID };
        ck_assert_int_eq(source_subscribe(f->queue,
                                          &(SubscriptionOptions){
                                                  .pool = "p",
                                                  .task_type = (char *const *)types,
                                                  .retry_attempts = attempts,
                                                  .retry_backoff = { 1000, 1000 },
                                          },
                                          &callbacks, pool, &pool->subscription),
                         0);
}

static inline void pool_open(Pool *pool, Fixture *f, const char *type, unsigned attempts)
{
        pool_open_types(pool, f, (const char *const[]){ type, NULL }, attempts);
}

static inline void pool_forget(Pool *pool)
{
        while (pool->n_tasks > 0)
                pool_remove(pool, pool->tasks[0]);
}

static inline void pool_close(Pool *pool)
{
        pool_forget(pool);
        pool->subscription = source_unsubscribe(pool->subscription);
}

static inline void pool_fetch(Pool *pool, Fixture *f, size_t n)
{
        size_t wanted = pool->n_tasks + n;

        source_set_credit(pool->subscription, (unsigned)n);
        run_until(f, pool->n_tasks >= wanted);
        ck_assert_uint_eq(pool->n_tasks, wanted);
}

/* Settles and waits for the answer. */
static inline TaskStatus pool_settle_with(Pool *pool, Fixture *f, Task *task, Outcome *outcome)
{
        size_t before = pool->n_settled;

        source_settle(pool->subscription, task, outcome,
                      &(Settlement){ .worker = "p/1",
                                     .started_msec = clock_epoch_msec(),
                                     .ended_msec = clock_epoch_msec() });
        run_until(f, pool->n_settled > before);
        return pool->last_status;
}

static inline TaskStatus pool_settle(Pool *pool, Fixture *f, TaskStatus status, const char *reason)
{
        Task *task = task_ref(pool->tasks[0]);
        Outcome *outcome;
        TaskStatus accepted;

        ck_assert_int_eq(outcome_new(&outcome, status, reason), 0);
        pool_remove(pool, task);
        accepted = pool_settle_with(pool, f, task, outcome);
        (void)task_unref(task);
        return accepted;
}

static inline SourceStatus fixture_status(Fixture *f)
{
        SourceStatus status;

        source_get_status(f->queue, &status);
        return status;
}
