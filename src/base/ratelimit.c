/* SPDX-License-Identifier: Apache-2.0 */

#include "base/ratelimit.h"

/* Sums of fractions of tokens end a little below the whole number that they stand for. */
#define TOKEN_ROUNDING 1e-6

void ratelimit_init(RateLimit *limit, uint64_t burst, usec_t interval_usec, usec_t now_usec)
{
        *limit = (RateLimit){
                .burst = burst,
                .interval_usec = interval_usec,
                .tokens = (double)burst,
                .updated_usec = now_usec,
        };
}

static void ratelimit_refill(RateLimit *limit, usec_t now_usec)
{
        double gained;

        if (now_usec <= limit->updated_usec)
                return;
        gained = (double)(now_usec - limit->updated_usec) * (double)limit->burst /
                 (double)limit->interval_usec;
        limit->updated_usec = now_usec;
        limit->tokens += gained;
        if (limit->tokens > (double)limit->burst)
                limit->tokens = (double)limit->burst;
}

uint64_t ratelimit_available(RateLimit *limit, usec_t now_usec)
{
        if (limit->burst == 0)
                return UINT64_MAX;
        ratelimit_refill(limit, now_usec);
        return limit->tokens > 0 ? (uint64_t)(limit->tokens + TOKEN_ROUNDING) : 0;
}

void ratelimit_take(RateLimit *limit, uint64_t n, usec_t now_usec)
{
        if (limit->burst == 0)
                return;
        ratelimit_refill(limit, now_usec);
        limit->tokens -= (double)n;
}

usec_t ratelimit_next_usec(RateLimit *limit, usec_t now_usec)
{
        double wait;
        usec_t wait_usec;

        if (ratelimit_available(limit, now_usec) > 0)
                return now_usec;
        wait = (1.0 - limit->tokens) * (double)limit->interval_usec / (double)limit->burst;
        if (wait >= (double)(USEC_INFINITY / 2))
                return USEC_INFINITY;
        wait_usec = (usec_t)wait;
        return usec_add(now_usec, (double)wait_usec < wait ? wait_usec + 1 : wait_usec);
}
