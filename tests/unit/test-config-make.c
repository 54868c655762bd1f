/* SPDX-License-Identifier: Apache-2.0 */

/* A configuration from a command line. */

#include "config-fixture.h"
#include "config/make.h"
#include "config/resolve.h"

static char folder[64];

static Config *make(void)
{
        Config *config = NULL;

        scratch_make(folder);
        set_environment(folder);
        ck_assert_int_eq(unsetenv("CONDUCTOR_SERVER_URL"), 0);
        ck_assert_int_eq(unsetenv("CONDUCTOR_AUTH_KEY"), 0);
        ck_assert_int_eq(unsetenv("CONDUCTOR_AUTH_SECRET"), 0);
        ck_assert_int_eq(unsetenv("CONDUCTOR_MAX_HTTP2_CONNECTIONS"), 0);
        ck_assert_int_eq(config_make(SOURCE_CONDUCTOR, "server", "resize", &config), 0);
        return config;
}

static void set(Config *config, SchemaScope scope, const char *key, const char *text)
{
        _cleanup_free_ char *message = NULL;
        int r = config_make_set(config, scope, key, text, &message);

        ck_assert_msg(r == 0, "%s: %s", key, message ?: "");
}

static void assert_refused(Config *config, SchemaScope scope, const char *key, const char *text,
                           const char *expected)
{
        _cleanup_free_ char *message = NULL;

        ck_assert_int_eq(config_make_set(config, scope, key, text, &message), CONFIG_E_INVALID);
        ck_assert_str_eq(message, expected);
}

/* The one line that finishing answers with. */
static void assert_finish(Config *config, int expected, const char *line)
{
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;

        ck_assert_int_eq(config_make_finish(config, &diagnostics), expected);
        ck_assert_int_eq(strv_length(diagnostics->lines), line ? 1 : 0);
        if (line)
                ck_assert_str_eq(diagnostics->lines[0], line);
}

START_TEST(test_make)
{
        _cleanup_(config_unrefp) Config *config = make();
        _cleanup_(config_unrefp) Config *copy = NULL;

        set(config, SCHEMA_SOURCE, "url", "http://h/api/");
        set(config, SCHEMA_POOL, "task_type", "resize/../x y");
        set(config, SCHEMA_POOL, "task_type", "x y");
        set(config, SCHEMA_POOL, "workers", "9");
        set(config, SCHEMA_TOP, "state_dir", "state");
        set(config, SCHEMA_TOP, "socket", "/run/x");
        assert_finish(config, 0, NULL);

        ck_assert(config->fileless);
        ck_assert_ptr_nonnull(strstr(config->state_dir, "/state"));
        ck_assert_int_eq(config->state_dir[0], '/');
        ck_assert_str_eq(config->sources[0]->conductor.url, "http://h/api");
        ck_assert_int_eq(config->sources[0]->type, SOURCE_CONDUCTOR);
        const ConfigPool *pool = config_find_pool(config, "resize");
        ck_assert_str_eq(pool->source, "server");
        ck_assert_int_eq(pool->source_type, SOURCE_CONDUCTOR);
        ck_assert_str_eq(pool->task_type[0], "x y");
        ck_assert_uint_eq(pool->workers, 9);
        ck_assert_uint_eq(pool->batch, 20);
        ck_assert_str_eq(strv_get_env(pool->environment, "CONDUCTOR_SERVER_URL"), "http://h/api");

        ck_assert_int_eq(config_with_pools(config, NULL, 0, &copy), 0);
        ck_assert(copy->fileless);
        scratch_remove(folder);
}
END_TEST

START_TEST(test_refused)
{
        _cleanup_(config_unrefp) Config *config = make();

        assert_refused(config, SCHEMA_SOURCE, "url", "h",
                       "not a URL, like \"http://host:8080/api\"");
        assert_refused(config, SCHEMA_SOURCE, "worker_id", "\n", "has a control character");
        assert_refused(config, SCHEMA_POOL, "task_type", "", "must not be empty");
        assert_refused(config, SCHEMA_POOL, "domain", "", "must not be empty");
        assert_refused(config, SCHEMA_POOL, "domain", "  ", "must not be empty");
        assert_refused(config, SCHEMA_POOL, "poll_timeout", "6s", "6s is out of range: 0s to 5s");
        scratch_remove(folder);
}
END_TEST

/* What does not fit together, and what comes from the environment. */
START_TEST(test_finish)
{
        _cleanup_(config_unrefp) Config *missing = make();
        assert_finish(missing, CONFIG_E_INVALID,
                      "command line: sources.server.url: is missing, like url = "
                      "\"http://host:8080/api\"");
        scratch_remove(folder);

        _cleanup_(config_unrefp) Config *config = make();
        set(config, SCHEMA_SOURCE, "url", "http://option/api");
        ck_assert_int_eq(setenv("CONDUCTOR_SERVER_URL", "http://variable/api", 1), 0);
        ck_assert_int_eq(setenv("CONDUCTOR_MAX_HTTP2_CONNECTIONS", "2", 1), 0);
        assert_finish(config, 0, NULL);
        ck_assert_str_eq(config->sources[0]->conductor.url, "http://option/api");
        ck_assert_uint_eq(config->sources[0]->conductor.connections, 2);
        ck_assert_str_eq(config->pools[0]->task_type[0], "resize");

        set(config, SCHEMA_POOL, "task_type", "a/b");
        assert_finish(config, CONFIG_E_INVALID,
                      "command line: pools.resize.task_type: 'a/b' has a /, and tasks of such a "
                      "type cannot be polled from a Conductor server: rename the type there");
        ck_assert_int_eq(unsetenv("CONDUCTOR_SERVER_URL"), 0);
        scratch_remove(folder);
}
END_TEST

UNIT_MAIN("config-make", test_make, test_refused, test_finish);
