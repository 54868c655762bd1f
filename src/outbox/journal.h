#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The segments of an outbox as one log: records gather in a buffer, one write takes them to the
 * end of the active segment. It knows files, not what the records mean: its owner hangs what still
 * needs a segment on the segment's lists, and the oldest segments go, strictly in their order,
 * when nothing hangs there.
 *
 * Loop: journal_append, journal_flush (a write to the page cache). Storage thread: the next
 * segment is made ahead, written ones are synced, old ones unlinked. A segment that is full before
 * its successor is there simply grows. The first segment of a start is always a new one.
 *
 * After an error of writing the buffer stays as it is: journal_flush may be tried again, at the
 * same place or, after journal_renew, in a new segment. What a failed sync has left on disk is
 * unknown (the kernel forgets the pages): the owner has it renewed and writes all anew. */

#include "base/storage.h"
#include "outbox/segment.h"

/* A segment ends after the flush that takes it past this: small enough that what is held long
 * keeps little from going, large enough that making and unlinking files costs nothing. */
#define SEGMENT_SIZE ((uint64_t)4 * 1024 * 1024)

typedef struct Journal Journal;

typedef struct JournalCallbacks {
        /* Of the replay, while journal_open runs. */
        int (*on_record)(const Record *record, Segment *segment, uint64_t offset, void *userdata);
        /* A sync has ended: journal_is_synced tells more now; or it failed. */
        void (*on_synced)(Journal *journal, int error, void *userdata);
        /* journal_renew has ended; or error: a segment could not be made ahead. */
        void (*on_renewed)(Journal *journal, int error, void *userdata);
} JournalCallbacks;

typedef struct JournalOptions {
        Storage *storage;
        const char *folder;
        JournalCallbacks callbacks;
        void *userdata;
} JournalOptions;

/* Replays what is there. *ret_error (fresh text, 0 or an error): see outbox_open. The journal is
 * good for appending, but has no segment to write to until journal_start. */
int journal_open(Journal **ret, const JournalOptions *options, char **ret_error);
/* Begins a segment, waiting for the disk: what is numbered below first_number is used. An error
 * leaves the journal as after an error of writing: journal_renew. */
int journal_start(Journal *journal, uint64_t first_number);
/* Waits for the storage thread, takes back the segment that was made ahead. Not what is unwritten:
 * flush before. */
Journal *journal_close(Journal *journal);
DEFINE_CLEANUP(Journal *, journal_close);

/* To the buffer. *ret_offset: where in it. Errors: record_append's. */
int journal_append(Journal *journal, const Record *record, size_t *ret_offset);
size_t journal_pending(const Journal *journal);
/* Writes the buffer: it begins at *ret_offset of *ret_segment now. */
int journal_flush(Journal *journal, Segment **ret_segment, uint64_t *ret_offset);
/* Goes on to the next segment if the active one is full, or was given up by journal_renew. Not
 * while that is under way. first_number as in journal_start. */
int journal_advance(Journal *journal, uint64_t first_number);

/* Syncs all that is written, unless a sync is under way: 0 then, too. */
int journal_sync(Journal *journal);
bool journal_is_syncing(const Journal *journal);
bool journal_is_synced(const Journal *journal, const Segment *segment, uint64_t offset);

/* Makes a new segment if the disk works: makes the folder again if it is gone, and syncs. Then
 * journal_advance goes on to it. No flush meanwhile. abandon: what is unsynced now will not be
 * synced any more, all of it is written anew. */
void journal_renew(Journal *journal, bool abandon);
bool journal_is_renewing(const Journal *journal);

/* Something is under way on the storage thread. */
bool journal_is_busy(const Journal *journal);

/* Unlinks the oldest segments that nothing hangs on. */
void journal_retire(Journal *journal);

const ListLink *journal_segments(const Journal *journal); /* oldest first */
Segment *journal_oldest(const Journal *journal);
Segment *journal_active(const Journal *journal);
uint64_t journal_disk_bytes(const Journal *journal);
const char *journal_folder(const Journal *journal);
int journal_folder_fd(const Journal *journal); /* for the storage thread; never changes */
