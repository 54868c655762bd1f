/* SPDX-License-Identifier: Apache-2.0 */

#include <time.h>
#include "base/clock.h"
#include "unit.h"

START_TEST(test_runs)
{
        usec_t before = clock_monotonic_usec();
        int64_t now = (int64_t)time(NULL) * 1000;

        ck_assert_uint_gt(before, 0);
        ck_assert_uint_ge(clock_monotonic_usec(), before);
        ck_assert_int_ge(clock_epoch_msec(), now - 1000);
        ck_assert_int_le(clock_epoch_msec(), now + 60000);
}
END_TEST

START_TEST(test_freezes)
{
        clock_freeze(5, 7);
        ck_assert_uint_eq(clock_monotonic_usec(), 5);
        ck_assert_int_eq(clock_epoch_msec(), 7);
        clock_freeze(0, 7);
        ck_assert_uint_eq(clock_monotonic_usec(), 0);
        clock_freeze(0, 0);
        ck_assert_uint_gt(clock_monotonic_usec(), 5);
        ck_assert_int_gt(clock_epoch_msec(), 7);
}
END_TEST

START_TEST(test_add_saturates)
{
        ck_assert_uint_eq(usec_add(1, 2), 3);
        ck_assert_uint_eq(usec_add(USEC_INFINITY, 0), USEC_INFINITY);
        ck_assert_uint_eq(usec_add(USEC_INFINITY, 1), USEC_INFINITY);
        ck_assert_uint_eq(usec_add(USEC_INFINITY - 1, 1), USEC_INFINITY);
        ck_assert_uint_eq(usec_add(2, USEC_INFINITY - 1), USEC_INFINITY);
}
END_TEST

UNIT_MAIN("clock", test_runs, test_freezes, test_add_saturates);
