/* SPDX-License-Identifier: Apache-2.0 */

/* Which WAITING entry may be sent when: the first of its task, when it is written, with its body,
 * and no more at a time than OUTBOX_MEMORY_MAX of bodies. */

#include "outbox/outbox-internal.h"

/* Of one pass of the loop: each starts a request. */
#define OFFERS_PER_PASS 64

/* After a body could not be read for a reason that may pass. */
#define READ_RETRY_USEC USEC_PER_SEC

/* The heap of those that are postponed: the earliest is the first, and each is no later than the
 * two at 2i+1 and 2i+2. */

static void heap_put(Outbox *outbox, size_t at, Postponed item)
{
        outbox->postponed[at] = item;
        item.entry->postponed_at = (uint32_t)at;
}

static void heap_up(Outbox *outbox, size_t at, Postponed item)
{
        while (at > 0 && outbox->postponed[(at - 1) / 2].due_usec > item.due_usec) {
                heap_put(outbox, at, outbox->postponed[(at - 1) / 2]);
                at = (at - 1) / 2;
        }
        heap_put(outbox, at, item);
}

static void heap_down(Outbox *outbox, size_t at, Postponed item)
{
        for (;;) {
                const Postponed *heap = outbox->postponed;
                size_t child = 2 * at + 1;

                if (child + 1 < outbox->n_postponed &&
                    heap[child + 1].due_usec < heap[child].due_usec)
                        child++;
                if (child >= outbox->n_postponed || heap[child].due_usec >= item.due_usec)
                        break;
                heap_put(outbox, at, heap[child]);
                at = child;
        }
        heap_put(outbox, at, item);
}

static int heap_add(Outbox *outbox, Entry *entry, usec_t due_usec)
{
        if (outbox->n_postponed == outbox->postponed_capacity) {
                size_t capacity = MAX((size_t)64, outbox->postponed_capacity * 2);
                Postponed *grown =
                        reallocarray(outbox->postponed, capacity, sizeof(*outbox->postponed));

                if (!grown)
                        return -ENOMEM;
                outbox->postponed = grown;
                outbox->postponed_capacity = capacity;
        }
        heap_up(outbox, outbox->n_postponed++, (Postponed){ due_usec, entry });
        return 0;
}

static void heap_remove(Outbox *outbox, Entry *entry)
{
        size_t at = entry->postponed_at;
        Postponed last = outbox->postponed[--outbox->n_postponed];

        if (last.entry == entry)
                return;
        if (at > 0 && outbox->postponed[(at - 1) / 2].due_usec > last.due_usec)
                heap_up(outbox, at, last);
        else
                heap_down(outbox, at, last);
}

/* Phases */

static bool is_out(const Entry *entry)
{
        return entry->phase == PHASE_OFFERED || entry->phase == PHASE_READING;
}

void offer_withdraw(Outbox *outbox, Entry *entry)
{
        if (entry->phase == PHASE_READY)
                list_remove(&entry->of_phase);
        if (entry->phase == PHASE_POSTPONED)
                heap_remove(outbox, entry);
        if (is_out(entry)) {
                outbox->n_offered--;
                outbox->offered_bytes -= entry->public.body_size;
                if (!list_is_empty(&outbox->ready))
                        outbox_wake(outbox, false);
        }
        entry->phase = PHASE_NONE;
}

void offer_entry(Outbox *outbox, Entry *entry)
{
        const Entry *first = entry_first_other(outbox, entry);

        offer_withdraw(outbox, entry);
        if (first && first->turn < entry->turn) {
                entry->phase = PHASE_BEHIND;
        } else if (entry->is_unwritten && outbox->error == 0) {
                entry->phase = PHASE_UNWRITTEN;
        } else {
                entry->phase = PHASE_READY;
                list_append(&outbox->ready, &entry->of_phase);
                if (!outbox->offers_next)
                        outbox_wake(outbox, false);
        }
}

void offer_next(Outbox *outbox, Entry *entry)
{
        if (entry && entry->phase == PHASE_BEHIND)
                offer_entry(outbox, entry);
}

/* Without memory for the heap it is ready, but what wakes the loop for it is the timer. */
void offer_postpone(Outbox *outbox, Entry *entry, usec_t due_usec)
{
        offer_withdraw(outbox, entry);
        if (outbox->body_bytes > OUTBOX_MEMORY_MAX && !entry->is_unwritten)
                entry_drop_body(outbox, entry);
        if (heap_add(outbox, entry, due_usec) >= 0) {
                entry->phase = PHASE_POSTPONED;
        } else {
                entry->phase = PHASE_READY;
                list_append(&outbox->ready, &entry->of_phase);
        }
        outbox_set_timer(outbox, due_usec);
}

void offer_due(Outbox *outbox, usec_t now)
{
        while (outbox->n_postponed > 0 && outbox->postponed[0].due_usec <= now)
                offer_entry(outbox, outbox->postponed[0].entry);
}

static void offer_now(Outbox *outbox, Entry *entry)
{
        const OutboxCallbacks *callbacks = &outbox->options.callbacks;

        entry->phase = PHASE_OFFERED;
        callbacks->on_ready(outbox, &entry->public,
                            (Slice){ entry->body, entry->body ? entry->public.body_size : 0 },
                            outbox->options.userdata);
}

/* 0: offered, or its body is being read; -EAGAIN: not before something else is done. */
static int offer_first(Outbox *outbox)
{
        Entry *entry = LIST_FIRST(&outbox->ready, Entry, of_phase);
        size_t size = entry->public.body_size;
        bool in_memory = entry->body || size == 0;

        if (outbox->n_offered > 0 && outbox->offered_bytes + size > OUTBOX_MEMORY_MAX)
                return -EAGAIN;
        if (!in_memory && read_body(outbox, entry, READ_TO_OFFER, NULL, NULL) < 0)
                return -EAGAIN;
        list_remove(&entry->of_phase);
        outbox->n_offered++;
        outbox->offered_bytes += size;
        entry->phase = PHASE_READING;
        if (in_memory)
                offer_now(outbox, entry);
        return 0;
}

bool offer_ready(Outbox *outbox)
{
        for (unsigned n = 0; n < OFFERS_PER_PASS; n++) {
                if (list_is_empty(&outbox->ready) || offer_first(outbox) < 0)
                        return false;
        }
        return !list_is_empty(&outbox->ready);
}

static bool is_lost(int error)
{
        return error == -EBADMSG || error == -ENOENT;
}

void offer_body(Outbox *outbox, Entry *entry, char *body, int error)
{
        if (error < 0 && is_lost(error)) {
                outbox_give_up(outbox, entry, error);
                return;
        }
        if (error < 0) {
                offer_postpone(outbox, entry, usec_add(clock_monotonic_usec(), READ_RETRY_USEC));
                return;
        }
        entry_set_body(outbox, entry, body, entry->public.body_size);
        offer_now(outbox, entry);
}
