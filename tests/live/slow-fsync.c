/* SPDX-License-Identifier: Apache-2.0 */

/* A disk that takes its time, is full or broken, or that the daemon does not survive: preloaded
 * into the daemon by the tests. It counts and fails only what is done to *.db and *.db-wal.
 *
 *   SLOW_FSYNC_MSEC   each sync takes that much longer
 *   FULL_DISK_FILE    while this file exists, writes fail with ENOSPC
 *   BROKEN_SYNC_FILE  while this file exists, syncs fail with EIO
 *   KILL_BEFORE_SYNC, KILL_AFTER_SYNC, KILL_BEFORE_WRITE
 *                     the daemon is killed at the sync or write of that number, counted from the
 *                     time that the file KILL_FROM_FILE exists; and as by a power cut everything
 *                     that was written since the last sync of its file is undone */

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* All else is hidden, as in a handler. */
#define PRELOADED __attribute__((visibility("default")))

static void delay(void)
{
        const char *msec = getenv("SLOW_FSYNC_MSEC");
        long n = msec ? atol(msec) : 0;

        if (n > 0)
                nanosleep(&(struct timespec){ .tv_sec = n / 1000, .tv_nsec = n % 1000 * 1000000 },
                          NULL);
}

static int is_database(int fd)
{
        char link[64], path[PATH_MAX];
        ssize_t n;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        if (n < 0)
                return 0;
        path[n] = '\0';
        return strstr(path, ".db") != NULL;
}

static int is_flagged(const char *name)
{
        const char *flag = getenv(name);

        return flag && access(flag, F_OK) == 0;
}

/* What unsynced writes have overwritten, the last first. */
typedef struct Overwritten {
        struct Overwritten *next;
        int fd;
        off_t offset, file_size;
        ssize_t size;
        char bytes[];
} Overwritten;

static Overwritten *overwritten;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void note_write(int fd, size_t size, off_t offset)
{
        Overwritten *note;
        struct stat st;

        if (!getenv("KILL_FROM_FILE") || fstat(fd, &st) < 0)
                return;
        note = malloc(sizeof(*note) + size);
        if (!note)
                abort();
        *note = (Overwritten){ .fd = fd, .offset = offset, .file_size = st.st_size };
        note->size = pread(fd, note->bytes, size, offset);
        pthread_mutex_lock(&mutex);
        note->next = overwritten;
        overwritten = note;
        pthread_mutex_unlock(&mutex);
}

static void note_sync(int fd)
{
        pthread_mutex_lock(&mutex);
        for (Overwritten **at = &overwritten; *at;) {
                Overwritten *note = *at;

                if (note->fd != fd) {
                        at = &note->next;
                        continue;
                }
                *at = note->next;
                free(note);
        }
        pthread_mutex_unlock(&mutex);
}

static ssize_t real_pwrite(int fd, const void *data, size_t size, off_t offset)
{
        return ((ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64"))(
                fd, data, size, offset);
}

static void cut_power(void)
{
        pthread_mutex_lock(&mutex);
        for (Overwritten *note = overwritten; note; note = note->next) {
                if (note->size > 0 &&
                    real_pwrite(note->fd, note->bytes, (size_t)note->size, note->offset) < 0)
                        abort();
                if (ftruncate(note->fd, note->file_size) < 0)
                        abort();
        }
        kill(getpid(), SIGKILL);
}

static void die_at(const char *name, int fd, atomic_long *count)
{
        const char *number = getenv(name);

        if (number && is_flagged("KILL_FROM_FILE") && is_database(fd) &&
            atomic_fetch_add(count, 1) + 1 == atol(number))
                cut_power();
}

static int sync_with(const char *function, int fd)
{
        static atomic_long n_before, n_after;
        int r;

        delay();
        die_at("KILL_BEFORE_SYNC", fd, &n_before);
        if (is_flagged("BROKEN_SYNC_FILE") && is_database(fd)) {
                errno = EIO;
                return -1;
        }
        r = ((int (*)(int))dlsym(RTLD_NEXT, function))(fd);
        if (r == 0)
                note_sync(fd);
        die_at("KILL_AFTER_SYNC", fd, &n_after);
        return r;
}

PRELOADED int fsync(int fd)
{
        return sync_with("fsync", fd);
}

PRELOADED int fdatasync(int fd)
{
        return sync_with("fdatasync", fd);
}

PRELOADED ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
        static atomic_long n_writes;

        die_at("KILL_BEFORE_WRITE", fd, &n_writes);
        if (is_flagged("FULL_DISK_FILE") && is_database(fd)) {
                errno = ENOSPC;
                return -1;
        }
        if (is_database(fd))
                note_write(fd, size, offset);
        return real_pwrite(fd, data, size, offset);
}
