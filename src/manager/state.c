/* SPDX-License-Identifier: Apache-2.0 */

/* Which state the daemon as a whole is in, and the one line that says so. */

#include "manager/manager-internal.h"

#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"
#include "base/own-unit.h"

/* How often systemd is asked to wait for pools that start, and for how long: a loop that is delayed
 * by a busy machine still comes in time. */
#define START_TICK_USEC   (5 * USEC_PER_SEC)
#define START_EXTEND_USEC (20 * USEC_PER_SEC)

/* "systemctl reload yardmaster", where we are the main process of a unit; else what works anywhere.
 */
static void name_reload_command(char *buffer, size_t size)
{
        const char *started = getenv("SYSTEMD_EXEC_PID");
        _cleanup_free_ char *unit = NULL;
        bool user;

        if (started && strtol(started, NULL, 10) == getpid() && own_unit(&unit, &user) >= 0)
                (void)snprintf(buffer, size, "systemctl %sreload %.*s", user ? "--user " : "",
                               (int)(strlen(unit) - strlen(".service")), unit);
        else
                (void)snprintf(buffer, size, "yardctl reload");
}

static void describe_no_pools(const Manager *manager, char *buffer, size_t size)
{
        const char *path = manager->config->path, *slash = strrchr(path, '/');
        char command[128];

        name_reload_command(command, sizeof(command));
        (void)snprintf(buffer, size,
                       "no pools: put a file in %.*s/conf.d, see yardmaster.conf(5), then %s",
                       slash ? (int)(slash - path) : 1, slash ? path : ".", command);
}

static void describe_pools(const Manager *manager, char *buffer, size_t size)
{
        unsigned n_by_state[_POOL_STATE_MAX] = { 0 };
        size_t n = 0;

        for (size_t i = 0; i < manager->n_pools; i++)
                n_by_state[pool_state(manager->pools[i])]++;
        n = (size_t)snprintf(buffer, size, "%zu pool%s", manager->n_pools,
                             PLURAL(manager->n_pools));
        for (int state = 0; state < _POOL_STATE_MAX && n < size; state++)
                if (n_by_state[state] > 0)
                        n += (size_t)snprintf(buffer + n, size - n, ", %u %s", n_by_state[state],
                                              pool_state_to_string((PoolState)state));
}

static void describe_drain(const Manager *manager, char *buffer, size_t size)
{
        unsigned running;
        uint64_t handed_back;

        manager_get_drain(manager, &running, &handed_back);
        (void)snprintf(buffer, size, "draining: %u task%s in hand", running, PLURAL(running));
}

static void describe(Manager *manager)
{
        char *text = manager->status_text;
        size_t size = sizeof(manager->status_text), n;

        if (manager->state == MANAGER_DRAINING)
                describe_drain(manager, text, size);
        else if (manager->n_pools == 0)
                describe_no_pools(manager, text, size);
        else
                describe_pools(manager, text, size);
        n = strlen(text);
        if (manager->config_problem)
                (void)snprintf(text + n, size - n, "; reload refused: %s", manager->config_problem);
}

static bool all_pools_settled(const Manager *manager)
{
        for (size_t i = 0; i < manager->n_pools; i++)
                if (!pool_is_settled(manager->pools[i]))
                        return false;
        return true;
}

void manager_update_state(Manager *manager)
{
        if (manager->state == MANAGER_STARTING && manager->listening &&
            all_pools_settled(manager)) {
                manager->state = MANAGER_RUNNING;
                notify_ready(manager->notify);
                log_event(LOG_INFO, (&(LogFields){ .message_id = LOG_ID_STARTED }),
                          "ready: %zu pool%s, %zu source%s, socket %s", manager->n_pools,
                          PLURAL(manager->n_pools), manager->n_sources, PLURAL(manager->n_sources),
                          manager->config->socket);
        }
        describe(manager);
        notify_status(manager->notify, manager->status_text);
}

/* Pools bound their start by start_timeout, so systemd may wait for as long as they do. */
static int on_start_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
        Manager *manager = userdata;

        if (manager->state != MANAGER_STARTING) {
                manager->start_timer = sd_event_source_disable_unref(source);
                return 0;
        }
        notify_extend_timeout(manager->notify, START_EXTEND_USEC);
        (void)sd_event_source_set_time(source, usec_add(clock_monotonic_usec(), START_TICK_USEC));
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void manager_watch_start(Manager *manager)
{
        int r;

        if (manager->state != MANAGER_STARTING)
                return;
        r = sd_event_add_time(manager->event, &manager->start_timer, CLOCK_MONOTONIC, 0,
                              USEC_PER_SEC, on_start_tick, manager);
        if (r < 0)
                log_warning_errno(r, "cannot ask systemd to wait for the start: %m");
}
