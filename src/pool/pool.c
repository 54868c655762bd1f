/* SPDX-License-Identifier: Apache-2.0 */

#include "pool/pool-internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"
#include "base/strv.h"
#include "config/diff.h"

/* Before answers of servers, and before what has been settled is sent: both count on the credit. */
#define UPDATE_PRIORITY (SD_EVENT_PRIORITY_NORMAL - 3)

static const char *const pool_state_table[] = {
        [POOL_STATE_STARTING] = "starting", [POOL_STATE_RUNNING] = "running",
        [POOL_STATE_DEGRADED] = "degraded", [POOL_STATE_BACKOFF] = "backoff",
        [POOL_STATE_FAILED] = "failed",     [POOL_STATE_PAUSED] = "paused",
        [POOL_STATE_DRAINING] = "draining", [POOL_STATE_STOPPED] = "stopped",
};
static_assert(ELEMENTSOF(pool_state_table) == _POOL_STATE_MAX, "a name for each state");

const char *pool_state_to_string(PoolState state)
{
        assert(state >= 0 && state < _POOL_STATE_MAX);
        return pool_state_table[state];
}

void pool_emit(Pool *pool, EventType type, const char *worker, const Task *task, const char *status,
               const char *message)
{
        Event event;

        if (!pool_wants(pool, type))
                return;
        event = (Event){
                .type = type,
                .time_msec = clock_epoch_msec(),
                .pool = pool->config->name,
                .worker = worker,
                .task_id = task ? task->id : NULL,
                .task_type = task ? task->type : NULL,
                .status = status,
                .message = message,
        };
        pool->context->on_event(&event, pool->context->userdata);
}

void pool_mark(Pool *pool)
{
        if (pool->marked_usec > 0)
                return;
        pool->marked_usec = clock_monotonic_usec();
        (void)sd_event_source_set_enabled(pool->update, SD_EVENT_ONESHOT);
}

void pool_fail(Pool *pool, PoolFailure failure, const char *message, const char *remedy)
{
        const LogFields fields = { .pool = pool->config->name, .message_id = LOG_ID_POOL_FAILED };

        pool_stats_set_error(&pool->stats, message, strlen(message), remedy);
        if (failure == POOL_FAILURE_EXEC)
                pool->probe_usec = usec_add(clock_monotonic_usec(),
                                            backoff_delay(&pool->config->restart.backoff,
                                                          ++pool->n_probes, random_u64()));
        pool_mark(pool);
        if (pool->failure == failure)
                return;
        if (pool->failure == POOL_FAILURE_NONE) {
                log_full(LOG_ERR, 0, &fields, "cannot run: %s; %s", message, remedy);
                pool_emit(pool, EVENT_POOL_FAILED, NULL, NULL, NULL, message);
        }
        pool->failure = failure;
}

void pool_recover(Pool *pool)
{
        if (pool->failure == POOL_FAILURE_EXEC)
                for (size_t i = 0; i < pool->n_slots; i++)
                        pool->slots[i]->retry_usec = 0;
        pool->failure = POOL_FAILURE_NONE;
        pool->probe_usec = 0;
        pool->n_probes = 0;
        log_event(LOG_NOTICE,
                  (&(LogFields){ .pool = pool->config->name, .message_id = LOG_ID_POOL_RECOVERED }),
                  "runs again");
        pool_emit(pool, EVENT_POOL_RECOVERED, NULL, NULL, NULL, NULL);
        pool_mark(pool);
}

/* State */

/* Ready, or on the way there without trouble. */
static unsigned count_good_workers(const Pool *pool)
{
        unsigned n = 0;

        for (size_t i = 0; i < pool->n_slots; i++) {
                const Slot *slot = pool->slots[i];

                if (slot->surplus)
                        continue;
                n += worker_state(slot->worker) == WORKER_STATE_READY || slot->replacing ||
                     (slot->n_failures == 0 && slot->retry_usec == 0);
        }
        return n;
}

