/* SPDX-License-Identifier: Apache-2.0 */

#include "base/table.h"

#define TABLE_BUCKETS_MIN 64

/* Keys may be plain counters: multiply, so that the upper bits depend on all of them. */
static size_t bucket_of(size_t n_buckets, uint64_t key)
{
        return (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (n_buckets - 1);
}

void table_deinit(Table *table)
{
        free(table->buckets);
        *table = TABLE_NULL;
}

static int table_resize(Table *table, size_t n_buckets)
{
        TableLink **buckets = calloc(n_buckets, sizeof(*buckets));

        if (!buckets)
                return -ENOMEM;
        for (size_t i = 0; i < table->n_buckets; i++) {
                for (TableLink *link = table->buckets[i], *next; link; link = next) {
                        size_t to = bucket_of(n_buckets, link->key);

                        next = link->next;
                        link->next = buckets[to];
                        buckets[to] = link;
                }
        }
        free(table->buckets);
        table->buckets = buckets;
        table->n_buckets = n_buckets;
        return 0;
}

int table_insert(Table *table, TableLink *link, uint64_t key)
{
        size_t to;

        if (table->n_items >= table->n_buckets) {
                size_t wanted = MAX((size_t)TABLE_BUCKETS_MIN, table->n_buckets * 2);

                if (table_resize(table, wanted) < 0 && table->n_buckets == 0)
                        return -ENOMEM;
        }
        to = bucket_of(table->n_buckets, key);
        link->key = key;
        link->next = table->buckets[to];
        table->buckets[to] = link;
        table->n_items++;
        return 0;
}

static TableLink *first_with(TableLink *link, uint64_t key)
{
        while (link && link->key != key)
                link = link->next;
        return link;
}

TableLink *table_find(const Table *table, uint64_t key)
{
        if (table->n_buckets == 0)
                return NULL;
        return first_with(table->buckets[bucket_of(table->n_buckets, key)], key);
}

TableLink *table_next(const TableLink *link)
{
        return first_with(link->next, link->key);
}

void table_remove(Table *table, TableLink *link)
{
        TableLink **p = &table->buckets[bucket_of(table->n_buckets, link->key)];

        while (*p != link)
                p = &(*p)->next;
        *p = link->next;
        link->next = NULL;
        table->n_items--;
}
