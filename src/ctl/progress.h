#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* How far a long run is, on stderr: a bar on a terminal, a plain line every few seconds elsewhere.
 */

#include <stdbool.h>
#include "base/clock.h"

typedef struct Progress {
        usec_t started_usec;
        usec_t shown_usec;
        bool terminal;
        bool visible; /* a bar stands on the current line */
} Progress;

void progress_init(Progress *progress);
/* Shows it if it is time to. total 0: unknown. */
void progress_update(Progress *progress, uint64_t count, uint64_t done, uint64_t total);
/* Removes the bar, so that something else can be printed. */
void progress_clear(Progress *progress);
