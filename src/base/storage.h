#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The storage thread: owns every statement, sync and checkpoint of the databases. The loop posts
 * jobs and gets them back done; it never waits for a disk.
 *
 * Jobs of one database that wait are run as one group: those that write in one transaction, in
 * their order, committed as soon as the thread has run them (no timer); then those that only read.
 * If a job or the commit fails, the transaction is undone and each of its jobs is run again in one
 * of its own, so that one's failure is not its neighbours'. A group in which a job asks for sync is
 * on disk before any of its jobs is done; one without is not synced. Early jobs that wait are a
 * group ahead of the others, every other time.
 *
 * A job of no database (db NULL, write false) is only run: for what else must not keep the loop
 * waiting. Such jobs are run in their order, and done in it, one by one. */

#include <systemd/sd-event.h>
#include "base/clock.h"
#include "base/db.h"
#include "base/list.h"

typedef struct Storage Storage;
typedef struct StorageJob StorageJob;

struct StorageJob {
        ListLink link;
        Db *db;     /* NULL: none */
        bool write; /* needs the transaction */
        bool sync;  /* must be on disk before done is called */
        bool early; /* depends on nothing posted before it: need not wait for others' sync */
        /* On the storage thread; 0 or -errno. Called again after its transaction was undone: it
         * starts from scratch each time. */
        int (*run)(StorageJob *job, Db *db);
        /* On the loop, after the commit; error: run's, or the commit's. The job is the poster's
         * again. */
        void (*done)(StorageJob *job, int error);
        int error; /* the storage's own */
};

int storage_new(Storage **ret, sd_event *event);
/* Runs all jobs that were posted, calls their done, ends the thread. */
Storage *storage_free(Storage *storage);
DEFINE_CLEANUP(Storage *, storage_free);

void storage_post(Storage *storage, StorageJob *job);
/* All of a list of jobs (by link), which is empty then; those of one database become one group. */
void storage_post_all(Storage *storage, ListLink *jobs);
/* Waits until no job is under way, those posted by done included: for the end of a database. */
void storage_drain(Storage *storage);
/* How long the thread has been at its current group; 0: idle. */
usec_t storage_stall_usec(Storage *storage);
usec_t storage_last_commit_usec(Storage *storage);
