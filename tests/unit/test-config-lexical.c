/* SPDX-License-Identifier: Apache-2.0 */

/* Our reading of the text against libconfig's: what ours lets pass, libconfig reads, and what
 * libconfig would take for something else, ours refuses. */

#include <libconfig.h>
#include <stdio.h>
#include "base/buffer.h"
#include "config/lexer.h"
#include "config/lexical.h"
#include "unit.h"

typedef struct Report {
        unsigned line;
        char path[256];
        char message[256];
        unsigned n;
} Report;

/* The first one is kept. */
static void on_report(const char *file, unsigned line, const char *path, const char *message,
                      void *userdata)
{
        Report *report = userdata;

        ck_assert_str_eq(file, "main");
        if (report->n++ > 0)
                return;
        report->line = line;
        (void)snprintf(report->path, sizeof(report->path), "%s", path ?: "");
        (void)snprintf(report->message, sizeof(report->message), "%s", message);
}

static int on_include(const char *file, unsigned line, const char *name, const char **ret_file,
                      Slice *ret_text, void *userdata)
{
        return LEXICAL_E_INVALID;
}

static int check(Slice text, Report *report)
{
        const LexicalHooks hooks = { on_report, on_include, report };

        *report = (Report){ 0 };
        return lexical_check("main", text, &hooks);
}

static bool libconfig_reads(const char *source)
{
        _cleanup_free_ char *text = NULL;
        config_t config;

        ck_assert_int_ge(asprintf(&text, "%s\n", source), 0);

        config_init(&config);
        bool r = config_read_string(&config, text) == CONFIG_TRUE;
        config_destroy(&config);
        return r;
}

static void assert_accepted(const char *text)
{
        Report report;

        ck_assert_msg(check(slice_from_string(text), &report) == 0, "%s: %s", text, report.message);
        ck_assert_uint_eq(report.n, 0);
        ck_assert_msg(libconfig_reads(text), "%s", text);
}

static void assert_refused(const char *text, unsigned line, const char *path, const char *message)
{
        Report report;

        ck_assert_int_eq(check(slice_from_string(text), &report), LEXICAL_E_INVALID);
        ck_assert_uint_eq(report.line, line);
        ck_assert_str_eq(report.path, path);
        ck_assert_str_eq(report.message, message);
}

/* Reported, but libconfig may go on. */
static void assert_void_number(const char *text, const char *message)
{
        Report report;

        ck_assert_int_eq(check(slice_from_string(text), &report), 0);
        ck_assert_uint_eq(report.n, 1);
        ck_assert_str_eq(report.message, message);
}

START_TEST(test_accepted)
{
        static const char *const texts[] = {
                "",
                "# only a comment",
                "/* a * b ** */ // x",
                "a = 1; b : 2, c = 3 d = 4",
                "a = { b = { }; c = ( ), d = [ ] };",
                "a = \"x\" \"y\" /* c */ \"z\";",
                "a = \"multi\nline // no comment /* \\\" \\\\\";",
                "a = ( 1, \"x\", true, 1.5, ( ), [ 1 ], { b = 1; } );",
                "a = [ 1, -2, +3, 0x1F ]; b = [ 1L, 2LL ]; c = [ true, FALSE ];",
                "d = [ .5, 1., 1e5 ]",
                "a*b-c_d = 2147483647; b = -2147483648; c = 0x7fffffff;",
                "a = 9223372036854775807L; b = -9223372036854775808L; c = 0x7fffffffffffffffL;",
                "a = 1 # x\n;b = 2 // y\n",
                "a = \"\\x0\"; b = \"\\x41\"; c = \"\\q\";",
                "truest = 1; L = 2;",
                "a = 007;",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                assert_accepted(texts[i]);
}
END_TEST

START_TEST(test_refused)
{
        assert_refused("a = 1;\n/* b\n", 2, "", "the comment that begins here has no end");
        assert_refused("a = \"b\n\n", 1, "a", "the text that begins here has no closing quote");
        assert_refused("a = \"\\\"", 1, "a", "the text that begins here has no closing quote");
        assert_refused("a = 1;\n\na = 2;", 3, "a", "set twice: first at main:1");
        assert_refused("a = { b = 1; c = { b = 1; }; b = 2; };", 1, "a.b",
                       "set twice: first at main:1");
        assert_refused("a = ( { b = 1; }, { b = 1; b = 2; } );", 1, "a[1].b",
                       "set twice: first at main:1");
        assert_refused("a = };", 1, "a", "expected a value, found '}'");
        assert_refused("a = ( 1; 2 );", 1, "a[0]",
                       "expected ',' or the end of the list, found ';'");
        assert_refused("a = 1 = 2;", 1, "a", "expected ';', found '='");
        assert_refused("a = 1 2;", 1, "a", "expected ';', found '2'");
        assert_refused("a = -;", 1, "a",
                       "'-' is no value: text needs quotes, a switch is true or false");
        assert_refused("a = 0x;", 1, "a",
                       "'0x' is no value: text needs quotes, a switch is true or false");
        assert_refused("true = 1;", 1, "",
                       "'true' cannot be a name: a name begins with a letter, and has letters, "
                       "digits, - and _ only");
        assert_refused("a = [ 1, 2.5 ];", 1, "a[1]",
                       "[ ] holds values of one kind: write ( ) for others");
        assert_refused("a = [ 1, 2L ];", 1, "a[1]",
                       "[ ] holds values of one kind: write ( ) for others");
        assert_refused("a = [ ( ) ];", 1, "a[0]",
                       "[ ] holds texts, numbers or switches: write ( ) for groups and lists");
        assert_refused("a = %;", 1, "a", "unexpected character");
        assert_refused("a @include \"x\"", 1, "", "@include must begin its line");
        assert_refused("@inklude \"x\"", 1, "", "unexpected character '@'");
}
END_TEST

START_TEST(test_numbers)
{
        assert_void_number("a = 2147483648;",
                           "2147483648 does not fit in 32 bits: put an L behind it");
        assert_void_number("a = -2147483649;",
                           "-2147483649 does not fit in 32 bits: put an L behind it");
        assert_void_number("a = 0x80000000;",
                           "0x80000000 does not fit in 32 bits: put an L behind it");
        assert_void_number("a = 9223372036854775808L;",
                           "9223372036854775808L does not fit in 64 bits");
        assert_void_number("a = 99999999999999999999;",
                           "99999999999999999999 does not fit in 64 bits");
        assert_void_number("a = 1e400;", "1e400 is too large");
        assert_void_number("a = \"x\\x00y\";", "\\x00 would end the text");
}
END_TEST

START_TEST(test_nul)
{
        const Slice texts[] = {
                SLICE_LITERAL("a = 1;\n\0b = 2;"),
                SLICE_LITERAL("a = 1;\n# x \0 y\nb = 2;"),
                SLICE_LITERAL("a = 1;\n/* x \0 */ b = 2;"),
                SLICE_LITERAL("a =\n\"x\0y\";"),
        };
        Report report;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                ck_assert_int_eq(check(texts[i], &report), LEXICAL_E_INVALID);
                ck_assert_uint_eq(report.line, 2);
                ck_assert_str_eq(report.message, "the file has a NUL byte");
        }
}
END_TEST

