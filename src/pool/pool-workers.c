/* SPDX-License-Identifier: Apache-2.0 */

/* The workers of a pool: how many, which go first, when one is started again, when it is replaced.
 */

#include "pool/pool-internal.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"

#define REMEDY_EXEC                                                                                \
        "check that the program exists and is executable for the daemon's user, then wait or use " \
        "'yardctl restart'"
#define REMEDY_START                                                                              \
        "let the daemon have more open files and memory (LimitNOFILE= of its service), or fewer " \
        "workers"
#define REMEDY_CRASH                                                                            \
        "see what the worker printed ('yardctl logs POOL'); try the handler with 'yardmasterd " \
        "run': "                                                                                \
        "if it works there, the service's sandbox forbids something, yardmaster-worker(7)"
#define REMEDY_TRAP                                                                         \
        "Node.js and others that compile while they run end so in the service without its " \
        "drop-in 20-jit.conf: yardmasterd(8), HARDENING; see also 'yardctl logs POOL'"
#define REMEDY_MEMORY                                                                              \
        "give it more (limits.memory; MemoryMax= of the service), or see what its handler needs: " \
        "'yardctl list workers -o wide' shows what each has used"
#define REMEDY_WATCHDOG                                                                          \
        "see in 'yardctl logs POOL' what it was at; a handler that is at work says so in time, " \
        "or "                                                                                    \
        "raise watchdog: yardmaster-worker(7)"

unsigned pool_wanted_workers(const Pool *pool)
{
        return pool->draining ? 0 : pool->config->workers;
}

unsigned pool_n_ready(const Pool *pool)
{
        unsigned n = 0;

        for (size_t i = 0; i < pool->n_slots; i++)
                n += worker_state(pool->slots[i]->worker) == WORKER_STATE_READY;
        return n;
}

static bool has_process(const Pool *pool)
{
        return pool->config->handler.mode != HANDLER_PER_TASK;
}

/* Up to a tenth more or less, so that workers that began together do not end together. */
static uint64_t jitter(uint64_t value)
{
        return value - value / 10 + random_u64() % (value / 5 + 1);
}

/* Slots */

static Slot *slot_free(Slot *slot)
{
        if (!slot)
                return NULL;
        worker_free(slot->worker);
        free(slot);
        return NULL;
}
DEFINE_CLEANUP(Slot *, slot_free);

static int slot_new(Slot **ret, Pool *pool, unsigned index)
{
        _cleanup_(slot_freep) Slot *slot = calloc(1, sizeof(Slot));
        int r;

        if (!slot)
                return -ENOMEM;
        slot->pool = pool;
        slot->index = index;
        slot->generation = pool->generation;
        slot->age_usec = USEC_INFINITY;
        r = worker_new(&slot->worker, pool->context->worker, pool->config, index, pool_on_worker,
                       slot);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(slot);
        return 0;
}

/* The lowest index that no worker has: names stay small and are not used twice at a time. The
 * slots are ordered by index. */
static int add_slot(Pool *pool)
{
        _cleanup_(slot_freep) Slot *slot = NULL;
        unsigned index = 1;
        size_t at = 0;
        Slot **slots;
        int r;

        while (at < pool->n_slots && pool->slots[at]->index == index) {
                at++;
                index++;
        }
        r = slot_new(&slot, pool, index);
        if (r < 0)
                return r;
        slots = reallocarray(pool->slots, pool->n_slots + 1, sizeof(Slot *));
        if (!slots)
                return -ENOMEM;
        pool->slots = slots;
        memmove(slots + at + 1, slots + at, (pool->n_slots - at) * sizeof(Slot *));
        slots[at] = TAKE_PTR(slot);
        pool->n_slots++;
        return 0;
}

static void remove_stopped_surplus(Pool *pool)
{
        size_t n = 0;

        for (size_t i = 0; i < pool->n_slots; i++) {
                Slot *slot = pool->slots[i];

                if (slot->surplus && worker_state(slot->worker) == WORKER_STATE_STOPPED)
                        slot_free(slot);
                else
                        pool->slots[n++] = slot;
        }
        pool->n_slots = n;
}

void pool_free_slots(Pool *pool)
{
        for (size_t i = 0; i < pool->n_slots; i++)
                slot_free(pool->slots[i]);
        free(pool->slots);
        pool->slots = NULL;
        pool->n_slots = 0;
}

/* How much it would cost to let this one go: nothing for one that does not run. */
static unsigned cost_of_losing(const Slot *slot)
{
        switch (worker_state(slot->worker)) {
        case WORKER_STATE_STOPPED:
                return 0;
        case WORKER_STATE_STARTING:
        case WORKER_STATE_STOPPING:
                return 1;
        default:
                return 2 + worker_n_tasks(slot->worker);
        }
}

