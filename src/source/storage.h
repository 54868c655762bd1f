#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The storage thread: owns every SQLite write, sync and checkpoint (and the reads of the databases,
 * too). The loop posts jobs and gets them back done; it never waits for a disk.
 *
 * Jobs that wait are run as one group in one transaction (a savepoint each, so that one job's
 * failure undoes only that job), committed as soon as the thread is free: no timer. A group in
 * which a job asks for sync is committed with synchronous=FULL, one without is not synced. */

#include <sqlite3.h>
#include <systemd/sd-event.h>
#include "base/clock.h"
#include "base/list.h"

typedef struct Storage Storage;
typedef struct Database Database;
typedef struct StorageJob StorageJob;

struct StorageJob {
        ListLink link;
        Database *database;
        bool write; /* needs a transaction */
        bool sync;  /* must be on disk before done is called */
        /* On the storage thread. 0 or -errno (-ENOSPC: disk or quota full; -EIO; -EBADMSG:
         * corrupt); a failure rolls this job back. */
        int (*run)(StorageJob *job, sqlite3 *db, void *database_data);
        /* On the loop, after the commit (error: run's, or the commit's). The job is the poster's
         * again. */
        void (*done)(StorageJob *job, int error);
};

int storage_new(Storage **ret, sd_event *event);
/* Runs all jobs that were posted, calls their done, ends the thread. */
Storage *storage_free(Storage *storage);
DEFINE_CLEANUP(Storage *, storage_free);

void storage_post(Storage *storage, StorageJob *job);
/* How long the thread has been at its current group; 0: idle. */
usec_t storage_stall_usec(Storage *storage);
usec_t storage_last_commit_usec(Storage *storage);
