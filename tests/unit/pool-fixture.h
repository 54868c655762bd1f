#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A pool between a source and workers that do what the test says: both interfaces are defined here,
 * so that the linker takes none of the real ones. Time stands still but for fixture_advance. */

#include <stdio.h>
#include <systemd/sd-event.h>
#include "pool/pool-internal.h"
#include "unit.h"

#define FAKE_WORKERS_MAX 64
#define FAKE_TASKS_MAX   256

/* Workers */

struct Worker {
        ConfigPool *config;
        unsigned index;
        worker_callback_t callback;
        void *userdata;
        WorkerState state;
        char name[64];
        Task *tasks[FAKE_TASKS_MAX];
        unsigned n_tasks;
        unsigned n_starts, n_drains, n_stops, n_kills, n_applies;
        uint64_t memory;
        int start_error, dispatch_error;
        Task *cancelled;
};

/* Source */

typedef struct FakeSettlement {
        Task *task;
        TaskStatus status;
        char reason[128];
        bool released;
        bool answered;
} FakeSettlement;

struct Subscription {
        SubscriptionCallbacks callbacks;
        void *userdata;
        unsigned credit;
        unsigned n_credits; /* how often it was set */
        unsigned retry_attempts;
        FakeSettlement settlements[FAKE_TASKS_MAX];
        unsigned n_settlements;
        char progress[128];
        bool busy; /* not quiet */
};

/* What the cases look at. */
typedef struct Fixture {
        sd_event *event;
        PoolContext context;
        WorkerContext worker_context; /* of no use to these workers */
        Pool *pool;
        ConfigPool *config;
        Subscription subscription;
        Worker *workers[FAKE_WORKERS_MAX]; /* by index; NULL: freed */
        usec_t now_usec;
        unsigned n_changes;
        Event events[FAKE_TASKS_MAX];
        char messages[FAKE_TASKS_MAX][64];
        unsigned n_events;
        unsigned n_tasks;
} Fixture;

static Fixture fixture;

/* The interfaces */

static inline void report(Worker *worker, WorkerReport what)
{
        worker->callback(worker, &what, worker->userdata);
}

int worker_new(Worker **ret, WorkerContext *context, ConfigPool *config, unsigned index,
               worker_callback_t callback, void *userdata)
{
        Worker *worker = calloc(1, sizeof(Worker));

        ck_assert_ptr_nonnull(worker);
        ck_assert_uint_lt(index, FAKE_WORKERS_MAX);
        ck_assert(!fixture.workers[index] || fixture.workers[index]->state == WORKER_STATE_STOPPED);
        worker->config = config_pool_ref(config);
        worker->index = index;
        worker->callback = callback;
        worker->userdata = userdata;
        (void)snprintf(worker->name, sizeof(worker->name), "%s/%u", config->name, index);
        fixture.workers[index] = worker;
        *ret = worker;
        return 0;
}

Worker *worker_free(Worker *worker)
{
        if (!worker)
                return NULL;
        if (fixture.workers[worker->index] == worker)
                fixture.workers[worker->index] = NULL;
        for (unsigned i = 0; i < worker->n_tasks; i++)
                task_unref(worker->tasks[i]);
        config_pool_unref(worker->config);
        free(worker);
        return NULL;
}

int worker_start(Worker *worker)
{
        ck_assert_int_eq(worker->state, WORKER_STATE_STOPPED);
        worker->n_starts++;
        if (worker->start_error < 0)
                return worker->start_error;
        worker->state = WORKER_STATE_STARTING;
        return 0;
}

int worker_dispatch(Worker *worker, Task *task)
{
        ck_assert_uint_gt(worker_free_slots(worker), 0);
        if (worker->dispatch_error < 0)
                return worker->dispatch_error;
        worker->tasks[worker->n_tasks++] = task_ref(task);
        return 0;
}

void worker_cancel(Worker *worker, Task *task)
{
        worker->cancelled = task;
}

void worker_drain(Worker *worker)
{
        worker->n_drains++;
        if (worker->state != WORKER_STATE_STOPPED)
                worker->state = WORKER_STATE_STOPPING;
}

void worker_stop(Worker *worker)
{
        worker->n_stops++;
        worker_drain(worker);
}

void worker_kill(Worker *worker)
{
        worker->n_kills++;
}

void worker_apply(Worker *worker, ConfigPool *config)
{
        worker->n_applies++;
}

