/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "unit.h"
#include "processes.h"

/* Of this process alone: a sweep sees every process of the machine, other runs of this test too. */
static char instance[32];
static char token[64];
static char other_token[64];
static char foreign_token[64];

static sd_event *event;
static Spawner *spawner;
static Reaper *reaper;

static void setup(void)
{
        (void)snprintf(instance, sizeof(instance), "test-reaper-%d", getpid());
        (void)snprintf(token, sizeof(token), "%s/pool/1/1", instance);
        (void)snprintf(other_token, sizeof(other_token), "%s/pool/2/1", instance);
        (void)snprintf(foreign_token, sizeof(foreign_token), "%s-2/pool/1/1", instance);
        block_sigchld();
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(spawner_new(&spawner, event), 0);
        ck_assert_int_eq(reaper_new(&reaper, event, spawner, instance), 0);
}

static void teardown(void)
{
        reaper = reaper_free(reaper);
        spawner = spawner_free(spawner);
        event = sd_event_unref(event);
        while (has_children())
                (void)waitpid(-1, NULL, 0);
}

static void start(Job *job, const char *worker, char *const *argv)
{
        static char variable[256];

        (void)snprintf(variable, sizeof(variable), "YARDMASTER_WORKER=%s", worker ? worker : "");
        job_init(job, argv, ENVIRONMENT(variable));
        job->reaper = reaper;
        job->watch.token = worker;
        spawner_post(spawner, &job->request);
        run_until(event, &job->answered);
        ck_assert_int_eq(job->request.error, 0);
}

static void assert_exit(char *script, int code, int value)
{
        Job job;

        start(&job, NULL, SHELL(script));
        run_until(event, &job.exited);
        ck_assert_int_eq(job.code, code);
        ck_assert_int_eq(job.value, value);
        ck_assert(!list_is_linked(&job.watch.link));
        ck_assert(!has_children());
        job_deinit(&job);
}

START_TEST(test_exit)
{
        setup();
        assert_exit("exit 0", CLD_EXITED, 0);
        assert_exit("exit 7", CLD_EXITED, 7);
        assert_exit("kill -TERM $$", CLD_KILLED, SIGTERM);
        teardown();
}
END_TEST

/* The child in the background holds the pipe: its end shows that the whole group is gone. */
START_TEST(test_group)
{
        Job job;

        setup();
        start(&job, NULL, SHELL("sleep 1000 & exit 3"));
        run_until(event, &job.exited);
        ck_assert_int_eq(job.value, 3);
        ck_assert_str_eq(job_read(&job), "");
        run_until_childless(event);
        job_deinit(&job);
        teardown();
}
END_TEST

static void start_leaving(Job *job, char *script)
{
        job_init(job, SHELL(script), DEFAULT_ENVIRONMENT);
        job->reaper = reaper;
        job->watch.leave_children = true;
        spawner_post(spawner, &job->request);
        run_until(event, &job->exited);
}

START_TEST(test_leave_children)
{
        Job job;

        setup();
        start_leaving(&job, "exec 3<&0; sh -c 'read x; echo $x' <&3 & exit 0");
        ck_assert_int_eq(write(job.stdin_fd, "alive\n", 6), 6);
        ck_assert_str_eq(job_read_line(&job), "alive");
        run_until_childless(event);
        job_deinit(&job);

        start_leaving(&job, "sleep 1000 & kill -KILL $$");
        ck_assert_str_eq(job_read(&job), "");
        run_until_childless(event);
        job_deinit(&job);
        teardown();
}
END_TEST

