/* SPDX-License-Identifier: Apache-2.0 */

#include "base/strv.h"
#include "unit.h"

START_TEST(test_empty)
{
        _cleanup_(strv_freep) char **copy = NULL;

        ck_assert_uint_eq(strv_length(NULL), 0);
        ck_assert(!strv_contains(NULL, "a"));
        ck_assert_ptr_null(strv_get_env(NULL, "a"));
        ck_assert_ptr_null(strv_free(NULL));
        ck_assert_int_eq(strv_copy(&copy, NULL), 0);
        ck_assert_ptr_nonnull(copy);
        ck_assert_uint_eq(strv_length(copy), 0);
}
END_TEST

START_TEST(test_append_and_copy)
{
        _cleanup_(strv_freep) char **strv = NULL, **copy = NULL;
        unsigned n = 0;

        ck_assert_int_eq(strv_append(&strv, "one"), 0);
        ck_assert_int_eq(strv_append(&strv, ""), 0);
        ck_assert_int_eq(strv_append(&strv, "three"), 0);
        ck_assert_uint_eq(strv_length(strv), 3);
        ck_assert_int_eq(strv_copy(&copy, strv), 0);
        STRV_FOREACH (s, copy) {
                ck_assert_str_eq(*s, strv[n]);
                ck_assert_ptr_ne(*s, strv[n++]);
        }
        ck_assert_uint_eq(n, 3);
        ck_assert(strv_contains(copy, ""));
        ck_assert(strv_contains(copy, "three"));
        ck_assert(!strv_contains(copy, "thre"));
}
END_TEST

START_TEST(test_environment)
{
        _cleanup_(strv_freep) char **env = NULL;

        ck_assert_int_eq(strv_set_env(&env, "PATH=/bin"), 0);
        ck_assert_int_eq(strv_set_env(&env, "PATHS=x"), 0);
        ck_assert_int_eq(strv_set_env(&env, "PATH=/usr/bin"), 0);
        ck_assert_int_eq(strv_set_env(&env, "EMPTY="), 0);
        ck_assert_int_eq(strv_set_env(&env, "EQUALS=a=b"), 0);
        ck_assert_uint_eq(strv_length(env), 4);
        ck_assert_str_eq(strv_get_env(env, "PATH"), "/usr/bin");
        ck_assert_str_eq(strv_get_env(env, "PATHS"), "x");
        ck_assert_str_eq(strv_get_env(env, "EMPTY"), "");
        ck_assert_str_eq(strv_get_env(env, "EQUALS"), "a=b");
        ck_assert_ptr_null(strv_get_env(env, "PAT"));
        ck_assert_int_eq(strv_set_env(&env, "none"), -EINVAL);
        ck_assert_int_eq(strv_set_env(&env, "=none"), -EINVAL);
        ck_assert_uint_eq(strv_length(env), 4);
}
END_TEST

UNIT_MAIN("strv", test_empty, test_append_and_copy, test_environment);
