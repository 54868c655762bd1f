/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include "base/mailbox.h"
#include "worker/process-setup.h"
#include "worker/spawn.h"

/* A child is known to its owner before its exit or its output are looked at, where that can be had
 * for nothing. */
#define ANSWERS_PRIORITY (SD_EVENT_PRIORITY_NORMAL - 5)

/* What a shell says of a program that it could not run. */
#define EXIT_NOT_RUN 127

struct Spawner {
        sd_event_source *answers_source;
        Mailbox requests; /* to the thread */
        Mailbox answers;  /* to the loop */
        bool has_mailboxes;

        pthread_t thread;
        bool has_thread;
        ListLink stop; /* posted to end the thread */
        atomic_bool stopping;

        uint64_t n_posted;
        uint64_t n_answered;

        /* fixed before the first request: what each child needs */
        pid_t daemon_pid;
        int null_fd;
        int reset_signals[_NSIG]; /* not at their default here */
        size_t n_reset_signals;
        struct rlimit open_files; /* as inherited */
        bool open_files_raised;

        /* written by a child between vfork and exec, on the thread's behalf */
        volatile int child_error;
        const char *volatile child_step;
};

static _Noreturn void child_fail(Spawner *spawner, const char *step)
{
        spawner->child_error = -errno;
        spawner->child_step = step;
        _exit(EXIT_NOT_RUN);
}

/* Last before exec: a handler of ours must not run here, in the daemon's memory. */
static int child_reset_signals(Spawner *spawner, const SpawnRequest *request)
{
        struct sigaction action = { .sa_handler = SIG_DFL };
        sigset_t none;

        for (size_t i = 0; i < spawner->n_reset_signals; i++)
                (void)sigaction(spawner->reset_signals[i], &action, NULL);
        action.sa_handler = SIG_IGN;
        if (request->ignore_sigpipe)
                (void)sigaction(SIGPIPE, &action, NULL);
        (void)sigemptyset(&none);
        return sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the daemon's memory and on the thread's stack, while the thread stands still: system calls
 * only, no locks, nothing that returns. */
static _Noreturn void child_run(Spawner *spawner, const SpawnRequest *request)
{
        const struct rlimit files = { request->open_files, request->open_files };
        const uint64_t seconds = spawn_cpu_seconds(request);
        const struct rlimit cpu = { seconds, seconds + SPAWN_CPU_GRACE_SECONDS };
        ProcessSetup setup = {
                .parent = spawner->daemon_pid,
                .fds = { request->stdin_fd, request->stdout_fd, request->stderr_fd },
                .cpu = seconds > 0 ? &cpu : NULL,
                .nice = request->nice,
                .working_directory = request->working_directory,
        };
        ProcessStep step;

        for (int i = 0; i < 3; i++) {
                if (setup.fds[i] < 0)
                        setup.fds[i] = spawner->null_fd;
        }
        if (request->open_files > 0)
                setup.open_files = &files;
        else if (spawner->open_files_raised)
                setup.open_files = &spawner->open_files;
        step = process_setup(&setup);
        if (step != PROCESS_DONE)
                child_fail(spawner, process_step_to_string(step));
        if (child_reset_signals(spawner, request) < 0)
                child_fail(spawner, "sigprocmask");
        (void)execve(request->path, request->argv, request->environment);
        child_fail(spawner, "exec");
}

/* A frame of its own, in which nothing lives across the two returns but pid. */
static __attribute__((noinline)) pid_t spawner_vfork(Spawner *spawner, const SpawnRequest *request)
{
        pid_t pid = vfork();

        if (pid == 0)
                child_run(spawner, request);
        return pid;
}

uint64_t spawn_cpu_seconds(const SpawnRequest *request)
{
        if (request->cpu_usec == 0 || request->cpu_usec == USEC_INFINITY)
                return 0;
        return (request->cpu_usec - 1) / USEC_PER_SEC + 1;
}

void spawn_request_close_fds(SpawnRequest *request)
{
        int *fds[] = { &request->stdin_fd, &request->stdout_fd, &request->stderr_fd };

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                int fd = TAKE_FD(*fds[i]);

                for (size_t j = i + 1; j < ELEMENTSOF(fds); j++) {
                        if (*fds[j] == fd)
                                *fds[j] = -EBADF;
                }
                (void)close_fd(fd);
        }
}

static void request_cancel(SpawnRequest *request)
{
        request->pid = 0;
        request->error = -ECANCELED;
        request->step = "cancelled";
}

/* A child that did not get as far as exec is a zombie now, and the reaper's. */
static void spawner_start(Spawner *spawner, SpawnRequest *request)
{
        pid_t pid;

        spawner->child_error = 0;
        pid = spawner_vfork(spawner, request);
        if (pid < 0) {
                request->error = -errno;
                request->step = "vfork";
        } else if (spawner->child_error < 0) {
                request->error = spawner->child_error;
                request->step = spawner->child_step;
        } else {
                request->pid = pid;
        }
}

