#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A hash table of intrusive links under 64-bit keys; equal keys may stand side by side (the user
 * compares what lies behind them). Nothing is owned. */

#include <stdint.h>
#include "base/macro.h"

typedef struct TableLink TableLink;

struct TableLink {
        TableLink *next;
        uint64_t key;
};

typedef struct Table {
        TableLink **buckets; /* a power of two of them */
        size_t n_buckets;
        size_t n_items;
} Table;

#define TABLE_NULL ((Table){ 0 })

void table_deinit(Table *table);
/* 0 or -ENOMEM (only for the first item: a table that cannot grow gets slower, nothing else). */
int table_insert(Table *table, TableLink *link, uint64_t key);
/* The first link with the key, then with table_next the others; NULL: none. */
TableLink *table_find(const Table *table, uint64_t key);
TableLink *table_next(const TableLink *link);
/* The link must be in the table. */
void table_remove(Table *table, TableLink *link);
