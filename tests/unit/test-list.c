/* SPDX-License-Identifier: Apache-2.0 */

#include "base/list.h"
#include "unit.h"

typedef struct Item {
        int before; /* so that the link is not at the start */
        ListLink link;
        char name;
} Item;

#define ck_assert_list(head, text)                                          \
        do {                                                                \
                char _names[16] = { 0 };                                    \
                size_t _n = 0;                                              \
                LIST_FOREACH (_link, head)                                  \
                        _names[_n++] = LIST_ENTRY(_link, Item, link)->name; \
                ck_assert_str_eq(_names, (text));                           \
        } while (0)

START_TEST(test_order)
{
        ListLink list = LIST_INIT(list);
        Item a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };

        ck_assert(list_is_empty(&list));
        ck_assert_ptr_null(LIST_FIRST(&list, Item, link));
        ck_assert_ptr_null(list_pop_first(&list));
        list_append(&list, &b.link);
        list_append(&list, &c.link);
        list_prepend(&list, &a.link);
        ck_assert_list(&list, "abc");
        ck_assert_ptr_eq(LIST_FIRST(&list, Item, link), &a);
        ck_assert(list_is_linked(&b.link));
        list_remove(&b.link);
        ck_assert(!list_is_linked(&b.link));
        list_remove(&b.link);
        ck_assert_list(&list, "ac");
        list_insert_before(&c.link, &b.link);
        ck_assert_list(&list, "abc");
        ck_assert_ptr_eq(list_pop_first(&list), &a.link);
        ck_assert(!list_is_linked(&a.link));
        ck_assert_list(&list, "bc");
}
END_TEST

START_TEST(test_zeroed_is_empty)
{
        ListLink head = { NULL, NULL };
        Item item = { .name = 'x' };

        ck_assert(list_is_empty(&head));
        ck_assert(!list_is_linked(&item.link));
        list_remove(&item.link);
}
END_TEST

START_TEST(test_splice)
{
        ListLink to = LIST_INIT(to), from = LIST_INIT(from);
        Item a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };

        list_splice(&to, &from);
        ck_assert_list(&to, "");
        list_append(&from, &b.link);
        list_append(&from, &c.link);
        list_append(&to, &a.link);
        list_splice(&to, &from);
        ck_assert_list(&to, "abc");
        ck_assert(list_is_empty(&from));
        list_splice(&from, &to);
        ck_assert_list(&from, "abc");
        ck_assert(list_is_empty(&to));
}
END_TEST

START_TEST(test_removal_in_a_loop)
{
        ListLink list = LIST_INIT(list);
        Item items[4] = { { .name = 'a' }, { .name = 'b' }, { .name = 'c' }, { .name = 'd' } };

        for (size_t i = 0; i < ELEMENTSOF(items); i++)
                list_append(&list, &items[i].link);
        LIST_FOREACH_SAFE (i, &list) {
                if (LIST_ENTRY(i, Item, link)->name % 2 == 0)
                        list_remove(i);
        }
        ck_assert_list(&list, "ac");
}
END_TEST

UNIT_MAIN("list", test_order, test_zeroed_is_empty, test_splice, test_removal_in_a_loop);
