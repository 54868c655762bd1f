/* SPDX-License-Identifier: Apache-2.0 */

/* One value changed by command, and what two configurations differ in. */

#include "config-fixture.h"
#include "config/diff.h"
#include "config/value.h"

static char folder[64];

static const char *const sample =
        "socket = \"/run/x\"; state_dir = \"/var/x\";\n"
        "sources = { q = { type = \"queue\"; }; r = { type = \"queue\"; }; };\n"
        "pools = {\n"
        "  once = { source = \"q\"; handler = { command = [\"cat\"]; }; };\n"
        "  lasting = { source = \"q\"; handler = { command = [\"cat\"]; mode = \"persistent\"; };\n"
        "    environment = { A = \"1\"; }; environment_file = \"env\"; };\n"
        "};\n";

static Config *load_sample(void)
{
        scratch_make(folder);
        set_environment(folder);
        write_bytes(folder, "env", "FROM_FILE=1\n", 12, 0600);
        return load_text(folder, sample);
}

static void assert_with(const ConfigPool *pool, const char *key, const char *value,
                        ConfigPool **ret)
{
        _cleanup_free_ char *message = NULL;
        int r = config_pool_with(pool, key, value, ret, &message);

        ck_assert_msg(r == 0, "%s=%s: %d %s", key, value, r, message ?: "");
}

static void assert_not_with(const ConfigPool *pool, const char *key, const char *value,
                            const char *expected)
{
        _cleanup_free_ char *message = NULL;
        ConfigPool *altered = NULL;

        ck_assert_int_eq(config_pool_with(pool, key, value, &altered, &message), CONFIG_E_INVALID);
        ck_assert_ptr_null(altered);
        ck_assert_str_eq(message, expected);
}

START_TEST(test_with)
{
        _cleanup_(config_unrefp) Config *config = load_sample();
        ConfigPool *pool = config_find_pool(config, "lasting");
        _cleanup_(config_pool_unrefp) ConfigPool *first = NULL, *second = NULL;

        assert_with(pool, "retry.attempts", "9", &first);
        ck_assert_uint_eq(first->retry.attempts, 9);
        ck_assert_uint_eq(pool->retry.attempts, 3);
        ck_assert_str_eq(first->name, "lasting");
        ck_assert_uint_eq(first->line, pool->line);
        ck_assert_str_eq(strv_get_env(first->environment, "FROM_FILE"), "1");
        ck_assert_str_eq(strv_get_env(first->environment, "A"), "1");
        ck_assert_int_eq(config_pool_compare(pool, first), POOL_LIVE);

        assert_with(first, "rate", "5/s", &second);
        ck_assert_uint_eq(second->rate_count, 5);
        ck_assert_uint_eq(second->retry.attempts, 9);
        scratch_remove(folder);
}
END_TEST

