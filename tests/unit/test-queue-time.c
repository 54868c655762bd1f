/* SPDX-License-Identifier: Apache-2.0 */

/* What time alone does: delayed tasks, deadlines, retention, progress. */

#include "queue-fixture.h"

START_TEST(a_delayed_task_waits_for_its_time)
{
        Fixture *f = fixture_new();
        int64_t run_at = clock_epoch_msec() + 60;
        Pool pool;

        pool_open(&pool, f, "t", 1);
        source_set_credit(pool.subscription, 10);
        (void)submit(f, (QueueTask){ .delay_msec = 40 });
        (void)submit(f, (QueueTask){ .run_at_msec = run_at, .delay_msec = 1 });
        (void)submit(f, (QueueTask){ .run_at_msec = 1 }); /* long ago: now */
        run_until(f, pool.n_tasks == 1);
        ck_assert_uint_eq(fixture_status(f).n_delayed, 2);
        run_until(f, pool.n_tasks == 3);
        ck_assert_int_ge(clock_epoch_msec(), run_at);
        ck_assert_uint_eq(fixture_status(f).n_delayed, 0);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(more_become_due_than_one_step_takes)
{
        Fixture *f = fixture_new();
        QueueTask *tasks = calloc(1300, sizeof(*tasks));
        int64_t at = clock_epoch_msec() + 30;

        for (size_t i = 0; i < 1300; i++)
                tasks[i] = (QueueTask){ .type = SLICE_LITERAL("t"), .run_at_msec = at };
        (void)submit_all(f, tasks, 1300);
        run_until(f, fixture_status(f).n_delayed == 0);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 1300);
        free(tasks);
        fixture_free(f);
}
END_TEST

