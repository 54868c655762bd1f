/* SPDX-License-Identifier: Apache-2.0 */

/* Cancel, retry, delete, update; by ids and by filter. */

#include "queue-fixture.h"

static QueueVerdict change_ids(Fixture *f, const QueueChange *change, const char *const *ids,
                               size_t n)
{
        f->answered = false;
        ck_assert_int_eq(queue_change(f->queue, change, ids, n, fixture_on_receipts, f, NULL), 0);
        run_until(f, f->answered);
        ck_assert_uint_eq(f->n_receipts, n);
        return f->receipts[0].verdict;
}

static QueueVerdict change_one(Fixture *f, QueueVerb verb, const char *id)
{
        return change_ids(f, &(QueueChange){ .verb = verb, .status = TASK_COMPLETED }, &id, 1);
}

static void on_count(int error, uint64_t n, void *userdata)
{
        Fixture *f = userdata;

        f->answered = true;
        f->error = error;
        f->count = n;
}

static uint64_t change_matching(Fixture *f, QueueChange change, QueueFilter filter)
{
        f->answered = false;
        ck_assert_int_eq(queue_change_matching(f->queue, &change, &filter, on_count, f, NULL), 0);
        run_until(f, f->answered);
        ck_assert_int_eq(f->error, 0);
        return f->count;
}

static void submit_id(Fixture *f, QueueTask task, char *ret_id)
{
        ck_assert_int_eq(submit(f, task), QUEUE_ACCEPTED);
        strcpy(ret_id, f->receipts[0].id);
}

START_TEST(a_waiting_task_is_cancelled)
{
        Fixture *f = fixture_new();
        char id[QUEUE_ID_LENGTH + 1];
        Pool pool;

        submit_id(f, (QueueTask){ 0 }, id);
        ck_assert_int_eq(change_one(f, QUEUE_CANCEL, id), QUEUE_ACCEPTED);
        run_until(f, f->n_ended == 1);
        ck_assert_str_eq(f->ended_id, id);
        ck_assert_int_eq(f->ended_status, TASK_CANCELED);
        ck_assert_int_eq(change_one(f, QUEUE_CANCEL, id), QUEUE_WRONG_STATE);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 0);
        ck_assert_uint_eq(fixture_status(f).n_finished, 1);
        pool_open(&pool, f, "t", 1);
        source_set_credit(pool.subscription, 1);
        submit_id(f, (QueueTask){ 0 }, id);
        run_until(f, pool.n_tasks == 1);
        ck_assert_str_eq(pool.tasks[0]->id, id);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(a_running_task_is_cancelled_and_its_result_refused)
{
        Fixture *f = fixture_new();
        char id[QUEUE_ID_LENGTH + 1];
        Pool pool;

        pool_open(&pool, f, "t", 3);
        submit_id(f, (QueueTask){ 0 }, id);
        pool_fetch(&pool, f, 1);
        ck_assert_int_eq(change_one(f, QUEUE_CANCEL, id), QUEUE_ACCEPTED);
        run_until(f, pool.n_cancelled == 1);
        ck_assert_int_eq(pool.last_cause, CANCEL_ASKED);
        ck_assert(source_is_quiet(pool.subscription));
        ck_assert_int_eq(pool_settle(&pool, f, TASK_COMPLETED, NULL), _TASK_STATUS_INVALID);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM task WHERE state = 8"), 1);
        ck_assert_uint_eq(f->n_ended, 1);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* The settlement was on its way when the task was cancelled: one of them wins, and says so. */
START_TEST(a_settlement_and_a_cancellation_meet)
{
        Fixture *f = fixture_new();
        char id[QUEUE_ID_LENGTH + 1];
        const char *ids[] = { id };
        Outcome *outcome;
        Pool pool;

        pool_open(&pool, f, "t", 3);
        submit_id(f, (QueueTask){ 0 }, id);
        pool_fetch(&pool, f, 1);
        f->answered = false;
        ck_assert_int_eq(queue_change(f->queue, &(QueueChange){ .verb = QUEUE_CANCEL }, ids, 1,
                                      fixture_on_receipts, f, NULL),
                         0);
        ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
        source_settle(pool.subscription, pool.tasks[0], outcome, &(Settlement){ 0 });
        run_until(f, f->answered && pool.n_settled == 1);
        ck_assert((f->receipts[0].verdict == QUEUE_ACCEPTED) ==
                  (pool.last_status == _TASK_STATUS_INVALID));
        ck_assert_uint_eq(f->n_ended, 1);
        ck_assert_uint_eq(pool.n_cancelled, 0);
        ck_assert_uint_eq(fixture_status(f).n_in_progress, 0);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(retry_starts_afresh)
{
        Fixture *f = fixture_new();
        char id[QUEUE_ID_LENGTH + 1];
        Pool pool;

        pool_open(&pool, f, "t", 1);
        submit_id(f, (QueueTask){ 0 }, id);
        ck_assert_int_eq(change_one(f, QUEUE_RETRY, id), QUEUE_WRONG_STATE);
        pool_fetch(&pool, f, 1);
        ck_assert_int_eq(pool_settle(&pool, f, TASK_FAILED, "no luck"), TASK_FAILED);
        ck_assert_int_eq(change_one(f, QUEUE_RETRY, id), QUEUE_ACCEPTED);
        ck_assert_uint_eq(fixture_status(f).n_finished, 0);
        pool_fetch(&pool, f, 1);
        ck_assert_uint_eq(pool.tasks[0]->retry_count, 0);
        ck_assert_uint_eq(pool.tasks[0]->poll_count, 2);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM attempt WHERE status = 'FAILED'"
                                          " AND reason = 'no luck' AND worker = 'p/1'"),
                         1);
        ck_assert_int_eq(pool_settle(&pool, f, TASK_COMPLETED, NULL), TASK_COMPLETED);
        ck_assert_int_eq(change_one(f, QUEUE_RETRY, id), QUEUE_WRONG_STATE);
        ck_assert_ptr_nonnull(strstr(f->message, "COMPLETED"));
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(retry_minds_key_room_and_deadline)
{
        Fixture *f = fixture_new();
        char id[QUEUE_ID_LENGTH + 1], other[QUEUE_ID_LENGTH + 1];
        QueueTask task = { .unique_key = SLICE_LITERAL("k"),
                           .deadline_msec = clock_epoch_msec() + 30 };

        submit_id(f, task, id);
        run_until(f, f->n_ended == 1);
        task.deadline_msec = 0;
        submit_id(f, task, other);
        ck_assert_int_eq(change_one(f, QUEUE_RETRY, id), QUEUE_DUPLICATE);
        ck_assert_int_eq(change_one(f, QUEUE_CANCEL, other), QUEUE_ACCEPTED);
        f->config.max_tasks = 0;
        (void)queue_alter(f->queue, &f->config);
        ck_assert_int_eq(change_one(f, QUEUE_RETRY, id), QUEUE_FULL);
        f->config.max_tasks = 1;
        (void)queue_alter(f->queue, &f->config);
        /* The deadline that has passed would end it at once. */
        ck_assert_int_eq(change_one(f, QUEUE_RETRY, id), QUEUE_ACCEPTED);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM task WHERE state = 2"
                                          " AND deadline IS NULL"),
                         1);
        fixture_free(f);
}
END_TEST

