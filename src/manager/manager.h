#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The manager owns what the daemon consists of: event loop, configuration, storage, sources, pools,
 * spawner and reaper, the event hook, and what systemd is told. Control and daemon use it through
 * this header. Owned by main.
 *
 *   STARTING ──listening, every pool settled──▶ RUNNING ──drain──▶ DRAINING ──▶ the loop ends
 *
 * Pools follow the configuration by comparison (manager_sync_pools): what the files name and is not
 * there is made, what is there and not named is drained and then freed. A pool whose source or
 * types changed is drained first and made anew when it is gone. */

#include <systemd/sd-event.h>
#include "config/config.h"
#include "manager/event-hub.h"
#include "manager/waiters.h"
#include "pool/pool.h"
#include "source/conductor/conductor.h"
#include "source/queue/queue.h"

typedef struct Manager Manager;

typedef enum ManagerState {
        MANAGER_STARTING,
        MANAGER_RUNNING,
        MANAGER_DRAINING,
        _MANAGER_STATE_MAX,
} ManagerState;

/* state_dir belongs to another daemon. */
#define MANAGER_E_LOCKED 1

/* Locks state_dir, starts the threads, opens the sources, makes the pools; nothing runs before the
 * loop does. Signals must be blocked and SIGPIPE ignored. Failures come with *ret_error (fresh text
 * or NULL). */
int manager_new(Manager **ret, Config *config, char **ret_error);
/* Flushes the storage; kills what still runs. */
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager *, manager_free);

/* The control socket listens (READY=1 waits for it), then the loop: returns when drained, 0 or
 * MANAGER_E_UNSETTLED; or -errno. */
#define MANAGER_E_UNSETTLED 4
int manager_run(Manager *manager);

/* Reload: all or nothing. 0; MANAGER_E_INVALID with *ret_diagnostics, or MANAGER_E_REFUSED with
 * *ret_message (it would need a restart, or a source cannot be opened); -errno. Vectors may be
 * NULL.
 */
#define MANAGER_E_INVALID 2
#define MANAGER_E_REFUSED 3

typedef struct ReloadReport {
        char **added, **removed, **changed, **restarted; /* names of pools */
        ConfigDiagnostics *diagnostics;                  /* warnings; errors if INVALID */
        char *message;                                   /* REFUSED */
} ReloadReport;

int manager_reload(Manager *manager, ReloadReport *ret);
void reload_report_deinit(ReloadReport *report);

/* Begins the drain; called again it cuts a drain short: first to stopping what runs, then to
 * killing it. deadline_usec: from now; USEC_INFINITY: the configured drain_timeout. */
void manager_drain(Manager *manager, usec_t deadline_usec);

/* Looking in. Everything borrowed. */

sd_event *manager_event(const Manager *manager);
Config *manager_config(const Manager *manager);
ManagerState manager_state(const Manager *manager);
/* One line, as systemctl status shows it. */
const char *manager_status_text(const Manager *manager);
usec_t manager_started_usec(const Manager *manager);
int64_t manager_config_msec(const Manager *manager);
/* Why the last reload was refused; NULL: it was not. */
const char *manager_config_problem(const Manager *manager);
usec_t manager_stall_usec(const Manager *manager);
uint64_t manager_n_events_dropped(const Manager *manager);

const Cgroups *manager_cgroups(const Manager *manager);

size_t manager_n_pools(const Manager *manager);
Pool *manager_pool(const Manager *manager, size_t i);
/* Pools that no longer are as the configuration has them, and drain. */
size_t manager_n_retiring(const Manager *manager);
Pool *manager_retiring(const Manager *manager, size_t i);
Pool *manager_find_pool(const Manager *manager, const char *name);
size_t manager_n_sources(const Manager *manager);
Source *manager_source(const Manager *manager, size_t i);
Source *manager_find_source(const Manager *manager, const char *name);
/* The pool that serves type on source (NULL: on any queue); NULL if none does. */
Pool *manager_pool_for_type(const Manager *manager, const Source *source, Slice type);

/* What is left to do of a drain: tasks in hand now, handed back since it began. */
void manager_get_drain(const Manager *manager, unsigned *ret_running, uint64_t *ret_handed_back);

/* Told when the drain is over, before the loop ends. Embedded in its owner. */
typedef struct DrainListener DrainListener;
struct DrainListener {
        ListLink link;
        /* The listener is on the list no more. */
        void (*callback)(DrainListener *listener);
};
void manager_add_drain_listener(Manager *manager, DrainListener *listener);

/* Hands fd, under a name, to the service manager: the next start after a crash or a restart gets it
 * back. Those of that name from before are kept no more if replace. False: nobody keeps it. */
bool manager_store_fd(Manager *manager, const char *name, int fd, bool replace);

/* Events: pools', and the manager's own. */
EventHub *manager_event_hub(Manager *manager);

/* Told of every task that ends. */
Waiters *manager_waiters(Manager *manager);

/* The path of yardmaster-runner: as installed, or what YARDMASTER_RUNNER_PATH names (an absolute
 * path), so that a daemon that is not installed finds its own. */
int manager_find_runner(char **ret);
/* The same for yardmaster-launcher and YARDMASTER_LAUNCHER_PATH. */
int manager_find_launcher(char **ret);