static void mark_one_surplus(Pool *pool)
{
        Slot *cheapest = NULL;

        for (size_t i = 0; i < pool->n_slots; i++) {
                Slot *slot = pool->slots[i];

                if (!slot->surplus &&
                    (!cheapest || cost_of_losing(slot) <= cost_of_losing(cheapest)))
                        cheapest = slot;
        }
        if (cheapest) {
                cheapest->surplus = true;
                worker_drain(cheapest->worker);
        }
}

static int adjust_count(Pool *pool)
{
        unsigned wanted = pool_wanted_workers(pool), n = 0;
        int r;

        for (size_t i = 0; i < pool->n_slots; i++)
                n += !pool->slots[i]->surplus;
        for (; n < wanted; n++) {
                r = add_slot(pool);
                if (r < 0)
                        return r;
        }
        for (; n > wanted; n--)
                mark_one_surplus(pool);
        return 0;
}

/* Starting and replacing */

static void back_off(Slot *slot, usec_t now)
{
        slot->n_failures++;
        slot->retry_usec = usec_add(now, backoff_delay(&slot->pool->config->restart.backoff,
                                                       slot->n_failures, random_u64()));
}

/* A worker keeps the configuration it was made with, but for the live keys. */
static int slot_remake_worker(Slot *slot)
{
        Pool *pool = slot->pool;
        Worker *worker;
        int r;

        r = worker_new(&worker, pool->context->worker, pool->config, slot->index, pool_on_worker,
                       slot);
        if (r < 0)
                return r;
        worker_free(slot->worker);
        slot->worker = worker;
        slot->generation = pool->generation;
        slot->n_failures = 0;
        slot->retry_usec = 0;
        return 0;
}

static void note_no_start(Slot *slot, int error)
{
        PoolStats *stats = &slot->pool->stats;
        const char *name = worker_name(slot->worker);
        char text[sizeof(stats->error)];
        int n;

        log_full(LOG_ERR, error,
                 &(LogFields){ .pool = slot->pool->config->name,
                               .worker = name,
                               .message_id = LOG_ID_WORKER_CANNOT_START },
                 "cannot be started, trying again: %m");
        n = snprintf(text, sizeof(text), "worker %s cannot be started: %s", name, strerror(-error));
        pool_stats_set_error(stats, text, MIN((size_t)MAX(n, 0), sizeof(text) - 1), REMEDY_START);
}

static void slot_start(Slot *slot, usec_t now)
{
        const ConfigPool *config = slot->pool->config;
        int r;

        slot->n_tasks = 0;
        slot->recycle = slot->restart = false;
        slot->started_usec = now;
        slot->tasks_limit = 0;
        slot->age_usec = USEC_INFINITY;
        if (has_process(slot->pool)) {
                if (config->recycle.tasks > 0)
                        slot->tasks_limit = (unsigned)jitter(config->recycle.tasks);
                if (config->recycle.age_usec > 0 && config->recycle.age_usec < USEC_INFINITY)
                        slot->age_usec = usec_add(now, jitter(config->recycle.age_usec));
        }
        slot->pool->stats.total.n_starts++;
        r = worker_start(slot->worker);
        if (r < 0) {
                back_off(slot, now);
                note_no_start(slot, r);
        }
}

/* While the handler cannot be executed only one worker tries. */
static bool is_prober(const Slot *slot)
{
        const Pool *pool = slot->pool;

        const Slot *first = NULL;

        for (size_t i = 0; i < pool->n_slots; i++) {
                const Slot *other = pool->slots[i];
                WorkerState state = worker_state(other->worker);

                if (other->surplus)
                        continue;
                if (state == WORKER_STATE_STARTING)
                        return false;
                if (state == WORKER_STATE_STOPPED && !first)
                        first = other;
        }
        return slot == first;
}

static bool may_start(const Slot *slot, usec_t now, usec_t *wake)
{
        const Pool *pool = slot->pool;
        usec_t when = slot->retry_usec;

        if (pool->failure == POOL_FAILURE_EXEC) {
                if (!is_prober(slot))
                        return false;
                when = pool->probe_usec;
        }
        if (now >= when)
                return true;
        *wake = MIN(*wake, when);
        return false;
}

static bool is_outdated(const Slot *slot)
{
        return slot->restart || slot->generation != slot->pool->generation;
}

/* Asked for: one by one, or all. Recycling: a quarter at a time, at least one. */
static bool may_replace(const Slot *slot)
{
        const Pool *pool = slot->pool;
        unsigned limit, n = 0;

        if (is_outdated(slot))
                limit = pool->rolling ? 1 : UINT_MAX;
        else
                limit = MAX(1U, pool->config->workers / 4);
        for (size_t i = 0; i < pool->n_slots; i++)
                n += pool->slots[i]->replacing && !pool->slots[i]->surplus;
        return n < limit;
}

