/* SPDX-License-Identifier: Apache-2.0 */

#include "queue-fixture.h"

START_TEST(a_batch_has_a_receipt_for_each_in_order)
{
        Fixture *f = fixture_new();
        const QueueTask tasks[] = {
                { .type = SLICE_LITERAL("a"), .input = SLICE_LITERAL("{}") },
                { .type = SLICE_LITERAL("a"), .input = SLICE_LITERAL("[1]") },
                { .type = SLICE_LITERAL("b") },
        };

        (void)submit_all(f, tasks, ELEMENTSOF(tasks));
        ck_assert_int_eq(f->receipts[0].verdict, QUEUE_ACCEPTED);
        ck_assert_int_eq(f->receipts[1].verdict, QUEUE_INVALID);
        ck_assert_str_eq(f->receipts[1].id, "");
        ck_assert_int_eq(f->receipts[2].verdict, QUEUE_ACCEPTED);
        ck_assert_int_lt(strcmp(f->receipts[0].id, f->receipts[2].id), 0);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM task"), 2);
        fixture_free(f);
}
END_TEST

static void check_invalid(Fixture *f, QueueTask task, const char *words)
{
        ck_assert_int_eq(submit(f, task), QUEUE_INVALID);
        ck_assert_msg(strstr(f->message, words) != NULL, "no '%s' in: %s", words, f->message);
}

START_TEST(bounds_are_named)
{
        static char text[QUEUE_KEY_MAX + 2];
        Fixture *f = fixture_new();

        memset(text, 'x', sizeof(text));
        check_invalid(f, (QueueTask){ .type = { text, QUEUE_TYPE_MAX + 1 } }, "type");
        check_invalid(f, (QueueTask){ .type = { text, 0 } }, "type");
        check_invalid(f, (QueueTask){ .type = SLICE_LITERAL("a\nb") }, "control");
        check_invalid(f, (QueueTask){ .input = SLICE_LITERAL("1") }, "JSON object");
        check_invalid(f, (QueueTask){ .unique_key = { text, QUEUE_KEY_MAX + 1 } }, "unique");
        check_invalid(f, (QueueTask){ .priority = 101 }, "priority");
        check_invalid(f, (QueueTask){ .priority = -101 }, "priority");
        check_invalid(f, (QueueTask){ .attempts = QUEUE_ATTEMPTS_MAX + 1 }, "attempts");
        check_invalid(f, (QueueTask){ .delay_msec = -1 }, "negative");
        check_invalid(f, (QueueTask){ .run_at_msec = INT64_MAX }, "year");
        check_invalid(f, (QueueTask){ .conflict = _QUEUE_CONFLICT_MAX }, "conflict");
        ck_assert_int_eq(submit(f, (QueueTask){ .type = { text, QUEUE_TYPE_MAX },
                                                .unique_key = { text, QUEUE_KEY_MAX },
                                                .priority = 100 }),
                         QUEUE_ACCEPTED);
        ck_assert_int_eq(queue_submit(f->queue, NULL, 0, fixture_on_receipts, f, NULL), -EINVAL);
        fixture_free(f);
}
END_TEST

START_TEST(a_big_input_passes_and_a_bigger_does_not)
{
        Fixture *f = fixture_new();
        char *input = malloc(QUEUE_INPUT_MAX + 1);
        Pool pool;

        memset(input, ' ', QUEUE_INPUT_MAX + 1);
        input[0] = '{';
        input[QUEUE_INPUT_MAX - 1] = '}';
        ck_assert_int_eq(submit(f, (QueueTask){ .input = { input, QUEUE_INPUT_MAX } }),
                         QUEUE_ACCEPTED);
        pool_open(&pool, f, "t", 1);
        pool_fetch(&pool, f, 1);
        ck_assert_uint_gt(pool.tasks[0]->json.size, QUEUE_INPUT_MAX);
        ck_assert_int_eq(submit(f, (QueueTask){ .input = { input, QUEUE_INPUT_MAX + 1 } }),
                         QUEUE_TOO_BIG);
        ck_assert_ptr_nonnull(strstr(f->message, "16769024"));
        pool_close(&pool);
        free(input);
        fixture_free(f);
}
END_TEST

