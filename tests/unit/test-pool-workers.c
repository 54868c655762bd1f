/* SPDX-License-Identifier: Apache-2.0 */

/* How many workers a pool has, when it starts one again, when it replaces one. */

#include "base/log.h"
#include "pool-fixture.h"

static void set(const char *setting)
{
        char *message = NULL;

        ck_assert_int_eq(pool_set(fixture.pool, (char *[]){ (char *)setting, NULL }, &message), 0);
        fixture_run();
}

static unsigned count_workers(void)
{
        unsigned n = 0;

        for (unsigned i = 0; i < FAKE_WORKERS_MAX; i++)
                n += fixture.workers[i] != NULL;
        return n;
}

static unsigned count_stopping(void)
{
        unsigned n = 0;

        for (unsigned i = 0; i < FAKE_WORKERS_MAX; i++)
                n += fixture.workers[i] && fixture.workers[i]->state == WORKER_STATE_STOPPING;
        return n;
}

START_TEST(test_scale_up_and_down)
{
        make_running_pool();
        set("workers=4");
        ck_assert_uint_eq(count_workers(), 4);
        ck_assert_uint_eq(fixture.workers[1]->n_starts, 1);
        make_ready(3);
        make_ready(4);
        hand_over(1);
        ck_assert_uint_eq(fixture.workers[1]->n_tasks + fixture.workers[3]->n_tasks, 1);
        set("workers=1");
        /* the busy one stays */
        ck_assert_uint_eq(count_stopping(), 3);
        for (unsigned i = 1; i <= 4; i++)
                if (fixture.workers[i]->state == WORKER_STATE_STOPPING) {
                        ck_assert_uint_eq(fixture.workers[i]->n_tasks, 0);
                        make_exit(i, WORKER_EXIT_ASKED);
                }
        ck_assert_uint_eq(count_workers(), 1);
}
END_TEST

START_TEST(test_a_busy_worker_that_is_too_many_ends_after_its_task)
{
        make_running_pool();
        hand_over(2);
        set("workers=1");
        ck_assert_uint_eq(count_stopping(), 1);
        ck_assert_uint_eq(fixture.subscription.credit, 1);
        ck_assert_uint_eq(fixture.workers[1]->n_stops + fixture.workers[2]->n_stops, 0);
        /* wanted again: a new one, under a name that is free */
        set("workers=2");
        ck_assert_uint_eq(count_workers(), 3);
        ck_assert_ptr_nonnull(fixture.workers[3]);
}
END_TEST

START_TEST(test_crashes_back_off_alone)
{
        usec_t max = fixture.config->restart.backoff.base_usec;
        Worker *worker;

        make_running_pool();
        make_exit(1, WORKER_EXIT_CRASHED);
        worker = fixture.workers[1];
        ck_assert_uint_eq(worker->n_starts, 1);
        ck_assert_uint_eq(fixture.subscription.credit, 2);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_DEGRADED);
        fixture_advance(max / 2 - 1);
        ck_assert_uint_eq(worker->n_starts, 1);
        fixture_advance(max / 2 + 1);
        ck_assert_uint_eq(worker->n_starts, 2);
        make_ready(1);
        ck_assert_uint_eq(fixture.workers[2]->n_starts, 1);
        ck_assert_uint_eq(count_events(EVENT_WORKER_CRASHED), 1);
        ck_assert_uint_eq(pool_stats(fixture.pool)->total.n_crashes, 1);
        /* the second time it waits at least as long as the first time at most */
        make_exit(1, WORKER_EXIT_CRASHED);
        fixture_advance(max - 1);
        ck_assert_uint_eq(worker->n_starts, 2);
        fixture_advance(max + 1);
        ck_assert_uint_eq(worker->n_starts, 3);
}
END_TEST

START_TEST(test_a_stable_run_ends_the_backoff)
{
        usec_t base = fixture.config->restart.backoff.base_usec;

        make_running_pool();
        for (unsigned i = 0; i < 2; i++) {
                make_exit(1, WORKER_EXIT_CRASHED);
                fixture_advance(2 * base);
                make_ready(1);
        }
        fixture_advance(POOL_STABLE_USEC);
        make_exit(1, WORKER_EXIT_CRASHED);
        fixture_advance(base);
        ck_assert_uint_eq(fixture.workers[1]->n_starts, 4);
}
END_TEST

START_TEST(test_a_hung_worker_starts_again_at_once)
{
        make_running_pool();
        make_exit(1, WORKER_EXIT_WATCHDOG);
        ck_assert_uint_eq(fixture.workers[1]->n_starts, 2);
        ck_assert_uint_eq(count_events(EVENT_WORKER_KILLED), 1);
}
END_TEST

