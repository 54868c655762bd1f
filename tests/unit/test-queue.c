/* SPDX-License-Identifier: Apache-2.0 */

/* The way of a task through the queue: submitted, claimed, settled, tried again. */

#include "base/json.h"
#include "queue-fixture.h"

static int64_t member_int(Slice json, const char *key)
{
        int64_t value = -1;

        (void)json_to_int64(json_member(json, key), &value);
        return value;
}

static void check_string(Slice json, const char *key, const char *expected)
{
        _cleanup_free_ char *value = NULL;

        ck_assert_int_eq(json_decode_string(json_member(json, key), &value), 0);
        ck_assert_str_eq(value, expected);
}

START_TEST(one_task_completes)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        ck_assert_int_eq(submit(f, (QueueTask){ .input = SLICE_LITERAL("{\"a\":1}") }),
                         QUEUE_ACCEPTED);
        ck_assert_uint_eq(strlen(f->receipts[0].id), QUEUE_ID_LENGTH);
        pool_fetch(&pool, f, 1);
        ck_assert_str_eq(pool.tasks[0]->id, f->receipts[0].id);
        ck_assert_str_eq(pool.tasks[0]->type, "t");
        ck_assert_uint_eq(fixture_status(f).n_in_progress, 1);
        ck_assert(!source_is_quiet(pool.subscription));

        ck_assert_int_eq(pool_settle(&pool, f, TASK_COMPLETED, NULL), TASK_COMPLETED);
        ck_assert(source_is_quiet(pool.subscription));
        ck_assert_uint_eq(f->n_ended, 1);
        ck_assert_str_eq(f->ended_id, f->receipts[0].id);
        ck_assert_int_eq(f->ended_status, TASK_COMPLETED);
        ck_assert_uint_eq(fixture_status(f).n_finished, 1);
        ck_assert_uint_eq(fixture_status(f).n_in_progress, 0);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(task_object_has_conductors_members)
{
        Fixture *f = fixture_new();
        Pool pool;
        Slice json;

        pool_open(&pool, f, "resize \"big\"", 3);
        (void)submit(f, (QueueTask){ .type = SLICE_LITERAL("resize \"big\""),
                                     .input = SLICE_LITERAL("{\n  \"a\": [1, \"x y\"]\n}"),
                                     .priority = 7 });
        pool_fetch(&pool, f, 1);
        json = pool.tasks[0]->json;
        ck_assert_int_eq(json_check(json, NULL), 0);
        ck_assert_ptr_null(memchr(json.data, '\n', json.size));
        check_string(json, "taskType", "resize \"big\"");
        check_string(json, "taskDefName", "resize \"big\"");
        check_string(json, "status", "IN_PROGRESS");
        check_string(json, "taskId", f->receipts[0].id);
        check_string(json, "workflowInstanceId", f->receipts[0].id);
        check_string(json, "workerId", "p");
        ck_assert_slice(json_member(json, "inputData"), "{\"a\":[1,\"x y\"]}");
        ck_assert_int_eq(member_int(json, "retryCount"), 0);
        ck_assert_int_eq(member_int(json, "pollCount"), 1);
        ck_assert_int_eq(member_int(json, "workflowPriority"), 7);
        ck_assert_int_eq(member_int(json, "scheduledTime"), pool.tasks[0]->scheduled_msec);
        ck_assert_int_ge(member_int(json, "queueWaitTime"), 0);
        ck_assert_int_ge(member_int(json, "startTime"), member_int(json, "scheduledTime"));
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* Waiting for the task first: the submission itself leads to the claim. */
START_TEST(hungry_pool_is_fed)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        source_set_credit(pool.subscription, 2);
        (void)submit(f, (QueueTask){ 0 });
        run_until(f, pool.n_tasks == 1);
        (void)submit(f, (QueueTask){ 0 });
        run_until(f, pool.n_tasks == 2);
        (void)submit(f, (QueueTask){ 0 });
        ck_assert_uint_eq(pool.n_tasks, 2);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 1);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(failed_task_is_retried_until_attempts_are_used)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ 0 });
        for (unsigned i = 0; i < 2; i++) {
                pool_fetch(&pool, f, 1);
                ck_assert_uint_eq(pool.tasks[0]->retry_count, i);
                ck_assert_uint_eq(pool.tasks[0]->poll_count, i + 1);
                ck_assert_int_eq(pool_settle(&pool, f, TASK_FAILED, "broken"), TASK_SCHEDULED);
        }
        ck_assert_uint_eq(f->n_retried, 2);
        pool_fetch(&pool, f, 1);
        ck_assert_int_eq(pool_settle(&pool, f, TASK_FAILED, "broken"), TASK_FAILED);
        ck_assert_uint_eq(f->n_ended, 1);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM attempt WHERE reason='broken'"), 2);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(a_tasks_own_attempts_win)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ .attempts = 1 });
        pool_fetch(&pool, f, 1);
        ck_assert_int_eq(pool_settle(&pool, f, TASK_FAILED, "broken"), TASK_FAILED);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(a_terminal_error_is_not_retried)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ 0 });
        pool_fetch(&pool, f, 1);
        ck_assert_int_eq(pool_settle(&pool, f, TASK_FAILED_WITH_TERMINAL_ERROR, "never"),
                         TASK_FAILED_WITH_TERMINAL_ERROR);
        ck_assert_int_eq(f->ended_status, TASK_FAILED_WITH_TERMINAL_ERROR);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* The worker's wish for a delay is the least; the pool's backoff here is 1 ms. */