static void *spawner_run(void *userdata)
{
        Spawner *spawner = userdata;
        ListLink *link;

        (void)prctl(PR_SET_NAME, "spawner");
        for (;;) {
                ListLink requests = LIST_INIT(requests);

                mailbox_wait(&spawner->requests, &requests);
                while ((link = list_pop_first(&requests))) {
                        SpawnRequest *request = LIST_ENTRY(link, SpawnRequest, link);

                        if (link == &spawner->stop)
                                return NULL;
                        if (atomic_load(&spawner->stopping))
                                request_cancel(request);
                        else
                                spawner_start(spawner, request);
                        spawn_request_close_fds(request);
                        mailbox_post(&spawner->answers, link);
                }
        }
}

static int spawner_on_answers(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Spawner *spawner = userdata;
        ListLink answers = LIST_INIT(answers), *link;

        mailbox_take(&spawner->answers, &answers);
        while ((link = list_pop_first(&answers))) {
                SpawnRequest *request = LIST_ENTRY(link, SpawnRequest, link);

                request->callback(request);
                spawner->n_answered++;
        }
        return 0;
}

/* SIGPIPE in any case: a daemon ignores it sooner or later. */
static void spawner_find_signals(Spawner *spawner)
{
        struct sigaction action;

        for (int i = 1; i < _NSIG; i++) {
                if (i == SIGKILL || i == SIGSTOP)
                        continue;
                if (i == SIGPIPE ||
                    (sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_DFL))
                        spawner->reset_signals[spawner->n_reset_signals++] = i;
        }
}

/* With all signals blocked, so that none is ever delivered there. */
static int spawner_start_thread(Spawner *spawner)
{
        sigset_t all, before;
        int r;

        (void)sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r != 0)
                return -r;
        r = pthread_create(&spawner->thread, NULL, spawner_run, spawner);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                return -r;
        spawner->has_thread = true;
        return 0;
}

static int spawner_init_mailboxes(Spawner *spawner)
{
        int r;

        r = mailbox_init(&spawner->requests, false);
        if (r < 0)
                return r;
        r = mailbox_init(&spawner->answers, true);
        if (r < 0) {
                mailbox_deinit(&spawner->requests);
                return r;
        }
        spawner->has_mailboxes = true;
        return 0;
}

int spawner_new(Spawner **ret, sd_event *event)
{
        _cleanup_(spawner_freep) Spawner *spawner = NULL;
        int r;

        spawner = calloc(1, sizeof(*spawner));
        if (!spawner)
                return -ENOMEM;
        spawner->daemon_pid = getpid();
        spawner->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (spawner->null_fd < 0)
                return -errno;
        if (getrlimit(RLIMIT_NOFILE, &spawner->open_files) < 0)
                return -errno;
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return -errno;
        /* What we open ourselves is close-on-exec; what we were started with may be not. */
        (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
        spawner_find_signals(spawner);

        r = spawner_init_mailboxes(spawner);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &spawner->answers_source, spawner->answers.event_fd, EPOLLIN,
                            spawner_on_answers, spawner);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(spawner->answers_source, ANSWERS_PRIORITY);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(spawner->answers_source, "spawner-answers");
        r = spawner_start_thread(spawner);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(spawner);
        return 0;
}

/* What was started but not answered has just been killed with its thread. */
static void spawner_answer_rest(Spawner *spawner)
{
        ListLink answers = LIST_INIT(answers), *link;

        mailbox_take(&spawner->answers, &answers);
        while ((link = list_pop_first(&answers))) {
                SpawnRequest *request = LIST_ENTRY(link, SpawnRequest, link);

                if (request->pid > 0)
                        request_cancel(request);
                request->callback(request);
                spawner->n_answered++;
        }
}

Spawner *spawner_free(Spawner *spawner)
{
        if (!spawner)
                return NULL;
        if (spawner->has_thread) {
                atomic_store(&spawner->stopping, true);
                mailbox_post(&spawner->requests, &spawner->stop);
                (void)pthread_join(spawner->thread, NULL);
                spawner_answer_rest(spawner);
        }
        (void)sd_event_source_disable_unref(spawner->answers_source);
        if (spawner->has_mailboxes) {
                mailbox_deinit(&spawner->requests);
                mailbox_deinit(&spawner->answers);
        }
        (void)close_fd(spawner->null_fd);
        free(spawner);
        return NULL;
}

void spawner_post(Spawner *spawner, SpawnRequest *request)
{
        request->pid = 0;
        request->error = 0;
        request->step = NULL;
        spawner->n_posted++;
        mailbox_post(&spawner->requests, &request->link);
}

uint64_t spawner_n_posted(const Spawner *spawner)
{
        return spawner->n_posted;
}

uint64_t spawner_n_answered(const Spawner *spawner)
{
        return spawner->n_answered;
}

int spawner_null_fd(const Spawner *spawner)
{
        return spawner->null_fd;
}

int spawner_raise_open_files(Spawner *spawner)
{
        struct rlimit limit = spawner->open_files;

        if (limit.rlim_cur == limit.rlim_max)
                return 0;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -errno;
        spawner->open_files_raised = true;
        return 0;
}