static void wait_for_zombie(Job *job)
{
        siginfo_t info = {};

        ck_assert_str_eq(job_read_line(job), "up");
        ck_assert_int_eq(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
}

static int on_defer(sd_event_source *source, void *userdata)
{
        return 0;
}

/* The reaper hears of the death first: on a loop of its own, so that the order is certain. */
START_TEST(test_dead_before_the_answer)
{
        sd_event *first = NULL;
        Job job;

        setup();
        reaper = reaper_free(reaper);
        ck_assert_int_ge(sd_event_new(&first), 0);
        ck_assert_int_eq(reaper_new(&reaper, first, spawner, instance), 0);
        job_init(&job, SHELL("sleep 1000 & echo up; exit 5"), DEFAULT_ENVIRONMENT);
        job.reaper = reaper;
        job.watch.leave_children = true;
        spawner_post(spawner, &job.request);
        wait_for_zombie(&job);
        ck_assert_int_gt(sd_event_run(first, USEC_PER_SEC), 0);
        ck_assert(has_children());
        ck_assert(!job.answered);

        run_until(event, &job.answered);
        ck_assert(!job.exited);
        ck_assert_int_ge(sd_event_add_defer(first, NULL, on_defer, NULL), 0);
        run_until(first, &job.exited);
        ck_assert_int_eq(job.code, CLD_EXITED);
        ck_assert_int_eq(job.value, 5);
        ck_assert(has_children());
        ck_assert_int_eq(kill(-job.request.pid, SIGKILL), 0);
        run_until_childless(first);
        job_deinit(&job);
        reaper = reaper_free(reaper);
        (void)sd_event_unref(first);
        teardown();
}
END_TEST

START_TEST(test_dead_before_the_watch)
{
        Job job;

        setup();
        job_init(&job, SHELL("echo up; exit 9"), DEFAULT_ENVIRONMENT);
        job.reaper = reaper;
        spawner_post(spawner, &job.request);
        wait_for_zombie(&job);
        run_until(event, &job.exited);
        ck_assert_int_eq(job.value, 9);
        ck_assert(!has_children());
        job_deinit(&job);
        teardown();
}
END_TEST

START_TEST(test_failed_spawn)
{
        Job job;

        setup();
        job_init(&job, (char *const[]){ "/nonexistent", NULL }, DEFAULT_ENVIRONMENT);
        job.reaper = reaper;
        spawner_post(spawner, &job.request);
        run_until(event, &job.answered);
        ck_assert_int_eq(job.request.error, -ENOENT);
        run_until_childless(event);
        ck_assert(!job.exited);
        job_deinit(&job);
        teardown();
}
END_TEST

START_TEST(test_unwatch)
{
        Job job;

        setup();
        start(&job, NULL, SHELL("read x"));
        reaper_unwatch(reaper, &job.watch);
        reaper_unwatch(reaper, &job.watch);
        job_deinit(&job);
        run_until_childless(event);
        ck_assert(!job.exited);
        teardown();
}
END_TEST

/* Another watch in the same bucket, before the right one. */
START_TEST(test_neighbour)
{
        Job job, other = {};

        setup();
        start(&job, NULL, SHELL("read x; exit 4"));
        reaper_unwatch(reaper, &job.watch);
        other.watch = (ReaperWatch){
                .pid = job.request.pid + 1024,
                .callback = job_on_exit,
                .userdata = &other,
        };
        reaper_watch(reaper, &other.watch);
        reaper_watch(reaper, &job.watch);
        job.stdin_fd = close_fd(job.stdin_fd);
        run_until(event, &job.exited);
        ck_assert_int_eq(job.value, 4);
        ck_assert(!other.exited);
        reaper_unwatch(reaper, &other.watch);
        job_deinit(&job);
        teardown();
}
END_TEST

/* More than one batch; one signal tells of them all. */
START_TEST(test_many)
{
        enum { N = 300 };
        static char scripts[N][16];
        static char *argv[N][4];
        static Job jobs[N];
        sd_event *other = NULL;
        siginfo_t info;

        setup();
        reaper = reaper_free(reaper);
        ck_assert_int_ge(sd_event_new(&other), 0);
        ck_assert_int_eq(reaper_new(&reaper, other, spawner, instance), 0);
        for (unsigned i = 0; i < N; i++) {
                (void)snprintf(scripts[i], sizeof(scripts[i]), "exit %u", i % 256);
                memcpy(argv[i], SHELL(scripts[i]), sizeof(argv[i]));
                job_init(&jobs[i], argv[i], DEFAULT_ENVIRONMENT);
                jobs[i].reaper = reaper;
                spawner_post(spawner, &jobs[i].request);
                run_until(event, &jobs[i].answered);
                ck_assert_int_eq(waitid(P_PID, (id_t)jobs[i].request.pid, &info, WEXITED | WNOWAIT),
                                 0);
        }
        for (unsigned i = 0; i < N; i++) {
                run_until(other, &jobs[i].exited);
                ck_assert_int_eq(jobs[i].code, CLD_EXITED);
                ck_assert_int_eq(jobs[i].value, i % 256);
                job_deinit(&jobs[i]);
        }
        ck_assert(!has_children());
        reaper = reaper_free(reaper);
        (void)sd_event_unref(other);
        teardown();
}
END_TEST

/* Orphans that left the group are reaped when they die, and nobody hears of it. */
START_TEST(test_orphan)
{
        Job job;

        setup();
        start(&job, NULL, SHELL("exec 3<&0; setsid sh -c 'echo up; read x' <&3 & read y"));
        ck_assert_str_eq(job_read_line(&job), "up");
        ck_assert_int_eq(kill(job.request.pid, SIGTERM), 0);
        run_until(event, &job.exited);
        ck_assert_int_eq(job.value, SIGTERM);
        ck_assert(has_children());
        job_deinit(&job);
        run_until_childless(event);
        teardown();
}
END_TEST

/* It left the group and the session, and starts another that does so again. */
START_TEST(test_stranger)
{
        Job job;

        setup();
        start(&job, token,
              SHELL("setsid sh -c 'setsid sleep 1000 & echo up; sleep 1000' & read x"));
        ck_assert_str_eq(job_read_line(&job), "up");
        job.stdin_fd = close_fd(job.stdin_fd);
        run_until(event, &job.exited);
        ck_assert(has_children());
        run_until_childless(event);
        job_deinit(&job);
        teardown();
}
END_TEST

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
        *(bool *)userdata = true;
        return 0;
}

