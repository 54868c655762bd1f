/* SPDX-License-Identifier: Apache-2.0 */

/* The end of a daemon: take nothing new, let what runs finish, stop it at the deadline, go.
 *
 * FINISHING ──deadline, second signal──▶ STOPPING ──grace, third signal──▶ KILLING ──margin──▶ exit
 *
 * Each stage ends early once every pool has stopped. What is not settled at the last exit, since
 * the disk takes nothing, runs again at the next start.
 *
 * With nothing left to stop but an answer on its way that may bring tasks, it is waited for, past
 * the deadlines, so that they go back: a server's own time-outs bound that. Asked a second time it
 * is waited for no longer than for a worker, asked a third time not at all. */

#include "manager/manager-internal.h"

#include <inttypes.h>
#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"
#include "base/parse.h"

/* How often progress is looked at, and for how long systemd is asked to wait beyond it: a loop that
 * is delayed by a busy machine still comes in time. */
#define DRAIN_TICK_USEC   USEC_PER_SEC
#define DRAIN_EXTEND_USEC (10 * USEC_PER_SEC)

/* The same for a drain without a deadline, after a task that has ended. */
#define DRAIN_EXTEND_TASK_USEC (2 * USEC_PER_MINUTE)

/* Workers escalate by themselves: cancel, TERM, KILL, stop_timeout apart. Beyond that the daemon's
 * own patience ends, and as long after it has killed them itself. */
#define DRAIN_KILL_MARGIN_USEC (5 * USEC_PER_SEC)

static void for_all_pools(Manager *manager, void (*f)(Pool *))
{
        for (size_t i = 0; i < manager->n_pools; i++)
                f(manager->pools[i]);
        for (size_t i = 0; i < manager->n_retiring; i++)
                f(manager->retiring[i]);
}

static uint64_t sum_handed_back(const Manager *manager)
{
        uint64_t n = 0;

        for (size_t i = 0; i < manager->n_pools; i++)
                n += pool_stats(manager->pools[i])->total.n_handed_back;
        return n;
}

static uint64_t sum_progress(const Manager *manager)
{
        uint64_t n = sum_handed_back(manager);

        for (size_t i = 0; i < manager->n_pools; i++)
                n += pool_stats(manager->pools[i])->total.n_processed;
        return n;
}

void manager_get_drain(const Manager *manager, unsigned *ret_running, uint64_t *ret_handed_back)
{
        unsigned n = 0;

        for (size_t i = 0; i < manager->n_pools; i++) {
                PoolStatus status;

                pool_get_status(manager->pools[i], &status);
                n += status.n_in_hand;
        }
        *ret_running = n;
        *ret_handed_back = manager->drain_stage == DRAIN_NONE
                                   ? 0
                                   : sum_handed_back(manager) - manager->drain_handed_back;
}

static usec_t longest_stop(const Manager *manager)
{
        usec_t longest = 0;

        for (size_t i = 0; i < manager->n_pools; i++)
                longest = MAX(longest, pool_config(manager->pools[i])->stop_timeout_usec);
        return longest;
}

/* Until when answers are waited for that may bring tasks; 0: none are. */
static usec_t answers_until_usec(const Manager *manager)
{
        usec_t until = 0;

        for (size_t i = 0; i < manager->n_sources; i++)
                until = MAX(until, source_busy_until_usec(manager->sources[i]));
        return until;
}

static bool has_workers(const Manager *manager)
{
        for (size_t i = 0; i < manager->n_pools; i++) {
                PoolStatus status;

                pool_get_status(manager->pools[i], &status);
                if (status.n_running > 0 || status.n_in_hand > 0)
                        return true;
        }
        return false;
}

/* Nothing is left to be stopped, but an answer is awaited. */
static bool only_waits_for_answers(const Manager *manager, usec_t now)
{
        return answers_until_usec(manager) > now && !has_workers(manager);
}

