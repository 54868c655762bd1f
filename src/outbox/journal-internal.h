#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of the journal share. */

#include "outbox/journal.h"

typedef struct SyncItem {
        Segment *segment;
        uint64_t size; /* what is synced when the job is done */
        int fd;        /* the segment's; -EBADF: it was read at the start, and is opened for this */
} SyncItem;

/* Makes a segment; one at a time. */
typedef struct MakeJob {
        StorageJob storage;
        bool under_way;
        bool renew;   /* make sure that the disk works */
        bool abandon; /* the older ones are not synced any more */
        uint64_t number;
        int spoilt_fd; /* with renew: a segment to cut behind its last record; or -EBADF */
        uint64_t spoilt_size;
        uint64_t unused_number; /* with renew: made ahead, and in the way; 0: none */
        int fd;                 /* what was made */
} MakeJob;

typedef struct SyncJob {
        StorageJob storage;
        bool under_way;
        SyncItem *items;
        size_t n_items;
        Segment *last; /* written up to last_size when it began */
        uint64_t last_number, last_size;
        bool sync_folder;
} SyncJob;

typedef struct UnlinkJob {
        StorageJob storage;
        bool under_way;
        ListLink segments;
} UnlinkJob;

struct Journal {
        JournalOptions options;
        char *folder;
        int folder_fd; /* one number for good: journal_renew puts a new folder behind it */
        uint32_t salt; /* of this start */
        uint64_t next_segment;
        ListLink segments; /* oldest first; the active one is the last */
        size_t n_segments;
        uint64_t disk_bytes;
        Segment *active; /* NULL: none can be written */
        Segment *next;   /* made ahead */
        bool renewed;    /* next takes over, full or not */
        Buffer buffer;
        uint64_t synced_number, synced_size; /* up to here all is synced */
        MakeJob make;
        SyncJob sync;
        UnlinkJob unlink;
};

/* Of journal-jobs.c. */
void journal_make_ahead(Journal *journal);
int journal_make_now(Journal *journal);
/* Of journal-replay.c: opens the folder and reads what is in it. */
int journal_replay(Journal *journal, char **ret_error);
