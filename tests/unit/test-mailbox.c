/* SPDX-License-Identifier: Apache-2.0 */

#include <poll.h>
#include <stdint.h>
#include "base/mailbox.h"
#include "unit.h"

#define N_ITEMS 20000

typedef struct Item {
        ListLink link;
        unsigned number;
} Item;

static bool is_readable(int fd)
{
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };

        return poll(&pollfd, 1, 0) == 1;
}

START_TEST(test_loop_receiver)
{
        ListLink got = LIST_INIT(got);
        Item items[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };
        unsigned n = 0;
        Mailbox mailbox;

        ck_assert_int_eq(mailbox_init(&mailbox, true), 0);
        ck_assert(!is_readable(mailbox.event_fd));
        for (size_t i = 0; i < ELEMENTSOF(items); i++)
                mailbox_post(&mailbox, &items[i].link);
        ck_assert(is_readable(mailbox.event_fd));
        mailbox_take(&mailbox, &got);
        ck_assert(!is_readable(mailbox.event_fd));
        LIST_FOREACH (link, &got)
                ck_assert_uint_eq(LIST_ENTRY(link, Item, link)->number, n++);
        ck_assert_uint_eq(n, 3);

        list_init(&got);
        mailbox_take(&mailbox, &got);
        ck_assert(list_is_empty(&got));
        mailbox_deinit(&mailbox);
        ck_assert_int_eq(mailbox.event_fd, -EBADF);
}
END_TEST

START_TEST(test_post_all)
{
        ListLink from = LIST_INIT(from), got = LIST_INIT(got);
        Item items[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };
        unsigned n = 0;
        Mailbox mailbox;

        ck_assert_int_eq(mailbox_init(&mailbox, true), 0);
        mailbox_post_all(&mailbox, &from);
        ck_assert(!is_readable(mailbox.event_fd));
        mailbox_post(&mailbox, &items[0].link);
        list_append(&from, &items[1].link);
        list_append(&from, &items[2].link);
        mailbox_post_all(&mailbox, &from);
        ck_assert(list_is_empty(&from));
        mailbox_take(&mailbox, &got);
        LIST_FOREACH (link, &got)
                ck_assert_uint_eq(LIST_ENTRY(link, Item, link)->number, n++);
        ck_assert_uint_eq(n, 3);
        mailbox_deinit(&mailbox);
}
END_TEST

typedef struct Echo {
        Mailbox there; /* the thread waits for it */
        Mailbox back;  /* the loop's */
} Echo;

/* Sends everything back until an item numbered UINT32_MAX has passed. */
static void *echo_thread(void *userdata)
{
        Echo *echo = userdata;
        bool last = false;

        while (!last) {
                ListLink items = LIST_INIT(items);

                mailbox_wait(&echo->there, &items);
                LIST_FOREACH (link, &items)
                        last |= LIST_ENTRY(link, Item, link)->number == UINT32_MAX;
                mailbox_post_all(&echo->back, &items);
        }
        return NULL;
}

/* Everything comes back, once and in order, and no wake-up is lost on either side. */
START_TEST(test_between_threads)
{
        static Item items[N_ITEMS];
        unsigned received = 0;
        pthread_t thread;
        Echo echo;

        ck_assert_int_eq(mailbox_init(&echo.there, false), 0);
        ck_assert_int_eq(echo.there.event_fd, -EBADF);
        ck_assert_int_eq(mailbox_init(&echo.back, true), 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, echo_thread, &echo), 0);
        for (unsigned i = 0; i < N_ITEMS; i++) {
                items[i].number = i < N_ITEMS - 1 ? i : UINT32_MAX;
                mailbox_post(&echo.there, &items[i].link);
        }
        while (received < N_ITEMS) {
                struct pollfd pollfd = { .fd = echo.back.event_fd, .events = POLLIN };
                ListLink got = LIST_INIT(got), *link;

                ck_assert_int_eq(poll(&pollfd, 1, 10000), 1);
                mailbox_take(&echo.back, &got);
                while ((link = list_pop_first(&got)))
                        ck_assert_ptr_eq(LIST_ENTRY(link, Item, link), &items[received++]);
        }
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        mailbox_deinit(&echo.there);
        mailbox_deinit(&echo.back);
}
END_TEST

/* One at a time, so that the thread goes to sleep between them. */
START_TEST(test_wakes_a_sleeper)
{
        Item item = { .number = 0 };
        pthread_t thread;
        Echo echo;

        ck_assert_int_eq(mailbox_init(&echo.there, false), 0);
        ck_assert_int_eq(mailbox_init(&echo.back, true), 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, echo_thread, &echo), 0);
        for (unsigned i = 0; i <= 100; i++) {
                struct pollfd pollfd = { .fd = echo.back.event_fd, .events = POLLIN };
                ListLink got = LIST_INIT(got);

                item.number = i < 100 ? i : UINT32_MAX;
                mailbox_post(&echo.there, &item.link);
                ck_assert_int_eq(poll(&pollfd, 1, 3000), 1);
                mailbox_take(&echo.back, &got);
                ck_assert_ptr_eq(list_pop_first(&got), &item.link);
        }
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        mailbox_deinit(&echo.there);
        mailbox_deinit(&echo.back);
}
END_TEST

UNIT_MAIN("mailbox", test_loop_receiver, test_post_all, test_between_threads, test_wakes_a_sleeper);
