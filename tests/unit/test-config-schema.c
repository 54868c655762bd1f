/* SPDX-License-Identifier: Apache-2.0 */

/* The table itself, and what is said from it. */

#include "config/object.h"
#include "config/suggest.h"
#include "config/value.h"
#include "unit.h"

static const SchemaScope scopes[] = { SCHEMA_TOP, SCHEMA_SOURCE, SCHEMA_POOL };

/* Every row says what it is for, as a sentence, and has a default or says that it has none. */
START_TEST(test_rows_are_complete)
{
        for (size_t s = 0; s < ELEMENTSOF(scopes); s++) {
                size_t n;
                const SchemaRow *rows = schema_rows(scopes[s], &n);

                for (size_t i = 0; i < n; i++) {
                        const SchemaRow *row = &rows[i];

                        ck_assert_msg(row->help && row->help[strlen(row->help) - 1] == '.', "%s",
                                      row->key);
                        ck_assert_ptr_eq(schema_find(scopes[s], row->key), row);
                        if (row->type == SCHEMA_GROUP)
                                continue;
                        ck_assert_msg(row->fallback || row->fallback_text ||
                                              (row->flags & SCHEMA_REQUIRED),
                                      "%s", row->key);
                        if (row->type == SCHEMA_ENUM)
                                ck_assert_ptr_nonnull(row->names);
                        for (size_t j = 0; j < i; j++)
                                ck_assert_msg(rows[j].type == SCHEMA_GROUP ||
                                                      rows[j].offset != row->offset,
                                              "%s", row->key);
                }
        }
}
END_TEST

/* The dump relies on it: keys of one group side by side. */
START_TEST(test_groups_are_contiguous)
{
        size_t n;
        const SchemaRow *rows = schema_rows(SCHEMA_POOL, &n);

        for (size_t i = 0; i < n; i++) {
                size_t size = strcspn(rows[i].key, ".");
                bool left = false;

                for (size_t j = i; j < n; j++) {
                        bool same = strncmp(rows[j].key, rows[i].key, size) == 0 &&
                                    rows[j].key[size] == rows[i].key[size] &&
                                    rows[i].key[size] == '.';
                        ck_assert_msg(!(left && same), "%s", rows[j].key);
                        left = left || !same;
                }
        }
        ck_assert(schema_is_group(SCHEMA_POOL, "retry"));
        ck_assert(!schema_is_group(SCHEMA_POOL, "retr"));
        ck_assert(!schema_is_group(SCHEMA_POOL, "workers"));
        ck_assert(!schema_is_group(SCHEMA_TOP, "pools"));
}
END_TEST

START_TEST(test_defaults_are_valid)
{
        for (size_t s = 0; s < ELEMENTSOF(scopes); s++) {
                _cleanup_free_ char *object = calloc(1, MAX(sizeof(Config), sizeof(ConfigPool)));
                ck_assert_int_eq(object_set_defaults(scopes[s], object), 0);
                object_clear(scopes[s], object);
        }
}
END_TEST

static void assert_suggestion(SchemaScope scope, const char *key, const char *expected)
{
        char near[128] = "";

        ck_assert_int_eq(suggest_key(scope, key, near, sizeof(near)), expected != NULL);
        if (expected)
                ck_assert_str_eq(near, expected);
}

START_TEST(test_suggest)
{
        static const char *const words[] = { "persistent", "per-task", NULL };
        char huge[200];

        assert_suggestion(SCHEMA_POOL, "worker", "workers");
        assert_suggestion(SCHEMA_POOL, "wrokers", "workers");
        assert_suggestion(SCHEMA_POOL, "WORKERS", "workers");
        assert_suggestion(SCHEMA_POOL, "retry.atempts", "retry.attempts");
        assert_suggestion(SCHEMA_POOL, "threads", "handler.threads");
        assert_suggestion(SCHEMA_POOL, "handler.workers", "workers");
        assert_suggestion(SCHEMA_POOL, "env", "environment");
        assert_suggestion(SCHEMA_POOL, "tasktimeout", "task_timeout");
        assert_suggestion(SCHEMA_POOL, "retries", "retry");
        assert_suggestion(SCHEMA_POOL, "x", NULL);
        assert_suggestion(SCHEMA_POOL, "", NULL);
        assert_suggestion(SCHEMA_POOL, "colour", NULL);
        assert_suggestion(SCHEMA_TOP, "pool", "pools");
        assert_suggestion(SCHEMA_TOP, "default", "defaults");
        ck_assert_str_eq(suggest_word(words, "persistant"), "persistent");
        ck_assert_str_eq(suggest_word(words, "pertask"), "per-task");
        ck_assert_ptr_null(suggest_word(words, "library"));

        memset(huge, 'a', sizeof(huge) - 1);
        huge[sizeof(huge) - 1] = 0;
        assert_suggestion(SCHEMA_POOL, huge, NULL);
        ck_assert_ptr_null(suggest_word(words, huge));
}
END_TEST

static void assert_range(const char *key, const char *expected)
{
        char range[VALUE_RANGE_MAX];
        ck_assert_str_eq(value_format_range(schema_find(SCHEMA_POOL, key), range), expected);
}

START_TEST(test_ranges)
{
        assert_range("workers", "0 to 1024");
        assert_range("watchdog", "10ms to 1d, or 0");
        assert_range("task_timeout", "1ms to 3650d, or infinity");
        assert_range("limits.output", "1K to 16M");
        assert_range("nice", "-20 to 19");
        assert_range("handler.mode", "per-task, persistent, library");
        assert_range("handler.notify", "");
        assert_range("working_directory", "");
}
END_TEST

START_TEST(test_names)
{
        for (HandlerMode mode = 0; mode < _HANDLER_MODE_MAX; mode++)
                ck_assert_int_eq(handler_mode_from_string(handler_mode_to_string(mode)), mode);
        ck_assert_int_eq(handler_mode_from_string("pertask"), _HANDLER_MODE_INVALID);
        ck_assert_ptr_null(handler_mode_to_string(_HANDLER_MODE_INVALID));
        ck_assert_ptr_null(handler_mode_to_string(_HANDLER_MODE_MAX));
}
END_TEST

UNIT_MAIN("config-schema", test_rows_are_complete, test_groups_are_contiguous,
          test_defaults_are_valid, test_suggest, test_ranges, test_names);