START_TEST(retry_after_is_a_minimum)
{
        Fixture *f = fixture_new();
        Outcome *outcome;
        Pool pool;
        Task *task;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ 0 });
        pool_fetch(&pool, f, 1);
        task = task_ref(pool.tasks[0]);
        ck_assert_int_eq(outcome_new(&outcome, TASK_FAILED, "later"), 0);
        outcome->retry_after_msec = 3600000;
        pool_remove(&pool, task);
        ck_assert_int_eq(pool_settle_with(&pool, f, task, outcome), TASK_SCHEDULED);
        (void)task_unref(task);
        ck_assert_uint_eq(fixture_status(f).n_delayed, 1);
        ck_assert_int_ge(fixture_query(f, "SELECT scheduled - ended FROM task"), 3599000);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(in_progress_comes_back_with_its_output_and_uses_no_attempt)
{
        Fixture *f = fixture_new();
        Outcome *outcome;
        Pool pool;
        Task *task;

        pool_open(&pool, f, "t", 1);
        (void)submit(f, (QueueTask){ 0 });
        pool_fetch(&pool, f, 1);
        task = task_ref(pool.tasks[0]);
        ck_assert_int_eq(outcome_new(&outcome, TASK_IN_PROGRESS, NULL), 0);
        outcome->callback_after_msec = 20;
        outcome->output = SLICE_LITERAL("{\n\"so\": \"far\"}");
        pool_remove(&pool, task);
        ck_assert_int_eq(pool_settle_with(&pool, f, task, outcome), TASK_SCHEDULED);
        (void)task_unref(task);
        ck_assert_uint_eq(f->n_retried, 0);

        pool_fetch(&pool, f, 1);
        task = pool.tasks[0];
        ck_assert_uint_eq(task->retry_count, 0);
        ck_assert_uint_eq(task->poll_count, 2);
        ck_assert_slice(json_member(task->json, "outputData"), "{\"so\":\"far\"}");
        ck_assert_ptr_null(memchr(task->json.data, '\n', task->json.size));
        /* An end without an output keeps it; it is no retry's business. */
        ck_assert_int_eq(pool_settle(&pool, f, TASK_FAILED, "once"), TASK_FAILED);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM result WHERE output LIKE '%far%'"),
                         1);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(a_retry_does_not_get_the_failed_output)
{
        Fixture *f = fixture_new();
        Outcome *outcome;
        Pool pool;
        Task *task;

        pool_open(&pool, f, "t", 2);
        (void)submit(f, (QueueTask){ 0 });
        pool_fetch(&pool, f, 1);
        task = task_ref(pool.tasks[0]);
        ck_assert_int_eq(outcome_new(&outcome, TASK_FAILED, "no"), 0);
        outcome->output = SLICE_LITERAL("{\"half\":1}");
        pool_remove(&pool, task);
        (void)pool_settle_with(&pool, f, task, outcome);
        (void)task_unref(task);
        pool_fetch(&pool, f, 1);
        ck_assert_ptr_null(json_member(pool.tasks[0]->json, "outputData").data);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(a_released_task_is_there_at_once_and_used_no_attempt)
{
        Fixture *f = fixture_new();
        Pool pool;
        Task *task;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ 0 });
        pool_fetch(&pool, f, 1);
        task = task_ref(pool.tasks[0]);
        source_release(pool.subscription, task, "draining");
        pool_remove(&pool, task);
        run_until(f, pool.n_released == 1);
        ck_assert(source_is_quiet(pool.subscription));
        ck_assert_uint_eq(pool.n_settled, 0);
        pool_fetch(&pool, f, 1);
        ck_assert_str_eq(pool.tasks[0]->id, task->id);
        ck_assert_uint_eq(pool.tasks[0]->retry_count, 0);
        ck_assert_uint_eq(pool.tasks[0]->poll_count, 2);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM attempt WHERE status="
                                          "'HANDED_BACK' AND reason='draining'"),
                         1);
        (void)task_unref(task);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* A pool that cannot run hands back over and over. */
