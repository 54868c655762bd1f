/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <stdio.h>
#include "base/explain.h"
#include "outbox/outbox-internal.h"

/* Then tasks are fetched no more: the share of max_bytes that is left takes the results of those
 * that are in hand. */
#define HIGH_MARK(max_bytes) ((max_bytes) / 4 * 3)

#define STALL_USEC (5 * USEC_PER_SEC)

/* While the storage thread has something to do, its stall is looked for. */
#define STALL_CHECK_USEC USEC_PER_SEC

/* Waking */

void outbox_wake(Outbox *outbox, bool urgent)
{
        if (!outbox->closing)
                (void)sd_event_source_set_enabled(
                        urgent ? outbox->urgent_source : outbox->flush_source, SD_EVENT_ONESHOT);
}

void outbox_set_timer(Outbox *outbox, usec_t due_usec)
{
        if (due_usec >= outbox->timer_usec || outbox->closing)
                return;
        outbox->timer_usec = due_usec;
        (void)sd_event_source_set_time(outbox->timer, due_usec);
        (void)sd_event_source_set_enabled(outbox->timer, SD_EVENT_ONESHOT);
}

static bool is_high_but_for_stall(const Outbox *outbox)
{
        return outbox->error != 0 || outbox->bytes >= HIGH_MARK(outbox->options.max_bytes);
}

bool outbox_is_high(const Outbox *outbox)
{
        return is_high_but_for_stall(outbox) ||
               storage_stall_usec(outbox->options.storage) > STALL_USEC;
}

static void tell_change(Outbox *outbox)
{
        bool high = outbox_is_high(outbox);

        if (high == outbox->told_high && !outbox->problem_changed)
                return;
        outbox->told_high = high;
        outbox->problem_changed = false;
        outbox->options.callbacks.on_change(outbox, outbox->options.userdata);
}

static bool has_jobs(const Outbox *outbox)
{
        return reads_are_under_way(outbox) || journal_is_busy(outbox->journal);
}

