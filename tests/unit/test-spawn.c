/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "unit.h"
#include "processes.h"

static sd_event *event;
static Spawner *spawner;

static void setup(void)
{
        block_sigchld();
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(spawner_new(&spawner, event), 0);
}

static void teardown(void)
{
        spawner = spawner_free(spawner);
        event = sd_event_unref(event);
        while (has_children())
                (void)waitpid(-1, NULL, 0);
}

static void start(Job *job)
{
        spawner_post(spawner, &job->request);
        run_until(event, &job->answered);
        ck_assert_int_eq(job->request.stdin_fd, -EBADF);
        ck_assert_int_eq(job->request.stdout_fd, -EBADF);
        ck_assert_int_eq(job->request.stderr_fd, -EBADF);
}

static void assert_started(Job *job)
{
        start(job);
        ck_assert_msg(job->request.error == 0, "%s: %s", job->request.step,
                      strerror(-job->request.error));
        ck_assert_int_gt(job->request.pid, 0);
}

static void assert_output(Job *job, const char *expected)
{
        assert_started(job);
        ck_assert_str_eq(job_read(job), expected);
        job_deinit(job);
}

static void assert_fails(Job *job, int error, const char *step)
{
        start(job);
        ck_assert_int_eq(job->request.pid, 0);
        ck_assert_int_eq(job->request.error, error);
        ck_assert_str_eq(job->request.step, step);
        ck_assert_str_eq(job_read(job), "");
        job_deinit(job);
}

START_TEST(test_streams)
{
        Job job;

        setup();
        job_init(&job, SHELL("cat; echo error >&2"), DEFAULT_ENVIRONMENT);
        assert_started(&job);
        ck_assert_int_eq(write(job.stdin_fd, "input ", 6), 6);
        job.stdin_fd = close_fd(job.stdin_fd);
        ck_assert_str_eq(job_read(&job), "input error\n");
        job_deinit(&job);
        teardown();
}
END_TEST

START_TEST(test_null_streams)
{
        Job job;

        setup();
        job_init(&job, SHELL("readlink /proc/self/fd/0 /proc/self/fd/2"), DEFAULT_ENVIRONMENT);
        job.request.stdin_fd = close_fd(job.request.stdin_fd);
        job.request.stderr_fd = -EBADF;
        assert_output(&job, "/dev/null\n/dev/null\n");
        teardown();
}
END_TEST

/* Sources in the places of each other's targets, as in a daemon that was started without any. */
START_TEST(test_low_fds)
{
        int saved[3];
        Job job;

        setup();
        job_init(&job, SHELL("cat; echo error >&2"), DEFAULT_ENVIRONMENT);
        for (int i = 0; i < 3; i++)
                saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        ck_assert_int_eq(dup3(job.request.stdin_fd, 2, O_CLOEXEC), 2);
        ck_assert_int_eq(dup3(job.request.stdout_fd, 0, O_CLOEXEC), 0);
        ck_assert_int_eq(dup3(job.request.stdout_fd, 1, O_CLOEXEC), 1);
        (void)close_fd(job.request.stdin_fd);
        (void)close_fd(job.request.stdout_fd);
        job.request.stdin_fd = 2;
        job.request.stdout_fd = 1;
        job.request.stderr_fd = 0;
        start(&job);
        for (int i = 0; i < 3; i++) {
                if (saved[i] >= 0)
                        (void)dup2(saved[i], i);
                (void)close_fd(saved[i]);
        }
        ck_assert_int_gt(job.request.pid, 0);
        ck_assert_int_eq(write(job.stdin_fd, "input ", 6), 6);
        job.stdin_fd = close_fd(job.stdin_fd);
        ck_assert_str_eq(job_read(&job), "input error\n");
        job_deinit(&job);
        teardown();
}
END_TEST

/* Neither ours nor those that were open before us. */
START_TEST(test_no_other_fds)
{
        int leaked = open("/dev/null", O_RDONLY);
        Job job;

        setup();
        job_init(&job, SHELL("for i in /proc/self/fd/*; do [ -e $i ] && echo $i; done"),
                 DEFAULT_ENVIRONMENT);
        assert_output(&job, "/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n");
        (void)close_fd(leaked);
        teardown();
}
END_TEST

START_TEST(test_place)
{
        Job job;

        setup();
        job_init(&job,
                 ((char *const[]){ "/bin/sh", "-c", "pwd; echo $0 $1 $FOO; env | wc -l", "zero",
                                   "one", NULL }),
                 ENVIRONMENT("FOO=bar", "PWD=/"));
        job.request.working_directory = "/usr";
        assert_output(&job, "/usr\nzero one bar\n3\n");
        teardown();
}
END_TEST

START_TEST(test_session)
{
        Job job;

        setup();
        job_init(&job, SHELL("read x"), DEFAULT_ENVIRONMENT);
        assert_started(&job);
        ck_assert_int_eq(getsid(job.request.pid), job.request.pid);
        ck_assert_int_eq(getpgid(job.request.pid), job.request.pid);
        job_deinit(&job);
        teardown();
}
END_TEST

START_TEST(test_limits)
{
        Job job;

        setup();
        job_init(&job, SHELL("ulimit -Sn; ulimit -Hn; ulimit -St; ulimit -Ht; nice"),
                 DEFAULT_ENVIRONMENT);
        job.request.open_files = 64;
        job.request.cpu_usec = 2 * USEC_PER_SEC + 1;
        job.request.nice = 7;
        assert_output(&job, "64\n64\n3\n8\n7\n");

        job_init(&job, SHELL("ulimit -t"), DEFAULT_ENVIRONMENT);
        job.request.cpu_usec = USEC_INFINITY;
        assert_output(&job, "unlimited\n");
        teardown();
}
END_TEST