START_TEST(a_unique_key_is_held_until_the_end)
{
        Fixture *f = fixture_new();
        QueueTask task = { .unique_key = SLICE_LITERAL("k") };
        char first[QUEUE_ID_LENGTH + 1];
        Pool pool;

        ck_assert_int_eq(submit(f, task), QUEUE_ACCEPTED);
        strcpy(first, f->receipts[0].id);
        ck_assert_int_eq(submit(f, task), QUEUE_DUPLICATE);
        ck_assert_str_eq(f->receipts[0].id, first);
        ck_assert_ptr_nonnull(strstr(f->message, "unique key"));
        task.type = SLICE_LITERAL("other");
        ck_assert_int_eq(submit(f, task), QUEUE_ACCEPTED);
        task.type = SLICE_LITERAL("t");

        pool_open(&pool, f, "t", 1);
        pool_fetch(&pool, f, 1);
        ck_assert_int_eq(submit(f, task), QUEUE_DUPLICATE);
        (void)pool_settle(&pool, f, TASK_COMPLETED, NULL);
        ck_assert_int_eq(submit(f, task), QUEUE_ACCEPTED);
        ck_assert_str_ne(f->receipts[0].id, first);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(return_existing_gives_its_id)
{
        Fixture *f = fixture_new();
        QueueTask task = { .unique_key = SLICE_LITERAL("k"),
                           .conflict = QUEUE_CONFLICT_RETURN_EXISTING };
        char first[QUEUE_ID_LENGTH + 1];

        ck_assert_int_eq(submit(f, task), QUEUE_ACCEPTED);
        strcpy(first, f->receipts[0].id);
        ck_assert_int_eq(submit(f, task), QUEUE_EXISTING);
        ck_assert(queue_verdict_is_good(f->receipts[0].verdict));
        ck_assert_str_eq(f->receipts[0].id, first);
        ck_assert_uint_eq(fixture_status(f).n_scheduled, 1);
        ck_assert_uint_eq(fixture_status(f).n_submitted, 1);
        fixture_free(f);
}
END_TEST

START_TEST(replace_takes_the_place_of_a_waiting_one)
{
        Fixture *f = fixture_new();
        QueueTask task = { .unique_key = SLICE_LITERAL("k"),
                           .input = SLICE_LITERAL("{\"v\":1}"),
                           .delay_msec = 3600000,
                           .conflict = QUEUE_CONFLICT_REPLACE };
        char first[QUEUE_ID_LENGTH + 1];
        Pool pool;

        ck_assert_int_eq(submit(f, task), QUEUE_ACCEPTED);
        strcpy(first, f->receipts[0].id);
        task.input = SLICE_LITERAL("{\"v\":2}");
        task.delay_msec = 0;
        task.priority = 9;
        ck_assert_int_eq(submit(f, task), QUEUE_REPLACED);
        ck_assert_str_eq(f->receipts[0].id, first);
        ck_assert_uint_eq(fixture_status(f).n_delayed, 0);
        pool_open(&pool, f, "t", 1);
        pool_fetch(&pool, f, 1);
        ck_assert_ptr_nonnull(
                memmem(pool.tasks[0]->json.data, pool.tasks[0]->json.size, "{\"v\":2}", 7));
        ck_assert_int_eq(submit(f, task), QUEUE_DUPLICATE);
        ck_assert_ptr_nonnull(strstr(f->message, "in progress"));
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(a_batch_meets_its_own_keys)
{
        Fixture *f = fixture_new();
        const QueueTask task = { .type = SLICE_LITERAL("t"), .unique_key = SLICE_LITERAL("k") };
        const QueueTask tasks[] = { task, task };

        ck_assert_int_eq(submit_all(f, tasks, 2), QUEUE_ACCEPTED);
        ck_assert_int_eq(f->receipts[1].verdict, QUEUE_DUPLICATE);
        ck_assert_str_eq(f->receipts[1].id, f->receipts[0].id);
        fixture_free(f);
}
END_TEST

START_TEST(higher_priority_goes_first)
{
        static const int priorities[] = { 0, -5, 100, 5 };
        Fixture *f = fixture_new();
        Pool pool;

        for (size_t i = 0; i < ELEMENTSOF(priorities); i++)
                (void)submit(f, (QueueTask){ .priority = priorities[i] });
        pool_open(&pool, f, "t", 1);
        pool_fetch(&pool, f, 4);
        ck_assert_ptr_nonnull(strstr(pool.tasks[0]->json.data, "\"workflowPriority\":100,"));
        ck_assert_ptr_nonnull(strstr(pool.tasks[1]->json.data, "\"workflowPriority\":5,"));
        ck_assert_ptr_nonnull(strstr(pool.tasks[2]->json.data, "\"workflowPriority\":0,"));
        ck_assert_ptr_nonnull(strstr(pool.tasks[3]->json.data, "\"workflowPriority\":-5,"));
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* A step of priority outweighs a minute of waiting, not more. */
START_TEST(waiting_outweighs_priority)
{
        Fixture *f = fixture_new();
        char old[QUEUE_ID_LENGTH + 1];
        Pool pool;

        clock_freeze(USEC_PER_SEC, 1795211450000);
        (void)submit(f, (QueueTask){ .priority = -1 });
        strcpy(old, f->receipts[0].id);
        clock_freeze(USEC_PER_SEC, 1795211450000 + 121000);
        (void)submit(f, (QueueTask){ .priority = 1 });
        pool_open(&pool, f, "t", 1);
        pool_fetch(&pool, f, 2);
        ck_assert_str_eq(pool.tasks[0]->id, old);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

START_TEST(max_tasks_counts_unfinished_ones)
{
        Fixture *f = fixture_new();
        const QueueTask task = { .type = SLICE_LITERAL("t") };
        const QueueTask tasks[] = { task, task, task, task };
        Pool pool;

        f->config.max_tasks = 3;
        ck_assert_int_eq(queue_alter(f->queue, &f->config), 0);
        (void)submit_all(f, tasks, 4);
        ck_assert_int_eq(f->receipts[2].verdict, QUEUE_ACCEPTED);
        ck_assert_int_eq(f->receipts[3].verdict, QUEUE_FULL);
        ck_assert_ptr_nonnull(strstr(f->message, "max_tasks = 3"));
        ck_assert_ptr_nonnull(strstr(f->message, "cancel"));
        ck_assert_uint_eq(f->n_refused, 1);
        ck_assert_str_eq(fixture_status(f).state, "full");
        ck_assert_ptr_nonnull(strstr(fixture_status(f).problem, "max_tasks"));

        pool_open(&pool, f, "t", 1);
        pool_fetch(&pool, f, 1);
        ck_assert_int_eq(submit(f, task), QUEUE_FULL);
        (void)pool_settle(&pool, f, TASK_COMPLETED, NULL);
        ck_assert_str_eq(fixture_status(f).state, "ok");
        ck_assert_int_eq(submit(f, task), QUEUE_ACCEPTED);
        pool_close(&pool);
        fixture_free(f);
}
END_TEST

/* Two batches under way at once do not both get the last place. */
START_TEST(what_is_under_way_counts_too)
{
        Fixture *f = fixture_new();
        const QueueTask task = { .type = SLICE_LITERAL("t") };
        QueueCall *call = NULL;

        f->config.max_tasks = 1;
        ck_assert_int_eq(queue_alter(f->queue, &f->config), 0);
        ck_assert_int_eq(queue_submit(f->queue, &task, 1, fixture_on_receipts, f, &call), 0);
        queue_call_abandon(call);
        ck_assert_int_eq(submit(f, task), QUEUE_FULL);
        /* Abandoned or not, it was submitted. */
        run_until(f, fixture_status(f).n_scheduled == 1);
        fixture_free(f);
}
END_TEST

START_TEST(max_bytes_counts_pages_in_use)
{
        static char input[200000];
        Fixture *f = fixture_new();
        QueueTask task = { .input = { input, sizeof(input) } };
        unsigned n = 0;

        memset(input, ' ', sizeof(input));
        input[0] = '{';
        input[sizeof(input) - 1] = '}';
        f->config.max_bytes = 1024 * 1024;
        ck_assert_int_eq(queue_alter(f->queue, &f->config), 0);
        while (submit(f, task) == QUEUE_ACCEPTED)
                ck_assert_uint_lt(++n, 6);
        ck_assert_uint_ge(n, 3);
        ck_assert_int_eq(f->receipts[0].verdict, QUEUE_FULL);
        ck_assert_ptr_nonnull(strstr(f->message, "max_bytes = 1048576"));
        ck_assert_uint_le(fixture_status(f).bytes, 1024 * 1024);
        fixture_free(f);
}
END_TEST

START_TEST(conflict_policies_have_names)
{
        ck_assert_int_eq(queue_conflict_from_slice(SLICE_LITERAL("error")), QUEUE_CONFLICT_ERROR);
        ck_assert_int_eq(queue_conflict_from_slice(SLICE_LITERAL("return_existing")),
                         QUEUE_CONFLICT_RETURN_EXISTING);
        ck_assert_int_eq(queue_conflict_from_slice(SLICE_LITERAL("replace")),
                         QUEUE_CONFLICT_REPLACE);
        ck_assert_int_eq(queue_conflict_from_slice(SLICE_LITERAL("ignore")),
                         _QUEUE_CONFLICT_INVALID);
}
END_TEST

START_TEST(types_are_bounded)
{
        Fixture *f = fixture_new();
        QueueTask *tasks = calloc(QUEUE_TYPES_MAX, sizeof(*tasks));
        char(*names)[16] = calloc(QUEUE_TYPES_MAX, sizeof(*names));
        Pool pool;

        for (size_t i = 0; i < QUEUE_TYPES_MAX; i++) {
                (void)snprintf(names[i], sizeof(names[i]), "type-%zu", i);
                tasks[i].type = slice_from_string(names[i]);
        }
        ck_assert_int_eq(submit_all(f, tasks, QUEUE_TYPES_MAX), QUEUE_ACCEPTED);
        ck_assert_int_eq(submit(f, (QueueTask){ .type = SLICE_LITERAL("one-more") }), QUEUE_FULL);
        ck_assert_ptr_nonnull(strstr(f->message, "types"));
        ck_assert_int_eq(submit(f, tasks[QUEUE_TYPES_MAX - 1]), QUEUE_ACCEPTED);

        /* a pool has its types all the same, and a start forgets those that no task has */
        pool_open(&pool, f, "served", 1);
        ck_assert_int_eq(submit(f, (QueueTask){ .type = SLICE_LITERAL("served") }), QUEUE_ACCEPTED);
        pool_close(&pool);
        fixture_close(f);
        (void)fixture_query(f, "DELETE FROM task WHERE type NOT IN (7, 10000)");
        fixture_open(f);
        ck_assert_int_eq(submit(f, (QueueTask){ .type = SLICE_LITERAL("one-more") }),
                         QUEUE_ACCEPTED);
        ck_assert_int_eq(fixture_query(f, "SELECT count(*) FROM type"), 3);
        ck_assert_int_eq(fixture_query(f, "SELECT id FROM type WHERE name = 'type-6'"), 7);
        free(tasks);
        free(names);
        fixture_free(f);
}
END_TEST

UNIT_MAIN("queue-submit", a_batch_has_a_receipt_for_each_in_order, bounds_are_named,
          a_big_input_passes_and_a_bigger_does_not, a_unique_key_is_held_until_the_end,
          return_existing_gives_its_id, replace_takes_the_place_of_a_waiting_one,
          a_batch_meets_its_own_keys, higher_priority_goes_first, waiting_outweighs_priority,
          max_tasks_counts_unfinished_ones, what_is_under_way_counts_too,
          max_bytes_counts_pages_in_use, conflict_policies_have_names, types_are_bounded);
