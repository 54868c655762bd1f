#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A walk over the tasks that match a filter, in the order of their rows, a step at a time: a step
 * ends when its time is up, so that a walk over a million tasks keeps nobody waiting. */

#include "source/queue/internal.h"

typedef struct Scan {
        unsigned statuses; /* 0: any */
        bool *types;       /* by id; NULL: any; a type that came later does not match */
        size_t n_types;
        int64_t after; /* the last row looked at */
        int64_t until; /* the last row that counts */
} Scan;

typedef struct ScanRow {
        int64_t row, type;
        TaskState state;
} ScanRow;

/* On the loop; until: no limit. */
int scan_init(Scan *scan, const Queue *queue, const QueueFilter *filter);
void scan_deinit(Scan *scan);
/* On the storage thread: up to n matching rows behind *after, which moves on. *ret_ended: there are
 * no more. */
int scan_step(const Scan *scan, QueueStore *store, int64_t *after, ScanRow *rows, size_t n,
              size_t *ret_n, bool *ret_ended);
