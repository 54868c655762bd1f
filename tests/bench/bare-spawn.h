#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The least that running a command per task takes: vfork, exec, three pipes, the same limits, input
 * written, output read to its end, child waited for. One thread, no daemon around it. */

#include "base/clock.h"
#include "base/slice.h"

/* Runs path with n_in_flight at a time for about usec; how many a second. */
double bare_spawn_rate(const char *path, Slice input, unsigned n_in_flight, usec_t usec);
