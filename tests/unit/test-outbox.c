/* SPDX-License-Identifier: Apache-2.0 */

/* The way of an entry through its states. */

#include "outbox-fixture.h"

START_TEST(a_result_is_offered_and_accepted)
{
        Fixture *f = fixture_new();
        OutboxEntry *entry = hold(f, "t1");

        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 0);
        ck_assert_status(f, 1, 0, 0);
        ck_assert_slice(entry->head, "head");
        put(f, entry, "done");
        ck_assert_uint_eq(f->n_offers, 0); /* never from within a call */
        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 1);
        ck_assert_ptr_eq(f->offers[0].entry, entry);
        ck_assert_str_eq(f->offers[0].body, "done");
        ck_assert_uint_eq(entry->kind, 1);
        ck_assert(!entry->recovered);
        ck_assert_status(f, 0, 1, 0);
        outbox_accept(f->outbox, entry);
        ck_assert_status(f, 0, 0, 0);
        ck_assert_uint_eq(status(f).bytes, 0);
        fixture_reopen(f);
        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 0);
        fixture_free(f);
}
END_TEST

START_TEST(what_is_forgotten_is_gone)
{
        Fixture *f = fixture_new();
        OutboxEntry *entry = hold(f, "t1");

        ck_assert(outbox_knows(f->outbox, "t1"));
        ck_assert(!outbox_knows(f->outbox, "t"));
        outbox_forget(f->outbox, entry);
        ck_assert(!outbox_knows(f->outbox, "t1"));
        fixture_turn(f);
        ck_assert_status(f, 0, 0, 0);
        fixture_reopen(f);
        ck_assert_status(f, 0, 0, 0);
        fixture_free(f);
}
END_TEST

START_TEST(messages_of_a_task_keep_their_order)
{
        Fixture *f = fixture_new();
        OutboxEntry *first = hold(f, "t1");

        (void)add(f, "t1", "a");
        (void)add(f, "t1", "b");
        put(f, first, "c");
        (void)add(f, "t2", "other");
        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 2);
        ck_assert_str_eq(f->offers[0].body, "a");
        ck_assert_str_eq(f->offers[1].body, "other");
        outbox_accept(f->outbox, f->offers[0].entry);
        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 3);
        ck_assert_str_eq(f->offers[2].body, "b");
        outbox_bury(f->outbox, f->offers[2].entry, "no");
        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 4);
        ck_assert_str_eq(f->offers[3].body, "c");
        fixture_free(f);
}
END_TEST

START_TEST(the_order_survives_a_restart)
{
        Fixture *f = fixture_new();
        OutboxEntry *first = hold(f, "t1");

        (void)add(f, "t1", "a");
        put(f, first, "b"); /* a lower number, a later turn */
        fixture_turn(f);
        fixture_reopen(f);
        fixture_turn_until_offers(f, 1);
        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 1);
        ck_assert_str_eq(f->offers[0].body, "a");
        ck_assert(f->offers[0].entry->recovered);
        ck_assert_uint_eq(f->offers[0].entry->n_tries, 0);
        outbox_accept(f->outbox, f->offers[0].entry);
        fixture_turn_until_offers(f, 2);
        ck_assert_str_eq(f->offers[1].body, "b");
        fixture_free(f);
}
END_TEST

START_TEST(postponed_is_offered_again)
{
        Fixture *f = fixture_new();
        OutboxEntry *a = add(f, "a", "A"), *b = add(f, "b", "B"), *c = add(f, "c", "C");

        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 3);
        outbox_postpone(f->outbox, a, 30 * USEC_PER_MSEC);
        outbox_postpone(f->outbox, b, USEC_PER_HOUR);
        outbox_postpone(f->outbox, c, 5 * USEC_PER_MSEC);
        fixture_turn_until_offers(f, 5);
        ck_assert_str_eq(f->offers[3].id, "c");
        ck_assert_str_eq(f->offers[4].id, "a");
        outbox_postpone(f->outbox, a, USEC_PER_HOUR);
        outbox_hurry(f->outbox);
        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 7);
        ck_assert_str_eq(f->offers[6].body, "A");
        outbox_postpone(f->outbox, a, USEC_PER_HOUR);
        ck_assert_int_eq(outbox_retry(f->outbox, a), 0);
        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 8);
        fixture_free(f);
}
END_TEST

static uint64_t bury_one(Fixture *f, const char *id)
{
        OutboxEntry *entry = add(f, id, "refused");
        size_t n = f->n_offers;

        fixture_turn_until_offers(f, n + 1);
        outbox_bury(f->outbox, entry, "404: no such task");
        fixture_turn(f);
        return entry->number;
}

START_TEST(a_dead_letter_is_kept_and_can_be_sent_again)
{
        Fixture *f = fixture_new();
        uint64_t number = bury_one(f, "t1");
        OutboxEntry *entry;

        ck_assert_status(f, 0, 0, 1);
        fixture_reopen(f);
        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 0);
        entry = outbox_find(f->outbox, number);
        ck_assert_ptr_nonnull(entry);
        ck_assert_int_eq(entry->state, OUTBOX_DEAD);
        ck_assert_str_eq(entry->reason, "404: no such task");
        ck_assert_int_eq(outbox_retry(f->outbox, entry), 0);
        ck_assert_ptr_null(entry->reason);
        fixture_turn_until_offers(f, 1);
        ck_assert_str_eq(f->offers[0].body, "refused");
        fixture_reopen(f);
        fixture_turn_until_offers(f, 1);
        ck_assert_uint_eq(f->offers[0].number, number);
        fixture_free(f);
}
END_TEST

START_TEST(what_is_being_sent_cannot_be_dropped)
{
        Fixture *f = fixture_new();
        uint64_t number = bury_one(f, "t1");
        OutboxEntry *waiting = add(f, "t2", "x"), *held = hold(f, "t3");

        ck_assert_int_eq(outbox_drop(f->outbox, outbox_find(f->outbox, number)), 0);
        ck_assert_ptr_null(outbox_find(f->outbox, number));
        ck_assert_uint_eq(f->gone, 0); /* it was buried by the owner */
        fixture_turn(f);
        ck_assert_int_eq(outbox_drop(f->outbox, waiting), -EBUSY);
        ck_assert_int_eq(outbox_drop(f->outbox, held), -EINVAL);
        ck_assert_int_eq(outbox_retry(f->outbox, held), -EINVAL);
        outbox_postpone(f->outbox, waiting, USEC_PER_HOUR);
        number = waiting->number;
        ck_assert_int_eq(outbox_drop(f->outbox, waiting), 0);
        ck_assert_uint_eq(f->gone, number);
        fixture_reopen(f);
        ck_assert_status(f, 1, 0, 0);
        fixture_free(f);
}
END_TEST

UNIT_MAIN("outbox", a_result_is_offered_and_accepted, what_is_forgotten_is_gone,
          messages_of_a_task_keep_their_order, the_order_survives_a_restart,
          postponed_is_offered_again, a_dead_letter_is_kept_and_can_be_sent_again,
          what_is_being_sent_cannot_be_dropped);
