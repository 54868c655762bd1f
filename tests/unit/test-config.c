/* SPDX-License-Identifier: Apache-2.0 */

#include <syslog.h>
#include "base/json.h"
#include "build-config.h"
#include "config-fixture.h"

static char folder[64];

static const char *const sample =
        "drain_timeout = \"90s\";\n"
        "log_level = \"debug\"; state_dir = \"state\"; socket = \"/run/x/control\";\n"
        "defaults = { restart = { backoff = \"100ms\"; backoff_max = \"20s\"; }; workers = 7;\n"
        "  environment = { A = \"default\"; B = \"default\"; }; };\n"
        "sources: { local: { type = \"queue\"; durability = \"normal\"; max_tasks = 1000;\n"
        "  max_bytes = \"1G\"; retention = \"infinity\"; priority_step = \"30s\"; }; };\n"
        "pools: {\n"
        "  thumbnail: {\n"
        "    source  = \"local\";\n"
        "    handler = { command = [\"cat\", \"--fast\"]; mode = \"persistent\"; notify = true; "
        "};\n"
        "    workers = 4; concurrency = 3;\n"
        "    rate = \"10/m\";\n"
        "    task_timeout = \"30s\"; watchdog = \"10s\"; start_timeout = 5; stop_timeout = 1.5;\n"
        "    retry = { attempts = 5; backoff = \"2s\"; backoff_max = \"2m\"; };\n"
        "    error_backoff = { after = 5; delay = \"6s\"; max = \"1m\"; };\n"
        "    recycle = { tasks = 10000; age = \"1d\"; memory = \"256M\"; };\n"
        "    limits = { memory = \"512M\"; processes = 64; open_files = 1024; output = \"2M\"; };\n"
        "    environment = { B = \"own\"; LANG = \"C.UTF-8\"; };\n"
        "    environment_file = \"env\"; working_directory = \".\"; nice = -5;\n"
        "  };\n"
        "  hash: { source = \"local\"; task_type = [\"md5\", \"sha1\"];\n"
        "    handler = { library = \"fake.so\"; threads = 2; config = { z = \"sha\"; a = 1; }; }; "
        "};\n"
        "  once: { source = \"local\"; handler = { command = [\"./program\"]; };\n"
        "    terminal_exit_codes = [2, 3]; leave_children = true; limits = { cpu = \"2s\"; }; };\n"
        "};\n"
        "on_event = { command = [\"cat\"]; events = [\"task_failed\", \"queue_full\"]; };\n";

static Config *load_sample(void)
{
        scratch_make(folder);
        set_environment(folder);
        write_library(folder, "fake.so");
        write_bytes(folder, "program", "#!/bin/sh\n", 10, 0755);
        write_bytes(folder, "env", "A=file\nB=file\nC='from file'\n", 28, 0600);
        return load_text(folder, sample);
}

static void assert_in_folder(const char *path, const char *name)
{
        char expected[128];

        (void)snprintf(expected, sizeof(expected), "%s/%s", folder, name);
        ck_assert_str_eq(path, expected);
}

START_TEST(test_top_and_sources)
{
        _cleanup_(config_unrefp) Config *config = load_sample();

        ck_assert_str_eq(config->socket, "/run/x/control");
        assert_in_folder(config->state_dir, "state");
        ck_assert_int_eq(config->log_level, LOG_DEBUG);
        ck_assert_ptr_null(config->admin_group);
        ck_assert_uint_eq(config->drain_timeout_usec, 90 * USEC_PER_SEC);
        ck_assert_str_eq(config->on_event.command[0], "/usr/bin/cat");
        ck_assert_uint_eq(strv_length(config->on_event.events), 2);
        ck_assert_str_eq(config->on_event.events[1], "queue_full");

        ck_assert_uint_eq(config->n_sources, 1);
        ConfigSource *source = config_find_source(config, "local");
        ck_assert_ptr_eq(source, config->sources[0]);
        ck_assert_ptr_null(config_find_source(config, "loca"));
        assert_in_folder(source->file, "main.conf");
        ck_assert_uint_eq(source->line, 5);
        ck_assert_int_eq(source->type, SOURCE_QUEUE);
        ck_assert_int_eq(source->durability, DURABILITY_NORMAL);
        ck_assert_uint_eq(source->max_tasks, 1000);
        ck_assert_uint_eq(source->max_bytes, UINT64_C(1) << 30);
        ck_assert_uint_eq(source->retention_usec, USEC_INFINITY);
        ck_assert_uint_eq(source->priority_step_usec, 30 * USEC_PER_SEC);
        scratch_remove(folder);
}
END_TEST