int outbox_on_pass(sd_event_source *source, void *userdata)
{
        Outbox *outbox = userdata;
        bool more;

        (void)sd_event_source_set_enabled(outbox->flush_source, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(outbox->urgent_source, SD_EVENT_OFF);
        outbox->n_passed_over = 0;
        outbox->offers_next = true;
        disk_work(outbox);
        outbox->offers_next = false;
        more = offer_ready(outbox);
        tell_change(outbox);
        if (has_jobs(outbox))
                outbox_set_timer(outbox, usec_add(clock_monotonic_usec(), STALL_CHECK_USEC));
        if (more)
                outbox_wake(outbox, false);
        return 0;
}

int outbox_on_timer(sd_event_source *source, uint64_t due_usec, void *userdata)
{
        Outbox *outbox = userdata;
        usec_t now = clock_monotonic_usec();

        outbox->timer_usec = USEC_INFINITY;
        offer_due(outbox, now);
        disk_on_time(outbox, now);
        (void)outbox_on_pass(source, userdata);
        outbox_set_timer(outbox, disk_next_usec(outbox));
        if (outbox->n_postponed > 0)
                outbox_set_timer(outbox, outbox->postponed[0].due_usec);
        return 0;
}

/* The way of an entry */

int outbox_hold(Outbox *outbox, const char *id, Slice head, OutboxEntry **ret)
{
        const Entry *crashed = entry_find_crashed(outbox, slice_from_string(id));
        Entry *entry;
        int r;

        if (strlen(id) > OUTBOX_HEAD_MAX || head.size > OUTBOX_HEAD_MAX)
                return -EMSGSIZE;
        r = entry_new(outbox, outbox->next_number, slice_from_string(id), head, &entry);
        if (r < 0)
                return r;
        entry->public.created_msec = clock_epoch_msec();
        entry->public.n_crashes = crashed ? crashed->public.n_crashes : 0;
        entry_set_state(outbox, entry, OUTBOX_HELD);
        r = disk_append_entry(outbox, entry);
        if (r < 0) {
                entry_free(outbox, entry);
                return r;
        }
        outbox->next_number++;
        *ret = &entry->public;
        return 0;
}

static int copy_body(Slice body, char **ret)
{
        char *copy = NULL;

        if (body.size > RECORD_SIZE_MAX - RECORD_HEADER_SIZE - 2 * (OUTBOX_HEAD_MAX + 1))
                return -EMSGSIZE;
        if (body.size > 0) {
                copy = malloc(body.size);
                if (!copy)
                        return -ENOMEM;
                memcpy(copy, body.data, body.size);
        }
        *ret = copy;
        return 0;
}

/* HELD → WAITING; undone on failure. */
static int put(Outbox *outbox, Entry *entry, unsigned kind, Slice body)
{
        OutboxEntry before = entry->public;
        char *copy;
        int r;

        r = copy_body(body, &copy);
        if (r < 0)
                return r;
        entry_set_body(outbox, entry, copy, body.size);
        entry->public.kind = kind;
        entry->public.created_msec = clock_epoch_msec();
        entry->turn = outbox->next_number;
        entry_set_state(outbox, entry, OUTBOX_WAITING);
        r = disk_append_entry(outbox, entry);
        if (r < 0) {
                entry_set_body(outbox, entry, NULL, 0);
                entry_set_state(outbox, entry, before.state);
                entry->public.kind = before.kind;
                entry->public.created_msec = before.created_msec;
                return r;
        }
        outbox->next_number++;
        offer_entry(outbox, entry);
        return 0;
}

/* What is remembered of a task beyond its entries. */
static int remember_crashes(Outbox *outbox, const Entry *entry, bool crashed)
{
        Entry *memory = entry_find_crashed(outbox, entry_id(entry));
        int r;

        if (!crashed) {
                if (memory)
                        outbox_remove(outbox, memory);
                return 0;
        }
        if (!memory) {
                r = entry_new(outbox, outbox->next_number, entry_id(entry), SLICE_NULL, &memory);
                if (r < 0)
                        return r;
                outbox->next_number++;
        }
        memory->public.n_crashes = entry->public.n_crashes;
        entry_set_state(outbox, memory, ENTRY_CRASHED);
        r = disk_append_entry(outbox, memory);
        if (outbox->n_states[ENTRY_CRASHED] > OUTBOX_CRASHES_MAX)
                outbox_remove(outbox, LIST_FIRST(&outbox->states[ENTRY_CRASHED], Entry, of_state));
        return r;
}

int outbox_put(Outbox *outbox, OutboxEntry *public, unsigned kind, Slice body, bool crashed)
{
        Entry *entry = entry_of(public);
        int r;

        assert(public->state == OUTBOX_HELD);
        if (crashed) {
                r = remember_crashes(outbox, entry, true);
                if (r < 0)
                        return r;
        }
        r = put(outbox, entry, kind, body);
        if (r < 0)
                return r;
        if (!crashed)
                (void)remember_crashes(outbox, entry, false);
        return 0;
}

int outbox_add(Outbox *outbox, const char *id, Slice head, unsigned kind, Slice body,
               OutboxEntry **ret)
{
        Entry *entry;
        int r;

        if (strlen(id) > OUTBOX_HEAD_MAX || head.size > OUTBOX_HEAD_MAX)
                return -EMSGSIZE;
        r = entry_new(outbox, outbox->next_number, slice_from_string(id), head, &entry);
        if (r < 0)
                return r;
        outbox->next_number++;
        r = put(outbox, entry, kind, body);
        if (r < 0) {
                entry_free(outbox, entry);
                return r;
        }
        *ret = &entry->public;
        return 0;
}

/* Without memory for the record it is sent again after the next start, which its receiver must be
 * able to bear anyway. */
void outbox_remove(Outbox *outbox, Entry *entry)
{
        const Record record = { .type = RECORD_GONE, .number = entry->public.number };

        (void)disk_append(outbox, &record, true);
        entry_free(outbox, entry);
        if (outbox->told_high && !is_high_but_for_stall(outbox))
                outbox_wake(outbox, false);
}

void outbox_forget(Outbox *outbox, OutboxEntry *public)
{
        assert(public->state == OUTBOX_HELD);
        outbox_remove(outbox, entry_of(public));
}

void outbox_accept(Outbox *outbox, OutboxEntry *public)
{
        Entry *entry = entry_of(public), *next = entry_first_other(outbox, entry);

        assert(public->state == OUTBOX_WAITING);
        outbox_remove(outbox, entry);
        offer_next(outbox, next);
}

void outbox_postpone(Outbox *outbox, OutboxEntry *public, usec_t delay_usec)
{
        assert(public->state == OUTBOX_WAITING);
        offer_postpone(outbox, entry_of(public), usec_add(clock_monotonic_usec(), delay_usec));
}

void outbox_hurry(Outbox *outbox)
{
        offer_due(outbox, USEC_INFINITY);
}

static void bury(Outbox *outbox, Entry *entry, const char *reason)
{
        Entry *next = entry_first_other(outbox, entry);

        offer_withdraw(outbox, entry);
        entry_set_state(outbox, entry, OUTBOX_DEAD);
        entry->public.reason = strdup(reason);
        entry->public.created_msec = clock_epoch_msec();
        /* Without memory for it the message is sent once more, and refused once more. */
        (void)disk_append_dead(outbox, entry);
        if (!entry->is_unwritten)
                entry_drop_body(outbox, entry);
        offer_next(outbox, next);
}

void outbox_bury(Outbox *outbox, OutboxEntry *public, const char *reason)
{
        assert(public->state == OUTBOX_WAITING);
        bury(outbox, entry_of(public), reason);
}

/* The owner lets go of its record of a WAITING entry that ends without its doing. */
static void tell_gone(Outbox *outbox, Entry *entry)
{
        const OutboxCallbacks *callbacks = &outbox->options.callbacks;

        if (callbacks->on_gone)
                callbacks->on_gone(outbox, &entry->public, outbox->options.userdata);
        entry->public.userdata = NULL;
}

void outbox_give_up(Outbox *outbox, Entry *entry, int error)
{
        _cleanup_free_ char *reason = NULL;

        (void)explain(0, &reason, "its body is lost: the record on disk cannot be read: %s",
                      error == -EBADMSG ? "it is damaged" : strerror(-error));
        offer_withdraw(outbox, entry);
        entry_set_body(outbox, entry, NULL, 0);
        if (entry->public.state == OUTBOX_WAITING) {
                tell_gone(outbox, entry);
                bury(outbox, entry, reason ? reason : "its body is lost");
        }
        (void)disk_append_entry(outbox, entry);
}

/* For people */

OutboxEntry *outbox_find(Outbox *outbox, uint64_t number)
{
        Entry *entry = entry_find(outbox, number);

        return entry && (unsigned)entry->public.state != ENTRY_CRASHED ? &entry->public : NULL;
}

static int revive(Outbox *outbox, Entry *entry)
{
        Record record = { .type = RECORD_REVIVED,
                          .number = entry->public.number,
                          .turn = outbox->next_number,
                          .msec = clock_epoch_msec() };
        int r = disk_append(outbox, &record, false);

        if (r < 0)
                return r;
        outbox->next_number++;
        free(TAKE_PTR(entry->public.reason));
        entry->turn = record.turn;
        entry->public.created_msec = record.msec;
        entry_set_state(outbox, entry, OUTBOX_WAITING);
        offer_entry(outbox, entry);
        return 0;
}

int outbox_retry(Outbox *outbox, OutboxEntry *public)
{
        Entry *entry = entry_of(public);

        switch (public->state) {
        case OUTBOX_DEAD:
                return revive(outbox, entry);
        case OUTBOX_WAITING:
                if (entry->phase == PHASE_POSTPONED)
                        offer_entry(outbox, entry);
                return 0;
        default:
                return -EINVAL;
        }
}

int outbox_drop(Outbox *outbox, OutboxEntry *public)
{
        Entry *entry = entry_of(public);

        if (public->state == OUTBOX_HELD)
                return -EINVAL;
        if (entry->phase == PHASE_OFFERED)
                return -EBUSY;
        if (public->state == OUTBOX_WAITING) {
                tell_gone(outbox, entry);
                outbox_accept(outbox, public);
        } else {
                outbox_remove(outbox, entry);
        }
        return 0;
}

int outbox_read(Outbox *outbox, OutboxEntry *public, outbox_body_t done, void *userdata)
{
        return read_body(outbox, entry_of(public), READ_TO_SHOW, done, userdata);
}

OutboxEntry *outbox_first(const Outbox *outbox, OutboxState state)
{
        Entry *entry = LIST_FIRST(&outbox->states[state], Entry, of_state);

        return entry ? &entry->public : NULL;
}

OutboxEntry *outbox_next(const Outbox *outbox, const OutboxEntry *entry)
{
        const Entry *of = container_of(entry, const Entry, public);
        ListLink *next = of->of_state.next;

        return next == &outbox->states[entry->state] ? NULL
                                                     : &LIST_ENTRY(next, Entry, of_state)->public;
}

const char *outbox_problem(const Outbox *outbox)
{
        return outbox->error == 0 ? NULL
               : outbox->problem  ? outbox->problem
                                  : "cannot write to the disk; results are kept in memory";
}

bool outbox_is_idle(const Outbox *outbox)
{
        return journal_pending(outbox->journal) == 0 && !has_jobs(outbox);
}

void outbox_get_status(const Outbox *outbox, OutboxStatus *ret)
{
        const Entry *oldest = LIST_FIRST(&outbox->states[OUTBOX_WAITING], Entry, of_state);

        *ret = (OutboxStatus){
                .n_held = outbox->n_states[OUTBOX_HELD],
                .n_waiting = outbox->n_states[OUTBOX_WAITING],
                .n_dead = outbox->n_states[OUTBOX_DEAD],
                .bytes = outbox->bytes,
                .disk_bytes = journal_disk_bytes(outbox->journal),
                .oldest_msec = oldest ? oldest->public.created_msec : 0,
        };
}

void outbox_set_max_bytes(Outbox *outbox, uint64_t max_bytes)
{
        outbox->options.max_bytes = max_bytes;
        outbox_wake(outbox, false);
}
