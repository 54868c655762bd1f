/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>
#include "config/schema.h"
#include "pool/event.h"
#include "pool/pool-stats.h"
#include "unit.h"

START_TEST(test_error_rate_looks_back_on_the_last_hundred)
{
        PoolStats stats = { 0 };

        ck_assert_double_eq(pool_stats_error_rate(&stats), 0);
        pool_stats_add(&stats, true, 1);
        ck_assert_double_eq(pool_stats_error_rate(&stats), 1);
        for (unsigned i = 0; i < 3; i++)
                pool_stats_add(&stats, false, 1);
        ck_assert_double_eq(pool_stats_error_rate(&stats), 0.25);
        for (unsigned i = 0; i < 97; i++)
                pool_stats_add(&stats, false, 1);
        ck_assert_double_eq(pool_stats_error_rate(&stats), 0);
        for (unsigned i = 0; i < 150; i++)
                pool_stats_add(&stats, i % 2 == 0, 1);
        ck_assert_double_eq(pool_stats_error_rate(&stats), 0.5);
        ck_assert_uint_eq(stats.total.n_processed, 251);
}
END_TEST

START_TEST(test_percentiles)
{
        PoolStats stats = { 0 };
        usec_t p50, p99;

        pool_stats_percentiles(&stats, &p50, &p99);
        ck_assert_uint_eq(p50, 0);
        pool_stats_add(&stats, false, 7);
        pool_stats_percentiles(&stats, &p50, &p99);
        ck_assert_uint_eq(p50, 7);
        ck_assert_uint_eq(p99, 7);
        stats = (PoolStats){ 0 };
        for (unsigned i = 100; i > 0; i--)
                pool_stats_add(&stats, false, i);
        pool_stats_percentiles(&stats, &p50, &p99);
        ck_assert_uint_eq(p50, 50);
        ck_assert_uint_eq(p99, 99);
        /* older ones fall out */
        for (unsigned i = 0; i < POOL_STATS_RUNS; i++)
                pool_stats_add(&stats, false, 1000);
        pool_stats_percentiles(&stats, &p50, &p99);
        ck_assert_uint_eq(p50, 1000);
}
END_TEST

START_TEST(test_minute)
{
        PoolStats stats = { 0 };
        PoolCounters n;

        ck_assert(!pool_stats_take_minute(&stats, &n));
        pool_stats_add(&stats, false, 1);
        stats.total.n_crashes = 3;
        ck_assert(pool_stats_take_minute(&stats, &n));
        ck_assert_uint_eq(n.n_processed, 1);
        ck_assert_uint_eq(n.n_crashes, 3);
        ck_assert(!pool_stats_take_minute(&stats, &n));
}
END_TEST

START_TEST(test_errors_are_cut_at_a_character)
{
        PoolStats stats = { 0 };
        char text[2 * sizeof(stats.error)];

        pool_stats_set_error(&stats, "short", 5, "remedy");
        ck_assert_str_eq(stats.error, "short");
        ck_assert_str_eq(stats.error_remedy, "remedy");
        /* two bytes each, so that the limit falls into one */
        for (size_t i = 0; i + 1 < sizeof(text); i += 2)
                memcpy(text + i, "ä", 2);
        pool_stats_set_error(&stats, text, sizeof(text), NULL);
        ck_assert_uint_eq(strlen(stats.error), sizeof(stats.error) - 2);
        ck_assert_ptr_null(stats.error_remedy);
}
END_TEST

START_TEST(test_event_names)
{
        const char *const *configurable = schema_find(SCHEMA_TOP, "on_event.events")->names;

        for (int i = 0; i < _EVENT_TYPE_MAX; i++)
                ck_assert_str_eq(configurable[i], event_type_to_string((EventType)i));
        ck_assert_ptr_null(configurable[_EVENT_TYPE_MAX]);
        for (int i = 0; i < _EVENT_TYPE_MAX; i++)
                ck_assert_int_eq(event_type_from_string(event_type_to_string((EventType)i)), i);
        ck_assert_int_lt(event_type_from_string("task_exploded"), 0);
        ck_assert(event_set_has(EVENT_SET_ALL, EVENT_DRAIN_BEGUN));
        ck_assert(!event_set_has(1u << EVENT_TASK_FAILED, EVENT_TASK_RETRIED));
}
END_TEST

START_TEST(test_event_json)
{
        Buffer buffer = BUFFER_NULL(EVENT_JSON_MAX);
        Event event = { .type = EVENT_TASK_FAILED,
                        .time_msec = 17,
                        .pool = "work",
                        .task_id = "1",
                        .message = "said \"no\"\n" };

        ck_assert_int_eq(event_append_json(&buffer, &event), 0);
        ck_assert_slice(buffer_slice(&buffer),
                        "{\"event\":\"task_failed\",\"time\":17,\"pool\":\"work\",\"taskId\":\"1\","
                        "\"message\":\"said \\\"no\\\"\\n\"}");
        buffer_deinit(&buffer);
}
END_TEST

UNIT_MAIN("pool-stats", test_error_rate_looks_back_on_the_last_hundred, test_percentiles,
          test_minute, test_errors_are_cut_at_a_character, test_event_names, test_event_json);