const char *worker_name(const Worker *worker)
{
        return worker->name;
}

WorkerState worker_state(const Worker *worker)
{
        return worker->state;
}

const char *worker_state_to_string(WorkerState state)
{
        return "fake";
}

unsigned worker_free_slots(const Worker *worker)
{
        return worker->state == WORKER_STATE_READY ? worker->config->concurrency - worker->n_tasks
                                                   : 0;
}

unsigned worker_n_tasks(const Worker *worker)
{
        return worker->n_tasks;
}

void worker_get_status(Worker *worker, WorkerStatus *ret)
{
        *ret = (WorkerStatus){ .memory_bytes = worker->memory };
}

void worker_visit_tasks(Worker *worker, worker_task_visitor_t visitor, void *userdata)
{
        for (unsigned i = 0; i < worker->n_tasks; i++)
                visitor(&(WorkerTaskStatus){ .task = worker->tasks[i] }, userdata);
}

int source_subscribe(Source *source, const SubscriptionOptions *options,
                     const SubscriptionCallbacks *callbacks, void *userdata, Subscription **ret)
{
        fixture.subscription.callbacks = *callbacks;
        fixture.subscription.userdata = userdata;
        *ret = &fixture.subscription;
        return source_alter(*ret, options);
}

int source_alter(Subscription *subscription, const SubscriptionOptions *options)
{
        subscription->retry_attempts = options->retry_attempts;
        return 0;
}

void source_set_credit(Subscription *subscription, unsigned credit)
{
        subscription->credit = credit;
        subscription->n_credits++;
}

static inline FakeSettlement *add_settlement(Subscription *subscription, Task *task)
{
        FakeSettlement *settlement = &subscription->settlements[subscription->n_settlements++];

        ck_assert_uint_lt(subscription->n_settlements, FAKE_TASKS_MAX);
        settlement->task = task_ref(task);
        return settlement;
}

void source_settle(Subscription *subscription, Task *task, Outcome *outcome,
                   const Settlement *settlement)
{
        FakeSettlement *fake = add_settlement(subscription, task);

        fake->status = outcome->status;
        ck_assert_ptr_nonnull(settlement->worker);
        outcome_free(outcome);
}

void source_release(Subscription *subscription, Task *task, const char *reason)
{
        FakeSettlement *fake = add_settlement(subscription, task);

        fake->released = true;
        (void)snprintf(fake->reason, sizeof(fake->reason), "%s", reason);
}

void source_report_progress(Subscription *subscription, Task *task, Slice progress)
{
        (void)snprintf(subscription->progress, sizeof(subscription->progress), "%.*s",
                       (int)progress.size, progress.data);
}

SourceType source_type(const Source *source)
{
        return SOURCE_QUEUE;
}

bool source_is_quiet(const Subscription *subscription)
{
        return !subscription->busy;
}

Subscription *source_unsubscribe(Subscription *subscription)
{
        for (unsigned i = 0; i < subscription->n_settlements; i++)
                task_unref(subscription->settlements[i].task);
        return NULL;
}

/* Time and loop */

/* Everything that is due. */
static inline void fixture_run(void)
{
        while (sd_event_run(fixture.event, 0) > 0)
                ;
}

/* The real timers know nothing of this clock, so the update that they would bring is asked for. */
static inline void fixture_advance(usec_t usec)
{
        fixture.now_usec += usec;
        clock_freeze(fixture.now_usec, (int64_t)(fixture.now_usec / USEC_PER_MSEC));
        pool_mark(fixture.pool);
        fixture_run();
}

static inline void on_fixture_event(const Event *event, void *userdata)
{
        ck_assert_uint_lt(fixture.n_events, FAKE_TASKS_MAX);
        (void)snprintf(fixture.messages[fixture.n_events], sizeof(fixture.messages[0]), "%s",
                       event->message ? event->message : "");
        fixture.events[fixture.n_events++] = *event;
}

static inline void on_fixture_change(Pool *pool, void *userdata)
{
        fixture.n_changes++;
}

static inline unsigned count_events(EventType type)
{
        unsigned n = 0;

        for (unsigned i = 0; i < fixture.n_events; i++)
                n += fixture.events[i].type == type;
        return n;
}

