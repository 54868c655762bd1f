#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Hands list items from one thread to another. Two kinds of receiver: a thread that waits
 * (mailbox_wait), or the event loop (an eventfd; mailbox_take in its callback). Any thread may
 * post. Bounded by its users: each counts what it has under way. */

#include <pthread.h>
#include "base/list.h"

typedef struct Mailbox {
        pthread_mutex_t mutex;
        pthread_cond_t posted;
        ListLink items;
        int event_fd; /* -EBADF: receiver is a waiting thread */
        bool waiting; /* the receiving thread sleeps in mailbox_wait */
} Mailbox;

/* for_loop: create the eventfd that becomes readable with the first item of a batch. */
int mailbox_init(Mailbox *mailbox, bool for_loop);
void mailbox_deinit(Mailbox *mailbox);

void mailbox_post(Mailbox *mailbox, ListLink *item);
/* All of from in order; from is empty afterwards. */
void mailbox_post_all(Mailbox *mailbox, ListLink *from);
/* Moves all items to the (initialised, empty) list *ret_items; clears the eventfd. Never waits. */
void mailbox_take(Mailbox *mailbox, ListLink *ret_items);
/* The same, waiting until there is at least one. */
void mailbox_wait(Mailbox *mailbox, ListLink *ret_items);
