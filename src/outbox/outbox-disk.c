/* SPDX-License-Identifier: Apache-2.0 */

/* Writing, syncing, and what to do when the disk fails: then entries are offered unwritten, and
 * each second it is tried again. After an error of writing for want of room at the same place;
 * after any other in a new segment. After a failed sync, and when the files were removed, all that
 * is alive is written anew there. */

#include <stdio.h>
#include "outbox/outbox-internal.h"

/* Written at once, however busy the loop is. */
#define GATHER_RECORDS_MAX 32
#define GATHER_BYTES_MAX   ((size_t)64 * 1024)

/* For what may ride along with others' records. */
#define LAZY_USEC (100 * USEC_PER_MSEC)

#define RETRY_USEC USEC_PER_SEC

/* Writing all anew is not tried each second: 2^this many at most. */
#define REWRITES_MAX 6

static uint32_t now_msec(usec_t now)
{
        return (uint32_t)(now / USEC_PER_MSEC);
}

/* Errors */

static const char *remedy(int error)
{
        switch (error) {
        case -ENOSPC:
        case -EDQUOT:
                return "make room on its file system";
        case -EFBIG:
                return "raise the limit on file sizes";
        case -EROFS:
                return "mount its file system writable";
        case -EACCES:
        case -EPERM:
                return "give the folder back to the user that the daemon runs as";
        case -ENOENT:
                return "the folder must stay while the daemon runs";
        default:
                return "check the disk";
        }
}

static void set_problem(Outbox *outbox, int error)
{
        char *text = NULL;

        if (asprintf(&text,
                     "cannot write to %s: %s; results are kept in memory and no tasks are fetched: "
                     "%s",
                     journal_folder(outbox->journal), strerror(-error), remedy(error)) < 0)
                text = NULL;
        free(outbox->problem);
        outbox->problem = text;
        outbox->problem_changed = true;
        outbox_wake(outbox, false);
}

static void offer_unwritten(Outbox *outbox)
{
        LIST_FOREACH (i, &outbox->unwritten) {
                Entry *entry = LIST_ENTRY(i, Entry, of_disk);

                if (entry->phase == PHASE_UNWRITTEN)
                        offer_entry(outbox, entry);
        }
}

void disk_set_error(Outbox *outbox, int error, DiskError kind)
{
        if (outbox->error != error || !outbox->problem)
                set_problem(outbox, error);
        outbox->error = error;
        outbox->is_blocked = true;
        outbox->must_renew = outbox->must_renew || kind >= DISK_RENEW;
        outbox->must_rewrite = outbox->must_rewrite || kind >= DISK_REWRITE;
        outbox->retry_usec = usec_add(clock_monotonic_usec(),
                                      RETRY_USEC << MIN(outbox->n_rewrites, REWRITES_MAX));
        outbox_set_timer(outbox, outbox->retry_usec);
        offer_unwritten(outbox);
}

static void clear_error(Outbox *outbox)
{
        if (outbox->error == 0 || outbox->is_blocked || !move_is_done(outbox))
                return;
        outbox->error = 0;
        outbox->n_rewrites = 0;
        free(TAKE_PTR(outbox->problem));
        outbox->problem_changed = true;
        outbox_wake(outbox, false);
}

/* Writing */

static void note_gathered(Outbox *outbox)
{
        bool urgent = ++outbox->n_gathered >= GATHER_RECORDS_MAX ||
                      journal_pending(outbox->journal) >= GATHER_BYTES_MAX;

        outbox_wake(outbox, urgent);
}

static Record record_of(const Entry *entry)
{
        const OutboxEntry *public = &entry->public;
        Record record = {
                .type = RECORD_WAITING,
                .value = public->kind,
                .number = public->number,
                .turn = entry->turn,
                .msec = public->created_msec,
                .id = entry_id(entry),
                .head = public->head,
                .body = { entry->body, entry->body ? public->body_size : 0 },
        };

        if (public->state == OUTBOX_HELD || (unsigned)public->state == ENTRY_CRASHED) {
                record.type = public->state == OUTBOX_HELD ? RECORD_HELD : RECORD_CRASHED;
                record.value = public->n_crashes;
        }
        return record;
}

int disk_append_dead(Outbox *outbox, const Entry *entry)
{
        const Record record = {
                .type = RECORD_DEAD,
                .number = entry->public.number,
                .msec = entry->public.created_msec,
                .body = slice_from_string(entry->public.reason),
        };

        return disk_append(outbox, &record, false);
}

int disk_append_entry(Outbox *outbox, Entry *entry)
{
        Record record = record_of(entry);
        size_t offset;
        int r;

        r = journal_append(outbox->journal, &record, &offset);
        if (r < 0)
                return r;
        /* Without memory for it the message is sent once more, and refused once more. */
        if (entry->public.state == OUTBOX_DEAD)
                (void)disk_append_dead(outbox, entry);
        entry->offset = offset;
        entry->is_unwritten = true;
        entry->is_moving = false;
        list_remove(&entry->of_disk);
        list_append(&outbox->unwritten, &entry->of_disk);
        if (entry->pin) {
                list_remove(&entry->of_segment);
                list_append(&entry->pin->leaving, &entry->of_segment);
        }
        note_gathered(outbox);
        return 0;
}

