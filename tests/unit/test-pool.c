/* SPDX-License-Identifier: Apache-2.0 */

/* A pool's switches: states, pause, settings, drain, what its events tell. */

#include "base/log.h"
#include "pool-fixture.h"

START_TEST(test_it_runs_once_its_workers_are_ready)
{
        Pool *pool = make_pool();

        ck_assert_int_eq(pool_state(pool), POOL_STATE_STARTING);
        ck_assert(!pool_is_settled(pool));
        ck_assert_uint_eq(fixture.subscription.credit, 0);
        make_ready(1);
        ck_assert_int_eq(pool_state(pool), POOL_STATE_STARTING);
        ck_assert_uint_eq(fixture.subscription.credit, 2);
        make_ready(2);
        ck_assert_int_eq(pool_state(pool), POOL_STATE_RUNNING);
        ck_assert(pool_is_settled(pool));
        ck_assert_uint_eq(fixture.subscription.credit, 4);
        ck_assert_uint_gt(fixture.n_changes, 0);
}
END_TEST

START_TEST(test_a_late_pool_is_degraded)
{
        Pool *pool = make_pool();

        fixture_advance(fixture.config->start_timeout_usec + 1);
        ck_assert_int_eq(pool_state(pool), POOL_STATE_DEGRADED);
        ck_assert(pool_is_settled(pool));
        make_ready(1);
        make_ready(2);
        ck_assert_int_eq(pool_state(pool), POOL_STATE_RUNNING);
}
END_TEST

START_TEST(test_a_pool_of_no_workers_runs_and_takes_nothing)
{
        fixture.config->workers = 0;
        ck_assert_int_eq(pool_state(make_pool()), POOL_STATE_RUNNING);
        ck_assert(!pool_is_stopped(fixture.pool));
        ck_assert_uint_eq(fixture.subscription.credit, 0);
}
END_TEST

START_TEST(test_pause)
{
        Pool *pool = make_running_pool();

        hand_over(1);
        pool_pause(pool);
        fixture_run();
        ck_assert_int_eq(pool_state(pool), POOL_STATE_PAUSED);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
        /* what was on its way goes back, what runs goes on */
        hand_over(1);
        ck_assert(fixture.subscription.settlements[0].released);
        finish(1, TASK_COMPLETED);
        ck_assert_int_eq(fixture.subscription.settlements[1].status, TASK_COMPLETED);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
        pool_resume(pool);
        fixture_run();
        ck_assert_int_eq(pool_state(pool), POOL_STATE_RUNNING);
        ck_assert_uint_eq(fixture.subscription.credit, 4);
        ck_assert_uint_eq(count_events(EVENT_POOL_PAUSED), 1);
        ck_assert_uint_eq(count_events(EVENT_POOL_RESUMED), 1);
}
END_TEST

START_TEST(test_settings_are_all_or_none)
{
        Pool *pool = make_running_pool();
        _cleanup_free_ char *message = NULL;

        ck_assert_int_eq(
                pool_set(pool,
                         (char *[]){ (char *)"retry.attempts=7", (char *)"workers=many", NULL },
                         &message),
                CONFIG_E_INVALID);
        ck_assert_ptr_nonnull(message);
        ck_assert_uint_ne(fixture.subscription.retry_attempts, 7);
        ck_assert_int_eq(pool_set(pool, (char *[]){ (char *)"retry.attempts=7", NULL }, &message),
                         0);
        ck_assert_uint_eq(fixture.subscription.retry_attempts, 7);
        ck_assert_uint_eq(fixture.workers[1]->n_applies, 1);
        fixture_run();
        ck_assert_uint_eq(fixture.workers[1]->n_starts, 1);
}
END_TEST

START_TEST(test_settings_survive_a_new_configuration)
{
        Pool *pool = make_running_pool();
        ConfigPool *config;
        char *message = NULL;

        ck_assert_int_eq(pool_set(pool, (char *[]){ (char *)"workers=3", NULL }, &message), 0);
        ck_assert_int_eq(config_pool_with(fixture.config, "retry.attempts", "9", &config, &message),
                         0);
        ck_assert_int_eq(pool_apply(pool, config), 0);
        ck_assert_uint_eq(pool_config(pool)->workers, 3);
        ck_assert_uint_eq(pool_config(pool)->retry.attempts, 9);
        ck_assert_ptr_eq(pool_base_config(pool), config);
        config_pool_unref(config);
}
END_TEST

START_TEST(test_drain_lets_what_runs_end)
{
        Pool *pool = make_running_pool();

        hand_over(1);
        pool_drain(pool);
        fixture_run();
        ck_assert_int_eq(pool_state(pool), POOL_STATE_DRAINING);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
        ck_assert_uint_eq(fixture.workers[2]->n_drains, 1);
        make_exit(2, WORKER_EXIT_ASKED);
        ck_assert_ptr_null(fixture.workers[2]);
        fixture.subscription.busy = true;
        finish(1, TASK_COMPLETED);
        make_exit(1, WORKER_EXIT_ASKED);
        ck_assert_ptr_null(fixture.workers[1]);
        ck_assert_int_eq(pool_state(pool), POOL_STATE_DRAINING);
        fixture.subscription.busy = false;
        accept_settlement(TASK_COMPLETED);
        ck_assert_int_eq(pool_state(pool), POOL_STATE_STOPPED);
        ck_assert_int_eq(pool->reported, POOL_STATE_STOPPED);
}
END_TEST