/* A worker's own daemon lives as long as the worker, whatever else ends meanwhile. */
START_TEST(test_stranger_of_the_living)
{
        bool swept = false;
        Job worker, other;

        setup();
        start(&worker, token, SHELL("(setsid sh -c 'echo $$; exec sleep 1000' &) ; read x"));
        start(&other, other_token, SHELL("exit 0"));
        run_until(event, &other.exited);
        job_deinit(&other);
        ck_assert_int_ge(sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC,
                                                    3 * USEC_PER_SEC / 2, 1000, on_time, &swept),
                         0);
        run_until(event, &swept);
        ck_assert_int_eq(kill((pid_t)atoi(job_read_line(&worker)), 0), 0);

        worker.stdin_fd = close_fd(worker.stdin_fd);
        run_until(event, &worker.exited);
        run_until_childless(event);
        job_deinit(&worker);
        teardown();
}
END_TEST

START_TEST(test_sweep)
{
        Job dead, alive, foreign;

        setup();
        start(&dead, token, SHELL("echo up; exec sleep 1000"));
        start(&alive, other_token, SHELL("echo up; exec sleep 1000"));
        start(&foreign, foreign_token, SHELL("echo up; exec sleep 1000"));
        (void)job_read_line(&dead);
        (void)job_read_line(&alive);
        (void)job_read_line(&foreign);
        reaper_unwatch(reaper, &dead.watch);
        reaper_unwatch(reaper, &foreign.watch);
        ck_assert_int_eq(reaper_sweep(reaper), 1);
        ck_assert_int_eq(reaper_sweep(reaper), 0);
        ck_assert_int_eq(kill(alive.request.pid, 0), 0);
        ck_assert_int_eq(waitpid(dead.request.pid, NULL, WNOHANG), dead.request.pid);
        ck_assert_int_eq(waitpid(foreign.request.pid, NULL, WNOHANG), 0);
        job_deinit(&dead);
        job_deinit(&alive);
        job_deinit(&foreign);
        teardown();
}
END_TEST

UNIT_MAIN("reaper", test_exit, test_group, test_leave_children, test_dead_before_the_answer,
          test_dead_before_the_watch, test_failed_spawn, test_unwatch, test_neighbour, test_many,
          test_orphan, test_stranger, test_stranger_of_the_living, test_sweep);
