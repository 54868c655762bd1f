/* SPDX-License-Identifier: Apache-2.0 */

#include "base/ratelimit.h"
#include "unit.h"

START_TEST(test_unlimited)
{
        RateLimit limit;

        ratelimit_init(&limit, 0, USEC_PER_SEC, 100);
        ck_assert_uint_eq(ratelimit_available(&limit, 100), UINT64_MAX);
        ratelimit_take(&limit, 1000, 100);
        ck_assert_uint_eq(ratelimit_available(&limit, 100), UINT64_MAX);
        ck_assert_uint_eq(ratelimit_next_usec(&limit, 100), 100);
}
END_TEST

START_TEST(test_burst_and_refill)
{
        usec_t now = 5 * USEC_PER_SEC;
        RateLimit limit;

        ratelimit_init(&limit, 10, USEC_PER_SEC, now);
        ck_assert_uint_eq(ratelimit_available(&limit, now), 10);
        ratelimit_take(&limit, 10, now);
        ck_assert_uint_eq(ratelimit_available(&limit, now), 0);
        ck_assert_uint_eq(ratelimit_available(&limit, now + 99 * USEC_PER_MSEC), 0);
        ck_assert_uint_eq(ratelimit_available(&limit, now + 100 * USEC_PER_MSEC), 1);
        ck_assert_uint_eq(ratelimit_available(&limit, now + 550 * USEC_PER_MSEC), 5);
        ck_assert_uint_eq(ratelimit_available(&limit, now + 100 * USEC_PER_SEC), 10);
        /* A clock that stands still or goes back refills nothing. */
        ratelimit_take(&limit, 10, now + 100 * USEC_PER_SEC);
        ck_assert_uint_eq(ratelimit_available(&limit, now + 100 * USEC_PER_SEC), 0);
        ck_assert_uint_eq(ratelimit_available(&limit, now), 0);
}
END_TEST

START_TEST(test_debt)
{
        RateLimit limit;

        ratelimit_init(&limit, 10, USEC_PER_SEC, 0);
        ratelimit_take(&limit, 15, 0);
        ck_assert_uint_eq(ratelimit_available(&limit, 500 * USEC_PER_MSEC), 0);
        ck_assert_uint_eq(ratelimit_available(&limit, 600 * USEC_PER_MSEC), 1);
}
END_TEST

/* Taking each token when it is announced gives exactly the rate, whatever the numbers. */
START_TEST(test_next_is_when_there_is_one)
{
        static const struct {
                uint64_t burst;
                usec_t interval;
        } rates[] = {
                { 1, USEC_PER_DAY },      { 3, USEC_PER_SEC },       { 7, USEC_PER_HOUR },
                { 600, USEC_PER_MINUTE }, { 1000000, USEC_PER_SEC }, { 1, 5 * USEC_PER_SEC },
        };

        for (size_t i = 0; i < ELEMENTSOF(rates); i++) {
                usec_t now = 12345678901, start = now, expected;
                RateLimit limit;

                ratelimit_init(&limit, rates[i].burst, rates[i].interval, now);
                ratelimit_take(&limit, rates[i].burst, now);
                for (unsigned n = 0; n < 1000; n++) {
                        usec_t next = ratelimit_next_usec(&limit, now);

                        ck_assert_uint_gt(next, now);
                        ck_assert_uint_ge(ratelimit_available(&limit, next), 1);
                        ck_assert_uint_eq(ratelimit_next_usec(&limit, next), next);
                        ratelimit_take(&limit, 1, next);
                        now = next;
                }
                expected = (usec_t)(1000.0 * (double)rates[i].interval / (double)rates[i].burst);
                ck_assert_uint_ge(now - start + 1, expected);
                ck_assert_uint_le(now - start, expected + 1001);
        }
}
END_TEST

UNIT_MAIN("ratelimit", test_unlimited, test_burst_and_refill, test_debt,
          test_next_is_when_there_is_one);
