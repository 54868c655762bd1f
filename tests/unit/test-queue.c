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

UNIT_MAIN("queue", one_task_completes, task_object_has_conductors_members, hungry_pool_is_fed,
          failed_task_is_retried_until_attempts_are_used);