START_TEST(test_bounds)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        Report report;

        for (unsigned i = 0; i <= LEXICAL_NAMES_MAX; i++)
                ck_assert_int_eq(buffer_appendf(&buffer, "a%u=1;\n", i), 0);
        ck_assert_int_eq(check(buffer_slice(&buffer), &report), LEXICAL_E_INVALID);
        ck_assert_uint_eq(report.line, LEXICAL_NAMES_MAX + 1);
        ck_assert_str_eq(report.message, "more than 4096 settings in one group");

        buffer_clear(&buffer);
        ck_assert_int_eq(buffer_append_string(&buffer, "a="), 0);
        for (unsigned i = 0; i < LEXICAL_DEPTH_MAX; i++)
                ck_assert_int_eq(buffer_append_byte(&buffer, '('), 0);
        size_t inner = buffer.size;
        for (unsigned i = 0; i < LEXICAL_DEPTH_MAX; i++)
                ck_assert_int_eq(buffer_append_byte(&buffer, ')'), 0);
        ck_assert_int_eq(check(buffer_slice(&buffer), &report), 0);
        buffer_truncate(&buffer, inner);
        ck_assert_int_eq(buffer_append_byte(&buffer, '('), 0);
        ck_assert_int_eq(check(buffer_slice(&buffer), &report), LEXICAL_E_INVALID);
        ck_assert_str_eq(report.message, "nested deeper than 64");
        buffer_deinit(&buffer);
}
END_TEST

/* Text made of pieces of the syntax, for the most part nearly right. */
static void make_text(char *text, size_t size)
{
        static const char *const pieces[] = {
                "a",         "b",      " = ",   " : ",   "1",     "2L", "1.5",  "\"x\"",
                "true",      "{",      "}",     "(",     ")",     "[",  "]",    ";",
                ",",         "\n",     "# c\n", "/* */", "//",    "-1", "0x1F", "\"",
                "\\",        "a = 1;", "b2=",   "a={",   "};",    " ",  ".5",   "1e3",
                "b = \"q\"", "*",      "TRUE",  "_",     "c=[1,", "2]", "é",    "x=(",
        };
        size_t n = unit_random() % 24, used = 0;

        text[0] = 0;
        while (n-- > 0 && used < size)
                used += snprintf(text + used, size - used, "%s",
                                 pieces[unit_random() % ELEMENTSOF(pieces)]);
}

START_TEST(test_against_libconfig)
{
        unsigned n_accepted = 0;

        for (unsigned i = 0; i < 100000; i++) {
                char text[256];
                Report report;

                make_text(text, sizeof(text));
                if (check(slice_from_string(text), &report) != 0)
                        continue;
                n_accepted++;
                ck_assert_msg(libconfig_reads(text), "%s", text);
        }
        ck_assert_uint_gt(n_accepted, 1000);
}
END_TEST

/* The structure of a text that was cut anywhere. */
START_TEST(test_cut_anywhere)
{
        static const char text[] =
                "a = { b = [ 1, 2 ]; c = \"x\\\"y\"; /* d */ e = ( { f = 1.5; }, "
                "true ); }; # g\nh : 0x1F; i = -5L;";

        for (size_t size = 0; size < sizeof(text); size++) {
                _cleanup_free_ char *cut = strndup(text, size);
                Report report;

                if (check(slice_from_string(cut), &report) == 0)
                        ck_assert_msg(libconfig_reads(cut), "%s", cut);
                else
                        ck_assert_uint_ge(report.n, 1);
        }
}
END_TEST

UNIT_MAIN("config-lexical", test_accepted, test_refused, test_numbers, test_nul, test_bounds,
          test_against_libconfig, test_cut_anywhere);
