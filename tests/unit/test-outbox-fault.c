/* SPDX-License-Identifier: Apache-2.0 */

/* What the outbox does when the disk does not. */

#include "fault-files.h"
#include "outbox-fixture.h"

/* Until the outbox says that nothing is wrong any more: it tries again each second. */
static void turn_until_well(Fixture *f)
{
        while (outbox_problem(f->outbox))
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
        ck_assert(!outbox_is_high(f->outbox));
}

static void turn_until_problem(Fixture *f)
{
        while (!outbox_problem(f->outbox))
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
        fixture_turn(f);
        ck_assert(outbox_is_high(f->outbox));
}

static void ck_assert_waiting_after_kill(Fixture *f, size_t n)
{
        char copy[128];
        char command[512];

        /* what a daemon finds that comes after one that died now */
        (void)snprintf(copy, sizeof(copy), "%s/copy", f->base);
        (void)snprintf(command, sizeof(command), "rm -rf %s && cp -a %s %s", copy, f->folder, copy);
        ck_assert_int_eq(system(command), 0);

        Fixture after = *f;
        after.outbox = NULL;
        after.offers = NULL;
        after.n_offers = after.offers_capacity = 0;
        after.on_offer = NULL;
        (void)snprintf(after.folder, sizeof(after.folder), "%s", copy);
        fixture_open(&after);
        ck_assert_uint_eq(status(&after).n_waiting, n);
        (void)outbox_close(after.outbox);
        free(after.offers);
}

START_TEST(nothing_is_synced_that_is_accepted_soon)
{
        Fixture *f = fixture_new();
        unsigned before;

        fixture_turn_until_idle(f);
        before = atomic_load(&files.n_syncs);
        for (int i = 0; i < 1000; i++) {
                OutboxEntry *entry = hold(f, "t");

                put(f, entry, "x");
                fixture_turn(f);
                outbox_accept(f->outbox, entry);
        }
        fixture_turn(f);
        ck_assert_uint_eq(atomic_load(&files.n_syncs), before);
        (void)hold(f, "t"); /* is not gone so soon */
        while (atomic_load(&files.n_syncs) == before)
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
        fixture_turn_until_idle(f);
        ck_assert_uint_eq(atomic_load(&files.n_syncs), before + 1);
        fixture_free(f);
}
END_TEST

START_TEST(a_full_disk_stops_nothing_that_is_in_hand)
{
        Fixture *f = fixture_new();
        OutboxEntry *held = hold(f, "t1");
        unsigned n_changes = f->n_changes;

        fixture_turn(f);
        atomic_store(&files.room, 20); /* some of a record, no more */
        put(f, held, "done");
        turn_until_problem(f);
        ck_assert_uint_gt(f->n_changes, n_changes);
        ck_assert_ptr_nonnull(strstr(outbox_problem(f->outbox), "make room"));
        ck_assert_uint_eq(f->n_offers, 1);
        ck_assert_str_eq(f->offers[0].body, "done");
        (void)add(f, "t2", "more");
        fixture_turn(f);
        ck_assert_uint_eq(f->n_offers, 2);
        ck_assert_waiting_after_kill(f, 0); /* torn, and read in silence */
        atomic_store(&files.room, -1);
        turn_until_well(f);
        ck_assert_waiting_after_kill(f, 2);
        outbox_accept(f->outbox, f->offers[0].entry);
        fixture_reopen(f);
        ck_assert_status(f, 0, 1, 0);
        fixture_free(f);
}
END_TEST

START_TEST(a_full_disk_is_given_room)
{
        static char body[1024 * 1024];
        Fixture *f = fixture_new();
        OutboxEntry *entry;
        uint64_t before;

        for (int i = 0; i < 24; i++) {
                char id[16];

                (void)snprintf(id, sizeof(id), "t%d", i);
                ck_assert_int_eq(outbox_add(f->outbox, id, SLICE_NULL, 1,
                                            (Slice){ body, sizeof(body) }, &entry),
                                 0);
                fixture_turn_until_idle(f);
        }
        atomic_store(&files.room, 0);
        (void)add(f, "more", "more");
        turn_until_problem(f);
        before = status(f).disk_bytes;
        for (size_t i = 0, n = f->n_offers; i < n; i++)
                outbox_accept(f->outbox, f->offers[i].entry);
        while (status(f).disk_bytes + 4 * sizeof(body) > before)
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
        ck_assert_ptr_nonnull(outbox_problem(f->outbox));
        atomic_store(&files.room, -1);
        fixture_free(f);
}
END_TEST

