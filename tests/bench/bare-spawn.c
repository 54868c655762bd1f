/* SPDX-License-Identifier: Apache-2.0 */

#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/macro.h"
#include "bare-spawn.h"

typedef struct Child {
        pid_t pid;
        int output_fd, error_fd;
} Child;

static void make_pipe(int fds[2])
{
        if (pipe2(fds, O_CLOEXEC) < 0)
                err(1, "pipe2");
}

static void start(Child *child, const char *path, Slice input, int epoll_fd)
{
        int in[2], out[2], error[2];
        char *const argv[] = { (char *)path, NULL };
        char *const environment[] = { NULL };

        make_pipe(in);
        make_pipe(out);
        make_pipe(error);
        child->pid = vfork();
        if (child->pid == 0) {
                (void)setsid();
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void)dup2(in[0], 0);
                (void)dup2(out[1], 1);
                (void)dup2(error[1], 2);
                (void)execve(path, argv, environment);
                _exit(127);
        }
        if (child->pid < 0)
                err(1, "vfork");
        (void)close(in[0]);
        (void)close(out[1]);
        (void)close(error[1]);
        if (write(in[1], input.data, input.size) != (ssize_t)input.size)
                err(1, "write");
        (void)close(in[1]);
        child->output_fd = out[0];
        child->error_fd = error[0];
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, out[0],
                      &(struct epoll_event){ .events = EPOLLIN, .data.ptr = child }) < 0)
                err(1, "epoll_ctl");
}

/* Whether the child has ended; then it is reaped and its pipes are closed. */
static bool on_readable(Child *child, int epoll_fd)
{
        char buffer[4096];
        int status;

        if (read(child->output_fd, buffer, sizeof(buffer)) > 0)
                return false;
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, child->output_fd, NULL);
        (void)close(child->output_fd);
        (void)read(child->error_fd, buffer, sizeof(buffer));
        (void)close(child->error_fd);
        if (waitpid(child->pid, &status, 0) < 0 || status != 0)
                errx(1, "the child failed");
        return true;
}

double bare_spawn_rate(const char *path, Slice input, unsigned n_in_flight, usec_t usec)
{
        _cleanup_close_ int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        _cleanup_free_ Child *children = calloc(n_in_flight, sizeof(Child));
        usec_t begin = clock_monotonic_usec(), end = begin + usec;
        unsigned n_done = 0, n_running = 0;

        if (epoll_fd < 0 || !children)
                err(1, "epoll_create1");
        for (unsigned i = 0; i < n_in_flight; i++, n_running++)
                start(&children[i], path, input, epoll_fd);
        while (n_running > 0) {
                struct epoll_event events[64];
                int n = epoll_wait(epoll_fd, events, ELEMENTSOF(events), -1);

                for (int i = 0; i < n; i++) {
                        if (!on_readable(events[i].data.ptr, epoll_fd))
                                continue;
                        n_done++;
                        if (clock_monotonic_usec() < end)
                                start(events[i].data.ptr, path, input, epoll_fd);
                        else
                                n_running--;
                }
        }
        return n_done * 1e6 / (double)(clock_monotonic_usec() - begin);
}
