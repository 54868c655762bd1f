#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What the daemon and a yardmaster-launcher say to each other, over a SOCK_SEQPACKET pair: both are
 * of one build, so structures go as they are.
 *
 * The launcher lives in a worker's cgroup, and what it starts is born there: so a task costs no
 * move between cgroups, which the kernel makes wait for all of its CPUs. It starts children as
 * siblings of its own (CLONE_PARENT): they are the daemon's to wait for and to die with.
 *
 *     daemon                                launcher
 *     request, 4 fds ─────────────────────▶
 *                     ◀───────────────────── BORN pid         by the child itself, before exec
 *                     ◀───────────────────── FAILED, step     by the child; or
 *                     ◀───────────────────── DONE             by the launcher: exec has worked
 *
 * BORN is on its way before the child can die: whoever finds an unknown dead child looks here. */

#include <stdint.h>

/* One byte with these fds: stdin, stdout, stderr, and a memfd that holds a LaunchRequest and
 * behind it the texts, each with its NUL: path, folder ("": inherited), arguments, environment. */
#define LAUNCH_FDS 4

typedef struct LaunchRequest {
        int32_t parent; /* the daemon */
        int32_t nice;
        uint64_t open_files; /* 0: inherited */
        uint64_t cpu_soft;   /* seconds; 0: none */
        uint64_t cpu_hard;
        uint32_t n_arguments;
        uint32_t n_environment;
        uint32_t ignore_sigpipe;
        uint32_t serial; /* comes back in each answer: one may be late */
} LaunchRequest;

typedef enum LaunchEvent {
        LAUNCH_BORN,
        LAUNCH_FAILED, /* pid 0: the launcher itself */
        LAUNCH_DONE,
} LaunchEvent;

typedef struct LaunchAnswer {
        int32_t event;
        int32_t pid;
        int32_t error;   /* -errno */
        int32_t step;    /* ProcessStep */
        uint32_t serial; /* 0: of no request */
} LaunchAnswer;