static inline void fixture_setup(void)
{
        usec_t real = clock_monotonic_usec();

        log_set_level(LOG_CRIT);
        fixture = (Fixture){ .now_usec = real + 1000 * USEC_PER_DAY };
        clock_freeze(fixture.now_usec, 1);
        ck_assert_int_ge(sd_event_new(&fixture.event), 0);
        fixture.context = (PoolContext){
                .event = fixture.event,
                .worker = &fixture.worker_context,
                .events_wanted = EVENT_SET_ALL,
                .on_event = on_fixture_event,
                .on_change = on_fixture_change,
        };
        ck_assert_int_eq(config_pool_new_default("work", &fixture.config), 0);
        fixture.config->handler.mode = HANDLER_PERSISTENT;
        fixture.config->source = strdup("local");
        fixture.config->workers = 2;
        fixture.config->concurrency = 2;
}

static inline void fixture_teardown(void)
{
        pool_free(fixture.pool);
        config_pool_unref(fixture.config);
        sd_event_unref(fixture.event);
        clock_freeze(0, 0);
}

/* What happens to a pool */

/* Makes the pool and its first update; no worker is ready yet. */
static inline Pool *make_pool(void)
{
        ck_assert_int_eq(pool_new(&fixture.pool, &fixture.context, NULL, fixture.config), 0);
        fixture_run();
        return fixture.pool;
}

static inline void make_ready(unsigned index)
{
        fixture.workers[index]->state = WORKER_STATE_READY;
        report(fixture.workers[index], (WorkerReport){ .event = WORKER_READY });
        fixture_run();
}

/* The pool with all its workers ready. */
static inline Pool *make_running_pool(void)
{
        Pool *pool = make_pool();

        for (unsigned i = 1; i <= fixture.config->workers; i++)
                make_ready(i);
        return pool;
}

static inline void make_exit(unsigned index, WorkerExitCause cause)
{
        Worker *worker = fixture.workers[index];
        WorkerExit exit = { .cause = cause, .text = "it ended" };

        worker->state = WORKER_STATE_STOPPED;
        report(worker, (WorkerReport){ .event = WORKER_STOPPED, .exit = &exit });
        fixture_run();
}

/* The source hands over n tasks, whatever the credit. */
static inline void hand_over(unsigned n)
{
        Task *tasks[FAKE_TASKS_MAX];

        for (unsigned i = 0; i < n; i++) {
                char id[32];

                (void)snprintf(id, sizeof(id), "task-%u", ++fixture.n_tasks);
                ck_assert_int_eq(task_new(&tasks[i], id, "work", SLICE_LITERAL("{}")), 0);
        }
        fixture.subscription.credit -= MIN(n, fixture.subscription.credit);
        fixture.subscription.callbacks.on_tasks(&fixture.subscription, tasks, n,
                                                fixture.subscription.userdata);
        fixture_run();
}

static inline Task *take_task(Worker *worker)
{
        Task *task;

        ck_assert_uint_gt(worker->n_tasks, 0);
        task = worker->tasks[0];
        worker->n_tasks--;
        memmove(worker->tasks, worker->tasks + 1, worker->n_tasks * sizeof(Task *));
        return task;
}

/* The worker's oldest task ends. */
static inline void finish(unsigned index, TaskStatus status)
{
        Worker *worker = fixture.workers[index];
        Task *task = take_task(worker);
        Outcome *outcome;

        ck_assert_int_eq(outcome_new(&outcome, status, status == TASK_COMPLETED ? NULL : "no luck"),
                         0);
        report(worker, (WorkerReport){ .event = WORKER_TASK_DONE,
                                       .task = task,
                                       .outcome = outcome,
                                       .run_usec = 1000 });
        task_unref(task);
        fixture_run();
}

static inline void give_back(unsigned index)
{
        Worker *worker = fixture.workers[index];
        Task *task = take_task(worker);

        report(worker,
               (WorkerReport){ .event = WORKER_TASK_RETURNED, .task = task, .reason = "stopped" });
        task_unref(task);
        fixture_run();
}

/* The source answers the oldest settlement that it has not answered. */
static inline void accept_settlement(TaskStatus status)
{
        Subscription *subscription = &fixture.subscription;

        for (unsigned i = 0; i < subscription->n_settlements; i++) {
                FakeSettlement *settlement = &subscription->settlements[i];

                if (settlement->answered)
                        continue;
                settlement->answered = true;
                subscription->callbacks.on_settled(subscription, settlement->task, status,
                                                   subscription->userdata);
                fixture_run();
                return;
        }
        ck_abort_msg("no settlement waits for an answer");
}
