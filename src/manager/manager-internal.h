#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Shared by the files of the manager: manager.c (life, looking in), state.c (state and status
 * line), reload.c (configuration),
 * drain.c (the end). */

#include "manager/event-hook.h"
#include "manager/manager.h"
#include "manager/notify.h"
#include "manager/state-dir.h"

typedef enum DrainStage {
        DRAIN_NONE,
        DRAIN_FINISHING, /* what runs may go on */
        DRAIN_STOPPING,  /* it is stopped and handed back */
        DRAIN_KILLING,
} DrainStage;

struct Manager {
        sd_event *event;
        Config *config;
        StateDir state_dir;
        char **environment; /* of workers */
        char *runner_path;
        char *launcher_path;
        Cgroups *cgroups;

        Storage *storage;
        Spawner *spawner;
        Reaper *reaper;
        EventHub hub;
        EventHook *hook;
        Notify *notify;
        WorkerContext worker_context;
        PoolContext pool_context;

        Source **sources;
        size_t n_sources;
        char **outdated; /* names of sources that are opened anew once no pool uses them */
        Pool **pools;    /* in the order of the configuration */
        size_t n_pools;
        Pool **retiring; /* draining, no longer in the configuration */
        size_t n_retiring;

        ManagerState state;
        bool listening;
        sd_event_source *start_timer; /* while STARTING */
        char status_text[512];
        usec_t started_usec;
        int64_t config_msec;
        char *config_problem;
        usec_t queue_full_usec; /* when queue_full was told last */

        DrainStage drain_stage;
        usec_t drain_deadline_usec; /* monotonic */
        bool drain_cut;             /* it was asked for more than once */
        uint64_t drain_handed_back; /* before it began */
        uint64_t drain_progress;    /* sum of counters at the last tick */
        sd_event_source *drain_timer;
        ListLink drain_listeners;

        Waiters waiters;
};

/* manager.c */
void manager_emit(Manager *manager, EventType type, const char *message);
int manager_open_source(Manager *manager, const ConfigSource *config, Source **ret,
                        char **ret_error);
int append_pointer(void ***array, size_t *n, void *pointer);

/* state.c */
void manager_update_state(Manager *manager);
/* Asks systemd to wait as long as pools start. */
void manager_watch_start(Manager *manager);

/* reload.c */
/* Makes pools what manager->config says; report may be NULL. */
int manager_sync_pools(Manager *manager, ReloadReport *report);
/* Closes sources that the configuration no longer names once no pool uses them. */
void manager_close_unwanted_sources(Manager *manager);
void manager_reload_on_signal(Manager *manager);

/* drain.c */
/* A pool's state changed: frees retired ones, ends the loop when all have stopped. */
void manager_check_drain(Manager *manager);
