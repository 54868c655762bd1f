/* SPDX-License-Identifier: Apache-2.0 */

#include "source/queue/id.h"
#include "unit.h"

#define TAG UINT64_C(0x123456789abcdef)

static int parse(const char *id, uint64_t tag, int64_t *ret)
{
        return queue_id_parse(slice_from_string(id), tag, ret);
}

START_TEST(text_and_row_are_one)
{
        static const int64_t rows[] = { 0,
                                        1,
                                        7,
                                        8,
                                        32767,
                                        INT64_C(1795211450360) << 15,
                                        (INT64_C(1795211450360) << 15) + 12345,
                                        INT64_MAX };
        static const uint64_t tags[] = { 0, 1, TAG, (UINT64_C(1) << 59) - 1 };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                for (size_t j = 0; j < ELEMENTSOF(tags); j++) {
                        char id[QUEUE_ID_LENGTH + 1];
                        int64_t row = -1;

                        queue_id_format(rows[i], tags[j], id);
                        ck_assert_uint_eq(strlen(id), QUEUE_ID_LENGTH);
                        ck_assert_int_eq(id[14], '7');
                        ck_assert_ptr_nonnull(strchr("89ab", id[19]));
                        ck_assert_int_eq(parse(id, tags[j], &row), 0);
                        ck_assert_int_eq(row, rows[i]);
                }
        }
}
END_TEST

START_TEST(has_the_time_in_front)
{
        char id[QUEUE_ID_LENGTH + 1];

        queue_id_format(queue_row_from_msec(0x0123456789ab), TAG, id);
        ck_assert_int_eq(strncmp(id, "01234567-89ab-7000-8", 20), 0);
        ck_assert_int_eq(queue_row_msec(queue_row_from_msec(0x0123456789ab)), 0x0123456789ab);
}
END_TEST

START_TEST(order_of_texts_is_order_of_rows)
{
        char before[QUEUE_ID_LENGTH + 1] = "", id[QUEUE_ID_LENGTH + 1];
        int64_t row = queue_row_from_msec(1795211450360);

        for (unsigned i = 0; i < 100000; i++, row++) {
                queue_id_format(row, TAG, id);
                ck_assert_int_lt(strcmp(before, id), 0);
                strcpy(before, id);
        }
}
END_TEST

START_TEST(grows_although_the_clock_goes_back)
{
        int64_t row = queue_row_next(0, 5000);

        ck_assert_int_eq(row, queue_row_from_msec(5000));
        ck_assert_int_eq(queue_row_next(row, 5000), row + 1);
        ck_assert_int_eq(queue_row_next(row, 4000), row + 1);
        ck_assert_int_eq(queue_row_next(row, -1), row + 1);
        ck_assert_int_eq(queue_row_next(row, 5001), queue_row_from_msec(5001));
        /* A millisecond that is full borrows from the next. */
        row = queue_row_from_msec(5001) - 1;
        ck_assert_int_eq(queue_row_next(row, 5000), queue_row_from_msec(5001));
}
END_TEST

START_TEST(knows_its_own_ids_only)
{
        char id[QUEUE_ID_LENGTH + 1];
        int64_t row = -1;

        queue_id_format(queue_row_from_msec(1795211450360), TAG, id);
        ck_assert_int_eq(parse(id, TAG + 1, &row), -ENOENT);
        ck_assert_int_eq(parse("7c645825-97f2-442d-8972-b1327d71c9e4", TAG, &row), -ENOENT);
        ck_assert_int_eq(parse("", TAG, &row), -EINVAL);
        ck_assert_int_eq(parse("no-id", TAG, &row), -EINVAL);
        id[8] = '0';
        ck_assert_int_eq(parse(id, TAG, &row), -EINVAL);
        id[8] = '-';
        id[35] = 'g';
        ck_assert_int_eq(parse(id, TAG, &row), -EINVAL);
        ck_assert_int_eq(row, -1);
}
END_TEST

START_TEST(letter_case_does_not_matter)
{
        char id[QUEUE_ID_LENGTH + 1];
        int64_t row = -1;

        queue_id_format(INT64_C(0xabcdef) << 15, TAG, id);
        for (char *p = id; *p; p++)
                *p = *p >= 'a' && *p <= 'f' ? (char)(*p - 'a' + 'A') : *p;
        ck_assert_int_eq(parse(id, TAG, &row), 0);
        ck_assert_int_eq(row, INT64_C(0xabcdef) << 15);
}
END_TEST

UNIT_MAIN("queue-id", text_and_row_are_one, has_the_time_in_front, order_of_texts_is_order_of_rows,
          grows_although_the_clock_goes_back, knows_its_own_ids_only, letter_case_does_not_matter);
