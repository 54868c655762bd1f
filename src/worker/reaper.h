#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Waits for children: one SIGCHLD source for all, and the whole tree goes with its leader.
 *
 * waitid(P_ALL, WNOHANG|WNOWAIT) finds a dead child; its process group is killed *before* it is
 * reaped (afterwards the number may be someone else's); orphans that came to us as subreaper are
 * reaped silently. A child whose spawn answer is still on its way stays a zombie until it is
 * watched, so nothing is missed and no number is reused meanwhile.
 *
 * Processes that left their group are found by the token in their environment: within a second
 * after a watched child has exited, orphans whose token no watch carries are killed, and what they
 * leave in turn. Nothing wakes up while nothing exits. */

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include "base/list.h"
#include "worker/leftover.h"
#include "worker/spawn.h"

/* Longest token that is looked at; a longer one belongs to nobody. */
#define REAPER_TOKEN_MAX (LEFTOVER_TOKEN_SIZE - 1)

typedef struct Reaper Reaper;
typedef struct ReaperWatch ReaperWatch;

/* status as siginfo: code CLD_EXITED, CLD_KILLED, CLD_DUMPED; value: exit code or signal. The watch
 * is the owner's again. The reaper itself must not be freed in here. */
typedef void (*reaper_callback_t)(ReaperWatch *watch, int code, int value);

/* Embedded in its owner, zeroed before. */
struct ReaperWatch {
        ListLink link;
        pid_t pid;
        bool leave_children; /* do not end the group when the leader has exited by itself */
        const char *token;   /* value of YARDMASTER_WORKER in its environment, borrowed: alive while
                              * watched. "instance/pool/n/k", k another one at each start, so that
                              * what a slot's last process left behind is told from the new one's.
                              * NULL: its environment has none (leave_children: they may stay) */
        reaper_callback_t callback;
        void *userdata;
};

/* A child that is on its way, and whose pid only its launcher knows. Embedded in its owner. */
typedef struct ReaperExpectation ReaperExpectation;
struct ReaperExpectation {
        ListLink link;
        /* Whether this dead child is the one; looks, and changes nothing. */
        bool (*knows)(ReaperExpectation *expectation, pid_t pid);
        /* It is: watches it, if it is to be watched, and expects it no more. */
        void (*resolve)(ReaperExpectation *expectation);
};

/* instance: what this daemon's workers' tokens begin with, before the first slash. SIGCHLD must be
 * blocked in every thread. Call on the main thread: it is the one that orphans come to. spawner
 * outlives the reaper; NULL: none. */
int reaper_new(Reaper **ret, sd_event *event, Spawner *spawner, const char *instance);
Reaper *reaper_free(Reaper *reaper);
DEFINE_CLEANUP(Reaper *, reaper_free);

/* Call it in the spawn's callback. A child that is dead already is reported from the loop. */
void reaper_watch(Reaper *reaper, ReaperWatch *watch);
/* Its exit is reaped silently from now on. */
void reaper_unwatch(Reaper *reaper, ReaperWatch *watch);

void reaper_expect(Reaper *reaper, ReaperExpectation *expectation);
void reaper_unexpect(Reaper *reaper, ReaperExpectation *expectation);

/* Kills every process on this machine whose token begins with our instance and that no watch
 * carries, and waits up to a second for them to be gone: at start, what a dead predecessor left.
 * Returns how many were killed, or -errno. */
int reaper_sweep(Reaper *reaper);
