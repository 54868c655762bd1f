#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Token bucket: at most burst at once, refilled evenly at burst per interval. Pure. */

#include <stdbool.h>
#include "base/clock.h"

typedef struct RateLimit {
        uint64_t burst;       /* tokens per interval and the most that gather; 0: no limit */
        usec_t interval_usec; /* > 0 */
        double tokens;
        usec_t updated_usec;
} RateLimit;

void ratelimit_init(RateLimit *limit, uint64_t burst, usec_t interval_usec, usec_t now_usec);
/* Whole tokens there are now (UINT64_MAX without a limit). */
uint64_t ratelimit_available(RateLimit *limit, usec_t now_usec);
/* May take more than there is: the debt is paid off before the next token is there. */
void ratelimit_take(RateLimit *limit, uint64_t n, usec_t now_usec);
/* When the next token will be there: now_usec if there is one. */
usec_t ratelimit_next_usec(RateLimit *limit, usec_t now_usec);
