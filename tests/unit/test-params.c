/* SPDX-License-Identifier: Apache-2.0 */

#include "control/params.h"
#include "unit.h"

typedef struct Sample {
        const char *name;
        Slice text;
        int64_t number;
        double real;
        bool flag;
        Slice object;
        Slice array;
        Slice any;
        char **strings;
} Sample;

static const ParamField sample_fields[] = {
        { "name", PARAM_STRING, true, offsetof(Sample, name) },
        { "text", PARAM_TEXT, false, offsetof(Sample, text) },
        { "number", PARAM_INTEGER, false, offsetof(Sample, number) },
        { "real", PARAM_DOUBLE, false, offsetof(Sample, real) },
        { "flag", PARAM_BOOLEAN, false, offsetof(Sample, flag) },
        { "object", PARAM_OBJECT, false, offsetof(Sample, object) },
        { "array", PARAM_ARRAY, false, offsetof(Sample, array) },
        { "any", PARAM_ANY, false, offsetof(Sample, any) },
        { "strings", PARAM_STRINGS, false, offsetof(Sample, strings) },
};

static int decode(const char *text, ParamArena *arena, Sample *ret, const char **ret_wrong)
{
        return params_decode(slice_from_string(text), sample_fields, ELEMENTSOF(sample_fields),
                             arena, ret, ret_wrong);
}

START_TEST(test_params)
{
        Sample sample = { .number = 7, .flag = true };
        ParamArena arena = {};
        const char *wrong;

        ck_assert_int_eq(decode("{\"name\":\"\\u00e9\\n\",\"text\":\"plain\",\"real\":0.5,"
                                "\"object\":{\"a\":1},\"array\":[1, 2],\"any\":false,"
                                "\"strings\":[\"x\",\"\\\"\"],\"number\":null}",
                                &arena, &sample, &wrong),
                         0);
        ck_assert_str_eq(sample.name, "\xC3\xA9\n");
        ck_assert_slice(sample.text, "plain");
        ck_assert_int_eq(sample.number, 7);
        ck_assert(sample.real == 0.5);
        ck_assert(sample.flag);
        ck_assert_slice(sample.object, "{\"a\":1}");
        ck_assert_slice(sample.array, "[1, 2]");
        ck_assert_slice(sample.any, "false");
        ck_assert_str_eq(sample.strings[0], "x");
        ck_assert_str_eq(sample.strings[1], "\"");
        ck_assert_ptr_null(sample.strings[2]);
        param_arena_deinit(&arena);
}
END_TEST

START_TEST(test_params_refused)
{
        static const char *const cases[][2] = {
                { "{}", "name" },
                { "{\"name\":null}", "name" },
                { "{\"name\":1}", "name" },
                { "{\"name\":\"a\\u0000b\"}", "name" },
                { "{\"name\":\"\\\\u0000\",\"text\":\"\\\\\\u0000\"}", "text" },
                { "{\"name\":\"\",\"nmae\":1}", "nmae" },
                { "{\"name\":\"\",\"number\":1.5}", "number" },
                { "{\"name\":\"\",\"number\":9223372036854775808}", "number" },
                { "{\"name\":\"\",\"number\":\"1\"}", "number" },
                { "{\"name\":\"\",\"real\":\"1\"}", "real" },
                { "{\"name\":\"\",\"flag\":0}", "flag" },
                { "{\"name\":\"\",\"object\":[]}", "object" },
                { "{\"name\":\"\",\"array\":{}}", "array" },
                { "{\"name\":\"\",\"strings\":[1]}", "strings" },
                { "{\"name\":\"\",\"strings\":{}}", "strings" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ParamArena arena = {};
                const char *wrong = NULL;
                Sample sample = {};

                ck_assert_msg(decode(cases[i][0], &arena, &sample, &wrong) == -EINVAL, "%s",
                              cases[i][0]);
                ck_assert_str_eq(wrong, cases[i][1]);
                param_arena_deinit(&arena);
        }
}
END_TEST

UNIT_MAIN("params", test_params, test_params_refused);
