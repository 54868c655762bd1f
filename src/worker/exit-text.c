/* SPDX-License-Identifier: Apache-2.0 */

#include <signal.h>
#include <stdio.h>
#include "base/macro.h"
#include "worker/exit-text.h"

/* The contract's words are those of Go's runtime, which differ from strsignal's here and there. */
static const struct {
        const char *name;
        const char *text;
} signals[] = {
        [SIGHUP] = { "SIGHUP", "hangup" },
        [SIGINT] = { "SIGINT", "interrupt" },
        [SIGQUIT] = { "SIGQUIT", "quit" },
        [SIGILL] = { "SIGILL", "illegal instruction" },
        [SIGTRAP] = { "SIGTRAP", "trace/breakpoint trap" },
        [SIGABRT] = { "SIGABRT", "aborted" },
        [SIGBUS] = { "SIGBUS", "bus error" },
        [SIGFPE] = { "SIGFPE", "floating point exception" },
        [SIGKILL] = { "SIGKILL", "killed" },
        [SIGUSR1] = { "SIGUSR1", "user defined signal 1" },
        [SIGSEGV] = { "SIGSEGV", "segmentation fault" },
        [SIGUSR2] = { "SIGUSR2", "user defined signal 2" },
        [SIGPIPE] = { "SIGPIPE", "broken pipe" },
        [SIGALRM] = { "SIGALRM", "alarm clock" },
        [SIGTERM] = { "SIGTERM", "terminated" },
        [SIGSTKFLT] = { "SIGSTKFLT", "stack fault" },
        [SIGCHLD] = { "SIGCHLD", "child exited" },
        [SIGCONT] = { "SIGCONT", "continued" },
        [SIGSTOP] = { "SIGSTOP", "stopped (signal)" },
        [SIGTSTP] = { "SIGTSTP", "stopped" },
        [SIGTTIN] = { "SIGTTIN", "stopped (tty input)" },
        [SIGTTOU] = { "SIGTTOU", "stopped (tty output)" },
        [SIGURG] = { "SIGURG", "urgent I/O condition" },
        [SIGXCPU] = { "SIGXCPU", "CPU time limit exceeded" },
        [SIGXFSZ] = { "SIGXFSZ", "file size limit exceeded" },
        [SIGVTALRM] = { "SIGVTALRM", "virtual timer expired" },
        [SIGPROF] = { "SIGPROF", "profiling timer expired" },
        [SIGWINCH] = { "SIGWINCH", "window changed" },
        [SIGIO] = { "SIGIO", "I/O possible" },
        [SIGPWR] = { "SIGPWR", "power failure" },
        [SIGSYS] = { "SIGSYS", "bad system call" },
};

const char *signal_to_string(int signal, char *buffer)
{
        if (signal > 0 && (size_t)signal < ELEMENTSOF(signals) && signals[signal].name)
                return signals[signal].name;
        (void)snprintf(buffer, EXIT_TEXT_MAX, "SIG%d", signal);
        return buffer;
}

char *exit_to_contract_text(int code, int value, char *buffer)
{
        const char *dumped = code == CLD_DUMPED ? " (core dumped)" : "";

        if (code == CLD_EXITED)
                (void)snprintf(buffer, EXIT_TEXT_MAX, "exit status %d", value);
        else if (value > 0 && (size_t)value < ELEMENTSOF(signals) && signals[value].text)
                (void)snprintf(buffer, EXIT_TEXT_MAX, "signal: %s%s", signals[value].text, dumped);
        else
                (void)snprintf(buffer, EXIT_TEXT_MAX, "signal: signal %d%s", value, dumped);
        return buffer;
}
