/* SPDX-License-Identifier: Apache-2.0 */

/* A disk that is slow, full or broken; and how often it is asked. */

#include "fault-vfs.h"
#include "queue-fixture.h"

static Fixture *fixture_on_fault(Durability durability)
{
        Fixture *f;

        fault_vfs_install();
        f = fixture_new();
        f->config.durability = durability;
        ck_assert_int_eq(queue_alter(f->queue, &f->config), 0);
        return f;
}

static unsigned n_syncs(void)
{
        return atomic_load(&fault.n_syncs);
}

START_TEST(full_durability_syncs_submissions_and_results_not_claims)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);
        unsigned before;
        Pool pool;

        pool_open(&pool, f, "t", 1);
        before = n_syncs();
        submit_many(f, "t", 100);
        ck_assert_uint_eq(n_syncs() - before, 1);
        before = n_syncs();
        pool_fetch(&pool, f, 10);
        ck_assert_uint_eq(n_syncs() - before, 0);
        (void)pool_settle(&pool, f, TASK_COMPLETED, NULL);
        ck_assert_uint_eq(n_syncs() - before, 1);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(normal_durability_syncs_nothing)
{
        Fixture *f = fixture_on_fault(DURABILITY_NORMAL);
        unsigned before = n_syncs();
        Pool pool;

        pool_open(&pool, f, "t", 1);
        submit_many(f, "t", 100);
        pool_fetch(&pool, f, 10);
        (void)pool_settle(&pool, f, TASK_COMPLETED, NULL);
        ck_assert_uint_eq(n_syncs() - before, 0);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* From the submission to the handler's hands: one sync, because the claim is in its group. */
START_TEST(a_hungry_pool_waits_for_one_sync)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);
        unsigned before;
        Pool pool;

        pool_open(&pool, f, "t", 1);
        source_set_credit(pool.subscription, 1);
        (void)submit(f, (QueueTask){ .type = SLICE_LITERAL("other") });
        before = n_syncs();
        (void)submit(f, (QueueTask){ 0 });
        ck_assert_uint_eq(pool.n_tasks, 1); /* together with the receipt */
        ck_assert_uint_eq(n_syncs() - before, 1);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* Whoever waits for a task is told its end once it is durable, however it came; what becomes due is
 * found again anyway. */
START_TEST(an_end_by_deadline_is_synced_a_delay_is_not)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);
        unsigned before;

        (void)submit(f, (QueueTask){ .delay_msec = 30 });
        before = n_syncs();
        run_until(f, fixture_status(f).n_delayed == 0);
        ck_assert_uint_eq(n_syncs() - before, 0);
        (void)submit(f, (QueueTask){ .deadline_msec = clock_epoch_msec() + 30 });
        before = n_syncs();
        run_until(f, f->n_ended == 1);
        ck_assert_uint_eq(n_syncs() - before, 1);
        fixture_free(f);
}
END_TEST

START_TEST(settlements_of_a_moment_share_a_sync)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);
        unsigned before;
        Pool pool;

        pool_open(&pool, f, "t", 1);
        submit_many(f, "t", 200);
        pool_fetch(&pool, f, 200);
        before = n_syncs();
        for (unsigned i = 0; i < 200; i++) {
                Outcome *outcome;

                ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
                source_settle(pool.subscription, pool.tasks[i], outcome, &(Settlement){ 0 });
        }
        run_until(f, pool.n_settled == 200);
        ck_assert_uint_eq(n_syncs() - before, 1);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* The next task is there before the sync of the last one's result. */
START_TEST(what_is_ready_does_not_wait_for_a_result)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);
        Outcome *outcome;
        Pool pool;

        pool_open(&pool, f, "t", 1);
        submit_many(f, "t", 2);
        pool_fetch(&pool, f, 1);
        atomic_store(&fault.sync_msec, 200);
        ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
        source_settle(pool.subscription, pool.tasks[0], outcome, &(Settlement){ 0 });
        source_set_credit(pool.subscription, 1);
        run_until(f, pool.n_tasks == 2);
        ck_assert_uint_eq(pool.n_settled, 0);
        run_until(f, pool.n_settled == 1);
        atomic_store(&fault.sync_msec, 0);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(a_full_disk_refuses_and_recovers_by_itself)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);
        Pool pool;

        pool_open(&pool, f, "t", 1);
        submit_many(f, "t", 3);
        pool_fetch(&pool, f, 1);
        atomic_store(&fault.write_error, SQLITE_FULL);
        ck_assert_int_eq(submit(f, (QueueTask){ 0 }), QUEUE_DISK_FULL);
        ck_assert_ptr_nonnull(strstr(f->message, "no space left"));
        ck_assert_ptr_nonnull(strstr(f->message, f->folder));
        ck_assert_uint_eq(f->n_refused, 1);
        ck_assert_str_eq(fixture_status(f).state, "full");
        ck_assert_ptr_nonnull(strstr(fixture_status(f).problem, "free some"));

        /* Nothing is fetched, and what was in hand is not lost. */
        source_set_credit(pool.subscription, 1);
        source_settle(pool.subscription, pool.tasks[0], ({
                              Outcome *outcome;
                              ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
                              outcome;
                      }),
                      &(Settlement){ 0 });
        for (unsigned i = 0; i < 5; i++)
                ck_assert_int_ge(sd_event_run(f->event, 20 * USEC_PER_MSEC), 0);
        ck_assert_uint_eq(pool.n_tasks, 1);
        ck_assert_uint_eq(pool.n_settled, 0);
        ck_assert(!source_is_quiet(pool.subscription));

        atomic_store(&fault.write_error, 0);
        run_until(f, pool.n_settled == 1 && pool.n_tasks == 2);
        ck_assert_int_eq(pool.last_status, TASK_COMPLETED);
        ck_assert_str_eq(fixture_status(f).state, "ok");
        ck_assert_int_eq(submit(f, (QueueTask){ 0 }), QUEUE_ACCEPTED);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* The claim that comes with a refused submission finds nothing, and so writes nothing. */