/* A run that lasts tells that the crashes are over, without any task. */
static void check_stable(Slot *slot, usec_t now, usec_t *wake)
{
        usec_t stable = usec_add(slot->started_usec, POOL_STABLE_USEC);

        if (slot->pool->failure != POOL_FAILURE_CRASHES)
                return;
        if (now >= stable)
                pool_recover(slot->pool);
        else
                *wake = MIN(*wake, stable);
}

static int slot_update(Slot *slot, usec_t now, usec_t *wake)
{
        int r;

        if (slot->surplus)
                return 0;
        switch (worker_state(slot->worker)) {
        case WORKER_STATE_STOPPED:
                if (slot->generation != slot->pool->generation) {
                        r = slot_remake_worker(slot);
                        if (r < 0)
                                return r;
                }
                if (may_start(slot, now, wake))
                        slot_start(slot, now);
                break;
        case WORKER_STATE_READY:
                check_stable(slot, now, wake);
                slot->recycle |= now >= slot->age_usec;
                if (!slot->recycle && !is_outdated(slot)) {
                        *wake = MIN(*wake, slot->age_usec);
                        break;
                }
                if (may_replace(slot)) {
                        slot->replacing = true;
                        worker_drain(slot->worker);
                }
                break;
        default:
                break;
        }
        return 0;
}

int pool_update_workers(Pool *pool, usec_t now_usec, usec_t *wake_usec)
{
        int r;

        r = adjust_count(pool);
        if (r < 0)
                return r;
        remove_stopped_surplus(pool);
        for (size_t i = 0; i < pool->n_slots; i++) {
                r = slot_update(pool->slots[i], now_usec, wake_usec);
                if (r < 0)
                        return r;
        }
        return 0;
}

void slot_check_recycle(Slot *slot)
{
        uint64_t limit = slot->pool->config->recycle.memory;
        WorkerStatus status;
        usec_t now;

        if (slot->tasks_limit > 0 && slot->n_tasks >= slot->tasks_limit)
                slot->recycle = true;
        if (limit == 0 || slot->recycle || !has_process(slot->pool))
                return;
        now = clock_monotonic_usec();
        if (now - slot->memory_read_usec < POOL_MEMORY_INTERVAL_USEC)
                return;
        slot->memory_read_usec = now;
        worker_get_status(slot->worker, &status);
        slot->recycle = status.memory_bytes > limit;
}

/* What the workers report */

static void on_ready(Slot *slot)
{
        Pool *pool = slot->pool;

        slot->replacing = false;
        pool_emit(pool, EVENT_WORKER_STARTED, worker_name(slot->worker), NULL, NULL, NULL);
        if (pool->failure == POOL_FAILURE_EXEC && has_process(pool))
                pool_recover(pool);
}

/* A worker that hung was no bad start, and its timeout has slowed things down enough. */
static bool is_crash_loop(const Slot *slot, WorkerExitCause cause)
{
        return cause != WORKER_EXIT_TIMEOUT && cause != WORKER_EXIT_WATCHDOG;
}

static const char *remedy_of_exit(const WorkerExit *exit)
{
        bool killed = exit->code == CLD_KILLED || exit->code == CLD_DUMPED;

        switch (exit->cause) {
        case WORKER_EXIT_MEMORY:
        case WORKER_EXIT_OOM:
                return REMEDY_MEMORY;
        case WORKER_EXIT_WATCHDOG:
                return REMEDY_WATCHDOG;
        default:
                return killed && exit->value == SIGTRAP && getenv("INVOCATION_ID") ? REMEDY_TRAP
                                                                                   : REMEDY_CRASH;
        }
}

static const char *log_id_of_exit(WorkerExitCause cause)
{
        switch (cause) {
        case WORKER_EXIT_WATCHDOG:
                return LOG_ID_WORKER_WATCHDOG;
        case WORKER_EXIT_START_TIMEOUT:
        case WORKER_EXIT_TIMEOUT:
                return LOG_ID_WORKER_TIMEOUT;
        case WORKER_EXIT_MEMORY:
                return LOG_ID_WORKER_MEMORY;
        case WORKER_EXIT_OOM:
                return LOG_ID_WORKER_OOM;
        case WORKER_EXIT_PROTOCOL:
                return LOG_ID_WORKER_PROTOCOL;
        default:
                return LOG_ID_WORKER_CRASHED;
        }
}

