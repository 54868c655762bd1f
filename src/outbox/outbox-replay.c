/* SPDX-License-Identifier: Apache-2.0 */

/* What is found at a start: each record does to the entries what its writer had done. */

#include "outbox/outbox-internal.h"

/* The entry that a record is about; made by the first that says all of it. */
static int find_or_new(Outbox *outbox, const Record *record, Entry **ret)
{
        Entry *entry = entry_find(outbox, record->number);
        int r;

        if (!entry) {
                r = entry_new(outbox, record->number, record->id, record->head, &entry);
                if (r < 0)
                        return r;
                entry->public.recovered = true;
        }
        *ret = entry;
        return 0;
}

/* None of it need be synced. */
static void stand_at(Outbox *outbox, Entry *entry, Segment *segment, uint64_t offset)
{
        entry->offset = 0;
        list_remove(&entry->of_disk);
        disk_place(outbox, entry, segment, offset, 0);
}

static int replay_whole(Outbox *outbox, const Record *record, Segment *segment, uint64_t offset)
{
        Entry *entry;
        int r = find_or_new(outbox, record, &entry);

        if (r < 0)
                return r;
        stand_at(outbox, entry, segment, offset);
        entry->public.created_msec = record->msec;
        entry->turn = record->turn;
        entry_set_body(outbox, entry, NULL, record->body.size);
        free(TAKE_PTR(entry->public.reason));
        if (record->type == RECORD_WAITING) {
                entry->public.kind = record->value;
                entry_set_state(outbox, entry, OUTBOX_WAITING);
        } else {
                entry->public.n_crashes = record->value;
                entry_set_state(outbox, entry,
                                record->type == RECORD_HELD ? OUTBOX_HELD : ENTRY_CRASHED);
        }
        return 0;
}

static int replay_dead(Outbox *outbox, Entry *entry, const Record *record)
{
        char *reason = strndup(record->body.data, record->body.size);

        if (!reason)
                return -ENOMEM;
        free(entry->public.reason);
        entry->public.reason = reason;
        entry->public.created_msec = record->msec;
        entry_set_state(outbox, entry, OUTBOX_DEAD);
        return 0;
}

static void replay_revived(Outbox *outbox, Entry *entry, const Record *record)
{
        free(TAKE_PTR(entry->public.reason));
        entry->public.created_msec = record->msec;
        entry->turn = record->turn;
        entry_set_state(outbox, entry, OUTBOX_WAITING);
}

int replay_record(Outbox *outbox, const Record *record, Segment *segment, uint64_t offset)
{
        Entry *entry = entry_find(outbox, record->number);

        outbox->is_clean = record->type == RECORD_CLOSED;
        outbox->next_number = MAX(outbox->next_number, record->turn + 1);
        if (record->type == RECORD_NUMBER || record->type == RECORD_CLOSED) {
                outbox->next_number = MAX(outbox->next_number, record->number);
                return 0;
        }
        outbox->next_number = MAX(outbox->next_number, record->number + 1);
        switch (record->type) {
        case RECORD_HELD:
        case RECORD_WAITING:
        case RECORD_CRASHED:
                return replay_whole(outbox, record, segment, offset);
        case RECORD_GONE:
                if (entry)
                        entry_free(outbox, entry);
                return 0;
        case RECORD_DEAD:
                return entry ? replay_dead(outbox, entry, record) : 0;
        case RECORD_REVIVED:
                if (entry && entry->public.state == OUTBOX_DEAD)
                        replay_revived(outbox, entry, record);
                return 0;
        default:
                return 0;
        }
}

/* The record says so too: a daemon that dies before it settles them counts as well. Without memory
 * for that it does not. */
static void count_crashes(Outbox *outbox)
{
        LIST_FOREACH (i, &outbox->states[OUTBOX_HELD]) {
                Entry *entry = LIST_ENTRY(i, Entry, of_state);

                entry->public.n_crashes++;
                (void)disk_append_entry(outbox, entry);
        }
}

static int compare_turns(const void *a, const void *b)
{
        const Entry *x = *(Entry *const *)a, *y = *(Entry *const *)b;

        return x->turn < y->turn ? -1 : x->turn > y->turn;
}

/* Records of some may have been moved behind those of later ones. */
static int order_waiting(Outbox *outbox)
{
        size_t n = 0, n_waiting = outbox->n_states[OUTBOX_WAITING];
        _cleanup_free_ Entry **entries = NULL;

        if (n_waiting == 0)
                return 0;
        entries = calloc(n_waiting, sizeof(Entry *));
        if (!entries)
                return -ENOMEM;
        LIST_FOREACH (i, &outbox->states[OUTBOX_WAITING]) {
                entries[n++] = LIST_ENTRY(i, Entry, of_state);
        }
        qsort(entries, n, sizeof(Entry *), compare_turns);
        for (size_t i = 0; i < n; i++)
                entry_set_state(outbox, entries[i], OUTBOX_WAITING);
        for (size_t i = 0; i < n; i++)
                offer_entry(outbox, entries[i]);
        return 0;
}

int replay_end(Outbox *outbox)
{
        LIST_FOREACH (i, journal_segments(outbox->journal)) {
                const Segment *segment = LIST_ENTRY(i, Segment, link);

                if (segment->is_damaged)
                        outbox->move_before = segment->number + 1;
        }
        if (!outbox->is_clean)
                count_crashes(outbox);
        return order_waiting(outbox);
}
