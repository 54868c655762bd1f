/* SPDX-License-Identifier: Apache-2.0 */

/* A real yardmaster-launcher; its group is a folder in which it writes a file. */

#include <stdio.h>
#include <sys/stat.h>
#include "unit.h"
#include "processes.h"
#include "worker/launcher.h"

static char instance[32];
static char group[64];
static sd_event *event;
static Spawner *spawner;
static Reaper *reaper;
static Launcher *launcher;

static void set_up_with(const char *program)
{
        LauncherOptions options = { .program = program, .cgroup = group };
        char path[128];
        int fd;

        (void)snprintf(instance, sizeof(instance), "test-launcher-%d", getpid());
        (void)strcpy(group, "/tmp/test-launcher-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(group));
        (void)snprintf(path, sizeof(path), "%s/cgroup.procs", group);
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        (void)close(fd);
        block_sigchld();
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(spawner_new(&spawner, event), 0);
        ck_assert_int_eq(reaper_new(&reaper, event, spawner, instance), 0);
        options.event = event;
        options.spawner = spawner;
        options.reaper = reaper;
        ck_assert_int_eq(launcher_new(&launcher, &options), 0);
}

static void setup(void)
{
        const char *program = getenv("YARDMASTER_LAUNCHER_PATH");

        ck_assert_ptr_nonnull(program);
        set_up_with(program);
}

static void remove_group(void)
{
        char path[128];

        (void)snprintf(path, sizeof(path), "%s/cgroup.procs", group);
        (void)unlink(path);
        ck_assert_int_eq(rmdir(group), 0);
}

static void teardown(void)
{
        launcher = launcher_free(launcher);
        reaper = reaper_free(reaper);
        spawner = spawner_free(spawner);
        event = sd_event_unref(event);
        while (has_children())
                (void)waitpid(-1, NULL, 0);
        remove_group();
}

static void start(Job *job)
{
        job->reaper = reaper;
        launcher_post(launcher, &job->request);
        run_until(event, &job->answered);
        ck_assert_int_eq(job->request.stdin_fd, -EBADF);
        ck_assert_int_eq(job->request.stdout_fd, -EBADF);
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
        run_until(event, &job->exited);
        job_deinit(job);
}

static void assert_fails(Job *job, int error, const char *step)
{
        start(job);
        ck_assert_int_eq(job->request.pid, 0);
        ck_assert_int_eq(job->request.error, error);
        ck_assert_str_eq(job->request.step, step);
        job_deinit(job);
}

START_TEST(test_process)
{
        Job job;

        setup();
        job_init(
                &job,
                SHELL("pwd; echo $FOO; ulimit -n; ulimit -St; nice; readlink /proc/self/fd/2; cat"),
                ENVIRONMENT("FOO=bar"));
        job.request.working_directory = "/usr";
        job.request.open_files = 64;
        job.request.cpu_usec = 2 * USEC_PER_SEC;
        job.request.nice = 7;
        job.request.stderr_fd = -EBADF;
        assert_started(&job);
        ck_assert_int_eq(getsid(job.request.pid), job.request.pid);
        ck_assert_int_eq(write(job.stdin_fd, "input\n", 6), 6);
        job.stdin_fd = close_fd(job.stdin_fd);
        ck_assert_str_eq(job_read(&job), "/usr\nbar\n64\n2\n7\n/dev/null\ninput\n");
        run_until(event, &job.exited);
        job_deinit(&job);
        teardown();
}
END_TEST

/* It is ours, and not the launcher's, which went into the group. */
START_TEST(test_parent)
{
        char expected[64], path[128], entered[8] = "";
        int fd;
        Job job;

        setup();
        job_init(&job, SHELL("echo $PPID; exit 3"), DEFAULT_ENVIRONMENT);
        (void)snprintf(expected, sizeof(expected), "%d\n", getpid());
        assert_output(&job, expected);
        ck_assert_int_eq(job.code, CLD_EXITED);
        ck_assert_int_eq(job.value, 3);
        ck_assert_int_gt(launcher_pid(launcher), 0);
        ck_assert_int_ne(launcher_pid(launcher), job.request.pid);

        (void)snprintf(path, sizeof(path), "%s/cgroup.procs", group);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_eq(read(fd, entered, sizeof(entered)), 1);
        (void)close(fd);
        ck_assert_str_eq(entered, "0");
        teardown();
}
END_TEST

/* Neither the launcher's fds nor its dispositions. */
START_TEST(test_nothing_is_inherited)
{
        Job job;

        setup();
        job_init(&job,
                 SHELL("for i in /proc/self/fd/*; do [ -e $i ] && echo $i; done; "
                       "grep -E '^Sig(Blk|Ign)' /proc/self/status; env | grep -v -e PWD -e '^_='"),
                 DEFAULT_ENVIRONMENT);
        job.request.ignore_sigpipe = true;
        assert_output(&job, "/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n"
                            "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\n"
                            "PATH=/usr/bin:/bin\nLANG=C\n");
        teardown();
}
END_TEST

START_TEST(test_errors)
{
        Job job;

        setup();
        job_init(&job, (char *const[]){ "/nonexistent", NULL }, DEFAULT_ENVIRONMENT);
        assert_fails(&job, -ENOENT, "exec");
        job_init(&job, SHELL("true"), DEFAULT_ENVIRONMENT);
        job.request.working_directory = "/nonexistent";
        assert_fails(&job, -ENOENT, "chdir");
        job_init(&job, SHELL("echo on"), DEFAULT_ENVIRONMENT);
        assert_output(&job, "on\n");
        teardown();
}
END_TEST

/* They are dead before their launcher has answered, or before we have looked. */
START_TEST(test_short_lives)
{
        setup();
        for (unsigned i = 0; i < 200; i++) {
                Job job;

                job_init(&job, (char *const[]){ "/bin/false", NULL }, DEFAULT_ENVIRONMENT);
                assert_started(&job);
                run_until(event, &job.exited);
                ck_assert_int_eq(job.code, CLD_EXITED);
                ck_assert_int_eq(job.value, 1);
                job_deinit(&job);
        }
        teardown();
}
END_TEST

/* As the reaper sees it when it is first: nobody has read what the launcher said. */
START_TEST(test_found_dead)
{
        siginfo_t info = {};
        bool found = false;
        Job job;

        setup();
        job_init(&job, SHELL("echo on"), DEFAULT_ENVIRONMENT);
        assert_output(&job, "on\n");
        job_init(&job, SHELL("exit 4"), DEFAULT_ENVIRONMENT);
        job.reaper = reaper;
        launcher_post(launcher, &job.request);
        while (!found) {
                ck_assert_int_eq(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
                found = info.si_pid != launcher_pid(launcher);
        }
        ck_assert(!job.answered);
        run_until(event, &job.exited);
        ck_assert_int_eq(job.request.pid, info.si_pid);
        ck_assert_int_eq(job.value, 4);
        job_deinit(&job);
        teardown();
}
END_TEST

/* Until its launcher waits for requests again, so that all its answers have come. */
static Job *looked_at;

static bool look_late(ReaperExpectation *expectation, pid_t pid)
{
        char path[64], text[256], state = '?';

        if (pid == launcher_pid(launcher))
                return false;
        ck_assert_str_eq(job_read_line(looked_at), "on");
        (void)snprintf(path, sizeof(path), "/proc/%d/stat", launcher_pid(launcher));
        while (state != 'S') {
                FILE *file = fopen(path, "re");

                ck_assert_ptr_nonnull(file);
                ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
                (void)fclose(file);
                state = strrchr(text, ')')[2];
        }
        return false;
}

/* An orphan dies just when an answer comes: the reaper, which asks for its own, takes it. */
START_TEST(test_answer_seen_by_the_reaper)
{
        ReaperExpectation first = { .knows = look_late };
        siginfo_t info;
        pid_t orphan;
        Job job;

        setup();
        job_init(&job, SHELL("echo on"), DEFAULT_ENVIRONMENT);
        assert_output(&job, "on\n");
        reaper_expect(reaper, &first);
        job_init(&job, SHELL("echo on; exec sleep 1000"), DEFAULT_ENVIRONMENT);
        job.reaper = reaper;
        looked_at = &job;
        orphan = fork();
        if (orphan == 0) {
                (void)setsid();
                _exit(0);
        }
        ck_assert_int_eq(waitid(P_PID, (id_t)orphan, &info, WEXITED | WNOWAIT), 0);
        launcher_post(launcher, &job.request);
        run_until(event, &job.answered);
        ck_assert_int_gt(job.request.pid, 0);
        reaper_unexpect(reaper, &first);
        (void)kill(job.request.pid, SIGKILL);
        run_until(event, &job.exited);
        job_deinit(&job);
        teardown();
}
END_TEST

START_TEST(test_killed_launcher)
{
        Job job;

        setup();
        for (unsigned i = 0; i < 3; i++) {
                pid_t pid;

                job_init(&job, SHELL("echo on"), DEFAULT_ENVIRONMENT);
                assert_output(&job, "on\n");
                pid = launcher_pid(launcher);
                ck_assert_int_gt(pid, 0);
                ck_assert_int_eq(kill(pid, SIGKILL), 0);
        }
        teardown();
}
END_TEST

static void check_no_launcher(const char *program, int error, const char *step)
{
        Job job;

        set_up_with(program);
        job_init(&job, SHELL("true"), DEFAULT_ENVIRONMENT);
        assert_fails(&job, error, step);
        teardown();
}

START_TEST(test_no_launcher)
{
        check_no_launcher("/nonexistent", -ENOENT, "launch");
        check_no_launcher("/bin/true", -ECHILD, "launch"); /* ends and says nothing */
}
END_TEST

START_TEST(test_no_group)
{
        char path[128];
        Job job;

        setup();
        (void)snprintf(path, sizeof(path), "%s/cgroup.procs", group);
        (void)unlink(path);
        job_init(&job, SHELL("true"), DEFAULT_ENVIRONMENT);
        assert_fails(&job, -ENOENT, "cgroup");
        teardown();
}
END_TEST

/* With a request under way, and with its program on its way. */
START_TEST(test_free)
{
        Job job;

        setup();
        job_init(&job, SHELL("echo on; exec sleep 1000"), DEFAULT_ENVIRONMENT);
        job.reaper = reaper;
        launcher_post(launcher, &job.request);
        launcher = launcher_free(launcher);
        ck_assert(!job.answered);
        spawn_request_close_fds(&job.request);
        job_deinit(&job);
        teardown();
}
END_TEST

START_TEST(test_large)
{
        static char text[100000];
        char *arguments[12] = { "/bin/sh", "-c", "echo $#", "zero" };
        Job job;

        setup();
        (void)memset(text, 'x', sizeof(text) - 1);
        for (unsigned i = 4; i < 11; i++)
                arguments[i] = text;
        job_init(&job, arguments, DEFAULT_ENVIRONMENT);
        assert_output(&job, "7\n");
        teardown();
}
END_TEST

UNIT_MAIN("launcher", test_process, test_parent, test_nothing_is_inherited, test_errors,
          test_short_lives, test_found_dead, test_answer_seen_by_the_reaper, test_killed_launcher,
          test_no_launcher, test_no_group, test_free, test_large);
