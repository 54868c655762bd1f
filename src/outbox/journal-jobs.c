/* SPDX-License-Identifier: Apache-2.0 */

/* What the storage thread does for a journal: makes segments, syncs them, unlinks them. Each kind
 * one job at a time; among each other they are done in the order in which they were posted. */

#include <fcntl.h>
#include <sys/stat.h>
#include "outbox/journal-internal.h"

/* Making */

static int sync_parent(int folder_fd)
{
        _cleanup_close_ int fd = openat(folder_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* The folder again, should someone have removed it. */
static int renew_folder(Journal *journal)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (fstat(journal->folder_fd, &st) < 0)
                return -errno;
        if (st.st_nlink > 0)
                return 0;
        if (mkdir(journal->folder, 0700) < 0 && errno != EEXIST)
                return -errno;
        fd = open(journal->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || dup3(fd, journal->folder_fd, O_CLOEXEC) < 0)
                return -errno;
        return sync_parent(journal->folder_fd);
}

static int make_renewing(Journal *journal, MakeJob *job)
{
        char name[SEGMENT_NAME_SIZE];
        int r;

        r = renew_folder(journal);
        if (r < 0)
                return r;
        /* What stays of a record looks like damage to the next start, no worse. */
        if (job->spoilt_fd >= 0)
                (void)!ftruncate(job->spoilt_fd, (off_t)job->spoilt_size);
        if (job->unused_number > 0) {
                segment_format_name(job->unused_number, name);
                (void)unlinkat(journal->folder_fd, name, 0);
        }
        r = segment_create(journal->folder_fd, job->number, journal->salt, &job->fd);
        if (r < 0)
                return r;
        if (fdatasync(job->fd) >= 0 && fsync(journal->folder_fd) >= 0)
                return 0;
        r = -errno;
        job->fd = close_fd(job->fd);
        segment_format_name(job->number, name);
        (void)unlinkat(journal->folder_fd, name, 0);
        return r;
}

static int make_run(StorageJob *storage, Db *db)
{
        Journal *journal = container_of(storage, Journal, make.storage);
        MakeJob *job = &journal->make;

        if (job->renew)
                return make_renewing(journal, job);
        return segment_create(journal->folder_fd, job->number, journal->salt, &job->fd);
}

static void abandon_unsynced(Journal *journal)
{
        LIST_FOREACH (i, &journal->segments) {
                LIST_ENTRY(i, Segment, link)->is_unsynced = false;
        }
}

static int adopt_made(Journal *journal)
{
        MakeJob *job = &journal->make;
        Segment *segment = segment_new(job->number, journal->salt);

        if (!segment) {
                job->fd =
                        close_fd(job->fd); /* an empty segment is cleared away at the next start */
                return -ENOMEM;
        }
        segment->fd = TAKE_FD(job->fd);
        segment->is_unsynced = true;
        segment->is_name_new = !job->renew;
        journal->next = segment;
        journal->renewed = job->renew;
        if (job->abandon)
                abandon_unsynced(journal);
        return 0;
}

static void make_done(StorageJob *storage, int error)
{
        Journal *journal = container_of(storage, Journal, make.storage);
        bool renew = journal->make.renew;

        journal->make.under_way = false;
        if (error >= 0)
                error = adopt_made(journal);
        if (renew || error < 0)
                journal->options.callbacks.on_renewed(journal, error, journal->options.userdata);
}

static void prepare_make(Journal *journal, bool renew)
{
        journal->make = (MakeJob){
                .storage = { .run = make_run, .done = make_done },
                .renew = renew,
                .number = journal->next_segment++,
                .spoilt_fd = -EBADF,
                .fd = -EBADF,
        };
}

void journal_make_ahead(Journal *journal)
{
        prepare_make(journal, false);
        journal->make.under_way = true;
        storage_post(journal->options.storage, &journal->make.storage);
}

void journal_renew(Journal *journal, bool abandon)
{
        MakeJob *job = &journal->make;

        if (job->under_way)
                return;
        prepare_make(journal, true);
        job->abandon = abandon;
        if (journal->next)
                job->unused_number = journal->next->number;
        journal->next = segment_free(journal->next);
        if (journal->active) {
                job->spoilt_fd = journal->active->fd;
                job->spoilt_size = journal->active->size;
        }
        job->under_way = true;
        storage_post(journal->options.storage, &job->storage);
}

int journal_make_now(Journal *journal)
{
        int r;

        prepare_make(journal, true);
        r = make_run(&journal->make.storage, NULL);
        return r < 0 ? r : adopt_made(journal);
}

/* Syncing */

/* Whether a file is still in its folder is looked at here: writing to one that is not goes well
 * for ever. */
static int sync_segment(const Journal *journal, const SyncItem *item)
{
        _cleanup_close_ int opened = -EBADF;
        char name[SEGMENT_NAME_SIZE];
        int fd = item->fd;
        struct stat st;

        if (fd < 0) {
                segment_format_name(item->segment->number, name);
                fd = opened = openat(journal->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        }
        if (fd < 0 || fdatasync(fd) < 0 || fstat(fd, &st) < 0)
                return -errno;
        return st.st_nlink == 0 ? -ENOENT : 0;
}

static int sync_run(StorageJob *storage, Db *db)
{
        Journal *journal = container_of(storage, Journal, sync.storage);
        SyncJob *job = &journal->sync;

        for (size_t i = 0; i < job->n_items; i++) {
                int r = sync_segment(journal, &job->items[i]);

                if (r < 0)
                        return r;
        }
        return job->sync_folder && fsync(journal->folder_fd) < 0 ? -errno : 0;
}

static void note_synced(Journal *journal, const SyncItem *item)
{
        Segment *segment = item->segment;

        segment->is_name_new = false;
        if (segment->is_unlinking || segment->size != item->size)
                return;
        segment->is_unsynced = false;
        if (segment != journal->active)
                segment->fd = close_fd(segment->fd);
}

static void sync_done(StorageJob *storage, int error)
{
        Journal *journal = container_of(storage, Journal, sync.storage);
        SyncJob *job = &journal->sync;

        job->under_way = false;
        for (size_t i = 0; i < job->n_items && error >= 0; i++)
                note_synced(journal, &job->items[i]);
        if (error >= 0) {
                journal->synced_number = job->last_number;
                journal->synced_size = job->last_size;
        }
        free(TAKE_PTR(job->items));
        journal->options.callbacks.on_synced(journal, error, journal->options.userdata);
}

int journal_sync(Journal *journal)
{
        SyncJob *job = &journal->sync;
        SyncItem *items;

        if (job->under_way || !journal->active)
                return 0;
        items = calloc(journal->n_segments, sizeof(*items));
        if (!items)
                return -ENOMEM;
        *job = (SyncJob){
                .storage = { .run = sync_run, .done = sync_done },
                .under_way = true,
                .items = items,
                .last_number = journal->active->number,
                .last_size = journal->active->size,
        };
        LIST_FOREACH (i, &journal->segments) {
                Segment *segment = LIST_ENTRY(i, Segment, link);

                if (!segment->is_unsynced)
                        continue;
                items[job->n_items++] = (SyncItem){ segment, segment->size, segment->fd };
                job->sync_folder = job->sync_folder || segment->is_name_new;
        }
        storage_post(journal->options.storage, &job->storage);
        return 0;
}

/* Unlinking. No sync: should a power cut bring back a file whose successors are gone, then what it
 * says waits is sent once more. */

static int unlink_run(StorageJob *storage, Db *db)
{
        Journal *journal = container_of(storage, Journal, unlink.storage);

        LIST_FOREACH (i, &journal->unlink.segments) {
                Segment *segment = LIST_ENTRY(i, Segment, link);
                char name[SEGMENT_NAME_SIZE];

                segment_format_name(segment->number, name);
                (void)unlinkat(journal->folder_fd, name, 0);
                segment->fd = close_fd(segment->fd);
        }
        return 0;
}

static void unlink_done(StorageJob *storage, int error)
{
        Journal *journal = container_of(storage, Journal, unlink.storage);

        journal->unlink.under_way = false;
        for (ListLink *i; (i = list_pop_first(&journal->unlink.segments));)
                (void)segment_free(LIST_ENTRY(i, Segment, link));
        journal_retire(journal);
}

/* The number record of the active segment must be written before that of its predecessor goes. */
static bool can_retire(const Journal *journal, const Segment *segment)
{
        return segment && segment != journal->active && journal->active &&
               journal->active->size > SEGMENT_HEADER_SIZE && list_is_empty(&segment->live) &&
               list_is_empty(&segment->leaving);
}

void journal_retire(Journal *journal)
{
        UnlinkJob *job = &journal->unlink;
        Segment *segment;

        if (job->under_way)
                return;
        while (can_retire(journal, (segment = journal_oldest(journal)))) {
                list_remove(&segment->link);
                journal->n_segments--;
                journal->disk_bytes -= segment->size;
                segment->is_unlinking = true;
                list_append(&job->segments, &segment->link);
        }
        if (list_is_empty(&job->segments))
                return;
        job->storage = (StorageJob){ .run = unlink_run, .done = unlink_done };
        job->under_way = true;
        storage_post(journal->options.storage, &job->storage);
}
