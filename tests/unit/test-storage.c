/* SPDX-License-Identifier: Apache-2.0 */

#include <ftw.h>
#include <semaphore.h>
#include <stdio.h>
#include "fault-vfs.h"
#include "base/storage.h"

static const char *const texts[] = { "INSERT INTO t (a) VALUES (?1)" };
static const char *const migrations[] = { "CREATE TABLE t (a UNIQUE)" };
static const DbSchema schema = { .what = "test",
                                 .application_id = 77,
                                 .migrations = migrations,
                                 .version = 1,
                                 .statements = texts,
                                 .n_statements = 1 };

typedef struct Fixture {
        char folder[64];
        sd_event *event;
        Storage *storage;
        Db *db;
        unsigned n_done;
        StorageJob gate; /* keeps the thread busy, so that what is posted meanwhile is one group */
        sem_t opened;
        sem_t entered; /* posted by entered_run */
} Fixture;

typedef struct Job {
        StorageJob storage;
        Fixture *fixture;
        int64_t value;
        int result; /* what run says after the insertion */
        unsigned n_runs;
        bool done;
        int error;
        unsigned turn; /* in which order it was done */
        int64_t seen;  /* readers: count of rows */
} Job;

static int remove_one(const char *p, const struct stat *st, int flag, struct FTW *ftw)
{
        return remove(p);
}

static int gate_run(StorageJob *job, Db *db)
{
        (void)sem_wait(&container_of(job, Fixture, gate)->opened);
        return 0;
}

static void gate_done(StorageJob *job, int error)
{
}

static Db *open_db(const Fixture *f, const char *name)
{
        _cleanup_free_ char *error = NULL;
        char path[128];
        Db *db;

        (void)snprintf(path, sizeof(path), "%s/%s", f->folder, name);
        ck_assert_int_eq(db_open(&db, path, &schema, &error), 0);
        return db;
}

