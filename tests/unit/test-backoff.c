/* SPDX-License-Identifier: Apache-2.0 */

#include "base/backoff.h"
#include "unit.h"

static void check_range(const Backoff *backoff, unsigned n, usec_t full)
{
        ck_assert_uint_eq(backoff_delay(backoff, n, 0), full - full / 2);
        ck_assert_uint_eq(backoff_delay(backoff, n, full / 2), full);
        for (unsigned i = 0; i < 1000; i++) {
                usec_t delay = backoff_delay(backoff, n, random_u64());

                ck_assert_uint_ge(delay, full / 2);
                ck_assert_uint_le(delay, full);
        }
}

START_TEST(test_doubles_up_to_maximum)
{
        static const Backoff backoff = { 200 * USEC_PER_MSEC, 30 * USEC_PER_SEC };

        check_range(&backoff, 1, 200 * USEC_PER_MSEC);
        check_range(&backoff, 2, 400 * USEC_PER_MSEC);
        check_range(&backoff, 5, 3200 * USEC_PER_MSEC);
        check_range(&backoff, 8, 25600 * USEC_PER_MSEC);
        check_range(&backoff, 9, 30 * USEC_PER_SEC);
        check_range(&backoff, UINT32_MAX, 30 * USEC_PER_SEC);
}
END_TEST

START_TEST(test_extremes)
{
        static const Backoff none = { 0, 0 }, odd = { 3, USEC_INFINITY }, low_maximum = { 10, 4 };

        ck_assert_uint_eq(backoff_delay(&none, 1, 123), 0);
        ck_assert_uint_eq(backoff_delay(&none, UINT32_MAX, 123), 0);
        ck_assert_uint_eq(backoff_delay(&odd, 1, 0), 2);
        ck_assert_uint_eq(backoff_delay(&odd, 1, 1), 3);
        ck_assert_uint_ge(backoff_delay(&odd, 10000, 0), USEC_INFINITY / 2);
        ck_assert_uint_eq(backoff_delay(&low_maximum, 1, 2), 4);
        ck_assert_uint_eq(backoff_delay(&low_maximum, 0, 2), 4);
}
END_TEST

START_TEST(test_random_differs)
{
        ck_assert_uint_ne(random_u64(), random_u64());
}
END_TEST

UNIT_MAIN("backoff", test_doubles_up_to_maximum, test_extremes, test_random_differs);
