/* SPDX-License-Identifier: Apache-2.0 */

#include <json-c/json.h>
#include <stdio.h>
#include "base/json.h"
#include "unit.h"

static void check_good(Slice text)
{
        JsonError error = { 0 };
        int r = json_check(text, &error);

        ck_assert_msg(r == 0, "%.*s: %s at %zu", (int)text.size, text.data, error.message,
                      error.offset);
}

static void check_bad(Slice text, size_t offset, const char *message)
{
        JsonError error = { 0 };

        ck_assert_msg(json_check(text, &error) == -EBADMSG, "accepted: %.*s", (int)text.size,
                      text.data);
        ck_assert_msg(error.offset == offset, "%.*s: %s at %zu, not %zu", (int)text.size, text.data,
                      error.message, error.offset, offset);
        ck_assert_msg(!message || strstr(error.message, message), "%.*s: \"%s\", not \"%s\"",
                      (int)text.size, text.data, error.message, message);
        ck_assert_int_eq(json_check(text, NULL), -EBADMSG);
}

START_TEST(test_accepts)
{
        static const char *const good[] = {
                "null",
                "true",
                "false",
                "0",
                "-0",
                "1",
                "-1",
                "10",
                "1234567890123456789012345678901234567890",
                "0.5",
                "-0.0",
                "1.25",
                "0e0",
                "1E5",
                "1e+5",
                "1e-5",
                "1.5e007",
                "1e999999",
                "\"\"",
                "\"a\"",
                "\"exactly 8\"",
                "\"sixteen bytes...\"",
                "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                "\"\\u0000\\u001f\\u20AC\\uffff\"",
                "\"\\ud83d\\ude00\"",
                "\"\\ud83d\"",
                "\"\\ude00\\ud83d\"",
                "\"\x7f\"",
                "\"\xc2\x80\xdf\xbf\"",
                "\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"",
                "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
                "\"\xef\xbb\xbf\"",
                "[]",
                "{}",
                " [ ] ",
                "\t{\r\n}\n",
                "[1]",
                "[1,2]",
                "[ 1 , 2 ]",
                "[[],{},[[]],\"\",null]",
                "{\"a\":1}",
                "{\"\":1}",
                "{\"a\":1,\"a\":2}",
                "{ \"a\" : { \"b\" : [ true , false , null ] } , \"c\" : -1.5e2 }",
                "[\"]\",\"}\",\"\\\"]\"]",
                "[0]",
                "[-0,0.0]",
                "{\"\\u0061\":0}",
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                check_good(slice_from_string(good[i]));
}
END_TEST

static const struct {
        const char *text;
        size_t offset;
        const char *message;
} refused[] = {
        { "", 0, "unexpected end" },
        { "  ", 2, "unexpected end" },
        { "nul", 3, "unexpected end" },
        { "nulL", 3, "true, false or null" },
        { "True", 0, "value expected" },
        { "trueu", 4, "more after" },
        { "NaN", 0, "value expected" },
        { "Infinity", 0, "value expected" },
        { "-Infinity", 1, "digit expected" },
        { "undefined", 0, "value expected" },
        { "+1", 0, "value expected" },
        { ".5", 0, "value expected" },
        { "-", 1, "unexpected end" },
        { "-a", 1, "digit expected" },
        { "01", 1, "leading zero" },
        { "-01", 2, "leading zero" },
        { "00", 1, "leading zero" },
        { "1.", 2, "unexpected end" },
        { "1.a", 2, "digit expected" },
        { "1.e5", 2, "digit expected" },
        { "1e", 2, "unexpected end" },
        { "1e+", 3, "unexpected end" },
        { "1e+x", 3, "digit expected" },
        { "1e5.5", 3, "more after" },
        { "0x10", 1, "more after" },
        { "1 2", 2, "more after" },
        { "'a'", 0, "value expected" },
        { "\"", 1, "unexpected end" },
        { "\"abc", 4, "unexpected end" },
        { "\"abc\\\"", 6, "unexpected end" },
        { "\"\\", 2, "unexpected end" },
        { "\"\\x41\"", 2, "invalid escape" },
        { "\"\\'\"", 2, "invalid escape" },
        { "\"\\U0041\"", 2, "invalid escape" },
        { "\"\\u\"", 3, "four hexadecimal" },
        { "\"\\u12\"", 5, "four hexadecimal" },
        { "\"\\u12g4\"", 5, "four hexadecimal" },
        { "\"\\u123", 6, "unexpected end" },
        { "\"a\nb\"", 2, "control character" },
        { "\"\tb\"", 1, "control character" },
        { "\"12345678\x1f\"", 9, "control character" },
        { "\"1234567\x01\"", 8, "control character" },
        { "\"\x80\"", 1, "invalid UTF-8" },
        { "\"\xbf\"", 1, "invalid UTF-8" },
        { "\"\xc0\x80\"", 1, "invalid UTF-8" },
        { "\"\xc1\xbf\"", 1, "invalid UTF-8" },
        { "\"\xc2\"", 1, "invalid UTF-8" },
        { "\"\xc2g\"", 1, "invalid UTF-8" },
        { "\"\xe0\x9f\xbf\"", 1, "invalid UTF-8" },
        { "\"\xe1\x80\"", 1, "invalid UTF-8" },
        { "\"\xe1\x80g\"", 1, "invalid UTF-8" },
        { "\"\xed\xa0\x80\"", 1, "invalid UTF-8" },
        { "\"\xed\xbf\xbf\"", 1, "invalid UTF-8" },
        { "\"\xf0\x8f\xbf\xbf\"", 1, "invalid UTF-8" },
        { "\"\xf1\x80\x80g\"", 1, "invalid UTF-8" },
        { "\"\xf4\x90\x80\x80\"", 1, "invalid UTF-8" },
        { "\"\xf5\x80\x80\x80\"", 1, "invalid UTF-8" },
        { "\"\xff\"", 1, "invalid UTF-8" },
        { "\"123456789\xff\"", 10, "invalid UTF-8" },
        { "\xef\xbb\xbf{}", 0, "value expected" },
        { "\f1", 0, "value expected" },
        { "\xc2\xa0"
          "1",
          0, "value expected" },
        { "[", 1, "unexpected end" },
        { "]", 0, "value expected" },
        { "[1", 2, "unexpected end" },
        { "[1,", 3, "unexpected end" },
        { "[1,]", 3, "value expected" },
        { "[,1]", 1, "value expected" },
        { "[1,,2]", 3, "value expected" },
        { "[1 2]", 3, "',' or ']'" },
        { "[1}", 2, "',' or ']'" },
        { "[\"a\":1]", 4, "',' or ']'" },
        { "[1]]", 3, "more after" },
        { "[/* */1]", 1, "value expected" },
        { "{", 1, "unexpected end" },
        { "{]", 1, "member name" },
        { "{1:2}", 1, "member name" },
        { "{a:2}", 1, "member name" },
        { "{'a':2}", 1, "member name" },
        { "{null:2}", 1, "member name" },
        { "{\"a\"}", 4, "':' expected" },
        { "{\"a\" 1}", 5, "':' expected" },
        { "{\"a\":}", 5, "value expected" },
        { "{\"a\":1", 6, "unexpected end" },
        { "{\"a\":1]", 6, "',' or '}'" },
        { "{\"a\":1,}", 7, "member name" },
        { "{\"a\":1 \"b\":2}", 7, "',' or '}'" },
        { "{\"a\":1,,\"b\":2}", 7, "member name" },
        { "{\"a\"::1}", 5, "value expected" },
        { "{\"a\":1}{", 7, "more after" },
        { "{\"\xff\":1}", 2, "invalid UTF-8" },
        { "{\"a", 3, "unexpected end" },
        { "{,}", 1, "member name" },
};

START_TEST(test_refuses)
{
        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                check_bad(slice_from_string(refused[i].text), refused[i].offset,
                          refused[i].message);
        check_bad(SLICE_NULL, 0, "unexpected end");
        check_bad((Slice){ "1\0", 2 }, 1, "more after");
        check_bad((Slice){ "\"\0\"", 3 }, 1, "control character");
        check_bad((Slice){ "\"\\\0\"", 4 }, 2, "invalid escape");
        check_bad((Slice){ "[\0]", 3 }, 1, "value expected");
        /* Text that goes on behind the slice. */
        check_bad((Slice){ "\"\xe2\x82\xac\"", 3 }, 1, "invalid UTF-8");
        check_bad((Slice){ "\"\\u20ac\"", 6 }, 6, "unexpected end");
        check_bad((Slice){ "[1]", 2 }, 2, "unexpected end");
}
END_TEST

/* depth opening brackets, objects and arrays in turn, and as many closing ones. */
static char *nested(unsigned depth)
{
        Buffer buffer = BUFFER_NULL(1 << 20);

        for (unsigned i = 0; i < depth; i++)
                ck_assert_int_eq(buffer_append_string(&buffer, i % 3 ? "[" : "{\"a\":"), 0);
        ck_assert_int_eq(buffer_append_byte(&buffer, '1'), 0);
        for (unsigned i = depth; i-- > 0;)
                ck_assert_int_eq(buffer_append_byte(&buffer, i % 3 ? ']' : '}'), 0);
        return buffer_steal_string(&buffer);
}

START_TEST(test_depth)
{
        _cleanup_free_ char *deepest = nested(JSON_DEPTH_MAX), *deeper = nested(JSON_DEPTH_MAX + 1);
        static char brackets[1 << 20];
        Slice value;

        check_good(slice_from_string(deepest));
        check_bad(slice_from_string(deeper), 300 * 5 + 600, "nested too deeply");
        memset(brackets, '[', sizeof(brackets));
        check_bad((Slice){ brackets, sizeof(brackets) }, JSON_DEPTH_MAX, "nested too deeply");
        value = json_member(slice_from_string(deepest), "a");
        ck_assert_uint_eq(value.size, strlen(deepest) - 6);

        /* The wrong bracket at the innermost level is seen too. */
        *strchr(deepest, '1') = '}';
        ck_assert_int_eq(json_check(slice_from_string(deepest), NULL), -EBADMSG);
}
END_TEST

static const char sample[] =
        "{ \"taskId\" : \"t-1\", \"n\": [ -1.5e+3 , 0, true,false,null ],\"empty\":{}, \"e\":[],"
        "\"text\":\"a \\\"quoted\\\" \\u00e9\\\\\", \"utf8\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"
        "\", \"deep\":[[{\"a\":[{\"b\":\"]}\"}]}]], \"last\":1 }";

START_TEST(test_every_prefix_is_refused)
{
        check_good(SLICE_LITERAL(sample));
        for (size_t size = 0; size < sizeof(sample) - 1; size++) {
                /* A copy of that size, so that a sanitiser sees reads past the end. */
                _cleanup_free_ char *copy = malloc(MAX(size, 1U));
                JsonError error;

                memcpy(copy, sample, size);
                ck_assert_int_eq(json_check((Slice){ copy, size }, &error), -EBADMSG);
                ck_assert_uint_le(error.offset, size);
        }
}
END_TEST

/* A position that a plain byte may be at, in front of every alignment of the bytes after it. */
START_TEST(test_special_bytes_at_every_offset)
{
        char text[40];

        for (size_t size = 2; size < sizeof(text); size++) {
                for (size_t i = 1; i + 1 < size; i++) {
                        memset(text, 'p', size);
                        text[0] = text[size - 1] = '"';
                        check_good((Slice){ text, size });
                        text[i] = '\x1f';
                        check_bad((Slice){ text, size }, i, "control");
                        text[i] = '\x80';
                        check_bad((Slice){ text, size }, i, "UTF-8");
                        text[i] = '"';
                        check_bad((Slice){ text, size }, i + 1, "more after");
                        text[i] = '\\';
                        check_bad((Slice){ text, size }, i + 1 < size - 1 ? i + 1 : size, NULL);
                }
        }
}
END_TEST

static bool json_c_accepts(const char *text, size_t size)
{
        struct json_tokener *tokener = json_tokener_new_ex(1000);
        struct json_object *object;
        bool good;

        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        object = json_tokener_parse_ex(tokener, text, (int)size + 1);
        good = json_tokener_get_error(tokener) == json_tokener_success;
        json_object_put(object);
        json_tokener_free(tokener);
        return good;
}

/* json-c is laxer than we are in numbers, words and quotes; for structure it has to agree. */
START_TEST(test_agrees_with_json_c)
{
        static const char alphabet[] = "{}[]:,\"1 ";
        unsigned n_good = 0;

        for (unsigned i = 0; i < 300000; i++) {
                char text[16] = { 0 };
                size_t size = 1 + unit_random() % 10;
                bool ours;

                for (size_t k = 0; k < size; k++)
                        text[k] = alphabet[unit_random() % (sizeof(alphabet) - 1)];
                ours = json_check((Slice){ text, size }, NULL) == 0;
                n_good += ours;
                ck_assert_msg(ours == json_c_accepts(text, size), "ours %d: %s", ours, text);
        }
        ck_assert_uint_gt(n_good, 1000);
}
END_TEST

/* Whatever a mutation makes of the sample: what we accept json-c accepts too, and no walk leaves
 * the text or goes on for ever, checked or not. */
START_TEST(test_mutations)
{
        static const char bytes[] = "{}[]:,\"\\ \n0123456789-+.eEtfnu\xc3\xff";
        unsigned n_good = 0;

        for (unsigned i = 0; i < 50000; i++) {
                _cleanup_free_ char *text = strdup(sample);
                size_t size = sizeof(sample) - 1;
                unsigned steps = 0;
                Slice key, value;

                for (uint64_t n = unit_random() % 3; n < 3; n++)
                        text[unit_random() % size] = bytes[unit_random() % (sizeof(bytes) - 1)];
                if (json_check((Slice){ text, size }, NULL) == 0) {
                        n_good++;
                        ck_assert_msg(json_c_accepts(text, size), "%s", text);
                }
                JSON_FOREACH_MEMBER (key, value, ((Slice){ text, size })) {
                        ck_assert(key.data >= text && key.data + key.size <= text + size);
                        ck_assert(value.data >= text && value.data + value.size <= text + size);
                        ck_assert_uint_lt(steps++, 1000);
                }
        }
        ck_assert_uint_gt(n_good, 1000);
}
END_TEST

START_TEST(test_types)
{
        ck_assert_int_eq(json_type_of(SLICE_LITERAL(" null ")), JSON_NULL);
        ck_assert_int_eq(json_type_of(SLICE_LITERAL("true")), JSON_BOOLEAN);
        ck_assert_int_eq(json_type_of(SLICE_LITERAL("false")), JSON_BOOLEAN);
        ck_assert_int_eq(json_type_of(SLICE_LITERAL("-1")), JSON_NUMBER);
        ck_assert_int_eq(json_type_of(SLICE_LITERAL("\n\"\"")), JSON_STRING);
        ck_assert_int_eq(json_type_of(SLICE_LITERAL("[]")), JSON_ARRAY);
        ck_assert_int_eq(json_type_of(SLICE_LITERAL("{}")), JSON_OBJECT);
        ck_assert_int_eq(json_type_of(SLICE_NULL), _JSON_TYPE_INVALID);
        ck_assert_int_eq(json_type_of(SLICE_LITERAL("  ")), _JSON_TYPE_INVALID);
        ck_assert_str_eq(json_type_to_string(JSON_OBJECT), "object");
        ck_assert_str_eq(json_type_to_string(_JSON_TYPE_INVALID), "nothing");
}
END_TEST

START_TEST(test_walks)
{
        Buffer log = BUFFER_NULL(4096);
        Slice key, value, object = SLICE_LITERAL(sample);

        JSON_FOREACH_MEMBER (key, value, object) {
                ck_assert_int_eq(buffer_appendf(&log, "%.*s=", (int)key.size, key.data), 0);
                ck_assert_int_eq(json_append_compact(&log, value), 0);
                ck_assert_int_eq(buffer_append_byte(&log, ';'), 0);
        }
        ck_assert_slice(buffer_slice(&log),
                        "taskId=\"t-1\";n=[-1.5e+3,0,true,false,null];empty={};e=[];"
                        "text=\"a \\\"quoted\\\" \\u00e9\\\\\";"
                        "utf8=\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\";"
                        "deep=[[{\"a\":[{\"b\":\"]}\"}]}]];last=1;");
        buffer_clear(&log);

        JSON_FOREACH_ELEMENT (value, json_member(object, "n"))
                ck_assert_int_eq(buffer_appendf(&log, "%.*s;", (int)value.size, value.data), 0);
        ck_assert_slice(buffer_slice(&log), "-1.5e+3;0;true;false;null;");
        JSON_FOREACH_ELEMENT (value, json_member(object, "e"))
                ck_abort();
        JSON_FOREACH_MEMBER (key, value, SLICE_LITERAL(" { } "))
                ck_abort();
        JSON_FOREACH_ELEMENT (value, SLICE_LITERAL("12"))
                ck_abort();
        JSON_FOREACH_MEMBER (key, value, SLICE_LITERAL("[1,2]"))
                ck_abort();
        buffer_deinit(&log);
}
END_TEST

START_TEST(test_member)
{
        Slice object = SLICE_LITERAL("{\"a\":1,\"b\":{\"a\":9},\"a\":2,\"\\u0063d\":3,\"e\\n\":4,"
                                     "\"\":5,\"long\":\"{}\"}");

        ck_assert_slice(json_member(object, "a"), "2");
        ck_assert_slice(json_member(object, "b"), "{\"a\":9}");
        ck_assert_slice(json_member(object, "cd"), "3");
        ck_assert_slice(json_member(object, "e\n"), "4");
        ck_assert_slice(json_member(object, ""), "5");
        ck_assert_slice(json_member(object, "long"), "\"{}\"");
        ck_assert_ptr_null(json_member(object, "c").data);
        ck_assert_ptr_null(json_member(object, "\\u0063d").data);
        ck_assert_ptr_null(json_member(SLICE_LITERAL("[\"a\",1]"), "a").data);
        ck_assert_ptr_null(json_member(SLICE_NULL, "a").data);
        ck_assert(json_key_is(SLICE_LITERAL("\\u0061b"), "ab"));
        ck_assert(!json_key_is(SLICE_LITERAL("\\u0061b"), "a"));
        ck_assert(!json_key_is(SLICE_LITERAL("\\u0061b"), "abc"));
}
END_TEST

static void check_decoded(const char *value, const char *expected)
{
        _cleanup_free_ char *text = NULL;

        check_good(slice_from_string(value));
        ck_assert_int_eq(json_decode_string(slice_from_string(value), &text), 0);
        ck_assert_str_eq(text, expected);
}

START_TEST(test_strings)
{
        Slice raw = SLICE_NULL;
        char *text = NULL;

        check_decoded("\"\"", "");
        check_decoded(" \"plain\" ", "plain");
        check_decoded("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
        check_decoded("\"\\u0041\\u00e9\\u20AC\\ud83d\\uDE00\"",
                      "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
        check_decoded("\"\\udbff\\udfff\\ud800\\udc00\"", "\xf4\x8f\xbf\xbf\xf0\x90\x80\x80");
        check_decoded("\"a\\u0000b\"", "a\xef\xbf\xbd"
                                       "b");
        check_decoded("\"\\ud83d\"", "\xef\xbf\xbd");
        check_decoded("\"\\ude00x\"", "\xef\xbf\xbdx");
        check_decoded("\"\\ud83d\\n\"", "\xef\xbf\xbd\n");
        check_decoded("\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80");
        check_decoded("\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
                                            "A");
        ck_assert_int_eq(json_decode_string(SLICE_LITERAL("1"), &text), -EINVAL);
        ck_assert_int_eq(json_decode_string(SLICE_NULL, &text), -EINVAL);
        ck_assert_ptr_null(text);

        ck_assert_int_eq(json_raw_string(SLICE_LITERAL(" \"raw\" "), &raw), 0);
        ck_assert_slice(raw, "raw");
        ck_assert_int_eq(json_raw_string(SLICE_LITERAL("\"\""), &raw), 0);
        ck_assert_slice(raw, "");
        ck_assert_int_eq(json_raw_string(SLICE_LITERAL("\"a\\n\""), &raw), -EINVAL);
        ck_assert_int_eq(json_raw_string(SLICE_LITERAL("null"), &raw), -EINVAL);
}
END_TEST

START_TEST(test_int64)
{
        static const struct {
                const char *text;
                int r;
                int64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "-0", 0, 0 },
                { " 42 ", 0, 42 },
                { "5.0", 0, 5 },
                { "1e3", 0, 1000 },
                { "1.5e1", 0, 15 },
                { "-12.50e2", 0, -1250 },
                { "1000e-2", 0, 10 },
                { "0e99999999999999999999", 0, 0 },
                { "0.000e-5", 0, 0 },
                { "1000000000000000000000000e-24", 0, 1 },
                { "0.000000000000000000000001e24", 0, 1 },
                { "9223372036854775807", 0, INT64_MAX },
                { "-9223372036854775808", 0, INT64_MIN },
                { "9223372036854775807.000", 0, INT64_MAX },
                { "9.223372036854775807e18", 0, INT64_MAX },
                { "9223372036854775808", -ERANGE, 0 },
                { "-9223372036854775809", -ERANGE, 0 },
                { "1e19", -ERANGE, 0 },
                { "1e99999999999999999999", -ERANGE, 0 },
                { "-1e400", -ERANGE, 0 },
                { "1e18446744073709551616", -ERANGE, 0 },
                { "99999999999999999999", -ERANGE, 0 },
                { "0.5", -EINVAL, 0 },
                { "15e-1", -EINVAL, 0 },
                { "1e-99999999999999999999", -EINVAL, 0 },
                { "\"1\"", -EINVAL, 0 },
                { "true", -EINVAL, 0 },
                { "", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int64_t value = 77;

                ck_assert_msg(json_to_int64(slice_from_string(cases[i].text), &value) == cases[i].r,
                              "%s", cases[i].text);
                ck_assert_int_eq(value, cases[i].r == 0 ? cases[i].value : 77);
        }
}
END_TEST

START_TEST(test_double_and_bool)
{
        double number = 0;
        bool flag = false;

        ck_assert_int_eq(json_to_double(SLICE_LITERAL("-1.5e2"), &number), 0);
        ck_assert_double_eq(number, -150.0);
        /* A slice of a longer text: what follows it is not read. */
        ck_assert_int_eq(json_to_double((Slice){ "12345", 2 }, &number), 0);
        ck_assert_double_eq(number, 12.0);
        ck_assert_int_eq(json_to_double(SLICE_LITERAL("1e999"), &number), -ERANGE);
        ck_assert_int_eq(json_to_double(SLICE_LITERAL("\"1\""), &number), -EINVAL);
        ck_assert_int_eq(json_to_bool(SLICE_LITERAL(" true"), &flag), 0);
        ck_assert(flag);
        ck_assert_int_eq(json_to_bool(SLICE_LITERAL("false"), &flag), 0);
        ck_assert(!flag);
        ck_assert_int_eq(json_to_bool(SLICE_LITERAL("0"), &flag), -EINVAL);
}
END_TEST

START_TEST(test_append_string)
{
        Buffer buffer = BUFFER_NULL(1 << 16);
        _cleanup_free_ char *back = NULL;

        ck_assert_int_eq(json_append_string(&buffer, SLICE_LITERAL("")), 0);
        ck_assert_int_eq(json_append_string(&buffer, SLICE_NULL), 0);
        ck_assert_int_eq(json_append_string(&buffer, (Slice){ "a\0\"\\\n\r\t\x1f\x7f/", 10 }), 0);
        ck_assert_int_eq(json_append_string(&buffer, SLICE_LITERAL("\xc3\xa9\xf0\x9f\x98\x80")), 0);
        ck_assert_int_eq(
                json_append_string(&buffer, SLICE_LITERAL("\xff\xc3\xed\xa0\x80z\xe2\x82")), 0);
        ck_assert_slice(
                buffer_slice(&buffer),
                "\"\"\"\"\"a\\u0000\\\"\\\\\\n\\r\\t\\u001f\x7f/\""
                "\"\xc3\xa9\xf0\x9f\x98\x80\""
                "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd"
                "\xef\xbf\xbd\"");
        buffer_clear(&buffer);

        /* Any bytes become a valid string, and valid text comes back as it was. */
        for (unsigned i = 0; i < 5000; i++) {
                char bytes[24];

                for (size_t k = 0; k < sizeof(bytes); k++)
                        bytes[k] = (char)unit_random();
                ck_assert_int_eq(json_append_string(&buffer, (Slice){ bytes, i % 25 }), 0);
                check_good(buffer_slice(&buffer));
                buffer_clear(&buffer);
        }
        ck_assert_int_eq(json_append_string(&buffer, SLICE_LITERAL(sample)), 0);
        ck_assert_int_eq(json_decode_string(buffer_slice(&buffer), &back), 0);
        ck_assert_str_eq(back, sample);
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(test_append_compact)
{
        Buffer buffer = BUFFER_NULL(1 << 16);

        ck_assert_int_eq(json_append_compact(&buffer, SLICE_LITERAL("\n{ \"a b\" :\t[ 1,\r\n 2 ] ,"
                                                                    "\"c \\\" \\\\\" : \" \" }\n")),
                         0);
        ck_assert_slice(buffer_slice(&buffer), "{\"a b\":[1,2],\"c \\\" \\\\\":\" \"}");
        buffer_clear(&buffer);
        ck_assert_int_eq(json_append_compact(&buffer, SLICE_NULL), 0);
        ck_assert_uint_eq(buffer.size, 0);
        buffer_deinit(&buffer);
}
END_TEST

/* What does not fit leaves the buffer as it was, wherever the limit strikes. */
START_TEST(test_append_is_all_or_nothing)
{
        for (size_t limit = 3; limit < 40; limit++) {
                Buffer buffer = BUFFER_NULL(limit);
                int r;

                ck_assert_int_eq(buffer_append_string(&buffer, "abc"), 0);
                r = json_append_string(&buffer, SLICE_LITERAL("pl\xc3\xa9 \n\x01 \xff"));
                ck_assert_int_eq(r, limit >= 3 + 19 ? 0 : -ENOBUFS);
                ck_assert_uint_eq(buffer.size, r == 0 ? 22 : 3);
                buffer_truncate(&buffer, 3);
                r = json_append_compact(&buffer, SLICE_LITERAL("[ 1, \"a b\", {} ]"));
                ck_assert_int_eq(r, limit >= 3 + 12 ? 0 : -ENOBUFS);
                ck_assert_uint_eq(buffer.size, r == 0 ? 15 : 3);
                buffer_deinit(&buffer);
        }
}
END_TEST

UNIT_MAIN("json", test_accepts, test_refuses, test_depth, test_every_prefix_is_refused,
          test_special_bytes_at_every_offset, test_agrees_with_json_c, test_mutations, test_types,
          test_walks, test_member, test_strings, test_int64, test_double_and_bool,
          test_append_string, test_append_compact, test_append_is_all_or_nothing);
