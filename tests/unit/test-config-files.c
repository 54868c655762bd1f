/* SPDX-License-Identifier: Apache-2.0 */

/* Every file of tests/config: bad/NAME.conf (or bad/NAME/yardmaster.conf with its conf.d) is
 * refused with exactly the lines of bad/NAME.expected; good/ is accepted, in silence or with the
 * warnings of NAME.expected, and what the dump of a good one says is that same configuration again.
 *
 * With CONFIG_TEST_UPDATE=1 the expected lines are written instead, to be read before a commit. */

#include <dirent.h>
#include "build-config.h"
#include "config-fixture.h"

static char scratch[64];

static void append_replaced(Buffer *buffer, const char *text, const char *what, const char *with)
{
        for (const char *hit; (hit = strstr(text, what)); text = hit + strlen(what)) {
                ck_assert_int_eq(buffer_append(buffer, text, hit - text), 0);
                ck_assert_int_eq(buffer_append_string(buffer, with), 0);
        }
        ck_assert_int_eq(buffer_append_string(buffer, text), 0);
}

static char *replace(char *text, const char *what, const char *with)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);

        append_replaced(&buffer, text, what, with);
        free(text);
        return buffer_steal_string(&buffer);
}

/* All lines as one text, with this machine's folders taken out. */
static char *normalise(const ConfigDiagnostics *diagnostics)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        _cleanup_free_ char *here = getcwd(NULL, 0);

        STRV_FOREACH (line, diagnostics->lines) {
                ck_assert_int_eq(buffer_append_string(&buffer, *line), 0);
                ck_assert_int_eq(buffer_append_byte(&buffer, '\n'), 0);
        }
        char *text = buffer_steal_string(&buffer);
        text = replace(text, here, "DIR");
        text = replace(text, scratch, "SCRATCH");
        return replace(text, YARDMASTER_HANDLER_DIR, "HANDLERS");
}

static char *read_text(const char *path)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        FILE *file = fopen(path, "re");
        char *data;

        if (file) {
                for (size_t n = 1; n > 0;) {
                        ck_assert_int_eq(buffer_reserve(&buffer, 4096, &data), 0);
                        n = fread(data, 1, 4096, file);
                        buffer_commit(&buffer, n);
                }
                (void)fclose(file);
        }
        return buffer_steal_string(&buffer);
}

static bool check_expected(const char *name, const char *actual)
{
        char path[512];

        (void)snprintf(path, sizeof(path), "%s.expected", name);
        if (getenv("CONFIG_TEST_UPDATE") && actual[0])
                write_file(".", path, actual);
        _cleanup_free_ char *expected = read_text(path);
        if (streq(expected, actual))
                return true;
        (void)fprintf(stderr, "%s: expected:\n%sfound:\n%s", path, expected, actual);
        return false;
}

static char *dump(const Config *config)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        ck_assert_int_eq(config_dump_text(config, &buffer), 0);
        return buffer_steal_string(&buffer);
}

/* Comments end at their line; no text of the good files has a # in it. */
static void drop_comments(char *text)
{
        char *out = text;
        bool comment = false;

        for (const char *p = text; *p; p++) {
                comment = *p == '#' || (comment && *p != '\n');
                if (!comment)
                        *out++ = *p;
        }
        *out = 0;
}

static bool check_dump(const char *name, const Config *config)
{
        _cleanup_free_ char *first = dump(config);
        _cleanup_(config_unrefp) Config *again = load_text(scratch, first);
        _cleanup_free_ char *second = dump(again);

        drop_comments(first);
        drop_comments(second);
        if (streq(first, second))
                return true;
        (void)fprintf(stderr, "%s: dumped:\n%sread again:\n%s", name, first, second);
        return false;
}

static bool check_file(const char *name, const char *path, int expected)
{
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;
        _cleanup_(config_unrefp) Config *config = NULL;

        int r = config_load(path, &config, &diagnostics);
        if (r != expected)
                (void)fprintf(stderr, "%s: config_load returned %d\n", path, r);
        ck_assert_int_ge(r, 0);
        ck_assert_ptr_nonnull(diagnostics);
        _cleanup_free_ char *actual = normalise(diagnostics);
        bool same = check_expected(name, actual);
        if (r == 0)
                same = check_dump(name, config) && same;
        return same && r == expected;
}

/* NAME.conf, or a folder that holds yardmaster.conf; *ret_path is empty for anything else. */
static void find_main(const struct dirent *entry, char *ret_name, char *ret_path, size_t size)
{
        size_t length = strlen(entry->d_name);

        ret_path[0] = 0;
        (void)snprintf(ret_name, size, "%s", entry->d_name);
        if (length > 5 && streq(entry->d_name + length - 5, ".conf")) {
                ret_name[length - 5] = 0;
                (void)snprintf(ret_path, size, "%s", entry->d_name);
                return;
        }
        (void)snprintf(ret_path, size, "%s/yardmaster.conf", entry->d_name);
        if (access(ret_path, F_OK) < 0)
                ret_path[0] = 0;
}

static void check_folder(const char *folder, int expected, unsigned at_least)
{
        unsigned n = 0, wrong = 0;

        scratch_make(scratch);
        write_library(scratch, "fake.so");
        set_environment(scratch);
        ck_assert_ptr_nonnull(getenv("TEST_DATA"));
        ck_assert_int_eq(chdir(getenv("TEST_DATA")), 0);
        ck_assert_int_eq(chdir("config"), 0);
        ck_assert_int_eq(chdir(folder), 0);

        DIR *dir = opendir(".");
        ck_assert_ptr_nonnull(dir);
        for (struct dirent *entry; (entry = readdir(dir));) {
                char name[300], path[300];

                find_main(entry, name, path, sizeof(path));
                if (!path[0])
                        continue;
                n++;
                wrong += !check_file(name, path, expected);
        }
        (void)closedir(dir);
        scratch_remove(scratch);
        ck_assert_uint_eq(wrong, 0);
        ck_assert_uint_ge(n, at_least);
}

START_TEST(test_bad)
{
        check_folder("bad", CONFIG_E_INVALID, 60);
}
END_TEST

START_TEST(test_good)
{
        check_folder("good", 0, 5);
}
END_TEST

UNIT_MAIN("config-files", test_bad, test_good);
