/* SPDX-License-Identifier: Apache-2.0 */

/* yardmaster-launcher CGROUP.PROCS: lives in a worker's cgroup and starts its processes there, as
 * worker/launch-wire.h says, until its standard input, the socket to the daemon, is closed. It is
 * small: it counts towards the worker's limits, and it is killed with it. */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "base/macro.h"
#include "worker/launch-wire.h"
#include "worker/process-setup.h"

/* The child shares our memory until exec and needs a stack of its own: some frames of system
 * calls. */
#define STACK_SIZE 65536

typedef struct Launch {
        int socket;
        int fds[LAUNCH_FDS];
        char *bytes; /* of the memfd */
        size_t size;
        char **vector; /* for arguments and environment */
        const char *path;
        const char *folder;
        char **arguments;
        char **environment;
        volatile int failed; /* the child has said so */
} Launch;

static void answer(const Launch *launch, LaunchEvent event, pid_t pid, int error, ProcessStep step)
{
        const LaunchRequest *request = (const LaunchRequest *)launch->bytes;
        const LaunchAnswer bytes = {
                .event = (int32_t)event,
                .pid = pid,
                .error = error,
                .step = (int32_t)step,
                .serial = request ? request->serial : 0,
        };

        (void)send(launch->socket, &bytes, sizeof(bytes), MSG_NOSIGNAL);
}

/* Moves this process: the slow part, once, while nobody waits. */
static int enter(const char *path)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, "0", 1) != 1)
                return -errno;
        return 0;
}

/* The fds of one request. 0: the daemon has closed; 1: they are there. */
static int receive(Launch *launch)
{
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(LAUNCH_FDS * sizeof(int))];
        } control = {};
        char byte;
        struct iovec iov = { &byte, 1 };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        struct cmsghdr *header;
        ssize_t n;

        do
                n = recvmsg(launch->socket, &message, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n < 0 ? -errno : 0;
        header = CMSG_FIRSTHDR(&message);
        if (!header || header->cmsg_type != SCM_RIGHTS ||
            header->cmsg_len != CMSG_LEN(LAUNCH_FDS * sizeof(int)))
                return -EMFILE;
        memcpy(launch->fds, CMSG_DATA(header), sizeof(launch->fds));
        return 1;
}

static char *next_text(const Launch *launch, char *at)
{
        char *end = launch->bytes + launch->size;

        return at < end ? at + strnlen(at, (size_t)(end - at)) + 1 : at;
}

/* Points into the mapped request. */
static int unpack(Launch *launch)
{
        const LaunchRequest *request = (const LaunchRequest *)launch->bytes;
        size_t n = (size_t)request->n_arguments + request->n_environment + 2;
        char *at = launch->bytes + sizeof(*request), **to;

        launch->vector = calloc(n, sizeof(char *));
        if (!launch->vector)
                return -ENOMEM;
        launch->path = at;
        at = next_text(launch, at);
        launch->folder = at;
        at = next_text(launch, at);
        to = launch->arguments = launch->vector;
        for (uint32_t i = 0; i < request->n_arguments; i++, at = next_text(launch, at))
                *to++ = at;
        launch->environment = ++to;
        for (uint32_t i = 0; i < request->n_environment; i++, at = next_text(launch, at))
                *to++ = at;
        return 0;
}

static int map(Launch *launch)
{
        struct stat st;
        void *bytes;

        if (fstat(launch->fds[3], &st) < 0)
                return -errno;
        if ((size_t)st.st_size < sizeof(LaunchRequest))
                return -EBADMSG;
        bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, launch->fds[3], 0);
        if (bytes == MAP_FAILED)
                return -errno;
        launch->bytes = bytes;
        launch->size = (size_t)st.st_size;
        return unpack(launch);
}

/* In our memory, while we stand still. */
static int child_run(void *userdata)
{
        Launch *launch = userdata;
        const LaunchRequest *request = (const LaunchRequest *)launch->bytes;
        const struct rlimit files = { request->open_files, request->open_files };
        const struct rlimit cpu = { request->cpu_soft, request->cpu_hard };
        const ProcessSetup setup = {
                .parent = request->parent,
                .fds = { launch->fds[0], launch->fds[1], launch->fds[2] },
                .open_files = request->open_files > 0 ? &files : NULL,
                .cpu = request->cpu_soft > 0 ? &cpu : NULL,
                .nice = request->nice,
                .working_directory = launch->folder[0] != '\0' ? launch->folder : NULL,
        };
        pid_t pid = getpid();
        ProcessStep step;

        answer(launch, LAUNCH_BORN, pid, 0, PROCESS_DONE);
        step = process_setup(&setup);
        if (step == PROCESS_DONE) {
                if (request->ignore_sigpipe)
                        (void)signal(SIGPIPE, SIG_IGN);
                (void)execve(launch->path, launch->arguments, launch->environment);
                step = PROCESS_EXEC;
        }
        answer(launch, LAUNCH_FAILED, pid, -errno, step);
        launch->failed = 1;
        _exit(127);
}

static void start(Launch *launch)
{
        static char stack[STACK_SIZE] __attribute__((aligned(16)));
        pid_t pid;
        int r;

        r = map(launch);
        if (r < 0) {
                answer(launch, LAUNCH_FAILED, 0, r, PROCESS_LAUNCH);
                return;
        }
        pid = clone(child_run, stack + STACK_SIZE, CLONE_PARENT | CLONE_VM | CLONE_VFORK | SIGCHLD,
                    launch);
        if (pid < 0)
                answer(launch, LAUNCH_FAILED, 0, -errno, PROCESS_VFORK);
        else if (!launch->failed)
                answer(launch, LAUNCH_DONE, pid, 0, PROCESS_DONE);
}

static void finish(Launch *launch)
{
        for (size_t i = 0; i < LAUNCH_FDS; i++)
                launch->fds[i] = close_fd(launch->fds[i]);
        if (launch->bytes)
                (void)munmap(launch->bytes, launch->size);
        free(launch->vector);
        *launch = (Launch){ .socket = launch->socket };
}

int main(int argc, char *argv[])
{
        Launch launch = { .socket = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) };
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), r;

        if (argc != 2 || launch.socket < 0 || null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
                return EXIT_FAILURE;
        (void)close(null_fd);
        r = enter(argv[1]);
        if (r < 0) {
                answer(&launch, LAUNCH_FAILED, 0, r, PROCESS_CGROUP);
                return EXIT_FAILURE;
        }
        while ((r = receive(&launch)) != 0) {
                if (r > 0)
                        start(&launch);
                else
                        answer(&launch, LAUNCH_FAILED, 0, r, PROCESS_LAUNCH);
                finish(&launch);
        }
        return EXIT_SUCCESS;
}