static void enter_stage(Manager *manager, DrainStage stage, usec_t deadline_usec)
{
        usec_t now = clock_monotonic_usec();
        char time[FORMAT_MAX];
        unsigned running;
        uint64_t handed_back;

        manager_get_drain(manager, &running, &handed_back);
        manager->drain_stage = stage;
        switch (stage) {
        case DRAIN_FINISHING:
                log_event(LOG_NOTICE, (&(LogFields){ .message_id = LOG_ID_DRAIN_BEGUN }),
                          "draining: %u task%s in hand, time to finish: %s", running,
                          PLURAL(running), format_duration(time, deadline_usec));
                manager->drain_deadline_usec = usec_add(now, deadline_usec);
                for_all_pools(manager, pool_drain);
                break;
        case DRAIN_STOPPING:
                /* with nothing to stop it is the source that is waited for */
                deadline_usec = running > 0 ? 3 * longest_stop(manager) : 0;
                log_event(LOG_NOTICE, (&(LogFields){ .message_id = LOG_ID_DRAIN_CUT_SHORT }),
                          "draining: stopping what still runs; %u task%s to hand back", running,
                          PLURAL(running));
                manager->drain_deadline_usec =
                        usec_add(now, usec_add(deadline_usec, DRAIN_KILL_MARGIN_USEC));
                for_all_pools(manager, pool_stop);
                break;
        case DRAIN_KILLING:
                log_event(LOG_WARNING, (&(LogFields){ .message_id = LOG_ID_DRAIN_CUT_SHORT }),
                          "draining: killing what still runs; %u task%s to hand back", running,
                          PLURAL(running));
                manager->drain_deadline_usec = usec_add(now, DRAIN_KILL_MARGIN_USEC);
                for_all_pools(manager, pool_kill);
                break;
        default:
                break;
        }
}

/* Towards a deadline of its own a drain gets on with every second, so systemd may wait as long as
 * one is ahead; without a deadline only as long as tasks end. */
static void extend_timeout(Manager *manager)
{
        uint64_t progress = sum_progress(manager);

        if (manager->drain_deadline_usec < USEC_INFINITY)
                notify_extend_timeout(manager->notify, DRAIN_EXTEND_USEC);
        else if (progress != manager->drain_progress)
                notify_extend_timeout(manager->notify, DRAIN_EXTEND_TASK_USEC);
        manager->drain_progress = progress;
}

static int give_up(Manager *manager)
{
        log_event(LOG_ERR, (&(LogFields){ .message_id = LOG_ID_DRAIN_CUT_SHORT }),
                  "draining: not everything could be ended and written down; what is missing runs "
                  "again at the next start");
        return sd_event_exit(manager->event, MANAGER_E_UNSETTLED);
}

static int stop_waiting(Manager *manager)
{
        log_event(
                LOG_WARNING, (&(LogFields){ .message_id = LOG_ID_DRAIN_CUT_SHORT }),
                "draining: an answer that may bring tasks is waited for no longer; what it brings "
                "is handed back at the next start");
        return sd_event_exit(manager->event, MANAGER_E_UNSETTLED);
}

