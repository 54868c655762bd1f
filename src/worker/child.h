#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One process of a worker: from the request to the spawner until it is reaped.
 *
 *   IDLE ──child_start──▶ SPAWNING ──CHILD_STARTED──▶ RUNNING ──CHILD_EXITED──▶ IDLE
 *                            └──────── CHILD_FAILED ────────────────────────────▲
 *
 * Owned by its worker, which may free it at any time: while the spawner still has the request, the
 * Child outlives its owner, and the process is killed as soon as its number is known. It therefore
 * owns what the request borrows: environment, arguments and configuration.
 *
 * In a cgroup its processes are started by a launcher that lives there, else by the spawner. */

#include "config/config.h"
#include "worker/environment.h"
#include "worker/launcher.h"
#include "worker/reaper.h"
#include "worker/spawn.h"

typedef struct Child Child;

typedef enum ChildEvent {
        CHILD_STARTED, /* pid is set */
        CHILD_FAILED,  /* request.error and request.step say why; nothing runs */
        CHILD_EXITED,  /* code and value are set; pid is 0 again */
} ChildEvent;

/* The last act of the function that calls it: the Child may be freed in it. */
typedef void (*child_callback_t)(Child *child, ChildEvent event, void *userdata);

struct Child {
        Spawner *spawner;
        Reaper *reaper;
        Launcher *launcher; /* NULL: no cgroup */
        char *cgroup;
        child_callback_t callback;
        void *userdata;

        /* of the process to start or that runs; the owner replaces them before child_start */
        ConfigPool *config;       /* counted */
        Environment *environment; /* owned */
        char **arguments;         /* owned; NULL: the pool's command */

        SpawnRequest request;
        ReaperWatch watch;
        pid_t pid;      /* 0: none */
        pid_t last_pid; /* of the process that ended last */
        int code;       /* CLD_EXITED, CLD_KILLED, CLD_DUMPED */
        int value;
        int pending_signal; /* asked for while it was being spawned */
        bool spawning;
        bool launching; /* spawning, by the launcher */
        bool orphaned;  /* its owner is gone */
};

int child_new(Child **ret, Spawner *spawner, Reaper *reaper, child_callback_t callback,
              void *userdata);
/* Kills the process group if there is one. */
Child *child_free(Child *child);
DEFINE_CLEANUP(Child *, child_free);

void child_set_config(Child *child, ConfigPool *config);
/* Where its next processes are born. options NULL: where the daemon is. */
int child_set_cgroup(Child *child, const LauncherOptions *options);
/* Starts a process as config, environment, arguments and the fds in request say. Takes the fds. */
void child_start(Child *child);
/* To the whole group; a stopped one is woken so that it can obey. SIGKILL is for all of its cgroup.
 * Ignored when nothing runs. */
void child_signal(Child *child, int signal);

static inline bool child_is_active(const Child *child)
{
        return child->spawning || child->pid > 0;
}
