/* SPDX-License-Identifier: Apache-2.0 */

/* Many entries, large bodies, long times: what stays bounded. */

#include <malloc.h>
#include "outbox-fixture.h"

#define MIB ((uint64_t)1024 * 1024)

static char big[200 * 1024];

static OutboxEntry *add_big(Fixture *f, unsigned i)
{
        OutboxEntry *entry;
        char id[16];

        (void)snprintf(id, sizeof(id), "big%u", i);
        memset(big, 'a' + (int)(i % 26), sizeof(big));
        ck_assert_int_eq(outbox_add(f->outbox, id, SLICE_LITERAL("head"), i,
                                    (Slice){ big, sizeof(big) }, &entry),
                         0);
        return entry;
}

static void ck_assert_big(Slice body, unsigned i)
{
        memset(big, 'a' + (int)(i % 26), sizeof(big));
        ck_assert(slice_equal(body, (Slice){ big, sizeof(big) }));
}

static void check_big(Fixture *f, OutboxEntry *entry, Slice body)
{
        ck_assert_big(body, entry->kind);
}

/* Under a sanitiser nothing is known of it: 0. */
static size_t in_use(void)
{
        struct mallinfo2 info = mallinfo2();

        return info.uordblks + info.hblkhd;
}

/* Ten times what is kept in memory; never more than that is lent out at a time. */
START_TEST(large_bodies_are_read_back)
{
        Fixture *f = fixture_new();
        unsigned n = (unsigned)(10 * OUTBOX_MEMORY_MAX / sizeof(big));
        size_t lent_max = OUTBOX_MEMORY_MAX / sizeof(big) + 1, done = 0, before = in_use();

        f->on_offer = check_big;
        for (unsigned i = 0; i < n; i++) {
                (void)add_big(f, i);
                fixture_turn(f);
        }
        ck_assert_uint_lt(in_use(), before + 2 * OUTBOX_MEMORY_MAX);
        while (done < n) {
                fixture_turn_until_idle(f);
                ck_assert_uint_gt(f->n_offers, done);
                ck_assert_uint_le(f->n_offers - done, lent_max);
                for (size_t end = f->n_offers, i = done; i < end; i++, done++) {
                        if (i > 0)
                                outbox_accept(f->outbox, f->offers[i].entry);
                }
        }
        outbox_postpone(f->outbox, f->offers[0].entry, USEC_PER_MSEC);
        fixture_turn_until_offers(f, n + 1);
        ck_assert_uint_eq(f->offers[n].number, f->offers[0].number);
        fixture_free(f);
}
END_TEST

START_TEST(after_a_start_bodies_come_from_the_disk)
{
        Fixture *f = fixture_new();

        f->on_offer = check_big;
        for (unsigned i = 0; i < 20; i++)
                (void)add_big(f, i);
        fixture_turn_until_idle(f);
        fixture_reopen(f);
        fixture_turn_until_offers(f, 20);
        fixture_free(f);
}
END_TEST

typedef struct Shown {
        unsigned n;
        int error;
        unsigned i;
} Shown;

static void on_shown(int error, Slice body, void *userdata)
{
        Shown *shown = userdata;

        shown->n++;
        shown->error = error;
        if (error >= 0)
                ck_assert_big(body, shown->i);
}

START_TEST(people_see_bodies)
{
        Fixture *f = fixture_new();
        OutboxEntry *entry = add_big(f, 3);
        Shown shown = { .i = 3 };

        ck_assert_int_eq(outbox_read(f->outbox, entry, on_shown, &shown), 0);
        ck_assert_uint_eq(shown.n, 0);
        fixture_turn_until_idle(f);
        ck_assert_uint_eq(shown.n, 1);
        ck_assert_int_eq(shown.error, 0);
        outbox_bury(f->outbox, entry, "no");
        fixture_turn_until_idle(f);
        ck_assert_int_eq(outbox_read(f->outbox, entry, on_shown, &shown), 0);
        fixture_turn_until_idle(f);
        ck_assert_uint_eq(shown.n, 2);
        ck_assert_int_eq(shown.error, 0);
        ck_assert_int_eq(outbox_read(f->outbox, entry, on_shown, &shown), 0);
        ck_assert_int_eq(outbox_drop(f->outbox, entry), 0);
        fixture_turn_until_idle(f);
        ck_assert_uint_eq(shown.n, 3);
        ck_assert_int_eq(shown.error, -ENOENT);
        fixture_free(f);
}
END_TEST

static void pass_through(Fixture *f, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                OutboxEntry *entry = add_big(f, 1000 + i);

                while (f->n_offers == 0)
                        ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
                ck_assert_ptr_eq(f->offers[0].entry, entry);
                outbox_accept(f->outbox, entry);
                f->n_offers = 0;
        }
}