START_TEST(test_pool)
{
        _cleanup_(config_unrefp) Config *config = load_sample();
        ConfigPool *pool = config_find_pool(config, "thumbnail");

        ck_assert_uint_eq(config->n_pools, 3);
        ck_assert_ptr_eq(pool, config->pools[0]);
        ck_assert_uint_eq(pool->line, 8);
        ck_assert_str_eq(pool->source, "local");
        ck_assert_uint_eq(strv_length(pool->task_type), 1);
        ck_assert_str_eq(pool->task_type[0], "thumbnail");
        ck_assert_int_eq(pool->handler.mode, HANDLER_PERSISTENT);
        ck_assert_str_eq(pool->handler.command[0], "/usr/bin/cat");
        ck_assert_str_eq(pool->handler.command[1], "--fast");
        ck_assert_ptr_null(pool->handler.library);
        ck_assert(pool->handler.notify);
        ck_assert_uint_eq(pool->workers, 4);
        ck_assert_uint_eq(pool->concurrency, 3);
        ck_assert_uint_eq(pool->rate_count, 10);
        ck_assert_uint_eq(pool->rate_interval_usec, USEC_PER_MINUTE);
        ck_assert_uint_eq(pool->task_timeout_usec, 30 * USEC_PER_SEC);
        ck_assert_uint_eq(pool->watchdog_usec, 10 * USEC_PER_SEC);
        ck_assert_uint_eq(pool->start_timeout_usec, 5 * USEC_PER_SEC);
        ck_assert_uint_eq(pool->stop_timeout_usec, 1500 * USEC_PER_MSEC);
        ck_assert_uint_eq(pool->retry.attempts, 5);
        ck_assert_uint_eq(pool->retry.backoff.base_usec, 2 * USEC_PER_SEC);
        ck_assert_uint_eq(pool->retry.backoff.max_usec, 2 * USEC_PER_MINUTE);
        ck_assert_uint_eq(pool->restart.backoff.base_usec, 100 * USEC_PER_MSEC);
        ck_assert_uint_eq(pool->restart.backoff.max_usec, 20 * USEC_PER_SEC);
        ck_assert_uint_eq(pool->error_backoff.after, 5);
        ck_assert_uint_eq(pool->error_backoff.backoff.base_usec, 6 * USEC_PER_SEC);
        ck_assert_uint_eq(pool->error_backoff.backoff.max_usec, USEC_PER_MINUTE);
        ck_assert_uint_eq(pool->recycle.tasks, 10000);
        ck_assert_uint_eq(pool->recycle.age_usec, USEC_PER_DAY);
        ck_assert_uint_eq(pool->recycle.memory, 256 << 20);
        ck_assert_uint_eq(pool->limits.memory, 512 << 20);
        ck_assert_uint_eq(pool->limits.processes, 64);
        ck_assert_uint_eq(pool->limits.open_files, 1024);
        ck_assert_uint_eq(pool->limits.output, 2 << 20);
        ck_assert_int_eq(pool->nice, -5);
        scratch_remove(folder);
}
END_TEST

START_TEST(test_environment)
{
        _cleanup_(config_unrefp) Config *config = load_sample();
        ConfigPool *pool = config_find_pool(config, "thumbnail");

        /* defaults' own variables are kept beside the pool's, and both win over the file's. */
        ck_assert_str_eq(strv_get_env(pool->environment, "A"), "default");
        ck_assert_str_eq(strv_get_env(pool->environment, "B"), "own");
        ck_assert_str_eq(strv_get_env(pool->environment, "C"), "from file");
        ck_assert_str_eq(strv_get_env(pool->environment, "LANG"), "C.UTF-8");
        ck_assert_uint_eq(strv_length(pool->environment), 4);
        ck_assert_ptr_null(strv_get_env(pool->environment_own, "C"));
        assert_in_folder(pool->environment_file, "env");
        ck_assert_str_eq(pool->working_directory, folder);

        pool = config_find_pool(config, "once");
        ck_assert_str_eq(strv_get_env(pool->environment, "B"), "default");
        ck_assert_uint_eq(strv_length(pool->environment), 2);
        scratch_remove(folder);
}
END_TEST