START_TEST(an_unwritten_message_may_be_accepted)
{
        Fixture *f = fixture_new();

        fixture_turn(f);
        atomic_store(&files.write_error, -EDQUOT);
        (void)add(f, "t1", "done");
        turn_until_problem(f);
        outbox_accept(f->outbox, f->offers[0].entry);
        outbox_forget(f->outbox, hold(f, "t2"));
        atomic_store(&files.write_error, 0);
        turn_until_well(f);
        ck_assert_status(f, 0, 0, 0);
        fixture_reopen(f);
        ck_assert_status(f, 0, 0, 0);
        fixture_free(f);
}
END_TEST

START_TEST(a_failed_write_is_tried_in_a_new_segment)
{
        Fixture *f = fixture_new();

        (void)add(f, "t1", "one");
        fixture_turn_until_idle(f);
        atomic_store(&files.write_error, -EIO);
        (void)add(f, "t2", "two");
        turn_until_problem(f);
        ck_assert_ptr_nonnull(strstr(outbox_problem(f->outbox), "check the disk"));
        ck_assert_uint_eq(f->n_offers, 2);
        atomic_store(&files.write_error, 0);
        turn_until_well(f);
        ck_assert_waiting_after_kill(f, 2);
        fixture_free(f);
}
END_TEST

static off_t size_of(const Fixture *f, const char *name)
{
        char path[160];
        struct stat st;

        (void)snprintf(path, sizeof(path), "%s/%s", f->folder, name);
        return stat(path, &st) < 0 ? -1 : st.st_size;
}

START_TEST(what_a_failed_write_has_left_is_cut_off)
{
        Fixture *f = fixture_new();
        off_t size;

        (void)add(f, "t1", "one");
        fixture_turn_until_idle(f);
        size = size_of(f, "0000000001.log");
        atomic_store(&files.room_error, -EIO);
        atomic_store(&files.room, 20);
        (void)add(f, "t2", "two");
        turn_until_problem(f);
        ck_assert_int_eq(size_of(f, "0000000001.log"), size + 20);
        atomic_store(&files.room, -1);
        while (size_of(f, "0000000002.log") < 0)
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
        ck_assert_int_eq(size_of(f, "0000000001.log"), size);
        turn_until_well(f);
        fixture_free(f);
}
END_TEST

/* What the kernel could not write it forgets: all is written anew, from memory or the old place. */
START_TEST(after_a_failed_sync_all_is_written_anew)
{
        Fixture *f = fixture_new();
        char path[160];

        for (int i = 0; i < 100; i++) {
                char id[16];

                (void)snprintf(id, sizeof(id), "t%d", i);
                (void)(i % 2 ? add(f, id, "waits") : hold(f, id));
        }
        atomic_store(&files.sync_error, -EIO);
        turn_until_problem(f);
        ck_assert_uint_eq(f->n_offers, 50);
        atomic_store(&files.sync_error, 0);
        turn_until_well(f);
        (void)snprintf(path, sizeof(path), "%s/0000000001.log", f->folder);
        while (access(path, F_OK) >= 0)
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
        ck_assert_waiting_after_kill(f, 50);
        ck_assert_status(f, 50, 50, 0);
        fixture_free(f);
}
END_TEST

START_TEST(a_removed_folder_is_made_again)
{
        Fixture *f = fixture_new();
        char command[256];

        (void)add(f, "t1", "one");
        fixture_turn_until_idle(f);
        (void)snprintf(command, sizeof(command), "rm -r %s", f->folder);
        ck_assert_int_eq(system(command), 0);
        (void)add(f, "t2", "two");
        turn_until_problem(f);
        ck_assert_ptr_nonnull(strstr(outbox_problem(f->outbox), "must stay"));
        turn_until_well(f);
        ck_assert_waiting_after_kill(f, 2);
        fixture_reopen(f);
        ck_assert_status(f, 0, 2, 0);
        fixture_free(f);
}
END_TEST

START_TEST(a_start_with_a_full_disk_sends_what_is_there)
{
        Fixture *f = fixture_new();

        (void)add(f, "t1", "one");
        fixture_turn(f);
        f->outbox = outbox_close(f->outbox);
        f->n_offers = 0;
        atomic_store(&files.room, 0);
        fixture_open(f);
        ck_assert_ptr_nonnull(outbox_problem(f->outbox));
        fixture_turn_until_offers(f, 1);
        ck_assert_str_eq(f->offers[0].body, "one");
        (void)add(f, "t2", "two");
        fixture_turn_until_offers(f, 2);
        atomic_store(&files.room, -1);
        turn_until_well(f);
        ck_assert_waiting_after_kill(f, 2);
        fixture_free(f);
}
END_TEST

