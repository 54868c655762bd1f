/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl's command line, what it reads from replies, and what it writes into calls. */

#include <stdio.h>
#include <unistd.h>
#include "ctl/arguments.h"
#include "ctl/filter.h"
#include "ctl/reply.h"
#include "ctl/submit.h"
#include "ctl/verbs.h"
#include "unit.h"

/* Splits at spaces; the words live in a buffer of the test. */
static ExitCode parse(char *text, Ctl *ctl, CommandLine *ret)
{
        static char *argv[20]; /* what was parsed points into it */
        char *position;
        int argc = 0;

        for (char *word = strtok_r(text, " ", &position); word;
             word = strtok_r(NULL, " ", &position))
                argv[argc++] = word;
        argv[argc] = NULL;
        *ctl = (Ctl){ .legend = true };
        return command_line_parse(argc, argv, ctl, ret);
}

static void assert_usage(const char *text)
{
        char copy[200];
        CommandLine line;
        Ctl ctl;

        (void)snprintf(copy, sizeof(copy), "yardctl %s", text);
        ck_assert_msg(parse(copy, &ctl, &line) == EXIT_USAGE, "%s", text);
}

START_TEST(test_command_line)
{
        char text[] = "yardctl --json scale thumb -2 --socket=/a/b --no-legend";
        CommandLine line;
        Ctl ctl;

        ck_assert_int_eq(parse(text, &ctl, &line), EXIT_DONE);
        ck_assert_str_eq(line.verb->name, "scale");
        ck_assert_int_eq(line.arguments.n_words, 2);
        ck_assert_str_eq(line.arguments.words[0], "thumb");
        ck_assert_str_eq(line.arguments.words[1], "-2");
        ck_assert(ctl.json && !ctl.legend);
        ck_assert_str_eq(ctl.socket, "/a/b");
}
END_TEST

START_TEST(test_verb_options)
{
        char text[] = "yardctl submit x - --priority -5 --wait --unique=a=b --instance i";
        CommandLine line;
        Ctl ctl;

        ck_assert_int_eq(parse(text, &ctl, &line), EXIT_DONE);
        ck_assert_int_eq(line.arguments.n_words, 2);
        ck_assert_str_eq(line.arguments.words[1], "-");
        ck_assert_str_eq(line.arguments.options[SUBMIT_PRIORITY], "-5");
        ck_assert_str_eq(line.arguments.options[SUBMIT_WAIT], "");
        ck_assert_str_eq(line.arguments.options[SUBMIT_UNIQUE], "a=b");
        ck_assert_ptr_null(line.arguments.options[SUBMIT_FORCE]);
        ck_assert_str_eq(ctl.instance, "i");
}
END_TEST

START_TEST(test_end_of_options)
{
        char text[] = "yardctl submit --force -- --json --wait";
        CommandLine line;
        Ctl ctl;

        ck_assert_int_eq(parse(text, &ctl, &line), EXIT_DONE);
        ck_assert(!ctl.json);
        ck_assert_int_eq(line.arguments.n_words, 2);
        ck_assert_str_eq(line.arguments.words[0], "--json");
        ck_assert_str_eq(line.arguments.words[1], "--wait");
        ck_assert_str_eq(line.arguments.options[SUBMIT_FORCE], "");
}
END_TEST

START_TEST(test_two_words)
{
        char text[] = "yardctl task show a b c", help[] = "yardctl task show -h";
        CommandLine line;
        Ctl ctl;

        ck_assert_int_eq(parse(text, &ctl, &line), EXIT_DONE);
        ck_assert_str_eq(line.verb->name, "task show");
        ck_assert_int_eq(line.arguments.n_words, 3);
        ck_assert_int_eq(parse(help, &ctl, &line), EXIT_DONE);
        ck_assert(line.help);
}
END_TEST

START_TEST(test_usage)
{
        assert_usage("nonsense");
        assert_usage("list");
        assert_usage("task dance");
        assert_usage("pause");
        assert_usage("pause a b");
        assert_usage("scale a");
        assert_usage("status --nonsense");
        assert_usage("status --json=yes");
        assert_usage("--socket");
        assert_usage("submit x --priority");
        assert_usage("restart --wait x");
}
END_TEST

/* Each row is complete, and its options fit Arguments. */
START_TEST(test_verbs)
{
        for (const Verb *verb = verbs; verb->name; verb++) {
                size_t n = 0;

                ck_assert_ptr_nonnull(verb->run);
                ck_assert(strncmp(verb->usage, verb->name, strlen(verb->name)) == 0);
                ck_assert(verb->max_words < 0 || verb->min_words <= verb->max_words);
                while (verb->options && verb->options[n].name) {
                        ck_assert_ptr_nonnull(verb->options[n].help);
                        n++;
                }
                ck_assert_uint_le(n, OPTIONS_MAX);
        }
}
END_TEST

