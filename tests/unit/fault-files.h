#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Stands between the outbox and its files: its calls come here before the C library, since the
 * program's own definitions go first. Counts syncs, and fails calls when told to. */

#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include "unit.h"

static struct {
        atomic_int write_error; /* -errno of each write; 0: none */
        atomic_long room;       /* writes fail behind this many bytes; -1: never */
        atomic_int room_error;  /* with this */
        atomic_int sync_error;
        atomic_int open_error; /* of files that are made */
        atomic_int read_error;
        atomic_int sync_msec; /* what each takes */
        atomic_uint n_syncs;
        atomic_uint n_writes;
} files = { .room = -1, .room_error = -ENOSPC };

static inline int fault_fail(int error)
{
        errno = -error;
        return -1;
}

static inline ssize_t fault_pwrite(int fd, const void *data, size_t size, off_t offset)
{
        int error = atomic_load(&files.write_error);
        long room = atomic_load(&files.room);

        atomic_fetch_add(&files.n_writes, 1);
        if (error)
                return fault_fail(error);
        if (room == 0)
                return fault_fail(atomic_load(&files.room_error));
        if (room > 0) {
                size = MIN(size, (size_t)room);
                atomic_fetch_sub(&files.room, (long)size);
        }
        return syscall(SYS_pwrite64, fd, data, size, offset);
}

static inline ssize_t fault_pread(int fd, void *data, size_t size, off_t offset)
{
        int error = atomic_load(&files.read_error);

        return error ? fault_fail(error) : syscall(SYS_pread64, fd, data, size, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
        return fault_pwrite(fd, data, size, offset);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
        return fault_pread(fd, data, size, offset);
}

int fdatasync(int fd)
{
        int error = atomic_load(&files.sync_error), msec = atomic_load(&files.sync_msec);

        atomic_fetch_add(&files.n_syncs, 1);
        if (msec > 0)
                (void)nanosleep(&(struct timespec){ .tv_sec = msec / 1000,
                                                    .tv_nsec = msec % 1000 * 1000000L },
                                NULL);
        return error ? fault_fail(error) : (int)syscall(SYS_fdatasync, fd);
}