START_TEST(test_a_crash_loop_fails_the_pool_until_a_task_completes)
{
        fixture.config->workers = 1;
        make_running_pool();
        for (unsigned i = 0; i < POOL_FAILED_STARTS; i++) {
                ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_RUNNING);
                make_exit(1, WORKER_EXIT_CRASHED);
                fixture_advance(fixture.config->restart.backoff.max_usec);
                make_ready(1);
        }
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_FAILED);
        ck_assert_uint_eq(count_events(EVENT_POOL_FAILED), 1);
        ck_assert_uint_gt(fixture.subscription.credit, 0);
        hand_over(1);
        finish(1, TASK_COMPLETED);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_RUNNING);
        ck_assert_uint_eq(count_events(EVENT_POOL_RECOVERED), 1);
}
END_TEST

START_TEST(test_what_cannot_be_executed_is_tried_by_one)
{
        make_pool();
        make_exit(1, WORKER_EXIT_CANNOT_EXEC);
        make_exit(2, WORKER_EXIT_CANNOT_EXEC);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_FAILED);
        ck_assert_uint_eq(count_events(EVENT_POOL_FAILED), 1);
        ck_assert_uint_eq(pool_stats(fixture.pool)->total.n_crashes, 0);
        fixture_advance(fixture.config->restart.backoff.max_usec);
        ck_assert_uint_eq(fixture.workers[1]->n_starts, 2);
        ck_assert_uint_eq(fixture.workers[2]->n_starts, 1);
        make_ready(1);
        ck_assert_uint_eq(fixture.workers[2]->n_starts, 2);
        ck_assert_uint_eq(count_events(EVENT_POOL_RECOVERED), 1);
}
END_TEST

START_TEST(test_a_program_that_vanished_leaves_its_workers)
{
        make_running_pool();
        hand_over(1);
        make_exit(2, WORKER_EXIT_CRASHED);
        fixture_advance(fixture.config->restart.backoff.max_usec);
        make_exit(2, WORKER_EXIT_CANNOT_EXEC);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_DEGRADED);
        ck_assert_uint_gt(fixture.subscription.credit, 0);
        ck_assert_uint_eq(count_events(EVENT_POOL_FAILED), 0);
        /* now the last one goes; the one that holds a task does not make the pool well again */
        pool_restart(fixture.pool, false);
        fixture_run();
        make_exit(2, WORKER_EXIT_CANNOT_EXEC);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_FAILED);
        if (fixture.workers[1]->n_tasks > 0)
                finish(1, TASK_COMPLETED);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_FAILED);
        make_exit(1, WORKER_EXIT_ASKED);
        fixture_advance(fixture.config->restart.backoff.max_usec);
        make_ready(1);
        ck_assert_uint_eq(count_events(EVENT_POOL_RECOVERED), 1);
}
END_TEST

START_TEST(test_a_crash_loop_ends_with_a_stable_run)
{
        fixture.config->workers = 1;
        make_running_pool();
        for (unsigned i = 0; i < POOL_FAILED_STARTS; i++) {
                make_exit(1, WORKER_EXIT_CRASHED);
                fixture_advance(fixture.config->restart.backoff.max_usec);
                make_ready(1);
        }
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_FAILED);
        fixture_advance(POOL_STABLE_USEC - 1);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_FAILED);
        fixture_advance(1);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_RUNNING);
}
END_TEST

START_TEST(test_a_command_that_vanished_is_probed_with_one_task)
{
        fixture.config->handler.mode = HANDLER_PER_TASK;
        fixture.config->concurrency = 1;
        make_running_pool();
        hand_over(1);
        give_back(1);
        make_exit(1, WORKER_EXIT_CANNOT_EXEC);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_FAILED);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
        fixture_advance(fixture.config->restart.backoff.max_usec);
        make_ready(1);
        ck_assert_uint_eq(fixture.subscription.credit, 1);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_FAILED);
        hand_over(1);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
        finish(fixture.workers[1]->n_tasks > 0 ? 1 : 2, TASK_FAILED);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_RUNNING);
        ck_assert_uint_eq(fixture.subscription.credit, 2);
}
END_TEST

START_TEST(test_a_start_that_fails_is_tried_again)
{
        make_pool();
        make_exit(1, WORKER_EXIT_CRASHED);
        fixture.workers[1]->start_error = -ENOMEM;
        fixture_advance(fixture.config->restart.backoff.max_usec);
        ck_assert_uint_eq(fixture.workers[1]->n_starts, 2);
        fixture.workers[1]->start_error = 0;
        fixture_advance(fixture.config->restart.backoff.max_usec);
        ck_assert_uint_eq(fixture.workers[1]->n_starts, 3);
}
END_TEST

