/* SPDX-License-Identifier: Apache-2.0 */

/* Replays the corpus folder given as the argument: each file, and each beginning of a short one,
 * since an input that is cut off is what a reader sees most often. */

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "base/macro.h"
#include "fuzz.h"

/* Longest file whose every beginning is replayed: more would be slow under a sanitiser. */
#define PREFIX_MAX 2048

/* Runs the target on a copy of just that size, so that a sanitiser sees a read past its end. */
static void run(const uint8_t *data, size_t size)
{
        _cleanup_free_ uint8_t *copy = malloc(MAX(size, 1U));

        fuzz_assert(copy);
        memcpy(copy, data, size);
        (void)LLVMFuzzerTestOneInput(copy, size);
}

static void replay(const char *name, const uint8_t *data, size_t size)
{
        (void)fprintf(stderr, "%s\n", name);
        run(data, size);
        for (size_t i = 0; i < size && size <= PREFIX_MAX; i++)
                run(data, i);
}

static int replay_file(int folder_fd, const char *name)
{
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ uint8_t *data = NULL;
        struct stat st;

        fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        data = malloc((size_t)st.st_size + 1);
        if (!data)
                return -ENOMEM;
        if (read(fd, data, (size_t)st.st_size) != st.st_size)
                return -EIO;
        replay(name, data, (size_t)st.st_size);
        return 0;
}

int main(int argc, char **argv)
{
        struct dirent *entry;
        unsigned n = 0;
        DIR *folder;
        int r;

        folder = argc == 2 ? opendir(argv[1]) : NULL;
        if (!folder) {
                (void)fprintf(stderr, "Usage: %s CORPUS-FOLDER\n", argv[0]);
                return EXIT_FAILURE;
        }
        while ((entry = readdir(folder))) {
                if (entry->d_name[0] == '.')
                        continue;
                r = replay_file(dirfd(folder), entry->d_name);
                if (r < 0) {
                        (void)fprintf(stderr, "%s: %s\n", entry->d_name, strerror(-r));
                        return EXIT_FAILURE;
                }
                n++;
        }
        (void)closedir(folder);
        (void)fprintf(stderr, "%u files replayed\n", n);
        return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