static bool is_in_start_time(const Pool *pool)
{
        return clock_monotonic_usec() <
               usec_add(pool->created_usec, pool->config->start_timeout_usec);
}

PoolState pool_state(const Pool *pool)
{
        unsigned n_ready;

        if (pool->draining)
                return pool_is_stopped(pool) ? POOL_STATE_STOPPED : POOL_STATE_DRAINING;
        if (pool->paused)
                return POOL_STATE_PAUSED;
        if (pool->failure != POOL_FAILURE_NONE)
                return POOL_STATE_FAILED;
        if (pool->error_backoff_usec > clock_monotonic_usec())
                return POOL_STATE_BACKOFF;
        n_ready = pool_n_ready(pool);
        if (n_ready >= pool->config->workers)
                return POOL_STATE_RUNNING;
        if (count_good_workers(pool) < pool->config->workers)
                return POOL_STATE_DEGRADED;
        if (!pool->settled && is_in_start_time(pool))
                return POOL_STATE_STARTING;
        return n_ready > 0 ? POOL_STATE_RUNNING : POOL_STATE_DEGRADED;
}

bool pool_is_settled(const Pool *pool)
{
        return pool->settled;
}

bool pool_is_stopped(const Pool *pool)
{
        /* a worker is reported as stopped after its tasks are, and draining leaves none waiting */
        return pool->draining && pool->n_slots == 0 && source_is_quiet(pool->subscription);
}

bool pool_turns(const Pool *pool, usec_t now_usec, usec_t max_usec)
{
        if (pool->marked_usec > 0 && now_usec > usec_add(pool->marked_usec, max_usec))
                return false;
        return now_usec <= usec_add(pool->wake_usec, max_usec);
}

/* The update */

static void write_minute_line(Pool *pool)
{
        PoolCounters n;

        pool->minute_usec = USEC_INFINITY;
        if (!pool_stats_take_minute(&pool->stats, &n))
                return;
        log_event(LOG_INFO, (&(LogFields){ .pool = pool->config->name }),
                  "in the last minute: %" PRIu64 " processed, %" PRIu64 " completed, %" PRIu64
                  " failed, %" PRIu64 " retried, %" PRIu64 " canceled, %" PRIu64
                  " handed back, %" PRIu64 " crashes",
                  n.n_processed, n.n_completed, n.n_failed, n.n_retried, n.n_canceled,
                  n.n_handed_back, n.n_crashes);
}

/* The line is due a minute after the first thing worth telling; an idle pool has no timer, nor has
 * one whose line would not be logged. */
static void update_minute(Pool *pool, usec_t now, usec_t *wake)
{
        const PoolCounters *n = &pool->stats.total, *told = &pool->stats.minute;

        if (now >= pool->minute_usec)
                write_minute_line(pool);
        else if (pool->minute_usec == USEC_INFINITY && log_level() >= LOG_INFO &&
                 n->n_processed + n->n_canceled + n->n_handed_back + n->n_crashes !=
                         told->n_processed + told->n_canceled + told->n_handed_back +
                                 told->n_crashes)
                pool->minute_usec = usec_add(now, USEC_PER_MINUTE);
        *wake = MIN(*wake, pool->minute_usec);
}

