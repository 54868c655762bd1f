#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The daemon's side of a yardmaster-launcher: starts processes in a worker's cgroup, one at a time,
 * by requests of the same shape as the spawner's and with answers like its. Owned by the Child
 * whose processes it starts; the program is started by the spawner when it is first needed, and
 * again if it was killed with its group.
 *
 * A process that ends at once may be found dead before its launcher has answered: then the reaper
 * asks here whose it is (reaper_expect). */

#include "worker/reaper.h"
#include "worker/spawn.h"

typedef struct Launcher Launcher;

typedef struct LauncherOptions {
        sd_event *event;
        Spawner *spawner;
        Reaper *reaper;
        const char *program; /* path of yardmaster-launcher; borrowed */
        const char *cgroup;  /* path of the group */
} LauncherOptions;

int launcher_new(Launcher **ret, const LauncherOptions *options);
/* Its program goes. A request that was not answered is the caller's again. */
Launcher *launcher_free(Launcher *launcher);
DEFINE_CLEANUP(Launcher *, launcher_free);

/* Never fails: errors come in the answer. One at a time. Its fds are closed before the answer. */
void launcher_post(Launcher *launcher, SpawnRequest *request);

/* The pid of the program; 0: it does not run, as far as is known. */
pid_t launcher_pid(const Launcher *launcher);
