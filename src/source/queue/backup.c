/* SPDX-License-Identifier: Apache-2.0 */

/* A copy of the database, a few pages in each job, so that other jobs get their turn. What other
 * jobs write meanwhile goes into the copy too: SQLite sees to that, since it is one connection. The
 * copy gets its name when it is complete and synced. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "source/queue/internal.h"

/* 256 KiB: about a millisecond. */
#define PAGES_PER_STEP 64

typedef struct BackupJob {
        QueueCall call;
        queue_progress_t progress;
        queue_backup_t done;
        char *path;
        char *partial;
        sqlite3 *copy;
        sqlite3_backup *backup;
        bool created; /* partial is there */
        bool stop;    /* nobody wants it any more */
        bool ended;
        uint64_t n_pages, n_left, size;
} BackupJob;

/* The storage thread */

static int backup_begin(BackupJob *job, Db *db)
{
        struct stat st;
        int fd;

        if (lstat(job->path, &st) >= 0)
                return -EEXIST;
        fd = open(job->partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        (void)close_fd(fd);
        job->created = true;
        if (sqlite3_open_v2(job->partial, &job->copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                            NULL) != SQLITE_OK)
                return -EIO;
        /* It is worth nothing until it is complete, and then it is synced as a whole. */
        (void)sqlite3_exec(job->copy,
                           "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
                           "PRAGMA cache_size=-256",
                           NULL, NULL, NULL);
        job->backup = sqlite3_backup_init(job->copy, "main", db_handle(db), "main");
        return job->backup ? 0 : -EIO;
}

static int sync_path(const char *path, int flags)
{
        _cleanup_close_ int fd = open(path, flags | O_CLOEXEC);

        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_folder_of(char *path)
{
        char *slash = strrchr(path, '/');
        int r;

        if (!slash || slash == path)
                return sync_path(slash ? "/" : ".", O_RDONLY | O_DIRECTORY);
        *slash = '\0';
        r = sync_path(path, O_RDONLY | O_DIRECTORY);
        *slash = '/';
        return r;
}

static int backup_finish(BackupJob *job)
{
        struct stat st;
        int r;

        if (sqlite3_backup_finish(TAKE_PTR(job->backup)) != SQLITE_OK ||
            sqlite3_close(TAKE_PTR(job->copy)) != SQLITE_OK)
                return -EIO;
        r = sync_path(job->partial, O_RDONLY);
        if (r < 0)
                return r;
        if (renameat2(AT_FDCWD, job->partial, AT_FDCWD, job->path, RENAME_NOREPLACE) < 0)
                return -errno;
        job->created = false;
        if (stat(job->path, &st) < 0)
                return -errno;
        job->size = (uint64_t)st.st_size;
        return sync_folder_of(job->path);
}

static void backup_stop(BackupJob *job)
{
        (void)sqlite3_backup_finish(TAKE_PTR(job->backup));
        (void)sqlite3_close(TAKE_PTR(job->copy));
        if (job->created)
                (void)unlink(job->partial);
        job->created = false;
}

static int error_of(int rc, sqlite3 *copy)
{
        if (rc == SQLITE_FULL || (rc & 0xff) == SQLITE_IOERR)
                return sqlite3_system_errno(copy) == ENOSPC || rc == SQLITE_FULL ? -ENOSPC : -EIO;
        return rc == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

static int backup_step(BackupJob *job, Db *db)
{
        int rc, r;

        if (!job->backup) {
                r = backup_begin(job, db);
                if (r < 0)
                        return r;
        }
        rc = sqlite3_backup_step(job->backup, PAGES_PER_STEP);
        job->n_pages = (uint64_t)sqlite3_backup_pagecount(job->backup);
        job->n_left = (uint64_t)sqlite3_backup_remaining(job->backup);
        if (rc == SQLITE_DONE) {
                job->ended = true;
                return backup_finish(job);
        }
        /* Busy: another process writes; the next step tries again. */
        return rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED
                       ? 0
                       : error_of(rc, job->copy);
}

static int backup_run(QueueJob *base, QueueStore *store)
{
        BackupJob *job = container_of(base, BackupJob, call.job);
        int r = 0;

        if (!job->stop)
                r = backup_step(job, store->db);
        if (r < 0 || job->stop) {
                backup_stop(job);
                job->ended = true;
        }
        return r;
}

/* The loop */

static void backup_free(BackupJob *job)
{
        free(job->path);
        free(job->partial);
        free(job);
}

static void backup_done(QueueJob *base, int error)
{
        BackupJob *job = container_of(base, BackupJob, call.job);

        if (error >= 0 && !job->ended) {
                if (!job->call.abandoned && job->progress)
                        job->progress(job->n_pages - job->n_left, job->n_pages, job->call.userdata);
                job->stop = job->call.abandoned || base->queue->closing;
                queue_post(base->queue, base);
                return;
        }
        if (!job->call.abandoned)
                job->done(job->stop ? -ESHUTDOWN : error, job->size, job->call.userdata);
        queue_job_deinit(base);
        backup_free(job);
}

int queue_backup(Source *source, const char *path, queue_progress_t progress, queue_backup_t done,
                 void *userdata, QueueCall **ret)
{
        BackupJob *job = malloc(sizeof(*job));

        if (!job)
                return -ENOMEM;
        *job = (BackupJob){
                .call = { .job = { .run = backup_run, .done = backup_done }, .userdata = userdata },
                .progress = progress,
                .done = done,
                .path = strdup(path),
        };
        if (!job->path || asprintf(&job->partial, "%s.partial", path) < 0) {
                job->partial = NULL;
                backup_free(job);
                return -ENOMEM;
        }
        if (ret)
                *ret = &job->call;
        queue_post(queue_of(source), &job->call.job);
        return 0;
}
