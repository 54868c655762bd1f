/* SPDX-License-Identifier: Apache-2.0 */

#include <time.h>
#include "base/clock.h"

static usec_t frozen_monotonic_usec;
static int64_t frozen_epoch_msec;

usec_t clock_monotonic_usec(void)
{
        struct timespec now;

        if (frozen_monotonic_usec != 0 || frozen_epoch_msec != 0)
                return frozen_monotonic_usec;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (usec_t)now.tv_sec * USEC_PER_SEC + (usec_t)now.tv_nsec / 1000;
}

int64_t clock_epoch_msec(void)
{
        struct timespec now;

        if (frozen_monotonic_usec != 0 || frozen_epoch_msec != 0)
                return frozen_epoch_msec;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

usec_t usec_add(usec_t a, usec_t b)
{
        return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

void clock_freeze(usec_t monotonic_usec, int64_t epoch_msec)
{
        frozen_monotonic_usec = monotonic_usec;
        frozen_epoch_msec = epoch_msec;
}
