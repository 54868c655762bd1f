/* SPDX-License-Identifier: Apache-2.0 */

#include "base/crc32c.h"
#include "outbox/outbox-internal.h"

static uint64_t id_key(Slice id)
{
        return crc32c(0, id.data, id.size);
}

Slice entry_id(const Entry *entry)
{
        return slice_from_string(entry->public.id);
}

int entry_new(Outbox *outbox, uint64_t number, Slice id, Slice head, Entry **ret)
{
        Entry *entry = malloc(sizeof(*entry) + id.size + 1 + head.size);
        char *p = (char *)(entry + 1);
        int r;

        if (!entry)
                return -ENOMEM;
        memset(entry, 0, sizeof(*entry));
        memcpy(p, id.data, id.size);
        p[id.size] = '\0';
        entry->public.id = p;
        if (head.size > 0)
                memcpy(p + id.size + 1, head.data, head.size);
        entry->public.head = (Slice){ p + id.size + 1, head.size };
        entry->public.number = number;
        entry->public.state = ENTRY_CRASHED;
        r = table_insert(&outbox->by_number, &entry->by_number, number);
        if (r < 0)
                goto fail;
        r = table_insert(&outbox->by_id, &entry->by_id, id_key(id));
        if (r < 0) {
                table_remove(&outbox->by_number, &entry->by_number);
                goto fail;
        }
        outbox->bytes += entry_size(entry);
        *ret = entry;
        return 0;

fail:
        free(entry);
        return r;
}

void entry_free(Outbox *outbox, Entry *entry)
{
        offer_withdraw(outbox, entry);
        if (list_is_linked(&entry->of_state))
                outbox->n_states[entry->public.state]--;
        list_remove(&entry->of_state);
        list_remove(&entry->of_disk);
        list_remove(&entry->of_segment);
        table_remove(&outbox->by_number, &entry->by_number);
        table_remove(&outbox->by_id, &entry->by_id);
        outbox->bytes -= entry_size(entry);
        if (entry->body)
                outbox->body_bytes -= entry->public.body_size;
        free(entry->body);
        free(entry->public.reason);
        free(entry);
}

Entry *entry_find(const Outbox *outbox, uint64_t number)
{
        TableLink *link = table_find(&outbox->by_number, number);

        return link ? container_of(link, Entry, by_number) : NULL;
}

void entry_set_state(Outbox *outbox, Entry *entry, unsigned state)
{
        if (list_is_linked(&entry->of_state))
                outbox->n_states[entry->public.state]--;
        list_remove(&entry->of_state);
        entry->public.state = state;
        list_append(&outbox->states[state], &entry->of_state);
        outbox->n_states[state]++;
}

void entry_set_body(Outbox *outbox, Entry *entry, char *body, size_t size)
{
        if (entry->body)
                outbox->body_bytes -= entry->public.body_size;
        free(entry->body);
        outbox->bytes -= entry_size(entry);
        entry->body = body;
        entry->public.body_size = size;
        outbox->bytes += entry_size(entry);
        if (body)
                outbox->body_bytes += size;
}

void entry_drop_body(Outbox *outbox, Entry *entry)
{
        if (!entry->body)
                return;
        outbox->body_bytes -= entry->public.body_size;
        free(TAKE_PTR(entry->body));
}

uint64_t entry_size(const Entry *entry)
{
        const OutboxEntry *public = &entry->public;

        return RECORD_HEADER_SIZE + (size_t)(public->head.data - public->id) - 1 +
               public->head.size + public->body_size;
}

static bool is_of(const Entry *entry, Slice id)
{
        return slice_equal(entry_id(entry), id);
}

Entry *entry_find_crashed(const Outbox *outbox, Slice id)
{
        if (outbox->n_states[ENTRY_CRASHED] == 0)
                return NULL;
        for (TableLink *i = table_find(&outbox->by_id, id_key(id)); i; i = table_next(i)) {
                Entry *entry = container_of(i, Entry, by_id);

                if ((unsigned)entry->public.state == ENTRY_CRASHED && is_of(entry, id))
                        return entry;
        }
        return NULL;
}

bool outbox_knows(const Outbox *outbox, const char *id)
{
        Slice slice = slice_from_string(id);

        for (TableLink *i = table_find(&outbox->by_id, id_key(slice)); i; i = table_next(i)) {
                const Entry *entry = container_of(i, Entry, by_id);

                if ((unsigned)entry->public.state != ENTRY_CRASHED && is_of(entry, slice))
                        return true;
        }
        return false;
}

Entry *entry_first_other(const Outbox *outbox, const Entry *entry)
{
        Entry *first = NULL;

        for (TableLink *i = table_find(&outbox->by_id, entry->by_id.key); i; i = table_next(i)) {
                Entry *other = container_of(i, Entry, by_id);

                if (other != entry && other->public.state == OUTBOX_WAITING &&
                    (!first || other->turn < first->turn) && is_of(other, entry_id(entry)))
                        first = other;
        }
        return first;
}