START_TEST(test_kinds)
{
        _cleanup_(config_unrefp) Config *config = load_sample();
        ConfigPool *hash = config_find_pool(config, "hash");
        ConfigPool *once = config_find_pool(config, "once");

        ck_assert_int_eq(hash->handler.mode, HANDLER_LIBRARY);
        assert_in_folder(hash->handler.library, "fake.so");
        ck_assert_ptr_null(hash->handler.command);
        ck_assert_str_eq(hash->handler.config, "{\"z\":\"sha\",\"a\":1}");
        ck_assert_uint_eq(hash->handler.threads, 2);
        ck_assert_uint_eq(hash->concurrency, 2);
        ck_assert_uint_eq(hash->workers, 7);
        ck_assert_uint_eq(strv_length(hash->task_type), 2);
        ck_assert_str_eq(hash->task_type[1], "sha1");

        ck_assert_int_eq(once->handler.mode, HANDLER_PER_TASK);
        assert_in_folder(once->handler.command[0], "program");
        ck_assert_str_eq(once->handler.config, "{}");
        ck_assert_uint_eq(once->n_terminal_exit_codes, 2);
        ck_assert_int_eq(once->terminal_exit_codes[1], 3);
        ck_assert(once->leave_children);
        ck_assert_uint_eq(once->limits.cpu_usec, 2 * USEC_PER_SEC);
        ck_assert_uint_eq(once->rate_count, 0);
        scratch_remove(folder);
}
END_TEST

START_TEST(test_default_pool)
{
        _cleanup_(config_pool_unrefp) ConfigPool *pool = NULL;

        ck_assert_int_eq(config_pool_new_default("run", &pool), 0);
        ck_assert_str_eq(pool->name, "run");
        ck_assert_ptr_null(pool->task_type);
        ck_assert_int_eq(pool->handler.mode, HANDLER_PER_TASK);
        ck_assert_str_eq(pool->handler.config, "{}");
        ck_assert_uint_eq(pool->handler.threads, 1);
        ck_assert_uint_eq(pool->workers, 1);
        ck_assert_uint_eq(pool->concurrency, 1);
        ck_assert_uint_eq(pool->rate_count, 0);
        ck_assert_uint_eq(pool->task_timeout_usec, USEC_PER_HOUR);
        ck_assert_uint_eq(pool->watchdog_usec, 0);
        ck_assert_uint_eq(pool->start_timeout_usec, 10 * USEC_PER_SEC);
        ck_assert_uint_eq(pool->stop_timeout_usec, 10 * USEC_PER_SEC);
        ck_assert_uint_eq(pool->retry.attempts, 3);
        ck_assert_uint_eq(pool->retry.backoff.base_usec, USEC_PER_SEC);
        ck_assert_uint_eq(pool->retry.backoff.max_usec, USEC_PER_MINUTE);
        ck_assert_uint_eq(pool->restart.backoff.base_usec, 200 * USEC_PER_MSEC);
        ck_assert_uint_eq(pool->restart.backoff.max_usec, 30 * USEC_PER_SEC);
        ck_assert_uint_eq(pool->error_backoff.after, 0);
        ck_assert_uint_eq(pool->limits.output, 1 << 20);
        ck_assert_uint_eq(pool->limits.memory, 0);
        ck_assert_ptr_null(pool->environment);
}
END_TEST

/* A pool may outlive the configuration that it came from. */
START_TEST(test_pool_outlives_config)
{
        Config *config = load_sample();
        _cleanup_(config_pool_unrefp) ConfigPool *pool =
                config_pool_ref(config_find_pool(config, "hash"));
        _cleanup_(config_pool_unrefp) ConfigPool *altered = NULL;
        _cleanup_free_ char *message = NULL;

        ck_assert_ptr_eq(config_ref(config), config);
        ck_assert_ptr_null(config_unref(config));
        ck_assert_ptr_null(config_unref(config));
        ck_assert_str_eq(pool->name, "hash");
        ck_assert_int_eq(config_pool_with(pool, "workers", "9", &altered, &message), 0);
        ck_assert_uint_eq(altered->workers, 9);
        ck_assert_ptr_null(config_unref(NULL));
        ck_assert_ptr_null(config_pool_unref(NULL));
        scratch_remove(folder);
}
END_TEST

static Slice find_setting(Slice dump, const char *path)
{
        Slice setting;

        JSON_FOREACH_ELEMENT (setting, json_member(dump, "settings")) {
                Slice name;
                ck_assert_int_eq(json_raw_string(json_member(setting, "path"), &name), 0);
                if (slice_is(name, path))
                        return setting;
        }
        return SLICE_NULL;
}

