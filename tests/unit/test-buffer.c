/* SPDX-License-Identifier: Apache-2.0 */

#include <stdint.h>
#include "base/buffer.h"
#include "unit.h"

START_TEST(test_append)
{
        Buffer buffer = BUFFER_NULL(1024);

        ck_assert_int_eq(buffer_append_string(&buffer, "one "), 0);
        ck_assert_int_eq(buffer_append_slice(&buffer, SLICE_LITERAL("two ")), 0);
        ck_assert_int_eq(buffer_append_byte(&buffer, '3'), 0);
        ck_assert_int_eq(buffer_append(&buffer, NULL, 0), 0);
        ck_assert_slice(buffer_slice(&buffer), "one two 3");
        buffer_deinit(&buffer);
        ck_assert_uint_eq(buffer_slice(&buffer).size, 0);
}
END_TEST

START_TEST(test_numbers)
{
        Buffer buffer = BUFFER_NULL(1024);

        ck_assert_int_eq(buffer_append_uint(&buffer, 0), 0);
        ck_assert_int_eq(buffer_append_byte(&buffer, ' '), 0);
        ck_assert_int_eq(buffer_append_uint(&buffer, UINT64_MAX), 0);
        ck_assert_int_eq(buffer_append_byte(&buffer, ' '), 0);
        ck_assert_int_eq(buffer_append_int(&buffer, INT64_MIN), 0);
        ck_assert_int_eq(buffer_append_byte(&buffer, ' '), 0);
        ck_assert_int_eq(buffer_append_int(&buffer, INT64_MAX), 0);
        ck_assert_slice(buffer_slice(&buffer), "0 18446744073709551615 -9223372036854775808 "
                                               "9223372036854775807");
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(test_format)
{
        Buffer buffer = BUFFER_NULL(1024);
        char longer[601];

        memset(longer, 'x', 600);
        longer[600] = '\0';
        ck_assert_int_eq(buffer_appendf(&buffer, "%d-%s", 7, "a"), 0);
        ck_assert_slice(buffer_slice(&buffer), "7-a");
        buffer_clear(&buffer);
        ck_assert_int_eq(buffer_appendf(&buffer, "%s", longer), 0);
        ck_assert_slice(buffer_slice(&buffer), longer);
        ck_assert_int_eq(buffer_appendf(&buffer, "%s", longer), -ENOBUFS);
        ck_assert_slice(buffer_slice(&buffer), longer);
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(test_limit)
{
        Buffer buffer = BUFFER_NULL(5);
        char *to;

        ck_assert_int_eq(buffer_append_string(&buffer, "12345"), 0);
        ck_assert_int_eq(buffer_append_byte(&buffer, '6'), -ENOBUFS);
        ck_assert_int_eq(buffer_reserve(&buffer, SIZE_MAX, &to), -ENOBUFS);
        buffer_consume(&buffer, 2);
        ck_assert_int_eq(buffer_append_string(&buffer, "678"), -ENOBUFS);
        ck_assert_int_eq(buffer_append_string(&buffer, "67"), 0);
        ck_assert_slice(buffer_slice(&buffer), "34567");
        buffer_truncate(&buffer, 2);
        ck_assert_slice(buffer_slice(&buffer), "34");
        buffer_truncate(&buffer, 3);
        ck_assert_slice(buffer_slice(&buffer), "34");
        buffer_deinit(&buffer);
}
END_TEST

/* A queue that is never empty: the allocation must stay bounded and the bytes in order. */
START_TEST(test_queue)
{
        Buffer buffer = BUFFER_NULL(1000);
        unsigned written = 0, read = 0;

        for (unsigned round = 0; round < 20000; round++) {
                unsigned n = round % 7 + 1;

                for (unsigned i = 0; i < n; i++) {
                        if (buffer_append_byte(&buffer, (char)(written % 251)) == 0)
                                written++;
                }
                for (unsigned i = 0; i < (round * 5) % 7 && buffer.size > 1; i++) {
                        ck_assert_int_eq((unsigned char)*buffer_slice(&buffer).data, read % 251);
                        buffer_consume(&buffer, 1);
                        read++;
                }
                ck_assert_uint_le(buffer.size, 1000);
                ck_assert_uint_le(buffer.capacity, 2000);
        }
        ck_assert_uint_eq(buffer.size, written - read);
        ck_assert_uint_gt(read, 10000);
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(test_trim)
{
        Buffer buffer = BUFFER_NULL(100000);
        char *to;

        ck_assert_int_eq(buffer_reserve(&buffer, 50000, &to), 0);
        memset(to, 'a', 50000);
        buffer_commit(&buffer, 50000);
        buffer_trim(&buffer, 4096);
        ck_assert_uint_eq(buffer.size, 50000);
        buffer_consume(&buffer, 50000);
        buffer_trim(&buffer, 50000);
        ck_assert_uint_ge(buffer.capacity, 50000);
        buffer_trim(&buffer, 4096);
        ck_assert_uint_eq(buffer.capacity, 0);
        ck_assert_uint_eq(buffer.maximum, 100000);
        ck_assert_int_eq(buffer_append_byte(&buffer, 'b'), 0);
        ck_assert_slice(buffer_slice(&buffer), "b");
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(test_steal)
{
        _cleanup_free_ char *first = NULL, *empty = NULL;
        Buffer buffer = BUFFER_NULL(8);

        ck_assert_int_eq(buffer_append_string(&buffer, "12345678"), 0);
        buffer_consume(&buffer, 3);
        first = buffer_steal_string(&buffer);
        ck_assert_str_eq(first, "45678");
        ck_assert_uint_eq(buffer.size, 0);
        empty = buffer_steal_string(&buffer);
        ck_assert_str_eq(empty, "");
        ck_assert_int_eq(buffer_append_string(&buffer, "again"), 0);
        buffer_deinit(&buffer);
}
END_TEST

UNIT_MAIN("buffer", test_append, test_numbers, test_format, test_limit, test_queue, test_trim,
          test_steal);
