/* SPDX-License-Identifier: Apache-2.0 */

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include "base/clock.h"
#include "base/log-ids.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/parse.h"
#include "worker/leftover.h"
#include "worker/tree.h"

/* A process may start another between being seen and being killed, so /proc is read until nothing
 * is found; something that starts processes faster than that is left to the next start. Twice at
 * least: a process inside exec has no environment for an instant. */
#define ROUNDS_MIN 2
#define ROUNDS_MAX 16

/* Killed at a time in one round; further ones are found by the next. */
#define KILLS_MAX 256

/* For all rounds together: a killed process that is not gone by then hangs in the kernel. */
#define GONE_WAIT_USEC USEC_PER_SEC

int leftover_check(pid_t pid, const char *instance, leftover_is_alive_t is_alive, void *userdata,
                   char ret_token[LEFTOVER_TOKEN_SIZE])
{
        size_t size = strlen(instance);
        int r;

        r = tree_read_variable(pid, LEFTOVER_TOKEN_NAME, ret_token, LEFTOVER_TOKEN_SIZE);
        if (r <= 0)
                return r == -ENODATA ? r : 0;
        if (strncmp(ret_token, instance, size) != 0 || ret_token[size] != '/')
                return 0;
        return !is_alive(ret_token, userdata);
}

typedef struct Sweep {
        const char *instance;
        leftover_is_alive_t is_alive;
        void *userdata;
        struct pollfd killed[KILLS_MAX];
        size_t n_killed;
} Sweep;

static void sweep_forget(Sweep *sweep)
{
        while (sweep->n_killed > 0)
                (void)close_fd(sweep->killed[--sweep->n_killed].fd);
}

/* The pidfd is taken before the environment is read, so that what is killed is what was read. */
static void sweep_try(Sweep *sweep, pid_t pid)
{
        _cleanup_close_ int fd = -EBADF;
        char token[LEFTOVER_TOKEN_SIZE];

        fd = pidfd_open(pid, 0);
        if (fd < 0 ||
            leftover_check(pid, sweep->instance, sweep->is_alive, sweep->userdata, token) <= 0)
                return;
        if (pidfd_send_signal(fd, SIGKILL, NULL, 0) < 0)
                return;
        log_event(LOG_WARNING, (&(LogFields){ .message_id = LOG_ID_LEFTOVER_KILLED }),
                  "killed process %d, left behind by worker %s", pid, token);
        sweep->killed[sweep->n_killed++] = (struct pollfd){ .fd = TAKE_FD(fd), .events = POLLIN };
}

static void closedirp(DIR **directory)
{
        if (*directory)
                (void)closedir(*directory);
}

static int sweep_round(Sweep *sweep)
{
        _cleanup_(closedirp) DIR *directory = NULL;
        const struct dirent *entry;
        uint64_t pid;

        directory = opendir("/proc");
        if (!directory)
                return -errno;
        while (sweep->n_killed < KILLS_MAX && (entry = readdir(directory))) {
                if (parse_uint64(entry->d_name, &pid) >= 0 && (pid_t)pid != getpid())
                        sweep_try(sweep, (pid_t)pid);
        }
        return 0;
}

/* False if some of them are still there at the end of the time. */
static bool sweep_wait(Sweep *sweep, usec_t deadline_usec)
{
        for (size_t i = 0; i < sweep->n_killed; i++) {
                usec_t now = clock_monotonic_usec();
                int wait_msec = 0;

                if (now < deadline_usec)
                        wait_msec = (int)((deadline_usec - now) / USEC_PER_MSEC) + 1;
                if (poll(&sweep->killed[i], 1, wait_msec) <= 0)
                        return false;
        }
        return true;
}

int leftover_kill_all(const char *instance, leftover_is_alive_t is_alive, void *userdata)
{
        usec_t deadline_usec = usec_add(clock_monotonic_usec(), GONE_WAIT_USEC);
        _cleanup_(sweep_forget) Sweep sweep = {
                .instance = instance,
                .is_alive = is_alive,
                .userdata = userdata,
        };
        int n_killed = 0, r;

        for (unsigned i = 0; i < ROUNDS_MAX; i++) {
                r = sweep_round(&sweep);
                if (r < 0)
                        return r;
                if (sweep.n_killed == 0 && i + 1 >= ROUNDS_MIN)
                        break;
                n_killed += (int)sweep.n_killed;
                if (!sweep_wait(&sweep, deadline_usec))
                        break;
                sweep_forget(&sweep);
        }
        return n_killed;
}
