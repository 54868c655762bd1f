/* SPDX-License-Identifier: Apache-2.0 */

#include <stdint.h>
#include <sys/eventfd.h>
#include "base/mailbox.h"

int mailbox_init(Mailbox *mailbox, bool for_loop)
{
        int event_fd = -EBADF, r;

        if (for_loop) {
                event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                if (event_fd < 0)
                        return -errno;
        }
        r = pthread_mutex_init(&mailbox->mutex, NULL);
        if (r != 0)
                goto fail_mutex;
        r = pthread_cond_init(&mailbox->posted, NULL);
        if (r != 0)
                goto fail_cond;
        list_init(&mailbox->items);
        mailbox->event_fd = event_fd;
        mailbox->waiting = false;
        return 0;

fail_cond:
        (void)pthread_mutex_destroy(&mailbox->mutex);
fail_mutex:
        (void)close_fd(event_fd);
        return -r;
}

void mailbox_deinit(Mailbox *mailbox)
{
        (void)pthread_cond_destroy(&mailbox->posted);
        (void)pthread_mutex_destroy(&mailbox->mutex);
        mailbox->event_fd = close_fd(mailbox->event_fd);
}

/* Locks; whether the mailbox was empty. */
static bool post_begin(Mailbox *mailbox)
{
        (void)pthread_mutex_lock(&mailbox->mutex);
        return list_is_empty(&mailbox->items);
}

/* The eventfd is written only for the first item of a batch: one write per wake-up, and its
 * counter can never be full. */
static void post_end(Mailbox *mailbox, bool first)
{
        static const uint64_t one = 1;

        if (mailbox->waiting)
                (void)pthread_cond_signal(&mailbox->posted);
        (void)pthread_mutex_unlock(&mailbox->mutex);
        if (first && mailbox->event_fd >= 0) {
                ssize_t n _unused_ = write(mailbox->event_fd, &one, sizeof(one));
        }
}

void mailbox_post_all(Mailbox *mailbox, ListLink *from)
{
        bool first;

        if (list_is_empty(from))
                return;
        first = post_begin(mailbox);
        list_splice(&mailbox->items, from);
        post_end(mailbox, first);
}

void mailbox_post(Mailbox *mailbox, ListLink *item)
{
        bool first = post_begin(mailbox);

        list_append(&mailbox->items, item);
        post_end(mailbox, first);
}

/* The eventfd is cleared before the items are taken: an item posted in between makes one idle
 * wake-up, the other order could lose its wake-up. */
void mailbox_take(Mailbox *mailbox, ListLink *ret_items)
{
        uint64_t count;

        if (mailbox->event_fd >= 0) {
                ssize_t n _unused_ = read(mailbox->event_fd, &count, sizeof(count));
        }
        (void)pthread_mutex_lock(&mailbox->mutex);
        list_splice(ret_items, &mailbox->items);
        (void)pthread_mutex_unlock(&mailbox->mutex);
}

void mailbox_wait(Mailbox *mailbox, ListLink *ret_items)
{
        (void)pthread_mutex_lock(&mailbox->mutex);
        mailbox->waiting = true;
        while (list_is_empty(&mailbox->items))
                (void)pthread_cond_wait(&mailbox->posted, &mailbox->mutex);
        mailbox->waiting = false;
        list_splice(ret_items, &mailbox->items);
        (void)pthread_mutex_unlock(&mailbox->mutex);
}
