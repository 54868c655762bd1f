/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "unit.h"
#include "processes.h"
#include "worker/leftover.h"
#include "worker/tree.h"

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

/* Runs the script up to its first line, which is a number or a word. */
static pid_t start(Job *job, char *script, char *const *environment)
{
        job_init(job, SHELL(script), environment);
        spawner_post(spawner, &job->request);
        run_until(event, &job->answered);
        ck_assert_int_eq(job->request.error, 0);
        return (pid_t)atoi(job_read_line(job));
}

static void stop(Job *job)
{
        ck_assert_int_eq(kill(-job->request.pid, SIGKILL), 0);
        job_deinit(job);
}

START_TEST(test_tree)
{
        TreeList list = TREE_LIST_NULL;
        pid_t child;
        Job job;

        setup();
        child = start(&job, "sh -c 'sleep 1000 & echo $$; wait' & wait", DEFAULT_ENVIRONMENT);
        ck_assert_int_eq(tree_list_all(&list, job.request.pid), 0);
        ck_assert_uint_eq(list.n_pids, 3);
        ck_assert_int_eq(list.pids[0], job.request.pid);
        ck_assert_int_eq(list.pids[1], child);
        ck_assert(tree_list_contains(&list, child));
        ck_assert(!tree_list_contains(&list, 1));
        tree_list_deinit(&list);

        ck_assert_int_eq(tree_list_children(&list, child, child), 0);
        ck_assert_uint_eq(list.n_pids, 1);
        tree_list_deinit(&list);
        stop(&job);
        teardown();
}
END_TEST

/* Its parent is gone, but its session tells whose it is. */
START_TEST(test_orphan)
{
        TreeList list = TREE_LIST_NULL;
        pid_t orphan;
        Job job;

        setup();
        orphan = start(&job, "(sh -c 'echo $$; exec sleep 1000' &) ; read x", DEFAULT_ENVIRONMENT);
        for (usec_t deadline = clock_monotonic_usec() + PATIENCE_USEC;;) {
                ck_assert_uint_lt(clock_monotonic_usec(), deadline);
                ck_assert_int_eq(tree_list_all(&list, job.request.pid), 0);
                if (list.n_pids == 2)
                        break;
                tree_list_deinit(&list); /* the shell between them has not been reaped yet */
        }
        ck_assert(tree_list_contains(&list, orphan));
        tree_list_deinit(&list);
        stop(&job);
        teardown();
}
END_TEST

START_TEST(test_rss)
{
        uint64_t all, leader, child;
        pid_t pid;
        Job job;

        setup();
        pid = start(&job, "exec 3<&0; sh -c 'echo $$; read x' <&3 & wait", DEFAULT_ENVIRONMENT);
        ck_assert_int_eq(tree_rss(job.request.pid, &all), 0);
        ck_assert_int_eq(tree_rss(pid, &child), 0);
        leader = all - child;
        ck_assert_uint_gt(child, 100 * 1024);
        ck_assert_uint_gt(leader, 100 * 1024);
        ck_assert_uint_lt(all, 100 * 1024 * 1024);
        stop(&job);
        ck_assert_int_eq(waitpid(job.request.pid, NULL, 0), job.request.pid);
        ck_assert_int_eq(tree_rss(job.request.pid, &all), -ESRCH);
        teardown();
}
END_TEST

START_TEST(test_variable)
{
        char value[16];
        pid_t pid;
        Job job;

        setup();
        (void)start(&job, "echo up; read x",
                    ENVIRONMENT("XTEST=no", "TEST=a value", "EMPTY=", "LONG=0123456789abcdef"));
        pid = job.request.pid;
        ck_assert_int_eq(tree_read_variable(pid, "TEST", value, sizeof(value)), 1);
        ck_assert_str_eq(value, "a value");
        ck_assert_int_eq(tree_read_variable(pid, "EMPTY", value, sizeof(value)), 1);
        ck_assert_str_eq(value, "");
        ck_assert_int_eq(tree_read_variable(pid, "TES", value, sizeof(value)), 0);
        ck_assert_int_eq(tree_read_variable(pid, "LONG", value, sizeof(value)), 0);
        stop(&job);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        ck_assert_int_eq(tree_read_variable(pid, "TEST", value, sizeof(value)), -ESRCH);

        (void)start(&job, "echo up; read x", (char *const[]){ NULL });
        pid = job.request.pid;
        ck_assert_int_eq(tree_read_variable(pid, "TEST", value, sizeof(value)), -ENODATA);
        stop(&job);
        teardown();
}
END_TEST

static bool is_alive(const char *token, void *userdata)
{
        return streq(token, userdata);
}

START_TEST(test_leftover)
{
        char token[LEFTOVER_TOKEN_SIZE];
        pid_t pid;
        Job job;

        setup();
        (void)start(&job, "echo up; read x",
                    ENVIRONMENT(LEFTOVER_TOKEN_NAME "=test-tree/pool/1/1"));
        pid = job.request.pid;
        ck_assert_int_eq(leftover_check(pid, "test-tree", is_alive, "test-tree/pool/1/2", token),
                         1);
        ck_assert_str_eq(token, "test-tree/pool/1/1");
        ck_assert_int_eq(leftover_check(pid, "test-tree", is_alive, "test-tree/pool/1/1", token),
                         0);
        ck_assert_int_eq(leftover_check(pid, "test-tre", is_alive, "", token), 0);
        ck_assert_int_eq(leftover_check(pid, "test-tree/pool/1/1", is_alive, "", token), 0);
        ck_assert_int_eq(leftover_check(getpid(), "test-tree", is_alive, "", token), 0);

        ck_assert_int_eq(leftover_kill_all("test-tre", is_alive, ""), 0);
        ck_assert_int_eq(leftover_kill_all("test-tree", is_alive, ""), 1);
        ck_assert_int_eq(leftover_check(pid, "test-tree", is_alive, "", token), 0);
        ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), pid);
        job_deinit(&job);
        teardown();
}
END_TEST

UNIT_MAIN("tree", test_tree, test_orphan, test_rss, test_variable, test_leftover);
