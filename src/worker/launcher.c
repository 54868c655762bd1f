/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "base/buffer.h"
#include "base/cgroup.h"
#include "base/strv.h"
#include "worker/launch-wire.h"
#include "worker/launcher.h"
#include "worker/process-setup.h"

/* A launcher that was killed with the rest of its group just when it got a request is replaced; one
 * that dies over and over has a group in which nothing can live. */
#define TRIES_MAX 3

/* Arguments and environment as one request: the kernel takes no more than this in exec. */
#define REQUEST_MAX ((size_t)8 * 1024 * 1024)

/* Answers are looked at with those of the spawner. */
#define ANSWERS_PRIORITY (SD_EVENT_PRIORITY_NORMAL - 5)

/* Its program, which may be on its way up when the launcher is freed. */
typedef struct Program {
        SpawnRequest spawn;
        Launcher *launcher; /* NULL: nobody waits for it */
        char *argv[3];
        pid_t pid;
        bool spawning;
} Program;

struct Launcher {
        sd_event *event;
        Spawner *spawner;
        Reaper *reaper;
        char *path; /* of the program */
        char *procs;

        Program *program;
        int socket; /* -EBADF: none runs */
        sd_event_source *source;
        sd_event_source *deferred; /* an answer that came when nobody was to be called back */

        SpawnRequest *request; /* NULL: none under way */
        ReaperExpectation expectation;
        uint32_t serial;
        unsigned n_tries;
        pid_t born; /* the request's process, as soon as it has told */
        bool done;  /* it has been started, or not: the request has the answer */
};

static char *const no_environment[] = { NULL };

static void program_free(Program *program)
{
        if (!program)
                return;
        free(program->argv[0]);
        free(program->argv[1]);
        free(program);
}

/* Its end of the socket closes: it goes by itself, and is reaped silently. */
static void launcher_hang_up(Launcher *launcher)
{
        launcher->source = sd_event_source_disable_unref(launcher->source);
        launcher->socket = close_fd(launcher->socket);
        if (launcher->program && launcher->program->spawning)
                launcher->program->launcher = NULL;
        else
                program_free(launcher->program);
        launcher->program = NULL;
}

Launcher *launcher_free(Launcher *launcher)
{
        if (!launcher)
                return NULL;
        if (launcher->request)
                reaper_unexpect(launcher->reaper, &launcher->expectation);
        launcher_hang_up(launcher);
        (void)sd_event_source_disable_unref(launcher->deferred);
        free(launcher->path);
        free(launcher->procs);
        free(launcher);
        return NULL;
}

/* The last act: the launcher may be freed in the callback. */
static void launcher_answer(Launcher *launcher)
{
        SpawnRequest *request = TAKE_PTR(launcher->request);

        reaper_unexpect(launcher->reaper, &launcher->expectation);
        spawn_request_close_fds(request);
        request->callback(request);
}

static void launcher_note_failure(Launcher *launcher, int error, ProcessStep step)
{
        launcher->request->pid = 0;
        launcher->request->error = error;
        launcher->request->step = process_step_to_string(step);
        launcher->done = true;
}

static void launcher_take(Launcher *launcher, const LaunchAnswer *answer)
{
        if (!launcher->request || launcher->done ||
            (answer->serial != 0 && answer->serial != launcher->serial))
                return;
        switch ((LaunchEvent)answer->event) {
        case LAUNCH_BORN:
                launcher->born = answer->pid;
                break;
        case LAUNCH_FAILED:
                launcher_note_failure(launcher, answer->error, (ProcessStep)answer->step);
                break;
        case LAUNCH_DONE:
                launcher->request->pid = answer->pid;
                launcher->done = true;
                break;
        }
}