START_TEST(test_rolling_restart_replaces_one_by_one)
{
        fixture.config->workers = 3;
        make_running_pool();
        pool_restart(fixture.pool, true);
        fixture_run();
        ck_assert_uint_eq(pool_n_to_replace(fixture.pool), 3);
        for (unsigned n = 3; n > 0; n--) {
                unsigned i = 1;

                ck_assert_uint_eq(count_stopping(), 1);
                while (fixture.workers[i]->state != WORKER_STATE_STOPPING)
                        i++;
                make_exit(i, WORKER_EXIT_ASKED);
                ck_assert_uint_eq(fixture.workers[i]->n_starts, 2);
                ck_assert_uint_eq(count_stopping(), 0);
                make_ready(i);
                ck_assert_uint_eq(pool_n_to_replace(fixture.pool), n - 1);
        }
        ck_assert_uint_eq(count_stopping(), 0);
}
END_TEST

START_TEST(test_restart_replaces_all)
{
        fixture.config->workers = 3;
        make_running_pool();
        pool_restart(fixture.pool, false);
        fixture_run();
        ck_assert_uint_eq(count_stopping(), 3);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
}
END_TEST

START_TEST(test_a_restart_key_makes_workers_anew_one_by_one)
{
        ConfigPool *config;

        make_running_pool();
        ck_assert_int_eq(config_pool_new_default("work", &config), 0);
        config->handler.mode = HANDLER_PERSISTENT;
        config->source = strdup("local");
        config->workers = 2;
        config->concurrency = 2;
        config->nice = 7;
        ck_assert_int_eq(pool_apply(fixture.pool, config), 0);
        fixture_run();
        ck_assert_uint_eq(count_stopping(), 1);
        for (unsigned i = 1; i <= 2; i++)
                if (fixture.workers[i]->state == WORKER_STATE_STOPPING) {
                        make_exit(i, WORKER_EXIT_ASKED);
                        ck_assert_int_eq(fixture.workers[i]->config->nice, 7);
                        ck_assert_int_eq(fixture.workers[i]->state, WORKER_STATE_STARTING);
                        break;
                }
        config_pool_unref(config);
}
END_TEST

/* Ten per cent to either side of ten: 9 to 11 tasks. */
START_TEST(test_recycling_after_tasks)
{
        unsigned n = 0;

        fixture.config->workers = 1;
        fixture.config->recycle.tasks = 10;
        make_running_pool();
        while (fixture.workers[1]->state == WORKER_STATE_READY) {
                hand_over(1);
                finish(1, TASK_COMPLETED);
                n++;
        }
        ck_assert_uint_ge(n, 9);
        ck_assert_uint_le(n, 11);
        make_exit(1, WORKER_EXIT_ASKED);
        ck_assert_uint_eq(fixture.workers[1]->n_starts, 2);
        ck_assert_uint_eq(pool_stats(fixture.pool)->total.n_crashes, 0);
}
END_TEST

START_TEST(test_recycling_after_age_takes_a_quarter_at_a_time)
{
        fixture.config->workers = 8;
        fixture.config->recycle.age_usec = USEC_PER_HOUR;
        make_running_pool();
        ck_assert_uint_lt(fixture.pool->wake_usec, fixture.now_usec + USEC_PER_HOUR);
        fixture_advance(USEC_PER_HOUR / 10 * 9 - 1);
        ck_assert_uint_eq(count_stopping(), 0);
        fixture_advance(USEC_PER_HOUR / 5 + 2);
        ck_assert_uint_eq(count_stopping(), 2);
}
END_TEST

START_TEST(test_recycling_after_memory)
{
        fixture.config->workers = 1;
        fixture.config->recycle.memory = 1000;
        make_running_pool();
        fixture.workers[1]->memory = 1001;
        hand_over(1);
        finish(1, TASK_COMPLETED);
        ck_assert_uint_eq(count_stopping(), 1);
}
END_TEST

UNIT_MAIN_WITH("pool-workers", fixture_setup, fixture_teardown, test_scale_up_and_down,
               test_a_busy_worker_that_is_too_many_ends_after_its_task, test_crashes_back_off_alone,
               test_a_stable_run_ends_the_backoff, test_a_hung_worker_starts_again_at_once,
               test_a_crash_loop_fails_the_pool_until_a_task_completes,
               test_what_cannot_be_executed_is_tried_by_one,
               test_a_program_that_vanished_leaves_its_workers,
               test_a_crash_loop_ends_with_a_stable_run,
               test_a_command_that_vanished_is_probed_with_one_task,
               test_a_start_that_fails_is_tried_again, test_rolling_restart_replaces_one_by_one,
               test_restart_replaces_all, test_a_restart_key_makes_workers_anew_one_by_one,
               test_recycling_after_tasks, test_recycling_after_age_takes_a_quarter_at_a_time,
               test_recycling_after_memory);