static void ck_assert_alive(Fixture *f, const uint64_t *numbers, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                const OutboxEntry *entry = outbox_find(f->outbox, numbers[i]);

                ck_assert_ptr_nonnull(entry);
                ck_assert_int_eq(entry->state, i % 3);
        }
}

static void ck_assert_disk_below(Fixture *f, uint64_t bytes)
{
        while (status(f).disk_bytes > bytes)
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
}

/* A few entries of each state stay while 80 MiB go by. */
START_TEST(what_is_held_long_keeps_no_files)
{
        Fixture *f = fixture_new();
        uint64_t numbers[90];

        f->on_offer = check_big;
        for (unsigned i = 0; i < ELEMENTSOF(numbers); i++) {
                OutboxEntry *entry = i % 3 == OUTBOX_HELD ? hold(f, "held") : add_big(f, i);

                numbers[i] = entry->number;
                fixture_turn_until_idle(f);
                if (i % 3 == OUTBOX_DEAD)
                        outbox_bury(f->outbox, entry, "refused");
                if (i % 3 == OUTBOX_WAITING)
                        outbox_postpone(f->outbox, entry, USEC_PER_HOUR);
        }
        f->n_offers = 0;
        for (unsigned i = 0; i < 10; i++) {
                pass_through(f, 40);
                ck_assert_disk_below(f, 2 * status(f).bytes + 24 * MIB);
        }
        ck_assert_uint_gt(status(f).bytes, 60 * sizeof(big));
        ck_assert_alive(f, numbers, ELEMENTSOF(numbers));
        fixture_reopen(f);
        ck_assert_alive(f, numbers, ELEMENTSOF(numbers));
        ck_assert_str_eq(outbox_find(f->outbox, numbers[2])->reason, "refused");
        fixture_turn_until_offers(f, 30);
        fixture_free(f);
}
END_TEST

START_TEST(the_high_mark_is_told)
{
        Fixture *f = fixture_new_closed();
        unsigned n_changes;

        f->max_bytes = 4 * sizeof(big);
        fixture_open(f);
        for (unsigned i = 0; i < 2; i++)
                (void)add_big(f, i);
        fixture_turn(f);
        ck_assert(!outbox_is_high(f->outbox));
        n_changes = f->n_changes;
        (void)add_big(f, 2);
        ck_assert(outbox_is_high(f->outbox));
        fixture_turn(f);
        ck_assert_uint_eq(f->n_changes, n_changes + 1);
        ck_assert_ptr_null(outbox_problem(f->outbox));
        (void)add_big(f, 3); /* nothing is dropped */
        (void)add_big(f, 4);
        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 5);
        for (unsigned i = 0; i < 3; i++)
                outbox_accept(f->outbox, f->offers[i].entry);
        fixture_turn(f);
        ck_assert(!outbox_is_high(f->outbox));
        ck_assert_uint_eq(f->n_changes, n_changes + 2);
        outbox_set_max_bytes(f->outbox, sizeof(big));
        fixture_turn(f);
        ck_assert(outbox_is_high(f->outbox));
        ck_assert_uint_eq(f->n_changes, n_changes + 3);
        fixture_free(f);
}
END_TEST

#define N_MANY 200000

static void postpone_it(Fixture *f, OutboxEntry *entry, Slice body)
{
        outbox_postpone(f->outbox, entry, USEC_PER_HOUR + unit_random() % USEC_PER_HOUR);
}

/* An outage of hours. Of their bodies memory has its share, of their heads all. */
START_TEST(many_wait_in_little_memory)
{
        static char head[100], body[600];
        Fixture *f = fixture_new();
        size_t before = in_use(), used;

        f->on_offer = postpone_it;
        for (unsigned i = 0; i < N_MANY; i++) {
                OutboxEntry *entry;
                char id[40];

                (void)snprintf(id, sizeof(id), "01234567-89ab-cdef-0123-%012u", i);
                ck_assert_int_eq(outbox_add(f->outbox, id, (Slice){ head, sizeof(head) }, 1,
                                            (Slice){ body, sizeof(body) }, &entry),
                                 0);
                if (i % 32 == 0) {
                        fixture_turn(f);
                        f->n_offers = 0;
                }
        }
        fixture_turn(f);
        ck_assert_status(f, 0, N_MANY, 0);
        used = in_use();
        /* id and head are 137 bytes, the tables and the heap 32 */
        ck_assert_uint_lt((used - before - MIN(used - before, OUTBOX_MEMORY_MAX)) / N_MANY, 480);
        outbox_hurry(f->outbox);
        fixture_turn(f);
        fixture_reopen(f);
        ck_assert_status(f, 0, N_MANY, 0);
        fixture_free(f);
}
END_TEST

UNIT_MAIN("outbox-many", large_bodies_are_read_back, after_a_start_bodies_come_from_the_disk,
          people_see_bodies, what_is_held_long_keeps_no_files, the_high_mark_is_told,
          many_wait_in_little_memory);
