/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>
#include "control/object.h"
#include "unit.h"

static void check_text(Object *object, const char *expected)
{
        json_object *json = object_take(object);

        ck_assert_ptr_nonnull(json);
        ck_assert_str_eq(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN), expected);
        json_object_put(json);
}

START_TEST(test_members)
{
        char *names[] = { (char *)"a", (char *)"b", NULL };
        Object object = object_new();

        object_add_string(&object, "text", "x");
        object_add_string(&object, "nothing", NULL);
        object_add_int(&object, "int", -1);
        object_add_uint(&object, "uint", UINT64_MAX);
        object_add_double(&object, "rate", 0.05);
        object_add_bool(&object, "yes", true);
        object_add_strings(&object, "names", names);
        object_add_strings(&object, "none", NULL);
        check_text(&object, "{\"text\":\"x\",\"int\":-1,\"uint\":9223372036854775807,"
                            "\"rate\":0.05,\"yes\":true,\"names\":[\"a\",\"b\"],\"none\":[]}");
}
END_TEST

START_TEST(test_no_utf8)
{
        Object object = object_new();

        object_add_string(&object, "cut", "gr\xc3\xbc\xc3");
        object_add_string(&object, "inside", "a\xff\xe2\x82z");
        object_add_string(&object, "whole", "gr\xc3\xbc\xc3\x9f");
        check_text(&object, "{\"cut\":\"gr\xc3\xbc?\",\"inside\":\"a???z\","
                            "\"whole\":\"gr\xc3\xbc\xc3\x9f\"}");
}
END_TEST

START_TEST(test_shortage_is_told_at_the_end)
{
        Object object = object_new();

        object_add_int(&object, "before", 1);
        object_add(&object, "short", NULL);
        object_add_int(&object, "after", 2);
        ck_assert_ptr_null(object_take(&object));
        object_deinit(&object);
}
END_TEST

START_TEST(test_arrays)
{
        json_object *array = json_object_new_array();

        array_add(&array, json_object_new_int(1));
        ck_assert_uint_eq(json_object_array_length(array), 1);
        array_add(&array, NULL);
        ck_assert_ptr_null(array);
        array_add(&array, json_object_new_int(2));
        ck_assert_ptr_null(array);
}
END_TEST

UNIT_MAIN("object", test_members, test_no_utf8, test_shortage_is_told_at_the_end, test_arrays);