/* What has come is noted, nothing more happens. 0: there will be no more. */
static int launcher_read(Launcher *launcher)
{
        LaunchAnswer answer;
        ssize_t n;

        while (launcher->socket >= 0) {
                n = recv(launcher->socket, &answer, sizeof(answer), MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return 1;
                if (n != (ssize_t)sizeof(answer))
                        return 0;
                launcher_take(launcher, &answer);
        }
        return 0;
}

static void launcher_send(Launcher *launcher);

/* Its program has died, or could not be started: with a request, another one tries, unless the
 * request's process was born: then that has died as well, and is found by the reaper. */
static void launcher_on_death(Launcher *launcher)
{
        launcher_hang_up(launcher);
        if (!launcher->request)
                return;
        if (!launcher->done && launcher->born > 0) {
                launcher->request->pid = launcher->born;
                launcher->done = true;
        }
        if (!launcher->done && launcher->n_tries >= TRIES_MAX)
                launcher_note_failure(launcher, -ECHILD, PROCESS_LAUNCH);
        if (launcher->done)
                launcher_answer(launcher);
        else
                launcher_send(launcher);
}

static int launcher_on_answer(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Launcher *launcher = userdata;

        if (launcher_read(launcher) == 0 && launcher->program->spawning)
                /* the spawner's answer says why */
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (launcher_read(launcher) == 0)
                launcher_on_death(launcher);
        else if (launcher->request && launcher->done)
                launcher_answer(launcher);
        return 0;
}

/* The reaper has found a child that nobody knows. */
static bool launcher_knows(ReaperExpectation *expectation, pid_t pid)
{
        Launcher *launcher = container_of(expectation, Launcher, expectation);

        (void)launcher_read(launcher);
        if (launcher->done)
                (void)sd_event_source_set_enabled(launcher->deferred, SD_EVENT_ONESHOT);
        return launcher->born == pid;
}

/* It is the request's, so all that it said before it died has come. */
static void launcher_resolve(ReaperExpectation *expectation)
{
        Launcher *launcher = container_of(expectation, Launcher, expectation);

        if (!launcher->done)
                launcher->request->pid = launcher->born;
        launcher->done = true;
        launcher_answer(launcher);
}

static void program_on_spawned(SpawnRequest *spawn)
{
        Program *program = spawn->userdata;
        Launcher *launcher = program->launcher;

        program->spawning = false;
        program->pid = spawn->pid;
        if (!launcher) {
                program_free(program);
                return;
        }
        if (spawn->pid > 0) {
                (void)sd_event_source_set_enabled(launcher->source, SD_EVENT_ON);
                return;
        }
        if (launcher->request && !launcher->done)
                launcher_note_failure(launcher, spawn->error, PROCESS_LAUNCH);
        launcher_on_death(launcher);
}

static int program_new(Program **ret, Launcher *launcher, int socket)
{
        Program *program = calloc(1, sizeof(*program));

        if (!program)
                return -ENOMEM;
        program->argv[0] = strdup(launcher->path);
        program->argv[1] = strdup(launcher->procs);
        if (!program->argv[0] || !program->argv[1]) {
                program_free(program);
                return -ENOMEM;
        }
        program->launcher = launcher;
        program->spawn = (SpawnRequest){
                .path = program->argv[0],
                .argv = program->argv,
                .environment = no_environment,
                .stdin_fd = socket,
                .stdout_fd = -EBADF,
                .stderr_fd = -EBADF,
                .callback = program_on_spawned,
                .userdata = program,
        };
        *ret = program;
        return 0;
}

static int launcher_run(Launcher *launcher)
{
        _cleanup_close_ int theirs = -EBADF;
        int fds[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        launcher->socket = fds[0];
        theirs = fds[1];
        r = sd_event_add_io(launcher->event, &launcher->source, launcher->socket, EPOLLIN,
                            launcher_on_answer, launcher);
        if (r >= 0)
                r = sd_event_source_set_priority(launcher->source, ANSWERS_PRIORITY);
        if (r >= 0)
                r = program_new(&launcher->program, launcher, theirs);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(launcher->source, "launcher");
        (void)TAKE_FD(theirs);
        launcher->program->spawning = true;
        spawner_post(launcher->spawner, &launcher->program->spawn);
        return 0;
}

static int append_text(Buffer *buffer, const char *text)
{
        return buffer_append(buffer, text, strlen(text) + 1);
}

static int request_pack(const SpawnRequest *request, uint32_t serial, Buffer *buffer)
{
        const LaunchRequest header = {
                .parent = getpid(),
                .nice = request->nice,
                .open_files = request->open_files,
                .cpu_soft = spawn_cpu_seconds(request),
                .cpu_hard = spawn_cpu_seconds(request) + SPAWN_CPU_GRACE_SECONDS,
                .n_arguments = (uint32_t)strv_length(request->argv),
                .n_environment = (uint32_t)strv_length(request->environment),
                .ignore_sigpipe = request->ignore_sigpipe,
                .serial = serial,
        };
        int r;

        r = buffer_append(buffer, &header, sizeof(header));
        if (r >= 0)
                r = append_text(buffer, request->path);
        if (r >= 0)
                r = append_text(buffer, request->working_directory ?: "");
        STRV_FOREACH (s, request->argv) {
                if (r >= 0)
                        r = append_text(buffer, *s);
        }
        STRV_FOREACH (s, request->environment) {
                if (r >= 0)
                        r = append_text(buffer, *s);
        }
        return r;
}

static int request_to_memfd(const SpawnRequest *request, uint32_t serial)
{
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(REQUEST_MAX);
        _cleanup_close_ int fd = -EBADF;
        Slice bytes;
        int r;

        r = request_pack(request, serial, &buffer);
        if (r < 0)
                return r == -ENOBUFS ? -E2BIG : r;
        fd = memfd_create("launch", MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        bytes = buffer_slice(&buffer);
        if (write(fd, bytes.data, bytes.size) != (ssize_t)bytes.size)
                return -EIO;
        return TAKE_FD(fd);
}

static int launcher_send_request(Launcher *launcher)
{
        const SpawnRequest *request = launcher->request;
        int null_fd = spawner_null_fd(launcher->spawner);
        _cleanup_close_ int memory = request_to_memfd(request, launcher->serial);
        const int fds[LAUNCH_FDS] = {
                request->stdin_fd >= 0 ? request->stdin_fd : null_fd,
                request->stdout_fd >= 0 ? request->stdout_fd : null_fd,
                request->stderr_fd >= 0 ? request->stderr_fd : null_fd,
                memory,
        };
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(fds))];
        } control = {};
        struct iovec iov = { (char *)"", 1 };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };

        if (memory < 0)
                return memory;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(fds));
        memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
        return sendmsg(launcher->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* To a program that runs, or to one that reads it when it does. */
static void launcher_send(Launcher *launcher)
{
        int r = 0;

        for (;;) {
                launcher->n_tries++;
                if (++launcher->serial == 0)
                        launcher->serial = 1;
                launcher->born = 0;
                if (launcher->socket < 0)
                        r = launcher_run(launcher);
                if (r >= 0)
                        r = launcher_send_request(launcher);
                if (r >= 0)
                        return;
                launcher_hang_up(launcher);
                if ((r != -EPIPE && r != -ECONNRESET) || launcher->n_tries >= TRIES_MAX)
                        break;
        }
        launcher_note_failure(launcher, r, PROCESS_LAUNCH);
        (void)sd_event_source_set_enabled(launcher->deferred, SD_EVENT_ONESHOT);
}

static int launcher_on_deferred(sd_event_source *source, void *userdata)
{
        Launcher *launcher = userdata;

        if (launcher->request && launcher->done)
                launcher_answer(launcher);
        return 0;
}

void launcher_post(Launcher *launcher, SpawnRequest *request)
{
        request->pid = 0;
        request->error = 0;
        request->step = NULL;
        launcher->request = request;
        launcher->n_tries = 0;
        launcher->done = false;
        launcher->expectation.knows = launcher_knows;
        launcher->expectation.resolve = launcher_resolve;
        reaper_expect(launcher->reaper, &launcher->expectation);
        launcher_send(launcher);
}

pid_t launcher_pid(const Launcher *launcher)
{
        return launcher->program ? launcher->program->pid : 0;
}

int launcher_new(Launcher **ret, const LauncherOptions *options)
{
        Launcher *launcher = calloc(1, sizeof(*launcher));
        int r;

        if (!launcher)
                return -ENOMEM;
        launcher->event = options->event;
        launcher->spawner = options->spawner;
        launcher->reaper = options->reaper;
        launcher->socket = -EBADF;
        launcher->path = strdup(options->program);
        if (asprintf(&launcher->procs, "%s/cgroup.procs", options->cgroup) < 0)
                launcher->procs = NULL;
        r = !launcher->path || !launcher->procs ? -ENOMEM : 0;
        if (r >= 0)
                r = sd_event_add_defer(launcher->event, &launcher->deferred, launcher_on_deferred,
                                       launcher);
        if (r >= 0)
                r = sd_event_source_set_enabled(launcher->deferred, SD_EVENT_OFF);
        if (r < 0) {
                (void)launcher_free(launcher);
                return r;
        }
        (void)sd_event_source_set_description(launcher->deferred, "launcher-deferred");
        *ret = launcher;
        return 0;
}