START_TEST(test_raised_open_files)
{
        struct rlimit before, limit;
        Job job;

        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        limit = (struct rlimit){ 200, before.rlim_max };
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        setup();
        ck_assert_int_eq(spawner_raise_open_files(spawner), 0);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        ck_assert_uint_eq(limit.rlim_cur, before.rlim_max);
        job_init(&job, SHELL("ulimit -n"), DEFAULT_ENVIRONMENT);
        assert_output(&job, "200\n");
        (void)setrlimit(RLIMIT_NOFILE, &before);
        teardown();
}
END_TEST

/* What the daemon blocks or ignores is no matter of its children. */
START_TEST(test_signals)
{
        sigset_t set, before;
        Job job;

        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGUSR1, SIG_IGN);
        (void)sigfillset(&set);
        ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, &before), 0);
        setup();
        job_init(&job,
                 ((char *const[]){ "/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL }),
                 DEFAULT_ENVIRONMENT);
        assert_output(&job, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
        job_init(&job, ((char *const[]){ "/bin/grep", "^SigIgn", "/proc/self/status", NULL }),
                 DEFAULT_ENVIRONMENT);
        job.request.ignore_sigpipe = true;
        assert_output(&job, "SigIgn:\t0000000000001000\n");
        teardown();
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        (void)signal(SIGPIPE, SIG_DFL);
        (void)signal(SIGUSR1, SIG_DFL);
}
END_TEST

START_TEST(test_errors)
{
        char script[] = "/tmp/test-spawn-XXXXXX";
        _cleanup_close_ int fd = mkstemp(script);
        Job job;

        setup();
        job_init(&job, (char *const[]){ "/nonexistent", NULL }, DEFAULT_ENVIRONMENT);
        assert_fails(&job, -ENOENT, "exec");

        job_init(&job, (char *const[]){ "/etc", NULL }, DEFAULT_ENVIRONMENT);
        assert_fails(&job, -EACCES, "exec");

        ck_assert_int_eq(write(fd, "true\n", 5), 5);
        ck_assert_int_eq(fchmod(fd, 0700), 0);
        fd = close_fd(fd);
        job_init(&job, (char *const[]){ script, NULL }, DEFAULT_ENVIRONMENT);
        assert_fails(&job, -ENOEXEC, "exec");
        (void)unlink(script);

        job_init(&job, SHELL("true"), DEFAULT_ENVIRONMENT);
        job.request.working_directory = "/nonexistent";
        assert_fails(&job, -ENOENT, "chdir");

        job_init(&job, SHELL("true"), DEFAULT_ENVIRONMENT);
        job.request.open_files = UINT64_C(1) << 62;
        assert_fails(&job, -EPERM, "setrlimit");
        teardown();
}
END_TEST

START_TEST(test_many)
{
        enum { N = 100 };
        static Job jobs[N];

        setup();
        for (unsigned i = 0; i < N; i++) {
                job_init(&jobs[i], (char *const[]){ "/bin/true", NULL }, DEFAULT_ENVIRONMENT);
                spawner_post(spawner, &jobs[i].request);
        }
        ck_assert_uint_eq(spawner_n_posted(spawner), N);
        ck_assert_uint_eq(spawner_n_answered(spawner), 0);
        for (unsigned i = 0; i < N; i++) {
                run_until(event, &jobs[i].answered);
                ck_assert_int_gt(jobs[i].request.pid, 0);
                for (unsigned j = 0; j < i; j++)
                        ck_assert_int_ne(jobs[i].request.pid, jobs[j].request.pid);
                job_deinit(&jobs[i]);
        }
        ck_assert_uint_eq(spawner_n_answered(spawner), N);
        teardown();
}
END_TEST

static void assert_killed(pid_t pid)
{
        siginfo_t info = {};

        ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
        ck_assert_int_eq(info.si_code, CLD_KILLED);
        ck_assert_int_eq(info.si_status, SIGKILL);
}

/* The thread takes its children with it: that is what the death of the daemon does. */
START_TEST(test_death)
{
        Job job;

        setup();
        job_init(&job, SHELL("echo up; exec sleep 1000"), DEFAULT_ENVIRONMENT);
        assert_started(&job);
        ck_assert_str_eq(job_read_line(&job), "up");
        spawner = spawner_free(spawner);
        assert_killed(job.request.pid);
        job_deinit(&job);
        teardown();
}
END_TEST

START_TEST(test_free_unanswered)
{
        enum { N = 20 };
        static Job jobs[N];

        setup();
        for (unsigned i = 0; i < N; i++) {
                job_init(&jobs[i], SHELL("exec sleep 1000"), DEFAULT_ENVIRONMENT);
                spawner_post(spawner, &jobs[i].request);
        }
        spawner = spawner_free(spawner);
        for (unsigned i = 0; i < N; i++) {
                ck_assert(jobs[i].answered);
                ck_assert_int_eq(jobs[i].request.error, -ECANCELED);
                ck_assert_int_eq(jobs[i].request.pid, 0);
                ck_assert_int_eq(jobs[i].request.stdin_fd, -EBADF);
                job_deinit(&jobs[i]);
        }
        teardown();
}
END_TEST

START_TEST(test_subreaper)
{
        int on = 0;

        setup();
        ck_assert_int_eq(prctl(PR_GET_CHILD_SUBREAPER, &on), 0);
        ck_assert_int_eq(on, 1);
        teardown();
}
END_TEST

UNIT_MAIN("spawn", test_streams, test_null_streams, test_low_fds, test_no_other_fds, test_place,
          test_session, test_limits, test_raised_open_files, test_signals, test_errors, test_many,
          test_death, test_free_unanswered, test_subreaper);
