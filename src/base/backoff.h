#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Delay from a count of failures: base × 2^(n-1), capped, with jitter. Pure. */

#include "base/clock.h"

typedef struct Backoff {
        usec_t base_usec;
        usec_t max_usec;
} Backoff;

/* The delay before try n+1 after n failures in a row (n ≥ 1): between half of
 * min(base × 2^(n-1), max) and all of it, chosen by random (any 64 bits). No overflow at any n. */
usec_t backoff_delay(const Backoff *backoff, unsigned n_failures, uint64_t random);

/* 64 random bits, good enough to spread retries (not for secrets). */
uint64_t random_u64(void);
