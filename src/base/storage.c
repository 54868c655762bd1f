/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include "base/mailbox.h"
#include "base/storage.h"

/* A checkpoint costs two syncs and a write for each page that changed since the last one, so it is
 * made when there is nothing else to do, and in between only before the WAL gets big (16 MiB). How
 * big makes no measurable difference to the time a task takes, but jobs wait for it. */
#define CHECKPOINT_PAGES_IDLE 1000
#define CHECKPOINT_PAGES_BUSY 4000

struct Storage {
        pthread_t thread;
        bool started;
        sd_event_source *source;
        Mailbox inbox;
        Mailbox outbox;
        size_t n_posted; /* the loop's: not done yet */
        bool overtaken;  /* the thread's: early jobs went ahead of some that still wait */
        StorageJob barrier;
        StorageJob quit;
        _Atomic usec_t group_usec;  /* when the thread began its group; 0: idle */
        _Atomic usec_t commit_usec; /* how long the last commit took */
};

/* The thread */

static int run_one(StorageJob *job)
{
        int r = db_begin(job->db, job->sync);

        if (r >= 0)
                r = job->run(job, job->db);
        if (r >= 0)
                r = db_commit(job->db);
        if (r < 0)
                db_rollback(job->db);
        return r;
}

static int run_together(Storage *storage, Db *db, ListLink *jobs)
{
        bool sync = false;
        usec_t begun;
        int r;

        LIST_FOREACH (i, jobs) {
                sync = sync || LIST_ENTRY(i, StorageJob, link)->sync;
        }
        r = db_begin(db, sync);
        LIST_FOREACH (i, jobs) {
                StorageJob *job = LIST_ENTRY(i, StorageJob, link);

                if (r >= 0)
                        r = job->run(job, db);
                job->error = 0;
        }
        if (r >= 0) {
                begun = clock_monotonic_usec();
                r = db_commit(db);
                atomic_store(&storage->commit_usec, clock_monotonic_usec() - begun);
        }
        if (r < 0)
                db_rollback(db);
        return r;
}

static void run_writers(Storage *storage, Db *db, ListLink *jobs)
{
        int r;

        if (list_is_empty(jobs))
                return;
        r = run_together(storage, db, jobs);
        if (r >= 0)
                return;
        LIST_FOREACH (i, jobs) {
                StorageJob *job = LIST_ENTRY(i, StorageJob, link);

                job->error = jobs->next->next == jobs ? r : run_one(job);
        }
}

static bool has_early(const ListLink *waiting, const Db *db)
{
        LIST_FOREACH (i, waiting) {
                const StorageJob *job = LIST_ENTRY(i, StorageJob, link);

                if (job->db == db && job->early)
                        return true;
        }
        return false;
}

/* Moves what belongs to the first job's database, in order; only the early ones if there are any,
 * but not twice in a row: they may keep coming. */
static Db *take_group(Storage *storage, ListLink *waiting, ListLink *ret_writers,
                      ListLink *ret_readers)
{
        Db *db = LIST_FIRST(waiting, StorageJob, link)->db;
        bool early = !storage->overtaken && has_early(waiting, db);

        LIST_FOREACH_SAFE (i, waiting) {
                StorageJob *job = LIST_ENTRY(i, StorageJob, link);

                if (job->db != db || (early && !job->early))
                        continue;
                list_remove(i);
                list_append(job->write ? ret_writers : ret_readers, i);
        }
        storage->overtaken = early && !list_is_empty(waiting);
        return db;
}

/* Readers answer one by one: a long one keeps nobody waiting for his answer. */
static Db *run_group(Storage *storage, ListLink *waiting)
{
        ListLink writers = LIST_INIT(writers), readers = LIST_INIT(readers);
        Db *db = take_group(storage, waiting, &writers, &readers);

        atomic_store(&storage->group_usec, clock_monotonic_usec());
        run_writers(storage, db, &writers);
        mailbox_post_all(&storage->outbox, &writers);
        for (ListLink *i; (i = list_pop_first(&readers));) {
                StorageJob *job = LIST_ENTRY(i, StorageJob, link);

                job->error = job->run(job, db);
                mailbox_post(&storage->outbox, i);
        }
        return db;
}

