/* SPDX-License-Identifier: Apache-2.0 */

/* Writing anew what keeps old segments: when the files take much more than what is alive, that of
 * the oldest segment; after a failed sync, all. The old place stays until the new one is synced. */

#include "outbox/outbox-internal.h"

/* The files may take this many times what is alive, and some segments' worth in any case. */
#define DISK_FACTOR 2
#define DISK_MIN    (4 * SEGMENT_SIZE)

/* Of one pass of the loop. */
#define MOVES_PER_PASS      32
#define MOVE_BYTES_PER_PASS ((uint64_t)64 * 1024)

/* Segments with lower numbers are to be emptied. */
static uint64_t limit_of(const Outbox *outbox)
{
        const Journal *journal = outbox->journal;
        const Segment *oldest = journal_oldest(journal);

        if (!oldest || journal_disk_bytes(journal) <= DISK_MIN + DISK_FACTOR * outbox->bytes)
                return outbox->move_before;
        return MAX(outbox->move_before, oldest->number + 1);
}

/* 0, or -errno: not now. */
static int move_one(Outbox *outbox, Entry *entry)
{
        int r;

        if (entry->body || entry->public.body_size == 0)
                return disk_append_entry(outbox, entry);
        r = read_body(outbox, entry, READ_TO_MOVE, NULL, NULL);
        if (r < 0)
                return r;
        entry->is_moving = true;
        list_remove(&entry->of_segment);
        list_append(&entry->pin->leaving, &entry->of_segment);
        return 0;
}

bool move_step(Outbox *outbox)
{
        uint64_t limit = limit_of(outbox), bytes = 0;
        unsigned n = 0;

        LIST_FOREACH (i, journal_segments(outbox->journal)) {
                Segment *segment = LIST_ENTRY(i, Segment, link);

                if (segment->number >= limit || segment == journal_active(outbox->journal))
                        return false;
                while (!list_is_empty(&segment->live)) {
                        Entry *entry = LIST_FIRST(&segment->live, Entry, of_segment);

                        if (n++ >= MOVES_PER_PASS || bytes >= MOVE_BYTES_PER_PASS)
                                return true;
                        bytes += entry_size(entry);
                        if (move_one(outbox, entry) < 0)
                                return false; /* goes on when a read is done, or with others' */
                }
        }
        return false;
}

bool move_is_done(const Outbox *outbox)
{
        LIST_FOREACH (i, journal_segments(outbox->journal)) {
                const Segment *segment = LIST_ENTRY(i, Segment, link);

                if (segment->number >= outbox->move_before)
                        return true;
                if (!list_is_empty(&segment->live) || !list_is_empty(&segment->leaving))
                        return false;
        }
        return true;
}

void move_on_body(Outbox *outbox, Entry *entry, char *body, int error)
{
        entry->is_moving = false;
        if (error >= 0 && !entry->body)
                entry_set_body(outbox, entry, TAKE_PTR(body), entry->public.body_size);
        free(body);
        if (entry->body)
                error = disk_append_entry(outbox, entry);
        if (error >= 0)
                return;
        if (error == -EBADMSG || error == -ENOENT) {
                outbox_give_up(outbox, entry, error);
                return;
        }
        list_remove(&entry->of_segment);
        list_append(&entry->pin->live, &entry->of_segment);
}
