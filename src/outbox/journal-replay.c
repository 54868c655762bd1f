/* SPDX-License-Identifier: Apache-2.0 */

/* What a start finds: the segments of the starts before, read in their order. */

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/explain.h"
#include "outbox/journal-internal.h"

typedef struct Found {
        uint64_t *numbers;
        size_t n;
} Found;

typedef struct Reading {
        Journal *journal;
        Segment *segment;
} Reading;

static int open_folder(Journal *journal, char **ret_error)
{
        int r;

        if (mkdir(journal->folder, 0700) < 0 && errno != EEXIST) {
                r = -errno;
                return explain(r, ret_error, "cannot create %s: %s", journal->folder, strerror(-r));
        }
        journal->folder_fd = open(journal->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (journal->folder_fd >= 0)
                return 0;
        r = -errno;
        return explain(r, ret_error, "cannot open %s: %s", journal->folder, strerror(-r));
}

static int compare_numbers(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static int found_add(Found *found, uint64_t number)
{
        /* room for a power of two of them */
        if ((found->n & (found->n - 1)) == 0) {
                size_t n = MAX((size_t)8, found->n * 2);
                uint64_t *numbers = reallocarray(found->numbers, n, sizeof(*numbers));

                if (!numbers)
                        return -ENOMEM;
                found->numbers = numbers;
        }
        found->numbers[found->n++] = number;
        return 0;
}

static int list_segments(Journal *journal, Found *found)
{
        int fd = openat(journal->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *entry;
        uint64_t number;

        if (!folder) {
                r = -errno;
                (void)close_fd(fd);
                return r;
        }
        errno = 0;
        while (r >= 0 && (entry = readdir(folder))) {
                if (segment_parse_name(entry->d_name, &number))
                        r = found_add(found, number);
                errno = 0;
        }
        if (r >= 0)
                r = -errno;
        (void)closedir(folder);
        if (found->n > 0)
                qsort(found->numbers, found->n, sizeof(*found->numbers), compare_numbers);
        return r;
}

static int on_record(const Record *record, uint64_t offset, void *userdata)
{
        const Reading *reading = userdata;
        const JournalOptions *options = &reading->journal->options;

        return options->callbacks.on_record(record, reading->segment, offset, options->userdata);
}

/* The file also under a name that nothing of ours touches. */
static int keep_damaged(Journal *journal, const char *name, char **ret_error)
{
        char kept[SEGMENT_NAME_SIZE + sizeof(".damaged")];
        int r;

        (void)snprintf(kept, sizeof(kept), "%s.damaged", name);
        if (linkat(journal->folder_fd, name, journal->folder_fd, kept, 0) < 0 && errno != EEXIST) {
                r = -errno;
                return explain(r, ret_error, "%s/%s is damaged and cannot be kept as %s: %s",
                               journal->folder, name, kept, strerror(-r));
        }
        free(TAKE_PTR(*ret_error));
        return explain(0, ret_error,
                       "%s/%s is damaged: what could be read of it is used, the file is kept as %s",
                       journal->folder, name, kept);
}

static int judge(Journal *journal, const SegmentScan *scan, bool last, const char *name,
                 char **ret_error)
{
        switch (scan->verdict) {
        case SEGMENT_FOREIGN:
                return explain(-EBADMSG, ret_error,
                               "%s/%s is not a file of the outbox: move it elsewhere",
                               journal->folder, name);
        case SEGMENT_NEWER:
                return explain(-EPROTONOSUPPORT, ret_error,
                               "%s/%s was written by a newer version: start that one",
                               journal->folder, name);
        case SEGMENT_TORN:
                if (last)
                        return 0;
                return keep_damaged(journal, name, ret_error);
        case SEGMENT_DAMAGED:
                return keep_damaged(journal, name, ret_error);
        default:
                return 0;
        }
}

/* Cuts off what is torn, so that the next start does not take it for damage. What was kept is the
 * same file and stays as it is. */
static int settle_segment(int fd, const Segment *segment, const SegmentScan *scan)
{
        if (scan->verdict == SEGMENT_TORN && !segment->is_damaged &&
            ftruncate(fd, (off_t)scan->good_size) < 0)
                return -errno;
        return 0;
}

static int read_segment(Journal *journal, uint64_t number, bool last, char **ret_error)
{
        _cleanup_(segment_freep) Segment *segment = segment_new(number, 0);
        Reading reading = { journal, segment };
        _cleanup_close_ int fd = -EBADF;
        char name[SEGMENT_NAME_SIZE];
        SegmentScan scan;
        int r;

        if (!segment)
                return -ENOMEM;
        segment_format_name(number, name);
        fd = openat(journal->folder_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        r = fd < 0 ? -errno : segment_scan(fd, on_record, &reading, &scan);
        if (r < 0)
                return explain(r, ret_error, "cannot read %s/%s: %s", journal->folder, name,
                               strerror(-r));
        r = judge(journal, &scan, last, name, ret_error);
        if (r < 0)
                return r;
        if (scan.verdict == SEGMENT_EMPTY)
                return unlinkat(journal->folder_fd, name, 0) < 0 ? -errno : 0;
        segment->salt = scan.salt;
        segment->size = scan.good_size;
        segment->is_damaged =
                scan.verdict == SEGMENT_DAMAGED || (scan.verdict == SEGMENT_TORN && !last);
        r = settle_segment(fd, segment, &scan);
        if (r < 0)
                return explain(r, ret_error, "cannot cut %s/%s: %s", journal->folder, name,
                               strerror(-r));
        list_append(&journal->segments, &segment->link);
        journal->n_segments++;
        journal->disk_bytes += segment->size;
        segment->is_unsynced = true; /* for all that we know */
        (void)TAKE_PTR(segment);
        return 0;
}

/* Whether nothing was ever written to it: made ahead. */
static bool is_unused(const Journal *journal, uint64_t number)
{
        char name[SEGMENT_NAME_SIZE];
        struct stat st;

        segment_format_name(number, name);
        return fstatat(journal->folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 &&
               st.st_size <= SEGMENT_HEADER_SIZE;
}

int journal_replay(Journal *journal, char **ret_error)
{
        Found found = { 0 };
        size_t n_written;
        int r;

        r = open_folder(journal, ret_error);
        if (r < 0)
                return r;
        r = list_segments(journal, &found);
        if (r < 0)
                r = explain(r, ret_error, "cannot read %s: %s", journal->folder, strerror(-r));
        n_written = found.n;
        while (n_written > 0 && is_unused(journal, found.numbers[n_written - 1]))
                n_written--;
        for (size_t i = 0; i < found.n && r >= 0; i++) {
                r = read_segment(journal, found.numbers[i], i + 1 == n_written, ret_error);
                journal->next_segment = found.numbers[i] + 1;
        }
        free(found.numbers);
        return r;
}