START_TEST(a_body_that_cannot_be_read_is_a_dead_letter)
{
        Fixture *f = fixture_new();
        char path[160];
        int fd;

        (void)add(f, "t1", "precious");
        fixture_turn(f);
        f->outbox = outbox_close(f->outbox);
        f->n_offers = 0;
        fixture_open(f);
        (void)snprintf(path, sizeof(path), "%s/0000000001.log", f->folder);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(pwrite(fd, "XX", 2, 16 + 48 + 48 + 2 + 4 + 3), 2);
        (void)close_fd(fd);
        while (status(f).n_dead == 0)
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
        ck_assert_uint_eq(f->n_offers, 0);
        ck_assert_ptr_nonnull(strstr(outbox_find(f->outbox, 1)->reason, "damaged"));
        ck_assert_uint_eq(f->gone, 1);
        fixture_free(f);
}
END_TEST

START_TEST(a_read_that_fails_is_tried_again)
{
        Fixture *f = fixture_new();

        (void)add(f, "t1", "precious");
        fixture_turn(f);
        fixture_reopen(f);
        atomic_store(&files.read_error, -EIO);
        fixture_turn_until_idle(f);
        ck_assert_uint_eq(f->n_offers, 0);
        ck_assert_status(f, 0, 1, 0);
        atomic_store(&files.read_error, 0);
        fixture_turn_until_offers(f, 1);
        ck_assert_str_eq(f->offers[0].body, "precious");
        fixture_free(f);
}
END_TEST

static unsigned writes_before;

static void add_another(Fixture *f, OutboxEntry *entry, Slice body)
{
        if (f->n_offers == 1) {
                writes_before = atomic_load(&files.n_writes);
                (void)add(f, "t2", "two");
        } else {
                ck_assert_uint_gt(atomic_load(&files.n_writes), writes_before);
        }
}

/* Not even one that was put while another was offered. */
START_TEST(nothing_is_offered_before_it_is_written)
{
        Fixture *f = fixture_new();

        f->on_offer = add_another;
        (void)add(f, "t1", "one");
        fixture_turn_until_offers(f, 2);
        fixture_free(f);
}
END_TEST

static int on_busy(sd_event_source *source, void *userdata)
{
        ++*(unsigned *)userdata;
        return 0;
}

/* A loop that never has nothing to do. */
START_TEST(a_busy_loop_delays_no_write)
{
        Fixture *f = fixture_new();
        sd_event_source *busy;
        unsigned n = 0;

        fixture_turn_until_idle(f);
        ck_assert_int_ge(sd_event_add_defer(f->event, &busy, on_busy, &n), 0);
        ck_assert_int_ge(sd_event_source_set_enabled(busy, SD_EVENT_ON), 0);
        (void)add(f, "t1", "one");
        while (f->n_offers == 0 && n < 1000)
                ck_assert_int_ge(sd_event_run(f->event, 0), 0);
        ck_assert_uint_eq(f->n_offers, 1);
        ck_assert_uint_gt(n, 10); /* it waits for what the pass brings */
        n = 0;
        for (unsigned i = 0; i < 32; i++)
                (void)add(f, "t2", "many");
        ck_assert_int_ge(sd_event_run(f->event, 0), 0);
        ck_assert_uint_eq(f->n_offers, 2); /* unless that is much already */
        ck_assert_uint_eq(n, 0);
        (void)sd_event_source_disable_unref(busy);
        fixture_free(f);
}
END_TEST

START_TEST(a_disk_that_hangs_stops_fetching)
{
        Fixture *f = fixture_new();
        unsigned n_changes;

        fixture_turn_until_idle(f);
        n_changes = f->n_changes;
        atomic_store(&files.sync_msec, 6500);
        (void)add(f, "t1", "one");
        fixture_turn_until_offers(f, 1);
        while (f->n_changes == n_changes)
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
        ck_assert(outbox_is_high(f->outbox));
        (void)add(f, "t2", "two"); /* and nothing else */
        fixture_turn_until_offers(f, 2);
        atomic_store(&files.sync_msec, 0);
        while (f->n_changes == n_changes + 1)
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
        ck_assert(!outbox_is_high(f->outbox));
        fixture_free(f);
}
END_TEST

UNIT_MAIN("outbox-fault", nothing_is_synced_that_is_accepted_soon,
          a_full_disk_stops_nothing_that_is_in_hand, a_full_disk_is_given_room,
          an_unwritten_message_may_be_accepted, a_failed_write_is_tried_in_a_new_segment,
          what_a_failed_write_has_left_is_cut_off, after_a_failed_sync_all_is_written_anew,
          a_removed_folder_is_made_again, a_start_with_a_full_disk_sends_what_is_there,
          a_body_that_cannot_be_read_is_a_dead_letter, a_read_that_fails_is_tried_again,
          nothing_is_offered_before_it_is_written, a_busy_loop_delays_no_write,
          a_disk_that_hangs_stops_fetching);
