/* SPDX-License-Identifier: Apache-2.0 */

/* The tasks of a pool: who gets one, how many it asks for, what it settles. */

#include "base/log.h"
#include "pool-fixture.h"

START_TEST(test_the_least_loaded_worker_gets_the_task)
{
        make_running_pool();
        hand_over(2);
        ck_assert_uint_eq(fixture.workers[1]->n_tasks, 1);
        ck_assert_uint_eq(fixture.workers[2]->n_tasks, 1);
        hand_over(2);
        ck_assert_uint_eq(fixture.workers[1]->n_tasks, 2);
        ck_assert_uint_eq(fixture.workers[2]->n_tasks, 2);
        finish(2, TASK_COMPLETED);
        finish(2, TASK_COMPLETED);
        hand_over(1);
        ck_assert_uint_eq(fixture.workers[2]->n_tasks, 1);
}
END_TEST

START_TEST(test_credit_is_told_once_for_many_tasks)
{
        unsigned n;

        make_running_pool();
        n = fixture.subscription.n_credits;
        ck_assert_uint_eq(fixture.subscription.credit, 4);
        hand_over(4);
        /* the source has counted down by itself */
        ck_assert_uint_eq(fixture.subscription.n_credits, n);
        for (unsigned i = 0; i < 2; i++) {
                Task *task = take_task(fixture.workers[1]);
                Outcome *outcome;

                ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
                report(fixture.workers[1], (WorkerReport){ .event = WORKER_TASK_DONE,
                                                           .task = task,
                                                           .outcome = outcome });
                task_unref(task);
        }
        ck_assert_uint_eq(fixture.subscription.n_credits, n);
        fixture_run();
        ck_assert_uint_eq(fixture.subscription.n_credits, n + 1);
        ck_assert_uint_eq(fixture.subscription.credit, 2);
}
END_TEST

START_TEST(test_tasks_that_find_no_worker_wait)
{
        make_running_pool();
        hand_over(5);
        ck_assert_uint_eq(fixture.pool->n_queue, 1);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
        finish(1, TASK_COMPLETED);
        ck_assert_uint_eq(fixture.pool->n_queue, 0);
        ck_assert_uint_eq(fixture.workers[1]->n_tasks, 2);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
}
END_TEST

START_TEST(test_without_any_worker_they_go_back)
{
        make_running_pool();
        make_exit(1, WORKER_EXIT_CRASHED);
        make_exit(2, WORKER_EXIT_CRASHED);
        hand_over(2);
        ck_assert_uint_eq(fixture.pool->n_queue, 0);
        ck_assert_uint_eq(fixture.subscription.n_settlements, 2);
        ck_assert(fixture.subscription.settlements[1].released);
        ck_assert_uint_eq(count_events(EVENT_TASK_HANDED_BACK), 2);
}
END_TEST

START_TEST(test_after_a_task_that_is_not_taken_comes_a_pause)
{
        make_running_pool();
        fixture.workers[1]->dispatch_error = -EMFILE;
        hand_over(1);
        ck_assert_uint_eq(fixture.subscription.n_settlements, 1);
        ck_assert(fixture.subscription.settlements[0].released);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
        ck_assert_str_eq(pool_stats(fixture.pool)->error,
                         "work/1 does not take a task: Too many open files");
        fixture.workers[1]->dispatch_error = 0;
        fixture_advance(USEC_PER_SEC);
        ck_assert_uint_eq(fixture.subscription.credit, 4);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_RUNNING);
}
END_TEST

START_TEST(test_rate)
{
        fixture.config->rate_count = 3;
        fixture.config->rate_interval_usec = USEC_PER_SEC;
        make_running_pool();
        ck_assert_uint_eq(fixture.subscription.credit, 3);
        hand_over(3);
        for (unsigned i = 0; i < 3; i++)
                finish(fixture.workers[1]->n_tasks > 0 ? 1 : 2, TASK_COMPLETED);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
        ck_assert_uint_le(fixture.pool->wake_usec, fixture.now_usec + USEC_PER_SEC);
        fixture_advance(USEC_PER_SEC / 3 + 1);
        ck_assert_uint_eq(fixture.subscription.credit, 1);
}
END_TEST

