/* SPDX-License-Identifier: Apache-2.0 */

#include "config-fixture.h"
#include "config/environment.h"

static char folder[64];

static const char head[] = "sources = { q = { type = \"queue\"; }; };\n"
                           "pools = { a = { source = \"q\"; handler = { command = [\"cat\"]; };\n";

/* The pool's environment with this file; NULL if it was refused, and then *ret_diagnostics. */
static Config *load_with(const char *file, size_t size, mode_t mode,
                         ConfigDiagnostics **ret_diagnostics)
{
        Config *config = NULL;
        char text[1024], path[128];

        scratch_make(folder);
        set_environment(folder);
        write_bytes(folder, "env", file, size, mode);
        (void)snprintf(text, sizeof(text), "%s environment_file = \"env\"; }; };", head);
        write_file(folder, "main.conf", text);
        (void)snprintf(path, sizeof(path), "%s/main.conf", folder);
        int r = config_load(path, &config, ret_diagnostics);
        ck_assert_int_eq(r, config ? 0 : CONFIG_E_INVALID);
        return config;
}

START_TEST(test_values)
{
        static const char file[] = "# a comment\n"
                                   "; another\n"
                                   "\n"
                                   "  PLAIN=a b  \t\n"
                                   "EMPTY=\n"
                                   "DOUBLE=\"a \\\"b\\\" \\\\ \\$x \\n 'c' # d\"\n"
                                   "SINGLE='a \"b\" \\'  \n"
                                   "_UNDER_1=é=x\r\n"
                                   "PLAIN_HASH=a # b\n"
                                   "TWICE=1\n"
                                   "TWICE=2\n"
                                   "LAST=end";
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;
        _cleanup_(config_unrefp) Config *config = load_with(file, strlen(file), 0600, &diagnostics);

        ck_assert_ptr_nonnull(config);
        char **env = config->pools[0]->environment;
        ck_assert_str_eq(strv_get_env(env, "PLAIN"), "a b");
        ck_assert_str_eq(strv_get_env(env, "EMPTY"), "");
        ck_assert_str_eq(strv_get_env(env, "DOUBLE"), "a \"b\" \\ $x \\n 'c' # d");
        ck_assert_str_eq(strv_get_env(env, "SINGLE"), "a \"b\" \\");
        ck_assert_str_eq(strv_get_env(env, "_UNDER_1"), "é=x");
        ck_assert_str_eq(strv_get_env(env, "PLAIN_HASH"), "a # b");
        ck_assert_str_eq(strv_get_env(env, "TWICE"), "2");
        ck_assert_str_eq(strv_get_env(env, "LAST"), "end");
        ck_assert_uint_eq(strv_length(env), 8);
        scratch_remove(folder);
}
END_TEST

static void assert_lines(const ConfigDiagnostics *diagnostics, const char *const *expected)
{
        for (size_t i = 0; expected[i]; i++) {
                char line[256];

                ck_assert_uint_gt(strv_length(diagnostics->lines), i);
                (void)snprintf(line, sizeof(line), "%s/%s", folder, expected[i]);
                ck_assert_str_eq(diagnostics->lines[i], line);
        }
        ck_assert_uint_eq(strv_length(diagnostics->lines), diagnostics->n_errors);
}

START_TEST(test_errors)
{
        static const char file[] = "FINE=1\n"
                                   "no assignment\n"
                                   "export A=1\n"
                                   "1A=1\n"
                                   "A-B=1\n"
                                   "=1\n"
                                   "A=\"open\n"
                                   "A='x' y\n"
                                   "A=more\\\n"
                                   "NOTIFY_SOCKET=/run/x\n"
                                   "A=\xff\n";
        static const char *const expected[] = {
                "env:2: pools.a.environment_file: expected NAME=value",
                "env:3: pools.a.environment_file: write NAME=value without export",
                "env:4: pools.a.environment_file: a variable's name does not begin with a digit",
                "env:5: pools.a.environment_file: a variable's name has letters, digits and _ only",
                "env:6: pools.a.environment_file: the name is missing",
                "env:7: pools.a.environment_file: the closing quote is missing",
                "env:8: pools.a.environment_file: text after the closing quote",
                "env:9: pools.a.environment_file: a line cannot be continued: put the value in one "
                "line",
                "env:10: pools.a.environment_file: the daemon sets this variable itself",
                "env:11: pools.a.environment_file: this is not UTF-8",
                NULL,
        };
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;

        ck_assert_ptr_null(load_with(file, strlen(file), 0600, &diagnostics));
        ck_assert_uint_eq(diagnostics->n_errors, ELEMENTSOF(expected) - 1);
        assert_lines(diagnostics, expected);
        scratch_remove(folder);
}
END_TEST

static void assert_mode(mode_t mode, const char *expected)
{
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;
        _cleanup_(config_unrefp) Config *config = load_with("A=1\n", 4, mode, &diagnostics);
        char line[512];

        if (expected) {
                ck_assert_ptr_null(config);
                (void)snprintf(line, sizeof(line),
                               "%s/main.conf:3: pools.a.environment_file: %s/env can be %s %s/env",
                               folder, folder, expected, folder);
                ck_assert_str_eq(diagnostics->lines[0], line);
        } else {
                ck_assert_ptr_nonnull(config);
        }
        scratch_remove(folder);
}

START_TEST(test_modes)
{
        assert_mode(0600, NULL);
        assert_mode(0640, NULL);
        assert_mode(0400, NULL);
        assert_mode(0644, "read by others, and may hold secrets: chmod o-rwx");
        assert_mode(0604, "read by others, and may hold secrets: chmod o-rwx");
        assert_mode(0620, "written by more than its owner: chmod go-w");
        assert_mode(0602, "written by more than its owner: chmod go-w");
}
END_TEST

START_TEST(test_bytes)
{
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;
        _cleanup_free_ char *large = calloc(1, ENVIRONMENT_FILE_MAX + 1);

        ck_assert_ptr_null(load_with("A=1\0B=2\n", 8, 0600, &diagnostics));
        ck_assert_ptr_nonnull(strstr(diagnostics->lines[0],
                                     "env: pools.a.environment_file: the file has a NUL byte"));
        diagnostics = config_diagnostics_free(diagnostics);
        scratch_remove(folder);

        memset(large, '\n', ENVIRONMENT_FILE_MAX + 1);
        ck_assert_ptr_null(load_with(large, ENVIRONMENT_FILE_MAX + 1, 0600, &diagnostics));
        ck_assert_ptr_nonnull(strstr(diagnostics->lines[0], "the file is too large"));
        scratch_remove(folder);
}
END_TEST

START_TEST(test_names)
{
        ck_assert_ptr_null(environment_refuse_name("A", 1));
        ck_assert_ptr_null(environment_refuse_name("_a9", 3));
        ck_assert_ptr_null(environment_refuse_name("A=rest", 1));
        ck_assert_ptr_null(environment_refuse_name("TASK_IDS", 8));
        ck_assert_ptr_nonnull(environment_refuse_name("", 0));
        ck_assert_ptr_nonnull(environment_refuse_name("TASK_ID=x", 7));
        ck_assert_ptr_nonnull(environment_refuse_name("9", 1));
        ck_assert_ptr_nonnull(environment_refuse_name("a.b", 3));
        ck_assert_ptr_nonnull(environment_refuse_name("\xc3\xa9", 2));
}
END_TEST

UNIT_MAIN("config-environment", test_values, test_errors, test_modes, test_bytes, test_names);
