#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Waits for children: one SIGCHLD source for all, and the whole tree goes with its leader.
 *
 * waitid(P_ALL, WNOHANG|WNOWAIT) finds a dead child; its process group is killed *before* it is
 * reaped (afterwards the number may be someone else's); orphans that came to us as subreaper are
 * reaped silently. Processes that left their group but carry a dead worker's YARDMASTER_WORKER
 * token are found by reaper_sweep and killed. */

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include "base/list.h"

typedef struct Reaper Reaper;
typedef struct ReaperWatch ReaperWatch;

/* status as siginfo: code CLD_EXITED, CLD_KILLED, CLD_DUMPED; value: exit code or signal. */
typedef void (*reaper_callback_t)(ReaperWatch *watch, int code, int value);

/* Embedded in its owner. */
struct ReaperWatch {
        ListLink link;
        pid_t pid;
        bool leave_children; /* do not end the group when the leader has exited */
        reaper_callback_t callback;
        void *userdata;
};

/* instance: what this daemon's workers' tokens begin with ("instance/pool/n"). SIGCHLD must be
 * blocked in every thread. */
int reaper_new(Reaper **ret, sd_event *event, const char *instance);
Reaper *reaper_free(Reaper *reaper);
DEFINE_CLEANUP(Reaper *, reaper_free);

/* A child that died before it was watched is reported at once, from the loop: nothing is missed. */
void reaper_watch(Reaper *reaper, ReaperWatch *watch);
void reaper_unwatch(Reaper *reaper, ReaperWatch *watch);

/* Kills every process whose environment holds this instance's token but that belongs to no live
 * worker: is_alive says so for a token ("pool/n…", without the instance). At start (is_alive NULL):
 * all of them, left by a dead predecessor. Returns how many were killed, or -errno. */
int reaper_sweep(Reaper *reaper, bool (*is_alive)(const char *token, void *userdata),
                 void *userdata);
