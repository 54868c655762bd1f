/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include "outbox/segment.h"

#define MAGIC "YMOUTBOX"

Segment *segment_new(uint64_t number, uint32_t salt)
{
        Segment *segment = calloc(1, sizeof(*segment));

        if (!segment)
                return NULL;
        segment->number = number;
        segment->salt = salt;
        segment->fd = -EBADF;
        segment->size = SEGMENT_HEADER_SIZE;
        list_init(&segment->live);
        list_init(&segment->leaving);
        return segment;
}

Segment *segment_free(Segment *segment)
{
        if (!segment)
                return NULL;
        (void)close_fd(segment->fd);
        free(segment);
        return NULL;
}

void segment_format_name(uint64_t number, char *ret_name)
{
        (void)snprintf(ret_name, SEGMENT_NAME_SIZE, "%010" PRIu64 ".log", number);
}

bool segment_parse_name(const char *name, uint64_t *ret_number)
{
        char canonical[SEGMENT_NAME_SIZE];
        uint64_t number = 0;

        for (const char *p = name; *p >= '0' && *p <= '9'; p++) {
                if (number > UINT64_MAX / 10 - 1)
                        return false;
                number = number * 10 + (uint64_t)(*p - '0');
        }
        segment_format_name(number, canonical);
        if (!streq(canonical, name))
                return false;
        *ret_number = number;
        return true;
}

static void put_u32(char *p, uint32_t value)
{
        for (int i = 0; i < 4; i++)
                p[i] = (char)(value >> 8 * i);
}

static uint32_t get_u32(const char *p)
{
        uint32_t value = 0;

        for (int i = 0; i < 4; i++)
                value |= (uint32_t)(unsigned char)p[i] << 8 * i;
        return value;
}