START_TEST(a_deadline_ends_waiting_and_running_tasks)
{
        Fixture *f = fixture_new();
        int64_t soon = clock_epoch_msec() + 60;
        Pool pool;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ .deadline_msec = soon });
        (void)submit(f, (QueueTask){ .deadline_msec = soon, .delay_msec = 3600000 });
        (void)submit(f, (QueueTask){ .type = SLICE_LITERAL("other"), .deadline_msec = soon });
        pool_fetch(&pool, f, 1);
        run_until(f, f->n_ended == 3);
        ck_assert_int_ge(clock_epoch_msec(), soon);
        ck_assert_int_eq(f->ended_status, TASK_TIMED_OUT);
        ck_assert_uint_eq(pool.n_cancelled, 1);
        ck_assert_int_eq(pool.last_cause, CANCEL_DEADLINE);
        ck_assert_uint_eq(fixture_status(f).n_finished, 3);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM result WHERE reason LIKE"
                                          " '%deadline%'"),
                         3);
        ck_assert_int_eq(pool_settle(&pool, f, TASK_COMPLETED, NULL), _TASK_STATUS_INVALID);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(a_task_done_in_time_is_not_touched)
{
        Fixture *f = fixture_new();
        int64_t soon = clock_epoch_msec() + 50;
        Pool pool;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ .deadline_msec = soon });
        pool_fetch(&pool, f, 1);
        ck_assert_int_eq(pool_settle(&pool, f, TASK_COMPLETED, NULL), TASK_COMPLETED);
        (void)submit(f, (QueueTask){ .type = SLICE_LITERAL("other"), .deadline_msec = soon + 1 });
        run_until(f, f->n_ended == 2);
        ck_assert_int_eq(fixture_query(f, "SELECT state FROM task ORDER BY id"), 5);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(ended_tasks_go_after_the_retention)
{
        Fixture *f = fixture_new();
        Pool pool;

        f->config.retention_usec = 200 * USEC_PER_MSEC;
        (void)queue_alter(f->queue, &f->config);
        submit_many(f, "t", 700); /* more than one step */
        submit_many(f, "other", 1);
        pool_open(&pool, f, "t", 3);
        pool_fetch(&pool, f, 700);
        while (pool.n_tasks > 0) {
                Outcome *outcome;

                ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
                source_settle(pool.subscription, pool.tasks[pool.n_tasks - 1], outcome,
                              &(Settlement){ .ended_msec = clock_epoch_msec() });
                (void)task_unref(pool.tasks[--pool.n_tasks]);
        }
        run_until(f, pool.n_settled == 700);
        ck_assert_uint_eq(fixture_status(f).n_finished, 700);
        run_until(f, fixture_status(f).n_finished == 0);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM input"), 1);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 1);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(the_retention_changes_live)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ 0 });
        pool_fetch(&pool, f, 1);
        (void)pool_settle(&pool, f, TASK_COMPLETED, NULL);
        f->config.retention_usec = 1000;
        (void)queue_alter(f->queue, &f->config);
        run_until(f, fixture_status(f).n_finished == 0);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* With nothing to wait for the queue does not wake the loop. */
START_TEST(an_idle_queue_sleeps)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        source_set_credit(pool.subscription, 1);
        (void)submit(f, (QueueTask){ 0 });
        run_until(f, pool.n_tasks == 1);
        (void)pool_settle(&pool, f, TASK_COMPLETED, NULL);
        source_set_credit(pool.subscription, 1);
        while (sd_event_run(f->event, 20 * USEC_PER_MSEC) > 0)
                ;
        for (unsigned i = 0; i < 10; i++)
                ck_assert_int_eq(sd_event_run(f->event, 20 * USEC_PER_MSEC), 0);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

static int64_t has_progress(Fixture *f, const char *progress)
{
        char sql[128];

        (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM result WHERE progress = '%s'",
                       progress);
        return fixture_query(f, sql);
}

START_TEST(progress_is_written_at_most_once_a_second)
{
        Fixture *f = fixture_new();
        usec_t begun;
        Pool pool;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ 0 });
        pool_fetch(&pool, f, 1);
        source_report_progress(pool.subscription, pool.tasks[0], SLICE_LITERAL("{\"n\":1}"));
        begun = clock_monotonic_usec();
        run_until(f, has_progress(f, "{\"n\":1}") == 1);
        source_report_progress(pool.subscription, pool.tasks[0], SLICE_LITERAL("{\"n\":2}"));
        source_report_progress(pool.subscription, pool.tasks[0], SLICE_LITERAL("{\"n\":3}"));
        run_until(f, has_progress(f, "{\"n\":1}") == 0);
        ck_assert_int_eq(has_progress(f, "{\"n\":3}"), 1);
        ck_assert_uint_ge(clock_monotonic_usec() - begun, 900 * USEC_PER_MSEC);
        /* The last one is kept although its second has not passed. */
        source_report_progress(pool.subscription, pool.tasks[0], SLICE_LITERAL("{\"n\":4}"));
        (void)pool_settle(&pool, f, TASK_COMPLETED, NULL);
        ck_assert_int_eq(has_progress(f, "{\"n\":4}"), 1);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(progress_of_a_task_that_is_gone_is_dropped)
{
        Fixture *f = fixture_new();
        Pool pool;
        Task *task;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ 0 });
        pool_fetch(&pool, f, 1);
        task = task_ref(pool.tasks[0]);
        (void)pool_settle(&pool, f, TASK_COMPLETED, NULL);
        source_report_progress(pool.subscription, task, SLICE_LITERAL("{\"n\":1}"));
        (void)submit(f, (QueueTask){ 0 });
        ck_assert_int_eq(has_progress(f, "{\"n\":1}"), 0);
        (void)task_unref(task);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

UNIT_MAIN("queue-time", a_delayed_task_waits_for_its_time, more_become_due_than_one_step_takes,
          a_deadline_ends_waiting_and_running_tasks, a_task_done_in_time_is_not_touched,
          ended_tasks_go_after_the_retention, the_retention_changes_live, an_idle_queue_sleeps,
          progress_is_written_at_most_once_a_second, progress_of_a_task_that_is_gone_is_dropped);