static int on_deadline(Manager *manager, usec_t now)
{
        if (only_waits_for_answers(manager, now)) {
                if (manager->drain_cut)
                        return stop_waiting(manager);
                manager->drain_deadline_usec = answers_until_usec(manager);
                return 0;
        }
        if (manager->drain_stage == DRAIN_KILLING)
                return give_up(manager);
        enter_stage(manager,
                    manager->drain_stage == DRAIN_FINISHING ? DRAIN_STOPPING : DRAIN_KILLING, 0);
        return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
        Manager *manager = userdata;
        usec_t now = clock_monotonic_usec();

        if (now >= manager->drain_deadline_usec) {
                int r = on_deadline(manager, now);

                if (r < 0)
                        return r;
        }
        extend_timeout(manager);
        manager_update_state(manager);
        (void)sd_event_source_set_time(
                source, MIN(usec_add(now, DRAIN_TICK_USEC), manager->drain_deadline_usec));
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void begin(Manager *manager, usec_t deadline_usec)
{
        usec_t now = clock_monotonic_usec();
        int r;

        manager->state = MANAGER_DRAINING;
        manager->drain_handed_back = sum_handed_back(manager);
        notify_stopping(manager->notify);
        manager_emit(manager, EVENT_DRAIN_BEGUN, NULL);
        enter_stage(manager, DRAIN_FINISHING, deadline_usec);
        r = sd_event_add_time(manager->event, &manager->drain_timer, CLOCK_MONOTONIC,
                              MIN(usec_add(now, DRAIN_TICK_USEC), manager->drain_deadline_usec),
                              USEC_PER_MSEC, on_tick, manager);
        if (r < 0) {
                log_error_errno(r, "cannot watch the drain's deadline, stopping at once: %m");
                enter_stage(manager, DRAIN_STOPPING, 0);
        }
        manager_update_state(manager);
        manager_check_drain(manager);
}

void manager_drain(Manager *manager, usec_t deadline_usec)
{
        switch (manager->drain_stage) {
        case DRAIN_NONE:
                begin(manager, deadline_usec == USEC_INFINITY ? manager->config->drain_timeout_usec
                                                              : deadline_usec);
                break;
        case DRAIN_FINISHING:
                manager->drain_cut = true;
                enter_stage(manager, DRAIN_STOPPING, 0);
                break;
        case DRAIN_STOPPING:
                if (manager->drain_cut && only_waits_for_answers(manager, clock_monotonic_usec())) {
                        (void)stop_waiting(manager);
                        break;
                }
                manager->drain_cut = true;
                enter_stage(manager, DRAIN_KILLING, 0);
                break;
        case DRAIN_KILLING:
                break;
        }
}

static void free_retired(Manager *manager)
{
        size_t n = 0, before = manager->n_retiring;

        for (size_t i = 0; i < before; i++) {
                Pool *pool = manager->retiring[i];

                if (pool_state(pool) == POOL_STATE_STOPPED)
                        pool_free(pool);
                else
                        manager->retiring[n++] = pool;
        }
        manager->n_retiring = n;
        if (n == before || manager->drain_stage != DRAIN_NONE)
                return;
        /* a source or a pool that waited for its predecessor may begin */
        if (manager_sync_pools(manager, NULL) < 0)
                log_error("cannot make a pool that the configuration names: out of memory");
        manager_close_unwanted_sources(manager);
}

void manager_add_drain_listener(Manager *manager, DrainListener *listener)
{
        list_append(&manager->drain_listeners, &listener->link);
}

static void tell_undelivered(const Manager *manager)
{
        for (size_t i = 0; i < manager->n_sources; i++) {
                Source *source = manager->sources[i];
                OutboxStatus status;

                if (source_type(source) != SOURCE_CONDUCTOR)
                        continue;
                outbox_get_status(conductor_outbox(source), &status);
                if (status.n_waiting > 0)
                        log_event(LOG_NOTICE, (&(LogFields){ .source = source_name(source) }),
                                  "%" PRIu64 " message%s for source %s not delivered yet: to be "
                                  "sent after the next start, until then in %s",
                                  status.n_waiting, PLURAL(status.n_waiting), source_name(source),
                                  manager->config->state_dir);
        }
}

static void end(Manager *manager)
{
        ListLink *link;

        tell_undelivered(manager);
        log_event(LOG_NOTICE, (&(LogFields){ .message_id = LOG_ID_DRAIN_ENDED }), "drained");
        while ((link = list_pop_first(&manager->drain_listeners))) {
                DrainListener *listener = LIST_ENTRY(link, DrainListener, link);

                listener->callback(listener);
        }
        (void)sd_event_exit(manager->event, 0);
}

void manager_check_drain(Manager *manager)
{
        if (manager->n_retiring > 0)
                free_retired(manager);
        if (manager->drain_stage == DRAIN_NONE || manager->n_retiring > 0)
                return;
        for (size_t i = 0; i < manager->n_pools; i++)
                if (pool_state(manager->pools[i]) != POOL_STATE_STOPPED)
                        return;
        end(manager);
}