START_TEST(delete_takes_everything_of_an_ended_task)
{
        Fixture *f = fixture_new();
        char id[QUEUE_ID_LENGTH + 1];
        Pool pool;

        pool_open(&pool, f, "t", 2);
        submit_id(f, (QueueTask){ 0 }, id);
        ck_assert_int_eq(change_one(f, QUEUE_DELETE, id), QUEUE_WRONG_STATE);
        for (unsigned i = 0; i < 2; i++) {
                pool_fetch(&pool, f, 1);
                (void)pool_settle(&pool, f, TASK_FAILED, "x");
        }
        ck_assert_int_eq(change_one(f, QUEUE_DELETE, id), QUEUE_ACCEPTED);
        ck_assert_int_eq(change_one(f, QUEUE_DELETE, id), QUEUE_NO_SUCH_TASK);
        ck_assert_int_eq(
                fixture_query(f, "SELECT (SELECT count(*) FROM task) + (SELECT count(*) FROM input)"
                                 " + (SELECT count(*) FROM result)"
                                 " + (SELECT count(*) FROM attempt)"),
                0);
        ck_assert_uint_eq(fixture_status(f).n_finished, 0);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* Ids of deleted tasks are not given out again, also when the clock goes back. */
START_TEST(a_deleted_id_does_not_return)
{
        Fixture *f = fixture_new();
        char id[QUEUE_ID_LENGTH + 1], later[QUEUE_ID_LENGTH + 1];

        clock_freeze(USEC_PER_SEC, 1795211450000);
        submit_id(f, (QueueTask){ 0 }, id);
        ck_assert_int_eq(change_one(f, QUEUE_CANCEL, id), QUEUE_ACCEPTED);
        ck_assert_int_eq(change_one(f, QUEUE_DELETE, id), QUEUE_ACCEPTED);
        fixture_close(f);
        clock_freeze(USEC_PER_SEC, 1795211440000);
        fixture_open(f);
        submit_id(f, (QueueTask){ 0 }, later);
        ck_assert_int_lt(strcmp(id, later), 0);
        fixture_free(f);
}
END_TEST

START_TEST(update_settles_from_outside)
{
        Fixture *f = fixture_new();
        char id[QUEUE_ID_LENGTH + 1];
        const char *ids[] = { id };
        QueueChange change = { .verb = QUEUE_UPDATE,
                               .status = TASK_FAILED,
                               .output = SLICE_LITERAL("{\"by\":\"hand\"}"),
                               .reason = SLICE_LITERAL("seen to") };
        Pool pool;

        pool_open(&pool, f, "t", 3);
        submit_id(f, (QueueTask){ 0 }, id);
        pool_fetch(&pool, f, 1);
        ck_assert_int_eq(change_ids(f, &change, ids, 1), QUEUE_ACCEPTED);
        run_until(f, pool.n_cancelled == 1);
        ck_assert_int_eq(pool.last_cause, CANCEL_SETTLED);
        ck_assert_int_eq(f->ended_status, TASK_FAILED);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM task, result ON result.id = task.id"
                                          " WHERE state = 6 AND reason = 'seen to'"
                                          " AND output = '{\"by\":\"hand\"}'"),
                         1);
        ck_assert_int_eq(change_ids(f, &change, ids, 1), QUEUE_WRONG_STATE);
        change.status = TASK_SCHEDULED;
        ck_assert_int_eq(queue_change(f->queue, &change, ids, 1, fixture_on_receipts, f, NULL),
                         -EINVAL);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(each_id_has_its_verdict)
{
        static const char *const ids[] = { "no-id", "7c645825-97f2-742d-8972-b1327d71c9e4" };
        Fixture *f = fixture_new();
        char id[QUEUE_ID_LENGTH + 1];
        const char *all[3] = { ids[0], id, ids[1] };

        submit_id(f, (QueueTask){ 0 }, id);
        (void)change_ids(f, &(QueueChange){ .verb = QUEUE_CANCEL, .dry_run = true }, all, 3);
        ck_assert_int_eq(f->receipts[0].verdict, QUEUE_NO_SUCH_TASK);
        ck_assert_int_eq(f->receipts[1].verdict, QUEUE_ACCEPTED);
        ck_assert_int_eq(f->receipts[2].verdict, QUEUE_NO_SUCH_TASK);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 1);
        fixture_free(f);
}
END_TEST