START_TEST(test_error_backoff)
{
        fixture.config->error_backoff.after = 2;
        fixture.config->error_backoff.backoff = (Backoff){ 4 * USEC_PER_SEC, USEC_PER_MINUTE };
        make_running_pool();
        hand_over(3);
        finish(1, TASK_FAILED);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_RUNNING);
        finish(2, TASK_FAILED);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_BACKOFF);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
        fixture_advance(2 * USEC_PER_SEC - 1);
        ck_assert_uint_eq(fixture.subscription.credit, 0);
        /* one that ran already makes it no longer */
        finish(1, TASK_FAILED);
        fixture_advance(2 * USEC_PER_SEC + 1);
        ck_assert_uint_eq(fixture.subscription.credit, 4);
        /* the next failure brings twice the delay */
        hand_over(1);
        finish(fixture.workers[1]->n_tasks > 0 ? 1 : 2, TASK_FAILED);
        fixture_advance(4 * USEC_PER_SEC - 1);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_BACKOFF);
        fixture_advance(4 * USEC_PER_SEC + 1);
        hand_over(1);
        finish(fixture.workers[1]->n_tasks > 0 ? 1 : 2, TASK_COMPLETED);
        ck_assert_uint_eq(fixture.pool->n_errors_in_row, 0);
        ck_assert_int_eq(pool_state(fixture.pool), POOL_STATE_RUNNING);
}
END_TEST

START_TEST(test_counters)
{
        const PoolStats *stats;

        make_running_pool();
        hand_over(4);
        finish(1, TASK_COMPLETED);
        finish(2, TASK_FAILED);
        finish(1, TASK_IN_PROGRESS);
        finish(2, TASK_FAILED_WITH_TERMINAL_ERROR);
        stats = pool_stats(fixture.pool);
        ck_assert_uint_eq(stats->total.n_processed, 4);
        ck_assert_uint_eq(stats->total.n_completed, 1);
        ck_assert_uint_eq(stats->total.n_failed, 2);
        ck_assert_str_eq(stats->error, "task task-4: no luck");
        ck_assert_int_eq(fixture.subscription.settlements[2].status, TASK_IN_PROGRESS);
}
END_TEST

START_TEST(test_cancel)
{
        Subscription *subscription = &fixture.subscription;
        Task *task;

        make_running_pool();
        hand_over(5);
        task = task_ref(LIST_FIRST(&fixture.pool->queue, Task, link));
        subscription->callbacks.on_cancel(subscription, task, CANCEL_ASKED, fixture.pool);
        ck_assert_uint_eq(fixture.pool->n_queue, 0);
        ck_assert_uint_eq(subscription->n_settlements, 0);
        task_unref(task);

        task = fixture.workers[2]->tasks[1];
        subscription->callbacks.on_cancel(subscription, task, CANCEL_ASKED, fixture.pool);
        ck_assert_ptr_eq(fixture.workers[2]->cancelled, task);
        fixture.workers[2]->n_tasks--;
        report(fixture.workers[2], (WorkerReport){ .event = WORKER_TASK_DROPPED, .task = task });
        task_unref(task);
        fixture_run();
        ck_assert_uint_eq(pool_stats(fixture.pool)->total.n_canceled, 2);
        ck_assert_uint_eq(subscription->n_settlements, 0);
        ck_assert_uint_eq(subscription->credit, 1);
}
END_TEST

START_TEST(test_progress_is_passed_on)
{
        make_running_pool();
        hand_over(1);
        report(fixture.workers[1], (WorkerReport){ .event = WORKER_PROGRESS,
                                                   .task = fixture.workers[1]->tasks[0],
                                                   .data = SLICE_LITERAL("{\"percent\":5}") });
        ck_assert_str_eq(fixture.subscription.progress, "{\"percent\":5}");
}
END_TEST

UNIT_MAIN_WITH("pool-dispatch", fixture_setup, fixture_teardown,
               test_the_least_loaded_worker_gets_the_task, test_credit_is_told_once_for_many_tasks,
               test_tasks_that_find_no_worker_wait, test_without_any_worker_they_go_back,
               test_after_a_task_that_is_not_taken_comes_a_pause, test_rate, test_error_backoff,
               test_counters, test_cancel, test_progress_is_passed_on);