START_TEST(the_history_is_bounded)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ 0 });
        for (unsigned i = 1; i <= 60; i++) {
                pool_fetch(&pool, f, 1);
                source_release(pool.subscription, pool.tasks[0], "cannot run");
                pool_forget(&pool);
                run_until(f, pool.n_released == i);
        }
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM attempt"), 50);
        ck_assert_int_eq(fixture_query(f, "SELECT min(poll) FROM attempt"), 11);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* Handed back and out again: the first holder's result is nobody's. */
START_TEST(a_stale_result_is_refused)
{
        Fixture *f = fixture_new();
        Outcome *outcome;
        Pool pool;
        Task *old;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ 0 });
        pool_fetch(&pool, f, 1);
        old = task_ref(pool.tasks[0]);
        source_release(pool.subscription, old, NULL);
        pool_remove(&pool, old);
        run_until(f, pool.n_released == 1);
        pool_fetch(&pool, f, 1);

        ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
        ck_assert_int_eq(pool_settle_with(&pool, f, old, outcome), _TASK_STATUS_INVALID);
        (void)task_unref(old);
        ck_assert_uint_eq(fixture_status(f).n_in_progress, 1);
        ck_assert_uint_eq(f->n_ended, 0);
        ck_assert_int_eq(pool_settle(&pool, f, TASK_COMPLETED, NULL), TASK_COMPLETED);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* The fence in the database, apart from the loop's: the row has moved on meanwhile. */
START_TEST(the_row_itself_is_the_fence)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        (void)submit(f, (QueueTask){ 0 });
        pool_fetch(&pool, f, 1);
        (void)fixture_query(f, "UPDATE task SET polls = polls + 1");
        ck_assert_int_eq(pool_settle(&pool, f, TASK_COMPLETED, NULL), _TASK_STATUS_INVALID);
        ck_assert_int_eq(fixture_query(f, "SELECT state FROM task"), 4);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(withdrawn_credit_gets_nothing)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        submit_many(f, "t", 10);
        source_set_credit(pool.subscription, 10);
        ck_assert_int_ge(sd_event_run(f->event, 0), 0); /* the claim is on its way */
        source_set_credit(pool.subscription, 3);
        run_until(f, pool.n_tasks > 0 && fixture_status(f).n_in_progress == 3);
        ck_assert_uint_eq(pool.n_tasks, 3);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 7);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM attempt"), 0);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(tasks_of_a_type_come_in_their_order)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        submit_many(f, "t", 600);
        source_set_credit(pool.subscription, 600); /* more than one claim takes */
        run_until(f, pool.n_tasks == 600);
        for (int64_t i = 0; i < 600; i++)
                ck_assert_int_eq(member_int(json_member(pool.tasks[i]->json, "inputData"), "n"), i);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

static size_t count_type(const Pool *pool, const char *type)
{
        size_t n = 0;

        for (size_t i = 0; i < pool->n_tasks; i++)
                n += streq(pool->tasks[i]->type, type);
        return n;
}

