#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What a worker's process does between its birth and exec, in the spawner's child and in a
 * launcher's alike: leader of its own session and group, dead with the daemon, its three fds,
 * limits, nice, folder. System calls only: it runs in its parent's memory. */

#include <sys/resource.h>
#include <sys/types.h>

/* The last thing that was tried. */
typedef enum ProcessStep {
        PROCESS_DONE,
        PROCESS_SETSID,
        PROCESS_PRCTL,
        PROCESS_PARENT, /* it is gone already */
        PROCESS_DUP,
        PROCESS_SETRLIMIT,
        PROCESS_SETPRIORITY,
        PROCESS_CHDIR,
        PROCESS_EXEC,
        PROCESS_CGROUP, /* of a launcher: its own way into the worker's group */
        PROCESS_VFORK,
        PROCESS_LAUNCH, /* a launcher died */
        _PROCESS_STEP_MAX,
} ProcessStep;

/* "exec", "chdir", …: static text */
const char *process_step_to_string(ProcessStep step);

typedef struct ProcessSetup {
        pid_t parent; /* the daemon */
        int fds[3];   /* none negative; one that is its own target loses close-on-exec */
        const struct rlimit *open_files; /* NULL: inherited */
        const struct rlimit *cpu;        /* NULL: inherited */
        int nice;                        /* 0: inherited */
        const char *working_directory;   /* NULL: inherited */
} ProcessSetup;

/* PROCESS_DONE, or what failed; errno says why. */
ProcessStep process_setup(const ProcessSetup *setup);
