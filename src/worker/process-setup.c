/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include "base/macro.h"
#include "worker/process-setup.h"

const char *process_step_to_string(ProcessStep step)
{
        static const char *const names[] = {
                [PROCESS_DONE] = "done",
                [PROCESS_SETSID] = "setsid",
                [PROCESS_PRCTL] = "prctl",
                [PROCESS_PARENT] = "start",
                [PROCESS_DUP] = "dup",
                [PROCESS_SETRLIMIT] = "setrlimit",
                [PROCESS_SETPRIORITY] = "setpriority",
                [PROCESS_CHDIR] = "chdir",
                [PROCESS_EXEC] = "exec",
                [PROCESS_CGROUP] = "cgroup",
                [PROCESS_VFORK] = "vfork",
                [PROCESS_LAUNCH] = "launch",
        };

        static_assert(ELEMENTSOF(names) == _PROCESS_STEP_MAX, "a step has no name");
        return step >= 0 && step < _PROCESS_STEP_MAX ? names[step] : "start";
}

/* A source that lies in the way of another's target is moved up first. */
static int place_fds(const int fds[3])
{
        int from[3];

        for (int i = 0; i < 3; i++) {
                from[i] = fds[i];
                if (from[i] < 3 && from[i] != i)
                        from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
                if (from[i] < 0)
                        return -1;
        }
        for (int i = 0; i < 3; i++) {
                if ((from[i] == i ? fcntl(i, F_SETFD, 0) : dup2(from[i], i)) < 0)
                        return -1;
        }
        return 0;
}

ProcessStep process_setup(const ProcessSetup *setup)
{
        if (setsid() < 0)
                return PROCESS_SETSID;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return PROCESS_PRCTL;
        if (getppid() != setup->parent) {
                errno = ESRCH; /* died before the signal was asked for */
                return PROCESS_PARENT;
        }
        if (place_fds(setup->fds) < 0)
                return PROCESS_DUP;
        if (setup->open_files && setrlimit(RLIMIT_NOFILE, setup->open_files) < 0)
                return PROCESS_SETRLIMIT;
        if (setup->cpu && setrlimit(RLIMIT_CPU, setup->cpu) < 0)
                return PROCESS_SETRLIMIT;
        if (setup->nice != 0 && setpriority(PRIO_PROCESS, 0, setup->nice) < 0)
                return PROCESS_SETPRIORITY;
        if (setup->working_directory && chdir(setup->working_directory) < 0)
                return PROCESS_CHDIR;
        return PROCESS_DONE;
}
