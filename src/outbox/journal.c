/* SPDX-License-Identifier: Apache-2.0 */

#include "base/backoff.h"
#include "outbox/journal-internal.h"

/* An idle journal keeps no larger buffer. */
#define BUFFER_KEEP ((size_t)128 * 1024)

/* The next segment is made when the active one is half full: time enough at any rate. */
#define MAKE_AHEAD_AT (SEGMENT_SIZE / 2)

int journal_append(Journal *journal, const Record *record, size_t *ret_offset)
{
        size_t offset = journal->buffer.size;
        int r = record_append(&journal->buffer, record, journal->salt);

        if (r >= 0 && ret_offset)
                *ret_offset = offset;
        return r;
}

size_t journal_pending(const Journal *journal)
{
        return journal->buffer.size;
}

int journal_flush(Journal *journal, Segment **ret_segment, uint64_t *ret_offset)
{
        Segment *active = journal->active;
        size_t size = journal->buffer.size;
        int r;

        if (!active)
                return -EIO;
        r = segment_write(active->fd, active->size, buffer_slice(&journal->buffer));
        if (r < 0)
                return r;
        *ret_segment = active;
        *ret_offset = active->size;
        active->size += size;
        active->is_unsynced = true;
        journal->disk_bytes += size;
        buffer_clear(&journal->buffer);
        buffer_trim(&journal->buffer, BUFFER_KEEP);
        if (active->size >= MAKE_AHEAD_AT && !journal->next && !journal->make.under_way)
                journal_make_ahead(journal);
        return 0;
}

int journal_advance(Journal *journal, uint64_t first_number)
{
        const Record record = { .type = RECORD_NUMBER, .number = first_number };
        int r;

        if (!journal->next ||
            (journal->active && journal->active->size < SEGMENT_SIZE && !journal->renewed))
                return 0;
        r = journal_append(journal, &record, NULL);
        if (r < 0)
                return r;
        journal->active = TAKE_PTR(journal->next);
        journal->renewed = false;
        list_append(&journal->segments, &journal->active->link);
        journal->n_segments++;
        journal->disk_bytes += journal->active->size;
        return 0;
}

bool journal_is_synced(const Journal *journal, const Segment *segment, uint64_t offset)
{
        if (segment->number != journal->synced_number)
                return segment->number < journal->synced_number;
        return offset < journal->synced_size;
}

bool journal_is_syncing(const Journal *journal)
{
        return journal->sync.under_way;
}

bool journal_is_renewing(const Journal *journal)
{
        return journal->make.under_way && journal->make.renew;
}

bool journal_is_busy(const Journal *journal)
{
        return journal->make.under_way || journal->sync.under_way || journal->unlink.under_way;
}

const ListLink *journal_segments(const Journal *journal)
{
        return &journal->segments;
}

Segment *journal_oldest(const Journal *journal)
{
        return LIST_FIRST(&journal->segments, Segment, link);
}

Segment *journal_active(const Journal *journal)
{
        return journal->active;
}

uint64_t journal_disk_bytes(const Journal *journal)
{
        return journal->disk_bytes;
}

const char *journal_folder(const Journal *journal)
{
        return journal->folder;
}

int journal_folder_fd(const Journal *journal)
{
        return journal->folder_fd;
}

int journal_start(Journal *journal, uint64_t first_number)
{
        int r = journal_make_now(journal);

        return r < 0 ? r : journal_advance(journal, first_number);
}

static void free_segments(ListLink *segments)
{
        for (ListLink *i; (i = list_pop_first(segments));)
                (void)segment_free(LIST_ENTRY(i, Segment, link));
}

static void remove_next(Journal *journal)
{
        char name[SEGMENT_NAME_SIZE];

        if (!journal->next)
                return;
        segment_format_name(journal->next->number, name);
        (void)unlinkat(journal->folder_fd, name, 0);
        journal->next = segment_free(journal->next);
}

Journal *journal_close(Journal *journal)
{
        if (!journal)
                return NULL;
        if (journal_is_busy(journal))
                storage_drain(journal->options.storage);
        remove_next(journal);
        free_segments(&journal->segments);
        free_segments(&journal->unlink.segments);
        buffer_deinit(&journal->buffer);
        (void)close_fd(journal->folder_fd);
        free(journal->folder);
        free(journal);
        return NULL;
}

int journal_open(Journal **ret, const JournalOptions *options, char **ret_error)
{
        _cleanup_(journal_closep) Journal *journal = calloc(1, sizeof(*journal));
        int r;

        if (!journal)
                return -ENOMEM;
        journal->options = *options;
        journal->folder_fd = -EBADF;
        journal->salt = (uint32_t)random_u64();
        journal->next_segment = 1;
        journal->buffer = BUFFER_NULL(UINT32_MAX);
        list_init(&journal->segments);
        list_init(&journal->unlink.segments);
        journal->folder = strdup(options->folder);
        if (!journal->folder)
                return -ENOMEM;
        r = journal_replay(journal, ret_error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(journal);
        return 0;
}
