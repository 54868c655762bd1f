/* SPDX-License-Identifier: Apache-2.0 */

/* Bodies from the disk, read by the storage thread. A job knows its entry by number only: it may be
 * gone when the job is done. The file stays until then: files are unlinked by later jobs. */

#include "outbox/outbox-internal.h"

/* Under way for sending and moving. */
#define READS_MAX 16

/* Those for people. */
#define SHOWN_MAX 64

typedef struct Read {
        StorageJob storage;
        ListLink link;
        Outbox *outbox;
        uint64_t number; /* the entry's */
        ReadPurpose purpose;
        int folder_fd;
        uint64_t segment, offset;
        uint32_t salt;
        bool have_body; /* it was in memory */
        char *body;
        size_t size;
        outbox_body_t done;
        void *userdata;
} Read;

static void read_free(Read *read)
{
        list_remove(&read->link);
        read->outbox->n_reads[read->purpose]--;
        free(read->body);
        free(read);
}

static int read_run(StorageJob *storage, Db *db)
{
        Read *read = container_of(storage, Read, storage);

        if (read->have_body)
                return 0;
        return segment_read_body(read->folder_fd, read->segment, read->offset, read->salt,
                                 &read->body, &read->size);
}

static void read_done(StorageJob *storage, int error)
{
        Read *read = container_of(storage, Read, storage);
        Outbox *outbox = read->outbox;
        Entry *entry = entry_find(outbox, read->number);

        if (error >= 0 && entry && read->size != entry->public.body_size)
                error = -EBADMSG;
        switch (read->purpose) {
        case READ_TO_OFFER:
                if (entry && entry->phase == PHASE_READING && !outbox->closing)
                        offer_body(outbox, entry, error < 0 ? NULL : TAKE_PTR(read->body), error);
                break;
        case READ_TO_MOVE:
                if (entry && entry->is_moving)
                        move_on_body(outbox, entry, TAKE_PTR(read->body), error);
                break;
        default:
                read->done(entry ? error : -ENOENT, (Slice){ read->body, read->size },
                           read->userdata);
                break;
        }
        read_free(read);
        if (error >= 0)
                outbox_wake(outbox, false);
}

static bool is_full(const Outbox *outbox, ReadPurpose purpose)
{
        const size_t *n = outbox->n_reads;

        return purpose == READ_TO_SHOW ? n[READ_TO_SHOW] >= SHOWN_MAX
                                       : n[READ_TO_OFFER] + n[READ_TO_MOVE] >= READS_MAX;
}

/* Of what is in memory a copy is handed on: the body itself may be gone by then. */
static int copy_body(Read *read, const Entry *entry)
{
        read->have_body = true;
        read->size = entry->public.body_size;
        if (!entry->body)
                return 0;
        read->body = malloc(read->size);
        if (!read->body)
                return -ENOMEM;
        memcpy(read->body, entry->body, read->size);
        return 0;
}

int read_body(Outbox *outbox, Entry *entry, ReadPurpose purpose, outbox_body_t done, void *userdata)
{
        Read *read;
        int r = 0;

        if (is_full(outbox, purpose))
                return -EAGAIN;
        read = calloc(1, sizeof(*read));
        if (!read)
                return -ENOMEM;
        *read = (Read){
                .storage = { .run = read_run, .done = read_done },
                .outbox = outbox,
                .number = entry->public.number,
                .purpose = purpose,
                .folder_fd = journal_folder_fd(outbox->journal),
                .done = done,
                .userdata = userdata,
        };
        if (entry->body || entry->public.body_size == 0) {
                r = copy_body(read, entry);
        } else {
                read->segment = entry->segment->number;
                read->offset = entry->offset;
                read->salt = entry->segment->salt;
        }
        if (r < 0) {
                free(read);
                return r;
        }
        list_append(&outbox->reads, &read->link);
        outbox->n_reads[purpose]++;
        storage_post(outbox->options.storage, &read->storage);
        return 0;
}

bool reads_are_under_way(const Outbox *outbox)
{
        return !list_is_empty(&outbox->reads);
}