int disk_append(Outbox *outbox, const Record *record, bool lazy)
{
        int r = journal_append(outbox->journal, record, NULL);

        if (r < 0)
                return r;
        if (!lazy || journal_pending(outbox->journal) >= GATHER_BYTES_MAX) {
                note_gathered(outbox);
        } else if (outbox->flush_by_usec == USEC_INFINITY) {
                outbox->flush_by_usec = usec_add(clock_monotonic_usec(), LAZY_USEC);
                outbox_set_timer(outbox, outbox->flush_by_usec);
        }
        return 0;
}

void disk_place(Outbox *outbox, Entry *entry, Segment *segment, uint64_t base, uint32_t msec)
{
        entry->segment = segment;
        entry->offset += base;
        entry->is_unwritten = false;
        entry->written_msec = msec;
        list_append(&outbox->unsynced, &entry->of_disk);
        if (!entry->pin)
                entry->pin = segment;
        list_remove(&entry->of_segment);
        list_append(entry->pin == segment ? &segment->live : &entry->pin->leaving,
                    &entry->of_segment);
        if (entry->phase == PHASE_UNWRITTEN)
                offer_entry(outbox, entry);
        else if (entry->public.state == OUTBOX_DEAD)
                entry_drop_body(outbox, entry);
        if (entry->phase != PHASE_OFFERED && outbox->body_bytes > OUTBOX_MEMORY_MAX)
                entry_drop_body(outbox, entry);
}

static int flush(Outbox *outbox)
{
        Segment *segment;
        uint64_t base;
        usec_t now;
        int r;

        if (journal_pending(outbox->journal) == 0)
                return 0;
        r = journal_flush(outbox->journal, &segment, &base);
        if (r < 0) {
                disk_set_error(outbox, r, r == -ENOSPC || r == -EDQUOT ? DISK_RETRY : DISK_REWRITE);
                return r;
        }
        now = clock_monotonic_usec();
        for (ListLink *i; (i = list_pop_first(&outbox->unwritten));)
                disk_place(outbox, LIST_ENTRY(i, Entry, of_disk), segment, base, now_msec(now));
        outbox->n_gathered = 0;
        outbox->flush_by_usec = USEC_INFINITY;
        if (!list_is_empty(&outbox->unsynced))
                outbox_set_timer(outbox, usec_add(now, OUTBOX_SYNC_USEC));
        return 0;
}

void disk_work(Outbox *outbox)
{
        bool written =
                !outbox->is_blocked && !journal_is_renewing(outbox->journal) && flush(outbox) >= 0;
        int r;

        journal_retire(outbox->journal); /* in any case: it makes room */
        if (!written)
                return;
        clear_error(outbox);
        r = journal_advance(outbox->journal, outbox->next_number);
        if (r < 0)
                return; /* out of memory: the segment grows meanwhile */
        if (!outbox->closing && move_step(outbox))
                outbox_wake(outbox, false);
}

/* In time */

static usec_t first_unsynced_due(const Outbox *outbox, usec_t now)
{
        const Entry *first = LIST_FIRST(&outbox->unsynced, Entry, of_disk);
        uint32_t age_msec;

        if (!first || outbox->is_blocked || journal_is_syncing(outbox->journal))
                return USEC_INFINITY;
        age_msec = now_msec(now) - first->written_msec;
        return usec_add(now, OUTBOX_SYNC_USEC - MIN(age_msec * USEC_PER_MSEC, OUTBOX_SYNC_USEC));
}

static void allow_again(Outbox *outbox, usec_t now)
{
        outbox->retry_usec = usec_add(now, RETRY_USEC);
        if (outbox->must_renew)
                journal_renew(outbox->journal, outbox->must_rewrite);
        else
                outbox->is_blocked = false;
}

void disk_on_time(Outbox *outbox, usec_t now)
{
        if (outbox->is_blocked && now >= outbox->retry_usec)
                allow_again(outbox, now);
        if (first_unsynced_due(outbox, now) <= now)
                (void)journal_sync(outbox->journal); /* out of memory: with the next timer */
}

usec_t disk_next_usec(const Outbox *outbox)
{
        usec_t now = clock_monotonic_usec(), next = first_unsynced_due(outbox, now);

        if (outbox->is_blocked)
                next = MIN(next, outbox->retry_usec);
        else
                next = MIN(next, outbox->flush_by_usec);
        return next;
}

void disk_on_synced(Outbox *outbox, int error)
{
        if (error < 0) {
                disk_set_error(outbox, error, DISK_REWRITE);
                return;
        }
        for (Entry *entry; (entry = LIST_FIRST(&outbox->unsynced, Entry, of_disk));) {
                if (!journal_is_synced(outbox->journal, entry->segment, entry->offset))
                        break;
                list_remove(&entry->of_disk);
                /* what is not to be trusted replaces nothing; it is written anew */
                if (entry->segment->number >= outbox->move_before)
                        entry->pin = entry->segment;
                list_remove(&entry->of_segment);
                list_append(&entry->pin->live, &entry->of_segment);
        }
        outbox_wake(outbox, false);
}

void disk_on_renewed(Outbox *outbox, int error)
{
        if (error < 0) {
                disk_set_error(outbox, error, DISK_RENEW);
                return;
        }
        if (journal_advance(outbox->journal, outbox->next_number) < 0)
                return; /* out of memory: renewed once more in a second */
        if (outbox->must_rewrite) {
                outbox->move_before = journal_active(outbox->journal)->number;
                outbox->n_rewrites++;
        }
        outbox->is_blocked = outbox->must_renew = outbox->must_rewrite = false;
        outbox_wake(outbox, false);
}
