#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A layer between SQLite and its files that counts syncs, slows them down, and fails them or the
 * writes: the default from fault_vfs_install on. */

#include <sqlite3.h>
#include <stdatomic.h>
#include <time.h>
#include "unit.h"

static struct {
        sqlite3_vfs vfs;
        sqlite3_vfs *real;
        atomic_uint n_syncs;
        atomic_int sync_msec;  /* what each takes */
        atomic_int sync_error; /* SQLite's code; 0: none */
        atomic_int write_error;
} fault;

typedef struct FaultFile {
        sqlite3_file base;
        sqlite3_file *real; /* follows */
} FaultFile;

static sqlite3_file *real_file(sqlite3_file *file)
{
        return ((FaultFile *)file)->real;
}

#define FAULT_PASS(name, parameters, arguments)                   \
        static int fault_##name parameters                        \
        {                                                         \
                return real_file(file)->pMethods->name arguments; \
        }

FAULT_PASS(xClose, (sqlite3_file * file), (real_file(file)))
FAULT_PASS(xRead, (sqlite3_file * file, void *p, int n, sqlite3_int64 at),
           (real_file(file), p, n, at))
FAULT_PASS(xTruncate, (sqlite3_file * file, sqlite3_int64 size), (real_file(file), size))
FAULT_PASS(xFileSize, (sqlite3_file * file, sqlite3_int64 *size), (real_file(file), size))
FAULT_PASS(xLock, (sqlite3_file * file, int lock), (real_file(file), lock))
FAULT_PASS(xUnlock, (sqlite3_file * file, int lock), (real_file(file), lock))
FAULT_PASS(xCheckReservedLock, (sqlite3_file * file, int *ret), (real_file(file), ret))
FAULT_PASS(xFileControl, (sqlite3_file * file, int op, void *p), (real_file(file), op, p))
FAULT_PASS(xSectorSize, (sqlite3_file * file), (real_file(file)))
FAULT_PASS(xDeviceCharacteristics, (sqlite3_file * file), (real_file(file)))
FAULT_PASS(xShmMap, (sqlite3_file * file, int page, int size, int extend, void volatile **p),
           (real_file(file), page, size, extend, p))
FAULT_PASS(xShmLock, (sqlite3_file * file, int at, int n, int flags),
           (real_file(file), at, n, flags))
FAULT_PASS(xShmUnmap, (sqlite3_file * file, int remove), (real_file(file), remove))

static void fault_xShmBarrier(sqlite3_file *file)
{
        real_file(file)->pMethods->xShmBarrier(real_file(file));
}

static int fault_xWrite(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
        int error = atomic_load(&fault.write_error);

        return error ? error : real_file(file)->pMethods->xWrite(real_file(file), p, n, at);
}

static int fault_xSync(sqlite3_file *file, int flags)
{
        int msec = atomic_load(&fault.sync_msec), error = atomic_load(&fault.sync_error);

        atomic_fetch_add(&fault.n_syncs, 1);
        if (msec > 0)
                (void)nanosleep(&(struct timespec){ .tv_sec = msec / 1000,
                                                    .tv_nsec = msec % 1000 * 1000000L },
                                NULL);
        return error ? error : real_file(file)->pMethods->xSync(real_file(file), flags);
}

static const sqlite3_io_methods fault_methods = {
        .iVersion = 2,
        .xClose = fault_xClose,
        .xRead = fault_xRead,
        .xWrite = fault_xWrite,
        .xTruncate = fault_xTruncate,
        .xSync = fault_xSync,
        .xFileSize = fault_xFileSize,
        .xLock = fault_xLock,
        .xUnlock = fault_xUnlock,
        .xCheckReservedLock = fault_xCheckReservedLock,
        .xFileControl = fault_xFileControl,
        .xSectorSize = fault_xSectorSize,
        .xDeviceCharacteristics = fault_xDeviceCharacteristics,
        .xShmMap = fault_xShmMap,
        .xShmLock = fault_xShmLock,
        .xShmBarrier = fault_xShmBarrier,
        .xShmUnmap = fault_xShmUnmap,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                      int *ret_flags)
{
        FaultFile *file = (FaultFile *)base;
        int rc;

        file->real = (sqlite3_file *)(file + 1);
        rc = fault.real->xOpen(fault.real, name, file->real, flags, ret_flags);
        base->pMethods = file->real->pMethods ? &fault_methods : NULL;
        return rc;
}

static inline void fault_vfs_install(void)
{
        if (!fault.real) {
                fault.real = sqlite3_vfs_find(NULL);
                fault.vfs = *fault.real;
                fault.vfs.zName = "fault";
                fault.vfs.pNext = NULL;
                fault.vfs.szOsFile = (int)sizeof(FaultFile) + fault.real->szOsFile;
                fault.vfs.xOpen = fault_open;
                ck_assert_int_eq(sqlite3_vfs_register(&fault.vfs, 1), SQLITE_OK);
        }
        atomic_store(&fault.sync_msec, 0);
        atomic_store(&fault.sync_error, 0);
        atomic_store(&fault.write_error, 0);
}