static void on_crash(Slot *slot, const WorkerExit *exit, usec_t now)
{
        Pool *pool = slot->pool;
        const char *name = worker_name(slot->worker);
        bool by_itself = exit->cause == WORKER_EXIT_CRASHED;
        usec_t delay = 0;
        char pid[16];

        (void)snprintf(pid, sizeof(pid), "%d", (int)exit->pid);
        pool->stats.total.n_crashes++;
        if (now - slot->started_usec >= POOL_STABLE_USEC)
                slot->n_failures = 0;
        slot->retry_usec = 0;
        if (is_crash_loop(slot, exit->cause)) {
                back_off(slot, now);
                delay = slot->retry_usec - now;
        }
        log_event(LOG_WARNING,
                  (&(LogFields){ .pool = pool->config->name,
                                 .worker = name,
                                 .pid = pid,
                                 .task_id = exit->task_id[0] != '\0' ? exit->task_id : NULL,
                                 .message_id = log_id_of_exit(exit->cause) }),
                  "%s; starting again in %.3gs", exit->text, (double)delay / (double)USEC_PER_SEC);
        pool_stats_set_error(&pool->stats, exit->text, strlen(exit->text), remedy_of_exit(exit));
        pool_emit(pool, by_itself ? EVENT_WORKER_CRASHED : EVENT_WORKER_KILLED, name, NULL, NULL,
                  exit->text);
        if (slot->n_failures >= POOL_FAILED_STARTS && pool_n_ready(pool) == 0)
                pool_fail(pool, POOL_FAILURE_CRASHES, exit->text, remedy_of_exit(exit));
}

/* Persistent workers that were started before the program vanished go on. */
static void on_cannot_exec(Slot *slot, const WorkerExit *exit)
{
        Pool *pool = slot->pool;

        slot->retry_usec = 0;
        if (!has_process(pool) || pool_n_ready(pool) == 0) {
                pool_fail(pool, POOL_FAILURE_EXEC, exit->text, REMEDY_EXEC);
                return;
        }
        back_off(slot, clock_monotonic_usec());
        pool_stats_set_error(&pool->stats, exit->text, strlen(exit->text), REMEDY_EXEC);
        log_event(LOG_WARNING,
                  (&(LogFields){ .pool = pool->config->name,
                                 .worker = worker_name(slot->worker),
                                 .message_id = LOG_ID_WORKER_CANNOT_START }),
                  "cannot be started: %s; %s", exit->text, REMEDY_EXEC);
}

static void on_stopped(Slot *slot, const WorkerExit *exit)
{
        Pool *pool = slot->pool;

        pool->stats.total.n_exits[exit->cause]++;
        switch (exit->cause) {
        case WORKER_EXIT_ASKED:
                slot->retry_usec = 0;
                pool_emit(pool, EVENT_WORKER_STOPPED, worker_name(slot->worker), NULL, NULL,
                          exit->text);
                break;
        case WORKER_EXIT_CANNOT_EXEC:
                on_cannot_exec(slot, exit);
                break;
        default:
                on_crash(slot, exit, clock_monotonic_usec());
        }
        slot->started_usec = 0;
}

/* Its tasks go on; what it prints until it is replaced is lost. */
static void on_log_lost(Slot *slot)
{
        slot->recycle = true;
        log_event(LOG_WARNING,
                  (&(LogFields){ .pool = slot->pool->config->name,
                                 .worker = worker_name(slot->worker),
                                 .message_id = LOG_ID_WORKER_LOG_LOST }),
                  "its stream to the journal broke: replaced after the tasks it holds");
}

void pool_on_worker(Worker *worker, const WorkerReport *report, void *userdata)
{
        Slot *slot = userdata;
        Pool *pool = slot->pool;

        switch (report->event) {
        case WORKER_READY:
                on_ready(slot);
                break;
        case WORKER_STOPPED:
                on_stopped(slot, report->exit);
                break;
        case WORKER_ROOM:
                break;
        case WORKER_LOG_LOST:
                on_log_lost(slot);
                break;
        case WORKER_PROGRESS:
                source_report_progress(pool->subscription, report->task, report->data);
                return;
        default:
                pool_on_task(slot, report);
                return;
        }
        pool_mark(pool);
}

void pool_visit_workers(const Pool *pool, pool_worker_visitor_t visitor, void *userdata)
{
        usec_t now = clock_monotonic_usec();

        for (size_t i = 0; i < pool->n_slots; i++) {
                const Slot *slot = pool->slots[i];
                WorkerState state = worker_state(slot->worker);
                usec_t retry =
                        pool->failure == POOL_FAILURE_EXEC ? USEC_INFINITY : slot->retry_usec;
                PoolWorkerStatus status = {
                        .worker = slot->worker,
                        .state = state == WORKER_STATE_STOPPED && retry > now
                                         ? "backoff"
                                         : worker_state_to_string(state),
                };

                visitor(&status, userdata);
        }
}