static void assert_setting(Slice dump, const char *path, const char *value, const char *origin,
                           const char *live)
{
        Slice setting = find_setting(dump, path);
        _cleanup_free_ char *text = NULL;

        ck_assert_msg(setting.size > 0, "%s is missing", path);
        ck_assert_slice(json_member(setting, "value"), value);
        ck_assert_slice(json_member(setting, "live"), live);
        ck_assert_int_eq(json_decode_string(json_member(setting, "origin"), &text), 0);
        ck_assert_msg(strstr(text, origin) != NULL, "%s: %s", path, text);
}

START_TEST(test_dump_json)
{
        _cleanup_(config_unrefp) Config *config = load_sample();
        Buffer buffer = BUFFER_NULL(SIZE_MAX);

        ck_assert_int_eq(config_dump_json(config, &buffer), 0);
        Slice dump = buffer_slice(&buffer);
        ck_assert_int_eq(json_check(dump, NULL), 0);
        assert_setting(dump, "drain_timeout", "\"90s\"", "main.conf:1", "true");
        assert_setting(dump, "admin_group", "null", "default", "true");
        assert_setting(dump, "socket", "\"/run/x/control\"", "main.conf:2", "false");
        assert_setting(dump, "sources.local.max_bytes", "\"1G\"", "main.conf:6", "true");
        assert_setting(dump, "pools.thumbnail.rate", "\"10/m\"", "main.conf:12", "true");
        assert_setting(dump, "pools.thumbnail.restart.backoff", "\"100ms\"", "defaults (", "true");
        assert_setting(dump, "pools.thumbnail.task_type", "[\"thumbnail\"]", "default", "false");
        assert_setting(dump, "pools.hash.handler.config", "{\"z\":\"sha\",\"a\":1}", "main.conf:22",
                       "false");
        assert_setting(dump, "pools.once.terminal_exit_codes", "[2,3]", "main.conf:24", "true");
        assert_setting(dump, "pools.once.rate", "\"none\"", "default", "true");
        ck_assert(!memmem(dump.data, dump.size, "from file", 9));
        ck_assert_uint_eq(find_setting(dump, "pools.once.concurrency").size, 0);
        buffer_deinit(&buffer);
        scratch_remove(folder);
}
END_TEST

static void assert_refused(const char *path, const char *expected)
{
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;
        Config *config = NULL;

        ck_assert_int_eq(config_load(path, &config, &diagnostics), CONFIG_E_INVALID);
        ck_assert_ptr_null(config);
        ck_assert_uint_eq(diagnostics->n_errors, 1);
        ck_assert_uint_eq(strv_length(diagnostics->lines), 1);
        ck_assert_msg(strstr(diagnostics->lines[0], expected) != NULL, "%s", diagnostics->lines[0]);
}

START_TEST(test_files_that_are_none)
{
        char path[128];

        scratch_make(folder);
        set_environment(folder);
        assert_refused("/nonexistent/yardmaster.conf",
                       "/nonexistent/yardmaster.conf: cannot read it: No such file");
        assert_refused(folder, "cannot read it: Is a directory");
        assert_refused("/dev/null", "cannot read it: not a regular file");

        (void)snprintf(path, sizeof(path), "%s/large.conf", folder);
        write_file(folder, "large.conf", "");
        ck_assert_int_eq(truncate(path, (1 << 20) + 1), 0);
        assert_refused(path, "cannot read it: the file is too large");

        (void)snprintf(path, sizeof(path), "%s/a.conf", folder);
        write_file(folder, "a.conf", "");
        write_file(folder, "conf.d", "not a folder");
        assert_refused(path, "conf.d: Not a directory");
        scratch_remove(folder);
}
END_TEST

/* In one variable of the environment the runner gets it; exec takes no more than 128 KiB in one. */
START_TEST(test_config_of_a_library_is_bounded)
{
        _cleanup_free_ char *large = malloc(64 * 1024 + 1), *text = NULL;
        char path[128];

        memset(large, 'x', 64 * 1024);
        large[64 * 1024] = '\0';
        scratch_make(folder);
        set_environment(folder);
        write_library(folder, "fake.so");
        ck_assert_int_gt(asprintf(&text,
                                  "sources: { q: { type = \"queue\"; }; };\n"
                                  "pools: { a: { source = \"q\"; handler = {\n"
                                  "library = \"fake.so\"; config = { x = \"%s\"; }; }; }; };\n",
                                  large),
                         0);
        write_file(folder, "a.conf", text);
        (void)snprintf(path, sizeof(path), "%s/a.conf", folder);
        assert_refused(path, "a.conf:3: pools.a.handler.config: is more than 64 KiB as JSON: put "
                             "it into a file and name that");
        scratch_remove(folder);
}
END_TEST