static Fixture *fixture_new(void)
{
        Fixture *f = calloc(1, sizeof(*f));

        fault_vfs_install();
        strcpy(f->folder, "/tmp/test-storage-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(f->folder));
        ck_assert_int_ge(sd_event_new(&f->event), 0);
        ck_assert_int_eq(storage_new(&f->storage, f->event), 0);
        f->db = open_db(f, "a.db");
        ck_assert_int_eq(sem_init(&f->opened, 0, 0), 0);
        ck_assert_int_eq(sem_init(&f->entered, 0, 0), 0);
        return f;
}

static void fixture_free(Fixture *f)
{
        (void)storage_free(f->storage);
        (void)db_close(f->db);
        (void)sd_event_unref(f->event);
        (void)nftw(f->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        (void)sem_destroy(&f->opened);
        (void)sem_destroy(&f->entered);
        free(f);
}

static void close_gate(Fixture *f)
{
        f->gate = (StorageJob){ .db = f->db, .run = gate_run, .done = gate_done };
        storage_post(f->storage, &f->gate);
}

static void open_gate(Fixture *f)
{
        (void)sem_post(&f->opened);
}

static int job_run(StorageJob *storage, Db *db)
{
        Job *job = container_of(storage, Job, storage);
        sqlite3_stmt *insert;
        int r = db_prepare(db, 0, &insert);

        job->n_runs++;
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(insert, 1, job->value);
        r = db_run(db, insert);
        return r < 0 ? r : job->result;
}

static int count_run(StorageJob *storage, Db *db)
{
        Job *job = container_of(storage, Job, storage);
        sqlite3_stmt *count;

        job->n_runs++;
        if (sqlite3_prepare_v2(db_handle(db), "SELECT count(*) FROM t", -1, &count, NULL) !=
            SQLITE_OK)
                return -EIO;
        (void)sqlite3_step(count);
        job->seen = sqlite3_column_int64(count, 0);
        (void)sqlite3_finalize(count);
        return 0;
}

static void job_done(StorageJob *storage, int error)
{
        Job *job = container_of(storage, Job, storage);

        job->done = true;
        job->error = error;
        job->turn = ++job->fixture->n_done;
}

static void post(Fixture *f, Job *job, int64_t value, bool sync)
{
        job->storage = (StorageJob){
                .db = f->db, .write = true, .sync = sync, .run = job_run, .done = job_done
        };
        job->fixture = f;
        job->value = value;
        storage_post(f->storage, &job->storage);
}

static void post_count(Fixture *f, Job *job)
{
        job->storage = (StorageJob){ .db = f->db, .run = count_run, .done = job_done };
        job->fixture = f;
        storage_post(f->storage, &job->storage);
}

static void run_until_done(Fixture *f, unsigned n)
{
        while (f->n_done < n)
                ck_assert_int_ge(sd_event_run(f->event, USEC_INFINITY), 0);
}

START_TEST(waiting_jobs_are_one_group_with_one_sync)
{
        Fixture *f = fixture_new();
        Job jobs[20] = { 0 };
        unsigned before;

        close_gate(f);
        before = atomic_load(&fault.n_syncs);
        for (int i = 0; i < 20; i++)
                post(f, &jobs[i], i, true);
        open_gate(f);
        run_until_done(f, 20);
        ck_assert_uint_eq(atomic_load(&fault.n_syncs) - before, 1);
        for (unsigned i = 0; i < 20; i++) {
                ck_assert_int_eq(jobs[i].error, 0);
                ck_assert_uint_eq(jobs[i].turn, i + 1);
        }
        fixture_free(f);
}
END_TEST

START_TEST(a_group_that_wants_no_sync_has_none)
{
        Fixture *f = fixture_new();
        unsigned before = atomic_load(&fault.n_syncs);
        Job jobs[2] = { 0 };

        post(f, &jobs[0], 1, false);
        run_until_done(f, 1);
        ck_assert_uint_eq(atomic_load(&fault.n_syncs), before);
        post(f, &jobs[1], 2, true);
        run_until_done(f, 2);
        ck_assert_uint_eq(atomic_load(&fault.n_syncs), before + 1);
        fixture_free(f);
}
END_TEST

START_TEST(a_failing_job_fails_alone)
{
        Fixture *f = fixture_new();
        Job jobs[5] = { 0 }, count = { 0 };

        jobs[2].result = -EINVAL;
        close_gate(f);
        for (int i = 0; i < 5; i++)
                post(f, &jobs[i], i == 4 ? 0 : i, true); /* the last meets the first's value */
        open_gate(f);
        run_until_done(f, 5);
        ck_assert_int_eq(jobs[0].error, 0);
        ck_assert_int_eq(jobs[1].error, 0);
        ck_assert_int_eq(jobs[2].error, -EINVAL);
        ck_assert_int_eq(jobs[3].error, 0);
        ck_assert_int_eq(jobs[4].error, -EEXIST);
        ck_assert_uint_eq(jobs[0].n_runs, 2);
        post_count(f, &count);
        run_until_done(f, 6);
        ck_assert_int_eq(count.seen, 3);
        fixture_free(f);
}
END_TEST

START_TEST(a_commit_that_fails_is_told_to_all)
{
        Fixture *f = fixture_new();
        Job jobs[3] = { 0 }, count = { 0 };

        atomic_store(&fault.write_error, SQLITE_FULL);
        close_gate(f);
        for (int i = 0; i < 2; i++)
                post(f, &jobs[i], i, true);
        open_gate(f);
        run_until_done(f, 2);
        ck_assert_int_eq(jobs[0].error, -ENOSPC);
        ck_assert_int_eq(jobs[1].error, -ENOSPC);
        atomic_store(&fault.write_error, 0);
        post(f, &jobs[2], 5, true);
        post_count(f, &count);
        run_until_done(f, 4);
        ck_assert_int_eq(jobs[2].error, 0);
        ck_assert_int_eq(count.seen, 1);
        fixture_free(f);
}
END_TEST

START_TEST(readers_see_what_was_written_before)
{
        Fixture *f = fixture_new();
        Job write = { 0 }, count = { 0 };

        close_gate(f);
        post(f, &write, 1, false);
        post_count(f, &count);
        open_gate(f);
        run_until_done(f, 2);
        ck_assert_int_eq(count.seen, 1);
        ck_assert_uint_eq(count.n_runs, 1);
        fixture_free(f);
}
END_TEST

START_TEST(databases_are_groups_of_their_own)
{
        Fixture *f = fixture_new();
        Db *first = f->db, *second = open_db(f, "b.db");
        Job jobs[4] = { 0 };

        close_gate(f);
        for (int i = 0; i < 4; i++) {
                f->db = i % 2 ? second : first;
                jobs[i].result = i % 2 ? -EINVAL : 0;
                post(f, &jobs[i], i, true);
        }
        open_gate(f);
        run_until_done(f, 4);
        for (int i = 0; i < 4; i++) {
                ck_assert_int_eq(jobs[i].error, i % 2 ? -EINVAL : 0);
                if (i % 2 == 0)
                        ck_assert_uint_eq(jobs[i].n_runs, 1); /* its group was whole */
        }
        f->db = first;
        storage_drain(f->storage);
        (void)db_close(second);
        fixture_free(f);
}
END_TEST

START_TEST(a_stall_shows_and_the_loop_turns)
{
        Fixture *f = fixture_new();
        Job job = { 0 };

        ck_assert_uint_eq(storage_stall_usec(f->storage), 0);
        atomic_store(&fault.sync_msec, 100);
        post(f, &job, 1, true);
        while (storage_stall_usec(f->storage) < 50 * USEC_PER_MSEC) {
                ck_assert(!job.done);
                ck_assert_int_ge(sd_event_run(f->event, 1000), 0);
        }
        run_until_done(f, 1);
        ck_assert_uint_ge(storage_last_commit_usec(f->storage), 100 * USEC_PER_MSEC);
        storage_drain(f->storage);
        while (storage_stall_usec(f->storage) > 0)
                ck_assert_int_ge(sd_event_run(f->event, 1000), 0);
        fixture_free(f);
}
END_TEST

static int plain_run(StorageJob *storage, Db *db)
{
        Job *job = container_of(storage, Job, storage);

        job->n_runs++;
        job->seen = db ? -1 : 0;
        return job->result;
}

/* Among each other in their order, whatever the databases do. */
START_TEST(jobs_of_no_database_are_run_in_their_order)
{
        Fixture *f = fixture_new();
        Job plain[4] = { 0 }, write = { 0 };

        plain[1].result = -EIO;
        close_gate(f);
        for (unsigned i = 0; i < ELEMENTSOF(plain); i++) {
                if (i == 2)
                        post(f, &write, 1, true);
                plain[i].storage = (StorageJob){ .run = plain_run, .done = job_done };
                plain[i].fixture = f;
                storage_post(f->storage, &plain[i].storage);
        }
        open_gate(f);
        run_until_done(f, 5);
        for (unsigned i = 0; i < ELEMENTSOF(plain); i++) {
                ck_assert_uint_eq(plain[i].n_runs, 1);
                ck_assert_int_eq(plain[i].seen, 0);
                ck_assert_int_eq(plain[i].error, i == 1 ? -EIO : 0);
                ck_assert(i == 0 || plain[i].turn > plain[i - 1].turn);
        }
        fixture_free(f);
}
END_TEST

static void post_early(Fixture *f, Job *job, int64_t value, int (*run)(StorageJob *, Db *))
{
        job->storage = (StorageJob){
                .db = f->db, .write = true, .early = true, .run = run, .done = job_done
        };
        job->fixture = f;
        job->value = value;
        storage_post(f->storage, &job->storage);
}

static int entered_run(StorageJob *storage, Db *db)
{
        Fixture *f = container_of(storage, Job, storage)->fixture;

        (void)sem_post(&f->entered);
        (void)sem_wait(&f->opened);
        return job_run(storage, db);
}

/* Posted behind jobs that are synced, and done before them without a sync of its own. */
START_TEST(early_jobs_do_not_wait_for_a_sync)
{
        Fixture *f = fixture_new();
        Job synced[2] = { 0 }, early[2] = { 0 };
        unsigned before;

        close_gate(f);
        before = atomic_load(&fault.n_syncs);
        for (int i = 0; i < 2; i++) {
                post(f, &synced[i], i, true);
                post_early(f, &early[i], 10 + i, job_run);
        }
        open_gate(f);
        run_until_done(f, 4);
        ck_assert_uint_eq(atomic_load(&fault.n_syncs) - before, 1);
        ck_assert_uint_eq(early[0].turn, 1);
        ck_assert_uint_eq(early[1].turn, 2);
        ck_assert_uint_eq(synced[0].turn, 3);
        fixture_free(f);
}
END_TEST

/* Early jobs that keep coming do not starve the others. */
START_TEST(who_was_overtaken_is_next)
{
        Fixture *f = fixture_new();
        Job synced = { 0 }, early[2] = { 0 };

        close_gate(f);
        post(f, &synced, 0, true);
        post_early(f, &early[0], 1, entered_run);
        open_gate(f);
        (void)sem_wait(&f->entered);
        post_early(f, &early[1], 2, job_run);
        (void)sem_post(&f->opened);
        run_until_done(f, 3);
        ck_assert_uint_eq(early[0].turn, 1);
        ck_assert_uint_eq(synced.turn, 2);
        ck_assert_uint_eq(early[1].turn, 3);
        fixture_free(f);
}
END_TEST

typedef struct Chain {
        Job job;
        unsigned n_left;
} Chain;

static void chain_done(StorageJob *storage, int error)
{
        Chain *chain = container_of(storage, Chain, job.storage);

        job_done(storage, error);
        if (chain->n_left-- > 0) {
                post(chain->job.fixture, &chain->job, chain->n_left, false);
                chain->job.storage.done = chain_done;
        }
}

START_TEST(the_end_waits_for_what_is_under_way)
{
        Fixture *f = fixture_new();
        Chain chain = { .n_left = 5 };

        post(f, &chain.job, 100, false);
        chain.job.storage.done = chain_done;
        storage_drain(f->storage);
        ck_assert_uint_eq(f->n_done, 6);
        fixture_free(f);
}
END_TEST

/* A burst makes the log grow; once there is time it goes into the database. */
START_TEST(checkpoints_when_there_is_time)
{
        static Job jobs[1500];
        Fixture *f = fixture_new();

        for (unsigned i = 0; i < ELEMENTSOF(jobs); i++) {
                post(f, &jobs[i], i, false);
                run_until_done(f, i + 1);
        }
        while (storage_stall_usec(f->storage) > 0)
                ck_assert_int_ge(sd_event_run(f->event, 1000), 0);
        ck_assert_uint_lt(db_wal_pages(f->db), 1000);
        fixture_free(f);
}
END_TEST

UNIT_MAIN("storage", waiting_jobs_are_one_group_with_one_sync, a_group_that_wants_no_sync_has_none,
          early_jobs_do_not_wait_for_a_sync, who_was_overtaken_is_next, a_failing_job_fails_alone,
          a_commit_that_fails_is_told_to_all, readers_see_what_was_written_before,
          databases_are_groups_of_their_own, jobs_of_no_database_are_run_in_their_order,
          a_stall_shows_and_the_loop_turns, the_end_waits_for_what_is_under_way,
          checkpoints_when_there_is_time);
