/* SPDX-License-Identifier: Apache-2.0 */

#include "manager/waiters.h"

#define WAITERS_BUCKETS_MIN 64

static ListLink *find_bucket(const Waiters *waiters, const char *id)
{
        uint64_t hash = task_id_hash(slice_from_string(id));

        return &waiters->buckets[hash & (waiters->n_buckets - 1)];
}

static int grow(Waiters *waiters)
{
        Waiters grown = { .n_buckets = MAX(waiters->n_buckets * 2, (size_t)WAITERS_BUCKETS_MIN),
                          .n = waiters->n };

        grown.buckets = reallocarray(NULL, grown.n_buckets, sizeof(ListLink));
        if (!grown.buckets)
                return -ENOMEM;
        for (size_t i = 0; i < grown.n_buckets; i++)
                list_init(&grown.buckets[i]);
        for (size_t i = 0; i < waiters->n_buckets; i++) {
                ListLink *link;

                while ((link = list_pop_first(&waiters->buckets[i])))
                        list_append(find_bucket(&grown, LIST_ENTRY(link, Waiter, link)->id), link);
        }
        free(waiters->buckets);
        *waiters = grown;
        return 0;
}

static void clear_if_empty(Waiters *waiters)
{
        if (waiters->n > 0)
                return;
        free(waiters->buckets);
        *waiters = WAITERS_NULL;
}

void waiters_deinit(Waiters *waiters)
{
        for (size_t i = 0; i < waiters->n_buckets; i++)
                while (list_pop_first(&waiters->buckets[i]))
                        ;
        free(waiters->buckets);
        *waiters = WAITERS_NULL;
}

int waiters_add(Waiters *waiters, Waiter *waiter)
{
        if (waiters->n >= waiters->n_buckets) {
                int r = grow(waiters);

                if (r < 0)
                        return r;
        }
        list_append(find_bucket(waiters, waiter->id), &waiter->link);
        waiters->n++;
        return 0;
}

void waiters_remove(Waiters *waiters, Waiter *waiter)
{
        if (!list_is_linked(&waiter->link))
                return;
        list_remove(&waiter->link);
        waiters->n--;
        clear_if_empty(waiters);
}

void waiters_notify(Waiters *waiters, Source *source, const char *id)
{
        ListLink ended = LIST_INIT(ended), *link;

        if (waiters->n == 0)
                return;
        LIST_FOREACH_SAFE (i, find_bucket(waiters, id)) {
                if (!streq(LIST_ENTRY(i, Waiter, link)->id, id))
                        continue;
                list_remove(i);
                list_append(&ended, i);
        }
        while ((link = list_pop_first(&ended))) {
                Waiter *waiter = LIST_ENTRY(link, Waiter, link);

                waiters->n--;
                clear_if_empty(waiters);
                waiter->callback(waiter, source);
        }
}