/* As the package installs it: the sample, and the example once it has its real name. */
START_TEST(test_shipped_files)
{
        char command[512];
        _cleanup_(config_unrefp) Config *config = NULL;
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;

        scratch_make(folder);
        set_environment(folder);
        (void)snprintf(command, sizeof(command),
                       "cd %s && cp %s/../conf/yardmaster.conf . && mkdir conf.d && "
                       "cp %s/../conf/conf.d/example.conf.example conf.d/",
                       folder, getenv("TEST_DATA"), getenv("TEST_DATA"));
        ck_assert_int_eq(system(command), 0);
        ck_assert_int_eq(chdir(folder), 0);
        ck_assert_int_eq(config_load("yardmaster.conf", &config, &diagnostics), 0);
        ck_assert_uint_eq(config->n_pools, 0);
        ck_assert_ptr_nonnull(config_find_source(config, "local"));
        ck_assert_str_eq(config->socket, "/run/test/control");
        ck_assert_str_eq(config->state_dir, "/var/lib/test");

        config = config_unref(config);
        diagnostics = config_diagnostics_free(diagnostics);
        ck_assert_int_eq(rename("conf.d/example.conf.example", "conf.d/greet.conf"), 0);
        ck_assert_int_eq(config_load("yardmaster.conf", &config, &diagnostics), 0);
        ck_assert_uint_eq(diagnostics->n_warnings, 0);
        ck_assert_ptr_nonnull(config_find_pool(config, "greet"));
        ck_assert_int_eq(chdir("/"), 0);
        scratch_remove(folder);
}
END_TEST

static void assert_places(const char *socket, const char *state_dir)
{
        _cleanup_(config_unrefp) Config *config = load_text(folder, "");

        ck_assert_str_eq(config->socket, socket);
        ck_assert_str_eq(config->state_dir, state_dir);
}

START_TEST(test_places)
{
        char path[128];

        scratch_make(folder);
        ck_assert_int_eq(chmod(folder, 0755), 0);
        set_environment(folder);
        ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", "/run/user/1", 1), 0);
        ck_assert_int_eq(setenv("XDG_STATE_HOME", "/home/u/state", 1), 0);
        ck_assert_int_eq(setenv("HOME", "/home/u", 1), 0);
        assert_places("/run/test/control", "/var/lib/test");

        ck_assert_int_eq(setenv("RUNTIME_DIRECTORY", "/run/a:/run/b", 1), 0);
        ck_assert_int_eq(setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b", 1), 0);
        assert_places("/run/a/control", "/var/lib/a");

        ck_assert_int_eq(unsetenv("RUNTIME_DIRECTORY"), 0);
        ck_assert_int_eq(unsetenv("STATE_DIRECTORY"), 0);
        if (geteuid() == 0)
                assert_places(YARDMASTER_SOCKET, YARDMASTER_STATE_DIR);
        if (geteuid() == 0) {
                /* Folder and file are kept; only the id that places depend on changes. */
                char command[128];
                (void)snprintf(command, sizeof(command), "chown -R 65534 %s", folder);
                ck_assert_int_eq(system(command), 0);
                ck_assert_int_eq(seteuid(65534), 0);
        }
        assert_places("/run/user/1/yardmaster/control", "/home/u/state/yardmaster");
        ck_assert_int_eq(unsetenv("XDG_STATE_HOME"), 0);
        assert_places("/run/user/1/yardmaster/control", "/home/u/.local/state/yardmaster");
        ck_assert_int_eq(unsetenv("XDG_RUNTIME_DIR"), 0);
        (void)snprintf(path, sizeof(path), "%s/main.conf", folder);
        assert_refused(path, "main.conf: socket: is missing, and XDG_RUNTIME_DIR is not set");
        ck_assert_int_eq(seteuid(getuid()), 0);
        scratch_remove(folder);
}
END_TEST

UNIT_MAIN("config", test_top_and_sources, test_pool, test_environment, test_kinds,
          test_default_pool, test_pool_outlives_config, test_dump_json, test_files_that_are_none,
          test_config_of_a_library_is_bounded, test_shipped_files, test_places);
