#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Real small children for the tests of spawner and reaper: a loop, and jobs with pipes. */

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "worker/reaper.h"
#include "worker/spawn.h"

/* Far above what any case needs, below the test's own timeout. */
#define PATIENCE_USEC (20 * USEC_PER_SEC)

typedef struct Job {
        SpawnRequest request;
        ReaperWatch watch;
        Reaper *reaper; /* NULL: not watched */
        int stdin_fd;   /* our ends */
        int stdout_fd;
        bool answered;
        bool exited;
        int code;
        int value;
        char output[4096];
} Job;

static inline void block_sigchld(void)
{
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGCHLD);
        ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
}

static inline void job_on_exit(ReaperWatch *watch, int code, int value)
{
        Job *job = watch->userdata;

        job->exited = true;
        job->code = code;
        job->value = value;
}

static inline void job_on_answer(SpawnRequest *request)
{
        Job *job = request->userdata;

        ck_assert(!job->answered);
        job->answered = true;
        if (request->pid > 0 && job->reaper) {
                job->watch.pid = request->pid;
                job->watch.callback = job_on_exit;
                job->watch.userdata = job;
                reaper_watch(job->reaper, &job->watch);
        }
}

/* A job with a pipe each way and stderr to stdout's; argv and environment are borrowed. */
static inline void job_init(Job *job, char *const *argv, char *const *environment)
{
        int in[2], out[2];

        ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
        *job = (Job){
                .request = {
                        .path = argv[0],
                        .argv = argv,
                        .environment = environment,
                        .stdin_fd = in[0],
                        .stdout_fd = out[1],
                        .stderr_fd = out[1],
                        .callback = job_on_answer,
                        .userdata = job,
                },
                .stdin_fd = in[1],
                .stdout_fd = out[0],
        };
}

static inline void job_deinit(Job *job)
{
        job->stdin_fd = close_fd(job->stdin_fd);
        job->stdout_fd = close_fd(job->stdout_fd);
}

/* Everything up to the end of the stream, which comes when the last holder is gone. */
static inline const char *job_read(Job *job)
{
        size_t used = strlen(job->output);
        ssize_t n;

        while ((n = read(job->stdout_fd, job->output + used, sizeof(job->output) - 1 - used)) > 0)
                used += (size_t)n;
        job->output[used] = '\0';
        return job->output;
}

/* One line, without its end: a sign that the child is so far. */
static inline const char *job_read_line(Job *job)
{
        size_t used = 0;

        while (used < sizeof(job->output) - 1 && read(job->stdout_fd, job->output + used, 1) == 1 &&
               job->output[used] != '\n')
                used++;
        job->output[used] = '\0';
        return job->output;
}

static inline void run_until(sd_event *event, const bool *done)
{
        usec_t deadline = clock_monotonic_usec() + PATIENCE_USEC;

        while (!*done) {
                ck_assert_uint_lt(clock_monotonic_usec(), deadline);
                ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
        }
}

static inline bool has_children(void)
{
        siginfo_t info = {};

        return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static inline void run_until_childless(sd_event *event)
{
        usec_t deadline = clock_monotonic_usec() + PATIENCE_USEC;

        while (has_children()) {
                ck_assert_uint_lt(clock_monotonic_usec(), deadline);
                ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
        }
}

#define SHELL(script)       ((char *const[]){ "/bin/sh", "-c", (script), NULL })
#define ENVIRONMENT(...)    ((char *const[]){ "PATH=/usr/bin:/bin", __VA_ARGS__, NULL })
#define DEFAULT_ENVIRONMENT ENVIRONMENT("LANG=C")
