#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The only reader of time. Intervals and deadlines are monotonic microseconds; what people and
 * servers see is epoch milliseconds. Tests set both clocks. */

#include <stdint.h>

typedef uint64_t usec_t;

#define USEC_INFINITY   UINT64_MAX
#define USEC_PER_MSEC   ((usec_t)1000)
#define USEC_PER_SEC    ((usec_t)1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR   (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY    (24 * USEC_PER_HOUR)

usec_t clock_monotonic_usec(void);
int64_t clock_epoch_msec(void);

/* Saturates at USEC_INFINITY. */
usec_t usec_add(usec_t a, usec_t b);

/* For tests: from now on both clocks stand at these values; 0, 0 lets them run again. */
void clock_freeze(usec_t monotonic_usec, int64_t epoch_msec);