static void set_timer(Pool *pool, usec_t wake)
{
        if (wake == pool->wake_usec)
                return;
        pool->wake_usec = wake;
        if (wake < USEC_INFINITY)
                (void)sd_event_source_set_time(pool->timer, wake);
        (void)sd_event_source_set_enabled(pool->timer,
                                          wake < USEC_INFINITY ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static void update_switches(Pool *pool, usec_t now, usec_t *wake)
{
        if (pool->n_queue > 0 && (pool_n_ready(pool) == 0 || pool->paused || pool->draining))
                pool_release_queue(pool, "no worker of the pool can take it now");
        if (pool->error_backoff_usec > 0 && now >= pool->error_backoff_usec)
                pool->error_backoff_usec = 0;
        if (!pool->settled)
                *wake = MIN(*wake, usec_add(pool->created_usec, pool->config->start_timeout_usec));
        if (pool->draining && pool->n_slots == 0 && !pool_is_stopped(pool))
                *wake = MIN(*wake, usec_add(now, POOL_QUIET_INTERVAL_USEC));
}

/* Whether the state is another than at the last update. */
static bool note_state(Pool *pool)
{
        PoolState state = pool_state(pool);

        if (state == pool->reported)
                return false;
        if (pool->reported == POOL_STATE_STARTING)
                log_event(LOG_INFO, (&(LogFields){ .pool = pool->config->name }),
                          "%s, %u of %u workers ready", pool_state_to_string(state),
                          pool_n_ready(pool), pool->config->workers);
        pool->reported = state;
        pool->settled |= state != POOL_STATE_STARTING;
        return true;
}

static int on_update(sd_event_source *source, void *userdata)
{
        Pool *pool = userdata;
        usec_t now = clock_monotonic_usec(), wake = USEC_INFINITY;
        bool changed;
        int r;

        pool->marked_usec = 0;
        r = pool_update_workers(pool, now, &wake);
        if (r < 0) {
                log_full(LOG_ERR, r, &(LogFields){ .pool = pool->config->name },
                         "cannot adjust its workers, trying again: %m");
                wake = MIN(wake, usec_add(now, USEC_PER_SEC));
        }
        pool_dispatch_queue(pool);
        changed = note_state(pool);
        update_switches(pool, now, &wake);
        pool_update_credit(pool, now, &wake);
        update_minute(pool, now, &wake);
        set_timer(pool, wake);

        if (changed)
                pool->context->on_change(pool, pool->context->userdata);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Pool *pool = userdata;

        pool->wake_usec = USEC_INFINITY;
        pool_mark(pool);
        return 0;
}

/* Life */

static SubscriptionOptions subscription_options(const ConfigPool *config)
{
        return (SubscriptionOptions){
                .pool = config->name,
                .task_type = config->task_type,
                .retry_attempts = config->retry.attempts,
                .retry_backoff = config->retry.backoff,
                .domain = config->domain,
                .batch = config->batch,
                .poll_timeout_usec = config->poll_timeout_usec,
                .poll_interval_usec = config->poll_interval_usec,
        };
}

static int add_event_sources(Pool *pool)
{
        int r;

        r = sd_event_add_defer(pool->context->event, &pool->update, on_update, pool);
        if (r >= 0)
                r = sd_event_source_set_priority(pool->update, UPDATE_PRIORITY);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(pool->update, "pool-update");
        /* 1 ms: late enough to be grouped with others, early enough for every interval there is */
        r = sd_event_add_time(pool->context->event, &pool->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
                              on_timer, pool);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(pool->timer, "pool-timer");
        return sd_event_source_set_enabled(pool->timer, SD_EVENT_OFF);
}

int pool_new(Pool **ret, PoolContext *context, Source *source, ConfigPool *config)
{
        _cleanup_(pool_freep) Pool *pool = calloc(1, sizeof(Pool));
        SubscriptionOptions options = subscription_options(config);
        int r;

        if (!pool)
                return -ENOMEM;
        list_init(&pool->queue);
        list_init(&pool->pending);
        pool->context = context;
        pool->source = source;
        pool->base = config_pool_ref(config);
        pool->config = config_pool_ref(config);
        pool->created_usec = clock_monotonic_usec();
        pool->minute_usec = pool->wake_usec = USEC_INFINITY;
        ratelimit_init(&pool->rate, config->rate_count, config->rate_interval_usec,
                       pool->created_usec);

        r = add_event_sources(pool);
        if (r < 0)
                return r;
        r = source_subscribe(source, &options, &pool_subscription_callbacks, pool,
                             &pool->subscription);
        if (r < 0)
                return r;
        pool->marked_usec = pool->created_usec; /* the defer source is born armed */
        *ret = TAKE_PTR(pool);
        return 0;
}

Pool *pool_free(Pool *pool)
{
        if (!pool)
                return NULL;
        pool_free_slots(pool);
        cgroups_forget_pool(pool->context->worker->cgroups, pool->base->name);
        if (pool->queue.next)
                pool_free_tasks(pool);
        if (pool->subscription)
                source_unsubscribe(pool->subscription);
        sd_event_source_disable_unref(pool->update);
        sd_event_source_disable_unref(pool->timer);
        strv_free(pool->settings);
        config_pool_unref(pool->config);
        config_pool_unref(pool->base);
        free(pool);
        return NULL;
}

/* Switches */

static int apply_settings(ConfigPool *base, char *const *settings, ConfigPool **ret,
                          char **ret_message)
{
        _cleanup_(config_pool_unrefp) ConfigPool *config = config_pool_ref(base);

        STRV_FOREACH (setting, settings) {
                _cleanup_(config_pool_unrefp) ConfigPool *next = NULL;
                _cleanup_free_ char *key = NULL;
                const char *equals = strchr(*setting, '=');
                int r;

                if (!equals) {
                        if (asprintf(ret_message, "'%s' is not KEY=VALUE", *setting) < 0)
                                return -ENOMEM;
                        return CONFIG_E_INVALID;
                }
                key = strndup(*setting, (size_t)(equals - *setting));
                if (!key)
                        return -ENOMEM;
                r = config_pool_with(config, key, equals + 1, &next, ret_message);
                if (r != 0)
                        return r;
                config_pool_unref(config);
                config = TAKE_PTR(next);
        }
        *ret = TAKE_PTR(config);
        return 0;
}

static int put_in_effect(Pool *pool, ConfigPool *config)
{
        const ConfigPool *before = pool->config;
        SubscriptionOptions options = subscription_options(config);
        PoolChange change = config_pool_compare(before, config);
        int r;

        r = source_alter(pool->subscription, &options);
        if (r < 0)
                return r;
        if (before->rate_count != config->rate_count ||
            before->rate_interval_usec != config->rate_interval_usec)
                ratelimit_init(&pool->rate, config->rate_count, config->rate_interval_usec,
                               clock_monotonic_usec());
        if (change == POOL_RESTART || change == POOL_REPLACE) {
                pool->generation++;
                pool->rolling = true;
        } else
                for (size_t i = 0; i < pool->n_slots; i++)
                        if (pool->slots[i]->generation == pool->generation)
                                worker_apply(pool->slots[i]->worker, config);
        config_pool_unref(pool->config);
        pool->config = config_pool_ref(config);
        pool_mark(pool);
        return 0;
}

int pool_apply(Pool *pool, ConfigPool *base)
{
        _cleanup_(config_pool_unrefp) ConfigPool *config = NULL;
        _cleanup_free_ char *message = NULL;
        int r;

        r = apply_settings(base, pool->settings, &config, &message);
        if (r < 0)
                return r;
        if (r > 0) {
                log_event(LOG_WARNING, (&(LogFields){ .pool = base->name }),
                          "what 'yardctl set' changed no longer fits: %s; dropped", message);
                pool->settings = strv_free(pool->settings);
                config = config_pool_ref(base);
        }
        r = put_in_effect(pool, config);
        if (r < 0)
                return r;
        config_pool_unref(pool->base);
        pool->base = config_pool_ref(base);
        return 0;
}

int pool_set(Pool *pool, char *const *settings, char **ret_message)
{
        _cleanup_(config_pool_unrefp) ConfigPool *config = NULL;
        _cleanup_(strv_freep) char **all = NULL;
        int r;

        r = apply_settings(pool->config, settings, &config, ret_message);
        if (r != 0)
                return r;
        r = strv_copy(&all, pool->settings);
        if (r < 0)
                return r;
        STRV_FOREACH (setting, settings) {
                r = strv_set_env(&all, *setting);
                if (r < 0)
                        return r;
        }
        r = put_in_effect(pool, config);
        if (r < 0)
                return r;
        strv_free(pool->settings);
        pool->settings = TAKE_PTR(all);
        return 0;
}

void pool_pause(Pool *pool)
{
        if (pool->paused)
                return;
        pool->paused = true;
        log_event(LOG_NOTICE,
                  (&(LogFields){ .pool = pool->config->name, .message_id = LOG_ID_POOL_PAUSED }),
                  "paused");
        pool_emit(pool, EVENT_POOL_PAUSED, NULL, NULL, NULL, NULL);
        pool_mark(pool);
}

void pool_resume(Pool *pool)
{
        if (!pool->paused)
                return;
        pool->paused = false;
        log_event(LOG_NOTICE,
                  (&(LogFields){ .pool = pool->config->name, .message_id = LOG_ID_POOL_RESUMED }),
                  "resumed");
        pool_emit(pool, EVENT_POOL_RESUMED, NULL, NULL, NULL, NULL);
        pool_mark(pool);
}

void pool_restart(Pool *pool, bool rolling)
{
        pool->rolling = rolling;
        for (size_t i = 0; i < pool->n_slots; i++) {
                Slot *slot = pool->slots[i];

                slot->restart = worker_state(slot->worker) != WORKER_STATE_STOPPED;
                slot->n_failures = 0;
                slot->retry_usec = 0;
        }
        pool->probe_usec = 0;
        pool_mark(pool);
}

unsigned pool_n_to_replace(const Pool *pool)
{
        unsigned n = 0;

        for (size_t i = 0; i < pool->n_slots; i++) {
                const Slot *slot = pool->slots[i];

                n += !slot->surplus &&
                     (slot->restart || slot->replacing || slot->generation != pool->generation);
        }
        return n;
}

void pool_drain(Pool *pool)
{
        if (pool->draining)
                return;
        pool->draining = true;
        pool_release_queue(pool, "the pool is draining");
        pool_mark(pool);
}

void pool_stop(Pool *pool)
{
        for (size_t i = 0; i < pool->n_slots; i++)
                if (worker_state(pool->slots[i]->worker) != WORKER_STATE_STOPPED)
                        worker_stop(pool->slots[i]->worker);
        pool_mark(pool);
}

void pool_kill(Pool *pool)
{
        for (size_t i = 0; i < pool->n_slots; i++)
                if (worker_state(pool->slots[i]->worker) != WORKER_STATE_STOPPED)
                        worker_kill(pool->slots[i]->worker);
        pool_mark(pool);
}

/* Looking in */

const char *pool_name(const Pool *pool)
{
        return pool->config->name;
}

const ConfigPool *pool_config(const Pool *pool)
{
        return pool->config;
}

const ConfigPool *pool_base_config(const Pool *pool)
{
        return pool->base;
}

Source *pool_source(const Pool *pool)
{
        return pool->source;
}

Subscription *pool_subscription(const Pool *pool)
{
        return pool->subscription;
}

const PoolStats *pool_stats(const Pool *pool)
{
        return &pool->stats;
}

void pool_get_status(const Pool *pool, PoolStatus *ret)
{
        PoolStatus status = {
                .paused = pool->paused,
                .n_wanted = pool_wanted_workers(pool),
                .n_in_hand = pool->n_running_tasks + pool->n_queue,
                .fetching = pool_takes_tasks(pool) && pool->failure != POOL_FAILURE_EXEC &&
                            pool->error_backoff_usec == 0 && pool_n_ready(pool) > 0,
        };

        for (size_t i = 0; i < pool->n_slots; i++) {
                const Worker *worker = pool->slots[i]->worker;
                bool busy = worker_n_tasks(worker) > 0;

                status.n_busy += busy;
                status.n_running += busy || worker_state(worker) == WORKER_STATE_READY;
        }
        *ret = status;
}
