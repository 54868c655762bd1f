#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Who waits for the end of which task: a hash table from task id to waiters. */

#include "base/list.h"
#include "source/queue/queue.h"

typedef struct Waiter Waiter;

/* The waiter is on the table no more. It may free itself, and add or remove others. */
typedef void (*waiter_callback_t)(Waiter *waiter, Source *source);

/* Embedded in its owner. */
struct Waiter {
        ListLink link;
        char id[QUEUE_ID_LENGTH + 1];
        waiter_callback_t callback;
};

typedef struct Waiters {
        ListLink *buckets; /* NULL while empty */
        size_t n_buckets;  /* a power of two */
        size_t n;
} Waiters;

#define WAITERS_NULL ((Waiters){ 0 })

/* Whoever still waits is not told. */
void waiters_deinit(Waiters *waiters);
int waiters_add(Waiters *waiters, Waiter *waiter);
void waiters_remove(Waiters *waiters, Waiter *waiter);
/* The task has ended at source. */
void waiters_notify(Waiters *waiters, Source *source, const char *id);