START_TEST(filters_count_and_change_what_may_be_changed)
{
        Fixture *f = fixture_new();
        QueueChange cancel = { .verb = QUEUE_CANCEL, .dry_run = true };
        QueueFilter waiting = { .statuses = 1u << TASK_SCHEDULED, .type = "res?ze*" };
        Pool pool;

        submit_many(f, "resize", 1200); /* more than one step */
        submit_many(f, "reseize", 5);
        submit_many(f, "other", 5);
        pool_open(&pool, f, "resize", 1);
        pool_fetch(&pool, f, 3);
        ck_assert_uint_eq(change_matching(f, cancel, waiting), 1197);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 1207);
        cancel.dry_run = false;
        ck_assert_uint_eq(change_matching(f, cancel, waiting), 1197);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 10);
        ck_assert_uint_eq(pool.n_cancelled, 0);
        /* Running ones too, when the filter takes them in; ended ones are not touched again. */
        waiting.statuses = 0;
        ck_assert_uint_eq(change_matching(f, cancel, waiting), 3);
        run_until(f, pool.n_cancelled == 3);
        ck_assert_uint_eq(change_matching(f, (QueueChange){ .verb = QUEUE_RETRY }, waiting), 1200);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 1210);
        ck_assert_uint_eq(change_matching(f, (QueueChange){ .verb = QUEUE_DELETE }, waiting), 0);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* What is submitted after it began is not meant. */
START_TEST(a_change_has_an_end)
{
        Fixture *f = fixture_new();
        const QueueTask task = { .type = SLICE_LITERAL("t") };
        QueueCall *call;

        submit_many(f, "t", 1200);
        f->answered = false;
        ck_assert_int_eq(queue_change_matching(f->queue, &(QueueChange){ .verb = QUEUE_CANCEL },
                                               &(QueueFilter){ 0 }, on_count, f, NULL),
                         0);
        ck_assert_int_eq(queue_submit(f->queue, &task, 1, fixture_on_receipts, f, &call), 0);
        queue_call_abandon(call);
        run_until(f, f->answered);
        ck_assert_uint_eq(f->count, 1200);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 1);
        fixture_free(f);
}
END_TEST

START_TEST(a_filter_has_a_beginning)
{
        Fixture *f = fixture_new();

        clock_freeze(USEC_PER_SEC, 1795211450000);
        submit_many(f, "t", 3);
        clock_freeze(USEC_PER_SEC, 1795211460000);
        submit_many(f, "t", 2);
        ck_assert_uint_eq(change_matching(f, (QueueChange){ .verb = QUEUE_CANCEL },
                                          (QueueFilter){ .since_msec = 1795211450001 }),
                          2);
        ck_assert_uint_eq(change_matching(f, (QueueChange){ .verb = QUEUE_CANCEL },
                                          (QueueFilter){ .since_msec = 1795211450000 }),
                          3);
        fixture_free(f);
}
END_TEST

UNIT_MAIN("queue-change", a_waiting_task_is_cancelled,
          a_running_task_is_cancelled_and_its_result_refused, a_settlement_and_a_cancellation_meet,
          retry_starts_afresh, retry_minds_key_room_and_deadline,
          delete_takes_everything_of_an_ended_task, a_deleted_id_does_not_return,
          update_settles_from_outside, each_id_has_its_verdict,
          filters_count_and_change_what_may_be_changed, a_change_has_an_end,
          a_filter_has_a_beginning);