START_TEST(test_reply)
{
        Slice object = SLICE_LITERAL("{\"text\":\"a\\u001b[31m\\nb\",\"n\":7,\"yes\":true,"
                                     "\"null\":null,\"real\":0.5,\"list\":[\"x\",\"y\"],"
                                     "\"object\":{\"k\":1}}");
        _cleanup_free_ char *text = member_text(object, "text");
        _cleanup_free_ char *list = member_list(object, "list");
        _cleanup_free_ char *json = member_json(object, "object");
        _cleanup_free_ char *csi = value_text(SLICE_LITERAL("\"\xC2\x9B"
                                                            "31m \xC3\x9B\""));

        ck_assert_str_eq(json, "{\"k\":1}");
        ck_assert_str_eq(csi, "??31m \xC3\x9B");
        ck_assert_str_eq(text, "a?[31m b");
        ck_assert_str_eq(list, "x, y");
        ck_assert_int_eq(member_integer(object, "n"), 7);
        ck_assert(member_true(object, "yes") && !member_true(object, "n"));
        ck_assert(member_is_set(object, "n") && !member_is_set(object, "null"));
        ck_assert(member_number(object, "real") == 0.5);
        ck_assert_uint_eq(array_length(member_array(object, "list")), 2);
        ck_assert_int_eq(member_integer(member_object(object, "object"), "k"), 1);
        /* What is not there, or is something else, stands for nothing. */
        ck_assert_ptr_null(member_text(object, "n"));
        ck_assert_ptr_null(member_text(object, "none"));
        ck_assert_ptr_null(member_list(object, "n"));
        ck_assert_int_eq(member_integer(object, "text"), 0);
        ck_assert_uint_eq(array_length(member_array(object, "object")), 0);
        ck_assert_slice(member_object(object, "list"), "{}");
}
END_TEST

static void assert_shown(char *shown, const char *expected)
{
        if (expected)
                ck_assert_str_eq(shown, expected);
        else
                ck_assert_ptr_null(shown);
        free(shown);
}

START_TEST(test_for_people)
{
        Slice object = SLICE_LITERAL("{\"zero\":0,\"span\":200000000,\"short\":12400,"
                                     "\"past\":1795211270000,\"now\":1795211449500,"
                                     "\"future\":1795211460000,\"bytes\":10485760,\"few\":1023,"
                                     "\"p\":{\"percent\":40,\"stage\":\"s\",\"message\":\"m\"},"
                                     "\"stage\":{\"stage\":\"s\"},\"none\":{}}");

        clock_freeze(1, 1795211450000);
        assert_shown(member_span(object, "span"), "3m 20s");
        assert_shown(member_span(object, "zero"), NULL);
        assert_shown(member_age(object, "short"), "now");
        assert_shown(member_age(object, "span"), "3m 20s");
        assert_shown(member_age(object, "absent"), NULL);
        assert_shown(member_ago(object, "past"), "3m ago");
        assert_shown(member_ago(object, "now"), "just now");
        assert_shown(member_ago(object, "future"), "in 10s");
        assert_shown(member_ago(object, "zero"), NULL);
        assert_shown(member_bytes(object, "bytes"), "10M");
        assert_shown(member_bytes(object, "few"), "1023B");
        assert_shown(bytes_text(1024), "1.0K");
        assert_shown(bytes_text(1023 * 1024), "1.0M");
        assert_shown(bytes_text(UINT64_C(5) << 40), "5.0T");
        assert_shown(bytes_text(UINT64_C(5) << 50), "5120T");
        assert_shown(member_count(object, "few"), "1023");
        assert_shown(member_progress(object, "p"), "40% s: m");
        assert_shown(member_progress(object, "stage"), "s");
        assert_shown(member_progress(object, "none"), NULL);
        clock_freeze(0, 0);
}
END_TEST

START_TEST(test_object)
{
        char *words[] = { "a", "b\"", NULL };
        Object object, inner;

        object_init(&object);
        object_string(&object, "s", "x\n");
        object_string(&object, "left out", NULL);
        object_integer(&object, "n", -3);
        object_true(&object, "t");
        object_raw(&object, "r", SLICE_LITERAL("[1]"));
        object_raw(&object, "left out", SLICE_NULL);
        object_strings(&object, "l", words, 2);
        object_strings(&object, "e", words, 0);
        object_init(&inner);
        object_object(&object, "o", &inner);
        ck_assert_slice(object_finish(&object),
                        "{\"s\":\"x\\n\",\"n\":-3,\"t\":true,\"r\":[1],\"l\":[\"a\",\"b\\\"\"],"
                        "\"e\":[],\"o\":{}}");
        object_deinit(&object);
}
END_TEST

/* What fails inside makes the whole fail: a filter must never be lost on the way. */
START_TEST(test_object_errors_stick)
{
        Object object, inner;

        object_init(&object);
        object_init(&inner);
        inner.error = -ENOMEM;
        object_object(&object, "filter", &inner);
        object_integer(&object, "n", 1);
        ck_assert_uint_eq(object_finish(&object).size, 0);
        ck_assert_int_eq(object.error, -ENOMEM);
        object_deinit(&object);
}
END_TEST

START_TEST(test_when)
{
        int64_t when;

        clock_freeze(1, 1795211450000);
        ck_assert_int_eq(parse_when("--since", "2h", true, &when), EXIT_DONE);
        ck_assert_int_eq(when, 1795211450000 - 7200000);
        ck_assert_int_eq(parse_when("--deadline", "2h", false, &when), EXIT_DONE);
        ck_assert_int_eq(when, 1795211450000 + 7200000);
        ck_assert_int_eq(parse_when("--since", "@1700000000", true, &when), EXIT_DONE);
        ck_assert_int_eq(when, 1700000000000);
        ck_assert_int_eq(parse_when("--since", "soon", true, &when), EXIT_USAGE);
        ck_assert_int_eq(parse_when("--since", "infinity", true, &when), EXIT_USAGE);
        clock_freeze(0, 0);
}
END_TEST

UNIT_MAIN("ctl", test_command_line, test_verb_options, test_end_of_options, test_two_words,
          test_usage, test_verbs, test_reply, test_for_people, test_object,
          test_object_errors_stick, test_when);