int segment_write(int fd, uint64_t offset, Slice data)
{
        while (data.size > 0) {
                ssize_t n = pwrite(fd, data.data, data.size, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                data = (Slice){ data.data + n, data.size - (size_t)n };
                offset += (uint64_t)n;
        }
        return 0;
}

int segment_create(int folder_fd, uint64_t number, uint32_t salt, int *ret_fd)
{
        char name[SEGMENT_NAME_SIZE], header[SEGMENT_HEADER_SIZE];
        _cleanup_close_ int fd = -EBADF;
        int r;

        segment_format_name(number, name);
        fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        memcpy(header, MAGIC, 8);
        put_u32(header + 8, SEGMENT_VERSION);
        put_u32(header + 12, salt);
        r = segment_write(fd, 0, (Slice){ header, sizeof(header) });
        if (r < 0) {
                (void)unlinkat(folder_fd, name, 0);
                return r;
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Reading */

/* At most size bytes; fewer only at the end of the file. */
static ssize_t read_at(int fd, uint64_t offset, char *data, size_t size)
{
        size_t done = 0;

        while (done < size) {
                ssize_t n = pread(fd, data + done, size - done, (off_t)(offset + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                done += (size_t)n;
        }
        return (ssize_t)done;
}

/* How long the record at this offset says that it is. */
static int read_size(int fd, uint64_t offset, uint32_t salt, size_t *ret_size)
{
        char header[RECORD_HEADER_SIZE];
        ssize_t n = read_at(fd, offset, header, sizeof(header));
        Record record;
        int r;

        if (n < 0)
                return (int)n;
        r = record_parse((Slice){ header, (size_t)n }, salt, &record, ret_size);
        return r == -ENODATA && n == RECORD_HEADER_SIZE ? 0 : r == 0 ? 0 : -EBADMSG;
}

int segment_read_body(int folder_fd, uint64_t number, uint64_t offset, uint32_t salt,
                      char **ret_body, size_t *ret_size)
{
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *bytes = NULL;
        char name[SEGMENT_NAME_SIZE];
        Record record;
        size_t size;
        ssize_t n;
        int r;

        segment_format_name(number, name);
        fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        r = read_size(fd, offset, salt, &size);
        if (r < 0)
                return r;
        bytes = malloc(size);
        if (!bytes)
                return -ENOMEM;
        n = read_at(fd, offset, bytes, size);
        if (n < 0)
                return (int)n;
        if (record_parse((Slice){ bytes, (size_t)n }, salt, &record, &size) < 0)
                return -EBADMSG;
        size = record.body.size;
        memmove(bytes, record.body.data, size);
        *ret_body = size > 0 ? TAKE_PTR(bytes) : NULL;
        *ret_size = size;
        return 0;
}

/* Scanning */

/* What is read ahead. */
#define CHUNK_SIZE ((size_t)256 * 1024)

/* Among bad bytes, candidates are tried by their check sum until that has cost this many times
 * the file's size: bytes made for it could keep the start waiting for hours. */
#define SEARCH_FACTOR 64

typedef struct Scan {
        int fd;
        uint64_t offset; /* of the buffer's first byte */
        uint64_t file_size;
        uint64_t search_left; /* bytes that may still be summed in search of a record */
        Buffer buffer;
        SegmentScan result;
} Scan;

/* Until the buffer holds size bytes or all there are. */
static int scan_fill(Scan *scan, size_t size)
{
        uint64_t left = scan->file_size - scan->offset;
        char *to;
        ssize_t n;
        int r;

        if (scan->buffer.size >= size || scan->buffer.size >= left)
                return 0;
        size = (size_t)MIN((uint64_t)MAX(size, CHUNK_SIZE), left) - scan->buffer.size;
        r = buffer_reserve(&scan->buffer, size, &to);
        if (r < 0)
                return r;
        n = read_at(scan->fd, scan->offset + scan->buffer.size, to, size);
        if (n < 0)
                return (int)n;
        buffer_commit(&scan->buffer, (size_t)n);
        if ((size_t)n < size)
                scan->file_size = scan->offset + scan->buffer.size;
        return 0;
}

static int scan_header(Scan *scan)
{
        static const char zeros[SEGMENT_HEADER_SIZE];
        Slice bytes;
        int r = scan_fill(scan, SEGMENT_HEADER_SIZE);

        if (r < 0)
                return r;
        bytes = buffer_slice(&scan->buffer);
        bytes.size = MIN(bytes.size, sizeof(zeros));
        if (bytes.size == 0 || memcmp(bytes.data, zeros, bytes.size) == 0)
                scan->result.verdict =
                        scan->file_size > sizeof(zeros) ? SEGMENT_DAMAGED : SEGMENT_EMPTY;
        else if (memcmp(bytes.data, MAGIC, MIN(bytes.size, sizeof(MAGIC) - 1)) != 0)
                scan->result.verdict = SEGMENT_FOREIGN;
        else if (bytes.size < SEGMENT_HEADER_SIZE)
                scan->result.verdict = SEGMENT_EMPTY;
        else if (get_u32(bytes.data + 8) != SEGMENT_VERSION)
                scan->result.verdict =
                        get_u32(bytes.data + 8) > SEGMENT_VERSION ? SEGMENT_NEWER : SEGMENT_FOREIGN;
        else
                scan->result.salt = get_u32(bytes.data + 12);
        if (scan->result.verdict != SEGMENT_WHOLE)
                return 0;
        buffer_consume(&scan->buffer, SEGMENT_HEADER_SIZE);
        scan->offset = scan->result.good_size = SEGMENT_HEADER_SIZE;
        return 1;
}

/* 0, -EBADMSG: no record begins here, or an error of reading. *ret_size: the record's, or how many
 * bytes were summed in vain. */
static int scan_one(Scan *scan, Record *ret, size_t *ret_size)
{
        int r = scan_fill(scan, RECORD_HEADER_SIZE);

        if (r < 0)
                return r;
        r = record_parse(buffer_slice(&scan->buffer), scan->result.salt, ret, ret_size);
        if (r != -ENODATA)
                return r;
        if (*ret_size > scan->file_size - scan->offset) {
                *ret_size = 0;
                return -EBADMSG;
        }
        r = scan_fill(scan, *ret_size);
        if (r < 0)
                return r;
        r = record_parse(buffer_slice(&scan->buffer), scan->result.salt, ret, ret_size);
        return r == -ENODATA ? -EBADMSG : r;
}

static int scan_records(Scan *scan, segment_record_t on_record, void *userdata)
{
        bool bad = false;

        while (scan->offset < scan->file_size) {
                Record record;
                size_t size;
                int r = scan_one(scan, &record, &size);

                if (r == -EBADMSG) {
                        bad = true;
                        if (size > scan->search_left) {
                                scan->result.verdict = SEGMENT_DAMAGED;
                                break;
                        }
                        scan->search_left -= size;
                        size = 1;
                } else if (r < 0) {
                        return r;
                } else {
                        if (bad)
                                scan->result.verdict = SEGMENT_DAMAGED;
                        bad = false;
                        r = on_record(&record, scan->offset, userdata);
                        if (r < 0)
                                return r;
                        scan->result.good_size = scan->offset + size;
                }
                buffer_consume(&scan->buffer, MIN(size, scan->buffer.size));
                scan->offset += size;
        }
        if (bad && scan->result.verdict == SEGMENT_WHOLE)
                scan->result.verdict = SEGMENT_TORN;
        return 0;
}

int segment_scan(int fd, segment_record_t on_record, void *userdata, SegmentScan *ret)
{
        Scan scan = { .fd = fd, .buffer = BUFFER_NULL(RECORD_SIZE_MAX + CHUNK_SIZE) };
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        scan.file_size = (uint64_t)st.st_size;
        scan.search_left = scan.file_size * SEARCH_FACTOR;
        r = scan_header(&scan);
        if (r > 0)
                r = scan_records(&scan, on_record, userdata);
        buffer_deinit(&scan.buffer);
        if (r < 0)
                return r;
        *ret = scan.result;
        return 0;
}
