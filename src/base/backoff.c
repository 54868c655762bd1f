/* SPDX-License-Identifier: Apache-2.0 */

#include <sys/random.h>
#include <unistd.h>
#include "base/backoff.h"

usec_t backoff_delay(const Backoff *backoff, unsigned n_failures, uint64_t random)
{
        usec_t delay = backoff->base_usec, half;

        for (unsigned i = 1; i < n_failures && delay > 0 && delay < backoff->max_usec; i++)
                delay = usec_add(delay, delay);
        if (delay > backoff->max_usec)
                delay = backoff->max_usec;
        half = delay / 2;
        return delay - half + random % (half + 1);
}

uint64_t random_u64(void)
{
        uint64_t value;

        if (getrandom(&value, sizeof(value), GRND_NONBLOCK) == (ssize_t)sizeof(value))
                return value;

        /* No entropy yet, early at boot: the time, its bits spread over the word. */
        value = clock_monotonic_usec() * UINT64_C(0x9E3779B97F4A7C15);
        value = (value ^ value >> 32) * UINT64_C(0xD6E8FEB86659FD93);
        return value ^ value >> 32;
}