static void *storage_main(void *userdata)
{
        Storage *storage = userdata;
        ListLink waiting = LIST_INIT(waiting);

        for (;;) {
                Db *db;

                mailbox_wait(&storage->inbox, &waiting);
                while (!list_is_empty(&waiting)) {
                        if (!LIST_FIRST(&waiting, StorageJob, link)->run)
                                return NULL; /* the quit job, always the last */
                        db = run_group(storage, &waiting);
                        mailbox_take(&storage->inbox, &waiting);
                        if (db &&
                            db_wal_pages(db) >= (list_is_empty(&waiting) ? CHECKPOINT_PAGES_IDLE
                                                                         : CHECKPOINT_PAGES_BUSY))
                                (void)db_checkpoint(db);
                }
                atomic_store(&storage->group_usec, 0);
        }
}

/* The loop */

static void finish_jobs(Storage *storage)
{
        ListLink finished = LIST_INIT(finished);

        mailbox_take(&storage->outbox, &finished);
        for (ListLink *i; (i = list_pop_first(&finished));) {
                StorageJob *job = LIST_ENTRY(i, StorageJob, link);

                storage->n_posted--;
                job->done(job, job->error);
        }
}

static int on_outbox(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        finish_jobs(userdata);
        return 0;
}

void storage_post(Storage *storage, StorageJob *job)
{
        assert(job->run && job->done);
        storage->n_posted++;
        mailbox_post(&storage->inbox, &job->link);
}

void storage_post_all(Storage *storage, ListLink *jobs)
{
        LIST_FOREACH (i, jobs) {
                storage->n_posted++;
        }
        mailbox_post_all(&storage->inbox, jobs);
}

static int barrier_run(StorageJob *job, Db *db)
{
        return 0;
}

static void barrier_done(StorageJob *job, int error)
{
}

static void wait_for_jobs(Storage *storage)
{
        struct pollfd outbox = { .fd = storage->outbox.event_fd, .events = POLLIN };

        while (storage->n_posted > 0) {
                (void)poll(&outbox, 1, -1);
                finish_jobs(storage);
        }
}

/* The thread may still be at a checkpoint when the last job is done. It has left the database alone
 * for good when it comes to the next group, which is the barrier. */
void storage_drain(Storage *storage)
{
        wait_for_jobs(storage);
        storage->barrier = (StorageJob){ .run = barrier_run, .done = barrier_done };
        storage_post(storage, &storage->barrier);
        wait_for_jobs(storage);
}

usec_t storage_stall_usec(Storage *storage)
{
        usec_t begun = atomic_load(&storage->group_usec), now = clock_monotonic_usec();

        return begun == 0 || begun > now ? 0 : now - begun;
}

usec_t storage_last_commit_usec(Storage *storage)
{
        return atomic_load(&storage->commit_usec);
}

static int start_thread(Storage *storage)
{
        sigset_t all, before;
        int r;

        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&storage->thread, NULL, storage_main, storage);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                return -r;
        storage->started = true;
        (void)pthread_setname_np(storage->thread, "storage");
        return 0;
}

static int storage_start(Storage *storage, sd_event *event)
{
        int r;

        r = sd_event_add_io(event, &storage->source, storage->outbox.event_fd, EPOLLIN, on_outbox,
                            storage);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(storage->source, "storage");
        return start_thread(storage);
}

int storage_new(Storage **ret, sd_event *event)
{
        _cleanup_free_ Storage *storage = calloc(1, sizeof(*storage));
        int r;

        if (!storage)
                return -ENOMEM;
        r = mailbox_init(&storage->inbox, false);
        if (r < 0)
                return r;
        r = mailbox_init(&storage->outbox, true);
        if (r < 0) {
                mailbox_deinit(&storage->inbox);
                return r;
        }
        r = storage_start(storage, event);
        if (r < 0) {
                (void)storage_free(TAKE_PTR(storage));
                return r;
        }
        *ret = TAKE_PTR(storage);
        return 0;
}

Storage *storage_free(Storage *storage)
{
        if (!storage)
                return NULL;
        if (storage->started) {
                storage_drain(storage);
                mailbox_post(&storage->inbox, &storage->quit.link);
                (void)pthread_join(storage->thread, NULL);
        }
        (void)sd_event_source_disable_unref(storage->source);
        mailbox_deinit(&storage->inbox);
        mailbox_deinit(&storage->outbox);
        free(storage);
        return NULL;
}