START_TEST(an_empty_claim_does_not_say_that_the_disk_works)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);
        Pool pool;

        pool_open(&pool, f, "t", 1);
        source_set_credit(pool.subscription, 1);
        atomic_store(&fault.write_error, SQLITE_FULL);
        for (unsigned i = 0; i < 3; i++) {
                ck_assert_int_eq(submit(f, (QueueTask){ 0 }), QUEUE_DISK_FULL);
                for (unsigned j = 0; j < 10; j++) {
                        ck_assert_int_ge(sd_event_run(f->event, USEC_PER_MSEC), 0);
                        ck_assert_str_eq(fixture_status(f).state, "full");
                }
        }
        atomic_store(&fault.write_error, 0);
        run_until(f, streq(fixture_status(f).state, "ok"));
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(a_claim_that_failed_is_made_again)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);
        Pool pool;

        pool_open(&pool, f, "t", 1);
        submit_many(f, "t", 1);
        atomic_store(&fault.write_error, SQLITE_FULL);
        source_set_credit(pool.subscription, 1);
        run_until(f, streq(fixture_status(f).state, "full"));
        atomic_store(&fault.write_error, 0);
        run_until(f, pool.n_tasks == 1);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(a_sync_that_fails_is_no_acceptance)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);

        atomic_store(&fault.sync_error, SQLITE_IOERR_FSYNC);
        ck_assert_int_eq(submit(f, (QueueTask){ 0 }), QUEUE_FAILED);
        ck_assert_str_eq(fixture_status(f).state, "failing");
        ck_assert_ptr_nonnull(strstr(fixture_status(f).problem, "queue-local.db"));
        atomic_store(&fault.sync_error, 0);
        run_until(f, streq(fixture_status(f).state, "ok"));
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 0);
        ck_assert_int_eq(submit(f, (QueueTask){ 0 }), QUEUE_ACCEPTED);
        fixture_free(f);
}
END_TEST

/* What comes due while the disk is full happens afterwards. */
START_TEST(alarms_wait_for_the_end_of_trouble)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);
        int64_t soon = clock_epoch_msec() + 30;

        (void)submit(f, (QueueTask){ .deadline_msec = soon });
        atomic_store(&fault.write_error, SQLITE_FULL);
        run_until(f, streq(fixture_status(f).state, "full"));
        ck_assert_uint_eq(f->n_ended, 0);
        atomic_store(&fault.write_error, 0);
        run_until(f, f->n_ended == 1);
        ck_assert_int_eq(f->ended_status, TASK_TIMED_OUT);
        fixture_free(f);
}
END_TEST

START_TEST(a_slow_disk_shows_and_does_not_stop_the_loop)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);
        QueueTask task = { .type = SLICE_LITERAL("t") };
        usec_t longest = 0, before;

        atomic_store(&fault.sync_msec, 1300);
        f->answered = false;
        ck_assert_int_eq(queue_submit(f->queue, &task, 1, fixture_on_receipts, f, NULL), 0);
        while (!streq(fixture_status(f).state, "stalled")) {
                before = clock_monotonic_usec();
                ck_assert_int_ge(sd_event_run(f->event, 10 * USEC_PER_MSEC), 0);
                longest = MAX(longest, clock_monotonic_usec() - before);
                ck_assert(!f->answered);
        }
        ck_assert_uint_lt(longest, 500 * USEC_PER_MSEC);
        ck_assert_uint_gt(fixture_status(f).stall_usec, USEC_PER_SEC);
        ck_assert_ptr_nonnull(strstr(fixture_status(f).problem, "disk"));
        run_until(f, f->answered);
        ck_assert_int_eq(f->receipts[0].verdict, QUEUE_ACCEPTED);
        ck_assert_uint_ge(fixture_status(f).last_sync_usec, 1300 * USEC_PER_MSEC);
        run_until(f, streq(fixture_status(f).state, "ok"));
        fixture_free(f);
}
END_TEST

/* With nobody to tell, the end does not wait for ever for a disk that stays full. */
START_TEST(the_end_comes_on_a_full_disk_too)
{
        Fixture *f = fixture_on_fault(DURABILITY_FULL);
        Pool pool;

        pool_open(&pool, f, "t", 1);
        submit_many(f, "t", 1);
        pool_fetch(&pool, f, 1);
        atomic_store(&fault.write_error, SQLITE_FULL);
        source_release(pool.subscription, pool.tasks[0], "draining");
        pool_forget(&pool);
        fixture_close(f);
        atomic_store(&fault.write_error, 0);
        fixture_open(f);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 1);
        fixture_free(f);
}
END_TEST

UNIT_MAIN("queue-disk", full_durability_syncs_submissions_and_results_not_claims,
          normal_durability_syncs_nothing, a_hungry_pool_waits_for_one_sync,
          an_end_by_deadline_is_synced_a_delay_is_not, settlements_of_a_moment_share_a_sync,
          what_is_ready_does_not_wait_for_a_result, a_full_disk_refuses_and_recovers_by_itself,
          an_empty_claim_does_not_say_that_the_disk_works, a_claim_that_failed_is_made_again,
          a_sync_that_fails_is_no_acceptance, alarms_wait_for_the_end_of_trouble,
          a_slow_disk_shows_and_does_not_stop_the_loop, the_end_comes_on_a_full_disk_too);
