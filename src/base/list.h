#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Intrusive doubly linked list with a sentinel: O(1) insertion and removal, no allocation. */

#include <stdbool.h>
#include "base/macro.h"

typedef struct ListLink ListLink;

struct ListLink {
        ListLink *prev;
        ListLink *next;
};

/* A list head is a link that points to itself when the list is empty. */
#define LIST_INIT(head) ((ListLink){ .prev = &(head), .next = &(head) })

static inline void list_init(ListLink *head)
{
        head->prev = head->next = head;
}

static inline bool list_is_empty(const ListLink *head)
{
        return head->next == head || !head->next;
}

/* True while the link is on a list; a zeroed or removed link is on none. */
static inline bool list_is_linked(const ListLink *link)
{
        return link->next && link->next != link;
}

static inline void list_insert_before(ListLink *position, ListLink *link)
{
        link->prev = position->prev;
        link->next = position;
        position->prev->next = link;
        position->prev = link;
}

static inline void list_append(ListLink *head, ListLink *link)
{
        list_insert_before(head, link);
}

static inline void list_prepend(ListLink *head, ListLink *link)
{
        list_insert_before(head->next, link);
}

/* Removing a link that is on no list does nothing. */
static inline void list_remove(ListLink *link)
{
        if (!link->next)
                return;
        link->prev->next = link->next;
        link->next->prev = link->prev;
        link->prev = link->next = NULL;
}

/* Moves all of from to the end of to; from is empty afterwards. */
static inline void list_splice(ListLink *to, ListLink *from)
{
        if (list_is_empty(from))
                return;
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        list_init(from);
}

static inline ListLink *list_pop_first(ListLink *head)
{
        ListLink *link = head->next;

        if (list_is_empty(head))
                return NULL;
        list_remove(link);
        return link;
}

#define LIST_ENTRY(link, type, member) container_of(link, type, member)
#define LIST_FIRST(head, type, member) \
        (list_is_empty(head) ? NULL : LIST_ENTRY((head)->next, type, member))

#define LIST_FOREACH(i, head) for (ListLink *i = (head)->next; i != (head); i = i->next)
/* The loop body may remove i itself, nothing else. */
#define LIST_FOREACH_SAFE(i, head)                                         \
        for (ListLink *i = (head)->next, *i##_next = i->next; i != (head); \
             i = i##_next, i##_next = i->next)
