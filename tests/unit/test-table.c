/* SPDX-License-Identifier: Apache-2.0 */

#include "base/table.h"
#include "unit.h"

typedef struct Item {
        TableLink link;
        int value;
} Item;

static const Item *item_of(const TableLink *link)
{
        return link ? container_of(link, Item, link) : NULL;
}

START_TEST(finds_what_was_inserted)
{
        static Item items[1000];
        Table table = TABLE_NULL;

        ck_assert_ptr_null(table_find(&table, 5));
        for (int i = 0; i < 1000; i++) {
                items[i].value = i;
                ck_assert_int_eq(table_insert(&table, &items[i].link, (uint64_t)i << 15), 0);
        }
        ck_assert_uint_eq(table.n_items, 1000);
        for (int i = 0; i < 1000; i++)
                ck_assert_int_eq(item_of(table_find(&table, (uint64_t)i << 15))->value, i);
        ck_assert_ptr_null(table_find(&table, 1));
        table_deinit(&table);
        ck_assert_uint_eq(table.n_items, 0);
}
END_TEST

START_TEST(removes_only_what_it_is_told)
{
        Item items[3] = { { .value = 0 }, { .value = 1 }, { .value = 2 } };
        Table table = TABLE_NULL;
        bool seen[3] = { false };

        for (int i = 0; i < 3; i++)
                ck_assert_int_eq(table_insert(&table, &items[i].link, 7), 0);
        table_remove(&table, &items[1].link);
        for (const TableLink *i = table_find(&table, 7); i; i = table_next(i))
                seen[item_of(i)->value] = true;
        ck_assert(seen[0] && !seen[1] && seen[2]);
        table_remove(&table, &items[0].link);
        table_remove(&table, &items[2].link);
        ck_assert_ptr_null(table_find(&table, 7));
        ck_assert_uint_eq(table.n_items, 0);
        table_deinit(&table);
}
END_TEST

/* Keys that fall into one bucket are told apart. */
START_TEST(keys_are_compared)
{
        static Item items[200];
        Table table = TABLE_NULL;

        for (int i = 0; i < 200; i++) {
                items[i].value = i;
                ck_assert_int_eq(table_insert(&table, &items[i].link, (uint64_t)(i / 2)), 0);
        }
        for (int i = 0; i < 100; i++) {
                int n = 0;

                for (const TableLink *l = table_find(&table, (uint64_t)i); l;
                     l = table_next(l), n++)
                        ck_assert_int_eq(item_of(l)->value / 2, i);
                ck_assert_int_eq(n, 2);
        }
        table_deinit(&table);
}
END_TEST

UNIT_MAIN("table", finds_what_was_inserted, removes_only_what_it_is_told, keys_are_compared);