START_TEST(types_of_a_pool_share_fairly)
{
        static const char *const types[] = { "a", "b", "c", NULL };
        Fixture *f = fixture_new();
        Pool pool;

        pool_open_types(&pool, f, types, 3);
        submit_many(f, "a", 50);
        submit_many(f, "b", 50);
        submit_many(f, "c", 2);
        pool_fetch(&pool, f, 12);
        ck_assert_uint_eq(count_type(&pool, "c"), 2);
        ck_assert_uint_ge(count_type(&pool, "a"), 4);
        ck_assert_uint_ge(count_type(&pool, "b"), 4);
        pool_forget(&pool);
        /* One at a time: they take turns. */
        for (unsigned i = 0; i < 10; i++)
                pool_fetch(&pool, f, 1);
        ck_assert_uint_eq(count_type(&pool, "a"), 5);
        ck_assert_uint_eq(count_type(&pool, "b"), 5);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(pools_get_their_own_types)
{
        Fixture *f = fixture_new();
        Pool one, two;

        pool_open(&one, f, "a", 3);
        pool_open(&two, f, "b", 3);
        source_set_credit(one.subscription, 10);
        source_set_credit(two.subscription, 10);
        submit_many(f, "a", 3);
        submit_many(f, "b", 2);
        run_until(f, one.n_tasks == 3 && two.n_tasks == 2);
        ck_assert_uint_eq(count_type(&one, "a"), 3);
        ck_assert_uint_eq(count_type(&two, "b"), 2);
        pool_close(&one);
        pool_close(&two);
        fixture_free(f);
}
END_TEST

START_TEST(a_subscription_that_ends_gives_back)
{
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "t", 3);
        submit_many(f, "t", 4);
        pool_fetch(&pool, f, 3);
        pool_close(&pool);
        run_until(f, fixture_status(f).n_in_progress == 0);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 4);
        pool_open(&pool, f, "t", 3);
        pool_fetch(&pool, f, 4);
        ck_assert_uint_eq(pool.tasks[3]->retry_count, 0);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(types_and_retries_change_live)
{
        static const char *const types[] = { "b", NULL };
        Fixture *f = fixture_new();
        Pool pool;

        pool_open(&pool, f, "a", 1);
        source_set_credit(pool.subscription, 5);
        submit_many(f, "b", 1);
        ck_assert_uint_eq(pool.n_tasks, 0);
        ck_assert_int_eq(source_alter(pool.subscription,
                                      &(SubscriptionOptions){ .pool = "p",
                                                              .task_type = (char *const *)types,
                                                              .retry_attempts = 2,
                                                              .retry_backoff = { 1000, 1000 } }),
                         0);
        run_until(f, pool.n_tasks == 1);
        ck_assert_int_eq(pool_settle(&pool, f, TASK_FAILED, "x"), TASK_SCHEDULED);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

typedef struct Seen {
        const char *type;
        TypeStatus status;
} Seen;

static void see_type(const TypeStatus *status, void *userdata)
{
        Seen *seen = userdata;

        if (streq(status->type, seen->type))
                seen->status = *status;
}

static TypeStatus type_status(Fixture *f, const char *type)
{
        Seen seen = { .type = type };

        source_visit_types(f->queue, see_type, &seen);
        return seen.status;
}

START_TEST(counts_are_kept_by_type)
{
        Fixture *f = fixture_new();
        int64_t begun = clock_epoch_msec();
        Pool pool;

        submit_many(f, "a", 3);
        submit_many(f, "b", 1);
        (void)submit(f, (QueueTask){ .type = SLICE_LITERAL("a"), .delay_msec = 3600000 });
        ck_assert(!type_status(f, "a").served);
        pool_open(&pool, f, "a", 3);
        pool_fetch(&pool, f, 2);
        ck_assert(type_status(f, "a").served);
        ck_assert(!type_status(f, "b").served);
        ck_assert_uint_eq(type_status(f, "a").n_scheduled, 1);
        ck_assert_uint_eq(type_status(f, "a").n_delayed, 1);
        ck_assert_uint_eq(type_status(f, "a").n_in_progress, 2);
        ck_assert_int_ge(type_status(f, "a").oldest_msec, begun);
        ck_assert_int_le(type_status(f, "a").oldest_msec, clock_epoch_msec());
        pool_fetch(&pool, f, 1);
        ck_assert_int_eq(type_status(f, "a").oldest_msec, 0);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 2);
        ck_assert_uint_eq(fixture_status(f).n_delayed, 1);
        ck_assert_uint_eq(fixture_status(f).n_submitted, 5);
        (void)pool_settle(&pool, f, TASK_COMPLETED, NULL);
        ck_assert_uint_eq(fixture_status(f).n_settled, 1);
        ck_assert_uint_eq(fixture_status(f).n_finished, 1);
        ck_assert_uint_gt(fixture_status(f).bytes, 0);
        ck_assert_str_eq(fixture_status(f).state, "ok");
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

UNIT_MAIN("queue", one_task_completes, task_object_has_conductors_members, hungry_pool_is_fed,
          failed_task_is_retried_until_attempts_are_used, a_tasks_own_attempts_win,
          a_terminal_error_is_not_retried, retry_after_is_a_minimum,
          in_progress_comes_back_with_its_output_and_uses_no_attempt,
          a_retry_does_not_get_the_failed_output,
          a_released_task_is_there_at_once_and_used_no_attempt, a_stale_result_is_refused,
          the_history_is_bounded, the_row_itself_is_the_fence, withdrawn_credit_gets_nothing,
          tasks_of_a_type_come_in_their_order, types_of_a_pool_share_fairly,
          pools_get_their_own_types, a_subscription_that_ends_gives_back,
          types_and_retries_change_live, counts_are_kept_by_type);