START_TEST(test_with_each_type)
{
        _cleanup_(config_unrefp) Config *config = load_sample();
        ConfigPool *pool = config_find_pool(config, "once");
        const struct {
                const char *key, *value;
        } sets[] = {
                { "workers", "0" },
                { "task_timeout", "infinity" },
                { "stop_timeout", "1.5" },
                { "limits.memory", "1.5G" },
                { "limits.swap", "0" },
                { "limits.swap", "infinity" },
                { "limits.cpu_quota", "50%" },
                { "limits.cpu_quota", "0" },
                { "limits.cpu_quota", "10000%" },
                { "limits.cpu_weight", "10000" },
                { "rate", "none" },
                { "rate", "1/5s" },
                { "leave_children", "true" },
                { "terminal_exit_codes", "3, 4,5" },
                { "terminal_exit_codes", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(sets); i++) {
                _cleanup_(config_pool_unrefp) ConfigPool *altered = NULL;
                assert_with(pool, sets[i].key, sets[i].value, &altered);
        }
        _cleanup_(config_pool_unrefp) ConfigPool *altered = NULL;
        assert_with(pool, "terminal_exit_codes", "3, 4,5", &altered);
        ck_assert_uint_eq(altered->n_terminal_exit_codes, 3);
        ck_assert_int_eq(altered->terminal_exit_codes[2], 5);
        scratch_remove(folder);
}
END_TEST

START_TEST(test_with_refused)
{
        _cleanup_(config_unrefp) Config *config = load_sample();
        ConfigPool *lasting = config_find_pool(config, "lasting");
        ConfigPool *once = config_find_pool(config, "once");

        assert_not_with(lasting, "atempts", "1", "atempts: unknown key");
        assert_not_with(lasting, "attempts", "1",
                        "attempts: unknown key, did you mean 'retry.attempts'?");
        assert_not_with(lasting, "retry.atempts", "1",
                        "retry.atempts: unknown key, did you mean 'retry.attempts'?");
        assert_not_with(lasting, "nice", "5",
                        "nice: cannot change while workers run: change it in the file and reload");
        assert_not_with(lasting, "source", "r",
                        "source: cannot change while workers run: change it in the file and "
                        "reload");
        assert_not_with(lasting, "workers", "many",
                        "workers: 'many' is not a whole number, like 4");
        assert_not_with(lasting, "workers", "1025", "workers: 1025 is out of range: 0 to 1024");
        assert_not_with(lasting, "workers", "99999999999999999999",
                        "workers: 99999999999999999999 is out of range: 0 to 1024");
        assert_not_with(lasting, "retry.backoff", "2m",
                        "retry.backoff: 2m is longer than retry.backoff_max, which is 1m");
        assert_not_with(lasting, "leave_children", "true",
                        "leave_children: has no effect for mode \"persistent\"");
        assert_not_with(once, "limits.memory", "infinity",
                        "limits.memory: infinity is out of range: 1M to 64T, or 0");
        assert_not_with(once, "limits.cpu_quota", "half",
                        "limits.cpu_quota: 'half' is not a percentage, like \"50%\"");
        assert_not_with(once, "limits.cpu_quota", "50%%",
                        "limits.cpu_quota: '50%%' is not a percentage, like \"50%\"");
        assert_not_with(once, "limits.cpu_quota", "10000001%",
                        "limits.cpu_quota: 10000001% is out of range: 1% to 1000000%, or 0");
        assert_not_with(once, "limits.cpu_weight", "10001",
                        "limits.cpu_weight: 10001 is out of range: 1 to 10000, or 0");
        assert_not_with(once, "leave_children", "yes",
                        "leave_children: 'yes' is neither true nor false");
        assert_not_with(once, "concurrency", "2",
                        "concurrency: has no effect for mode \"per-task\"");
        assert_not_with(once, "terminal_exit_codes", "3 0",
                        "terminal_exit_codes: 0 is out of range: 1 to 255");
        assert_not_with(once, "terminal_exit_codes", "x",
                        "terminal_exit_codes: 'x' is not a whole number, like 4");
        assert_not_with(once, "retry", "5", "retry: a group, name a key in it as retry.KEY");
        scratch_remove(folder);
}
END_TEST

/* What a changed value of each key must mean; from the schema, the manual page says the same. */
START_TEST(test_compare_every_key)
{
        _cleanup_(config_unrefp) Config *config = load_sample();
        size_t n;
        const SchemaRow *rows = schema_rows(SCHEMA_POOL, &n);
        static const PoolChange expected[] = {
                [SCHEMA_LIVE] = POOL_LIVE,
                [SCHEMA_RESTART] = POOL_RESTART,
                [SCHEMA_REPLACE] = POOL_REPLACE,
        };

        for (size_t i = 0; i < n; i++) {
                _cleanup_(config_unrefp) Config *other = load_text(folder, sample);
                ConfigPool *before = config_find_pool(config, "lasting");
                ConfigPool *after = config_find_pool(other, "lasting");
                int *plain = value_member(&rows[i], after);

                ck_assert_int_eq(config_pool_compare(before, after), POOL_UNCHANGED);
                if (rows[i].type == SCHEMA_STRING || rows[i].type == SCHEMA_JSON)
                        value_take_string(&rows[i], after, strdup("other"));
                else if (rows[i].type == SCHEMA_STRINGS || rows[i].type == SCHEMA_ENVIRONMENT)
                        value_clear(&rows[i], after);
                else if (rows[i].type == SCHEMA_INTS)
                        value_take_ints(&rows[i], after, calloc(1, sizeof(int)), 1);
                else if (rows[i].type == SCHEMA_BOOL)
                        *(bool *)plain = !*(bool *)plain;
                else
                        *plain ^= 1;
                if (value_equal(&rows[i], before, after)) { /* it was not set */
                        char **list = calloc(2, sizeof(char *));

                        list[0] = strdup("other");
                        value_take_strings(&rows[i], after, list);
                }
                if (!value_equal(&rows[i], before, after))
                        ck_assert_msg(config_pool_compare(before, after) ==
                                              expected[rows[i].change],
                                      "%s", rows[i].key);
                else
                        ck_assert_str_eq(rows[i].key, "");
        }
        scratch_remove(folder);
}
END_TEST

START_TEST(test_compare)
{
        _cleanup_(config_unrefp) Config *config = load_sample();
        _cleanup_(config_unrefp) Config *moved = NULL, *other = NULL;
        char text[2048];

        /* Where it stands does not matter. */
        (void)snprintf(text, sizeof(text), "\n\n# moved\n%s", sample);
        moved = load_text(folder, text);
        ck_assert_int_eq(config_pool_compare(config->pools[0], moved->pools[0]), POOL_UNCHANGED);

        /* The keys are the same, but the file says something else. */
        write_bytes(folder, "env", "FROM_FILE=2\n", 12, 0600);
        other = load_text(folder, sample);
        ck_assert_int_eq(config_pool_compare(config->pools[0], other->pools[0]), POOL_UNCHANGED);
        ck_assert_int_eq(config_pool_compare(config->pools[1], other->pools[1]), POOL_RESTART);

        /* The gravest of several counts. */
        other->pools[1]->workers = 5;
        ck_assert_int_eq(config_pool_compare(config->pools[1], other->pools[1]), POOL_RESTART);
        free(other->pools[1]->source);
        other->pools[1]->source = strdup("r");
        ck_assert_int_eq(config_pool_compare(config->pools[1], other->pools[1]), POOL_REPLACE);
        scratch_remove(folder);
}
END_TEST

static const char *unreloadable(const Config *config, const char *text)
{
        _cleanup_(config_unrefp) Config *other = load_text(folder, text);
        return config_unreloadable(config, other);
}

START_TEST(test_unreloadable)
{
        _cleanup_(config_unrefp) Config *config = load_sample();
        const char *sources = "sources = { q = { type = \"queue\"; }; };";
        char text[512];

        ck_assert_ptr_null(unreloadable(config, sample));
        (void)snprintf(text, sizeof(text), "socket = \"/run/y\"; state_dir = \"/var/x\"; %s",
                       sources);
        ck_assert_str_eq(unreloadable(config, text), "socket");
        (void)snprintf(text, sizeof(text), "socket = \"/run/x\"; state_dir = \"/var/y\"; %s",
                       sources);
        ck_assert_str_eq(unreloadable(config, text), "state_dir");
        (void)snprintf(text, sizeof(text),
                       "socket = \"/run/x\"; state_dir = \"/var/x\"; drain_timeout = 1; "
                       "log_level = \"debug\"; sources = { q = { type = \"queue\"; "
                       "durability = \"normal\"; max_tasks = 5; }; };");
        ck_assert_ptr_null(unreloadable(config, text));
        scratch_remove(folder);
}
END_TEST

/* The dump of what really holds. */
START_TEST(test_with_pools)
{
        _cleanup_(config_unrefp) Config *config = load_sample();
        _cleanup_(config_unrefp) Config *current = NULL;
        _cleanup_(config_pool_unrefp) ConfigPool *altered = NULL;
        Buffer buffer = BUFFER_NULL(SIZE_MAX);

        assert_with(config->pools[0], "workers", "9", &altered);
        const ConfigPool *pools[] = { altered, config->pools[1] };
        ck_assert_int_eq(config_with_pools(config, pools, 2, &current), 0);
        ck_assert_ptr_null(config_unreloadable(config, current));
        ck_assert_ptr_eq(config_find_pool(current, "lasting"), config->pools[1]);
        ck_assert_str_eq(config_find_source(current, "r")->file, config->sources[1]->file);

        ck_assert_int_eq(config_dump_text(current, &buffer), 0);
        _cleanup_free_ char *text = buffer_steal_string(&buffer);
        ck_assert_ptr_nonnull(strstr(text, "workers = 9;  # set\n"));
        ck_assert_ptr_nonnull(strstr(text, "workers = 1;  # default\n"));
        scratch_remove(folder);
}
END_TEST

UNIT_MAIN("config-change", test_with, test_with_each_type, test_with_refused,
          test_compare_every_key, test_compare, test_unreloadable, test_with_pools);
