/* SPDX-License-Identifier: Apache-2.0 */

/* A disk that takes its time, or is full: preloaded into the daemon by the tests.
 *
 *   SLOW_FSYNC_MSEC   each fsync and fdatasync takes that much longer
 *   FULL_DISK_FILE    while this file exists, writes to *.db and *.db-wal fail with ENOSPC */

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static void delay(void)
{
        const char *msec = getenv("SLOW_FSYNC_MSEC");
        long n = msec ? atol(msec) : 0;

        if (n > 0)
                nanosleep(&(struct timespec){ .tv_sec = n / 1000, .tv_nsec = n % 1000 * 1000000 },
                          NULL);
}

static int is_full_for(int fd)
{
        const char *flag = getenv("FULL_DISK_FILE");
        char link[64], path[PATH_MAX];
        ssize_t n;

        if (!flag || access(flag, F_OK) < 0)
                return 0;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        if (n < 0)
                return 0;
        path[n] = '\0';
        return strstr(path, ".db") != NULL;
}

int fsync(int fd)
{
        delay();
        return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd)
{
        delay();
        return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
        if (is_full_for(fd)) {
                errno = ENOSPC;
                return -1;
        }
        return ((ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(
                fd, data, size, offset);
}