START_TEST(test_drain_with_a_worker_that_does_not_run)
{
        Pool *pool = make_running_pool();

        make_exit(1, WORKER_EXIT_CRASHED);
        pool_drain(pool);
        fixture_run();
        ck_assert_ptr_null(fixture.workers[1]);
        make_exit(2, WORKER_EXIT_ASKED);
        ck_assert_int_eq(pool->reported, POOL_STATE_STOPPED);
}
END_TEST

START_TEST(test_stop_and_kill_reach_every_worker)
{
        Pool *pool = make_running_pool();

        hand_over(2);
        pool_drain(pool);
        fixture_run();
        pool_stop(pool);
        ck_assert_uint_eq(fixture.workers[1]->n_stops, 1);
        ck_assert_uint_eq(fixture.workers[2]->n_stops, 1);
        pool_kill(pool);
        ck_assert_uint_eq(fixture.workers[1]->n_kills, 1);
        give_back(1);
        ck_assert(fixture.subscription.settlements[0].released);
        ck_assert_uint_eq(pool_stats(pool)->total.n_handed_back, 1);
}
END_TEST

START_TEST(test_events_wait_for_the_source)
{
        make_running_pool();
        hand_over(4);
        ck_assert_uint_eq(count_events(EVENT_TASK_STARTED), 4);
        finish(1, TASK_FAILED);
        finish(2, TASK_FAILED);
        finish(1, TASK_IN_PROGRESS);
        finish(2, TASK_COMPLETED);
        ck_assert_uint_eq(count_events(EVENT_TASK_FAILED), 0);
        accept_settlement(TASK_SCHEDULED);
        accept_settlement(TASK_FAILED);
        accept_settlement(TASK_SCHEDULED);
        accept_settlement(TASK_COMPLETED);
        ck_assert_uint_eq(count_events(EVENT_TASK_RETRIED), 1);
        ck_assert_uint_eq(count_events(EVENT_TASK_FAILED), 1);
        ck_assert_uint_eq(count_events(EVENT_TASK_COMPLETED), 1);
        ck_assert_uint_eq(pool_stats(fixture.pool)->total.n_retried, 1);
        ck_assert(list_is_empty(&fixture.pool->pending));
        ck_assert_str_eq(fixture.messages[fixture.n_events - 2], "no luck");
}
END_TEST

START_TEST(test_nothing_is_kept_for_events_that_nobody_wants)
{
        Pool *pool = make_running_pool();

        fixture.context.events_wanted = 0;
        hand_over(1);
        finish(1, TASK_COMPLETED);
        ck_assert(list_is_empty(&pool->pending));
        accept_settlement(TASK_COMPLETED);
}
END_TEST

START_TEST(test_a_refused_result_is_forgotten)
{
        Pool *pool = make_running_pool();

        hand_over(1);
        finish(1, TASK_FAILED);
        accept_settlement(_TASK_STATUS_INVALID);
        ck_assert(list_is_empty(&pool->pending));
        ck_assert_uint_eq(count_events(EVENT_TASK_FAILED), 0);
}
END_TEST

START_TEST(test_it_turns)
{
        Pool *pool = make_running_pool();

        ck_assert(pool_turns(pool, fixture.now_usec, USEC_PER_SEC));
        pool_mark(pool);
        ck_assert(pool_turns(pool, fixture.now_usec + USEC_PER_SEC, USEC_PER_SEC));
        ck_assert(!pool_turns(pool, fixture.now_usec + USEC_PER_SEC + 1, USEC_PER_SEC));
        fixture_run();
        ck_assert(pool_turns(pool, fixture.now_usec + USEC_PER_DAY, USEC_PER_SEC));
}
END_TEST

START_TEST(test_the_minute_line_needs_no_timer_when_nothing_happens)
{
        Pool *pool = make_running_pool();

        ck_assert_uint_eq(pool->wake_usec, USEC_INFINITY);
        hand_over(1);
        finish(1, TASK_COMPLETED);
        ck_assert_uint_eq(pool->wake_usec, USEC_INFINITY);
        log_set_level(LOG_INFO);
        pool_mark(pool);
        fixture_run();
        ck_assert_uint_eq(pool->wake_usec, fixture.now_usec + USEC_PER_MINUTE);
        fixture_advance(USEC_PER_MINUTE);
        ck_assert_uint_eq(pool->wake_usec, USEC_INFINITY);
}
END_TEST

UNIT_MAIN_WITH("pool", fixture_setup, fixture_teardown, test_it_runs_once_its_workers_are_ready,
               test_a_late_pool_is_degraded, test_a_pool_of_no_workers_runs_and_takes_nothing,
               test_pause, test_settings_are_all_or_none, test_settings_survive_a_new_configuration,
               test_drain_lets_what_runs_end, test_drain_with_a_worker_that_does_not_run,
               test_stop_and_kill_reach_every_worker, test_events_wait_for_the_source,
               test_nothing_is_kept_for_events_that_nobody_wants,
               test_a_refused_result_is_forgotten, test_it_turns,
               test_the_minute_line_needs_no_timer_when_nothing_happens);
