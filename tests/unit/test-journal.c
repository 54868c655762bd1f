/* SPDX-License-Identifier: Apache-2.0 */

/* Records as bytes, and files of them. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include "outbox/segment.h"
#include "unit.h"

#define SALT 0x1234567

static const Record sample = {
        .type = RECORD_WAITING,
        .value = 7,
        .number = UINT64_C(0x123456789abcdef0),
        .turn = 99,
        .msec = -5,
        .id = { "id", 2 },
        .head = { "the head", 8 },
        .body = { "some body", 9 },
};

static void append(Buffer *buffer, uint64_t number, const char *body)
{
        const Record record = { .type = RECORD_WAITING,
                                .number = number,
                                .id = SLICE_LITERAL("id"),
                                .body = slice_from_string(body) };

        ck_assert_int_eq(record_append(buffer, &record, SALT), 0);
}

START_TEST(a_record_is_read_as_it_was_written)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        Record record;
        size_t size;

        ck_assert_int_eq(record_append(&buffer, &sample, SALT), 0);
        ck_assert_uint_eq(buffer.size, record_size(&sample));
        ck_assert_int_eq(record_parse(buffer_slice(&buffer), SALT, &record, &size), 0);
        ck_assert_uint_eq(size, buffer.size);
        ck_assert_int_eq(record.type, RECORD_WAITING);
        ck_assert_uint_eq(record.value, 7);
        ck_assert_uint_eq(record.number, sample.number);
        ck_assert_uint_eq(record.turn, 99);
        ck_assert_int_eq(record.msec, -5);
        ck_assert_slice(record.id, "id");
        ck_assert_slice(record.head, "the head");
        ck_assert_slice(record.body, "some body");
        ck_assert_int_eq(record_parse(buffer_slice(&buffer), SALT + 1, &record, &size), -EBADMSG);
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(a_cut_record_says_how_much_is_missing)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        Record record;
        size_t size;

        ck_assert_int_eq(record_append(&buffer, &sample, SALT), 0);
        for (size_t n = 0; n < buffer.size; n++) {
                ck_assert_int_eq(record_parse((Slice){ buffer.data, n }, SALT, &record, &size),
                                 -ENODATA);
                ck_assert_uint_eq(size, n < RECORD_HEADER_SIZE ? RECORD_HEADER_SIZE : buffer.size);
        }
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(no_flipped_bit_goes_unseen)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        Record record;
        size_t size;

        ck_assert_int_eq(record_append(&buffer, &sample, SALT), 0);
        for (size_t bit = 0; bit < buffer.size * 8; bit++) {
                buffer.data[bit / 8] ^= (char)(1 << bit % 8);
                ck_assert_int_lt(record_parse(buffer_slice(&buffer), SALT, &record, &size), 0);
                buffer.data[bit / 8] ^= (char)(1 << bit % 8);
        }
        buffer_deinit(&buffer);
}
END_TEST

/* Files */

typedef struct Seen {
        uint64_t numbers[16];
        size_t n;
} Seen;

static int on_record(const Record *record, uint64_t offset, void *userdata)
{
        Seen *seen = userdata;

        ck_assert_uint_ge(offset, SEGMENT_HEADER_SIZE);
        ck_assert_uint_lt(seen->n, ELEMENTSOF(seen->numbers));
        seen->numbers[seen->n++] = record->number;
        return 0;
}

static int scan(Slice bytes, Seen *ret_seen, SegmentScan *ret)
{
        int fd = memfd_create("segment", MFD_CLOEXEC), r;

        *ret_seen = (Seen){ 0 };
        ck_assert_int_eq(segment_write(fd, 0, bytes), 0);
        r = segment_scan(fd, on_record, ret_seen, ret);
        (void)close_fd(fd);
        return r;
}

/* A header and the records 1, 2 and 3; *ret_ends: where the header and each of them ends. */
static void make_segment(Buffer *buffer, size_t *ret_ends)
{
        static const char header[SEGMENT_HEADER_SIZE] = "YMOUTBOX\1\0\0\0\x67\x45\x23\1";

        ck_assert_int_eq(buffer_append(buffer, header, sizeof(header)), 0);
        ret_ends[0] = buffer->size;
        for (uint64_t number = 1; number <= 3; number++) {
                append(buffer, number, "a body of some length");
                ret_ends[number] = buffer->size;
        }
}

START_TEST(a_segment_has_its_header)
{
        char folder[] = "/tmp/test-journal-XXXXXX", name[SEGMENT_NAME_SIZE], path[64];
        int fd, folder_fd;
        SegmentScan result;
        Seen seen = { 0 };
        uint64_t number;

        ck_assert_ptr_nonnull(mkdtemp(folder));
        folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ck_assert_int_eq(segment_create(folder_fd, 42, SALT, &fd), 0);
        ck_assert_int_eq(segment_create(folder_fd, 42, SALT, &(int){ 0 }), -EEXIST);
        segment_format_name(42, name);
        ck_assert_str_eq(name, "0000000042.log");
        ck_assert(segment_parse_name(name, &number));
        ck_assert_uint_eq(number, 42);
        ck_assert(segment_parse_name("12345678901.log", &number));
        ck_assert(!segment_parse_name("42.log", &number));
        ck_assert(!segment_parse_name("0000000042.log.damaged", &number));
        ck_assert(!segment_parse_name("0000000042", &number));
        ck_assert(!segment_parse_name("99999999999999999999999.log", &number));
        ck_assert_int_eq(segment_scan(fd, on_record, &seen, &result), 0);
        ck_assert_int_eq(result.verdict, SEGMENT_WHOLE);
        ck_assert_uint_eq(result.salt, SALT);
        ck_assert_uint_eq(result.good_size, SEGMENT_HEADER_SIZE);
        (void)close_fd(fd);
        (void)close_fd(folder_fd);
        (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
        ck_assert_int_eq(remove(path), 0);
        ck_assert_int_eq(remove(folder), 0);
}
END_TEST

START_TEST(a_segment_cut_anywhere_is_torn_behind_its_last_record)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        SegmentScan result;
        size_t ends[4];
        Seen seen;

        make_segment(&buffer, ends);
        for (size_t n = 0; n <= buffer.size; n++) {
                size_t expected = (n >= ends[1]) + (n >= ends[2]) + (n >= ends[3]);

                ck_assert_int_eq(scan((Slice){ buffer.data, n }, &seen, &result), 0);
                ck_assert_uint_eq(seen.n, expected);
                if (n < SEGMENT_HEADER_SIZE) {
                        ck_assert_int_eq(result.verdict, SEGMENT_EMPTY);
                        continue;
                }
                ck_assert_int_eq(result.verdict,
                                 n == ends[expected] ? SEGMENT_WHOLE : SEGMENT_TORN);
                ck_assert_uint_eq(result.good_size, ends[expected]);
        }
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(zeros_at_the_end_are_torn)
{
        static const char zeros[5000];
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        SegmentScan result;
        size_t ends[4];
        Seen seen;

        make_segment(&buffer, ends);
        ck_assert_int_eq(buffer_append(&buffer, zeros, sizeof(zeros)), 0);
        ck_assert_int_eq(scan(buffer_slice(&buffer), &seen, &result), 0);
        ck_assert_int_eq(result.verdict, SEGMENT_TORN);
        ck_assert_uint_eq(result.good_size, ends[3]);
        ck_assert_int_eq(scan((Slice){ zeros, SEGMENT_HEADER_SIZE }, &seen, &result), 0);
        ck_assert_int_eq(result.verdict, SEGMENT_EMPTY);
        ck_assert_int_eq(scan((Slice){ zeros, sizeof(zeros) }, &seen, &result), 0);
        ck_assert_int_eq(result.verdict, SEGMENT_DAMAGED);
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(damage_costs_one_record)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        SegmentScan result;
        size_t ends[4];
        Seen seen;

        make_segment(&buffer, ends);
        for (size_t at = ends[1]; at < ends[2]; at++) {
                buffer.data[at] ^= 0x40;
                ck_assert_int_eq(scan(buffer_slice(&buffer), &seen, &result), 0);
                ck_assert_uint_eq(seen.n, 2);
                ck_assert_uint_eq(seen.numbers[0], 1);
                ck_assert_uint_eq(seen.numbers[1], 3);
                ck_assert_int_eq(result.verdict, SEGMENT_DAMAGED);
                ck_assert_uint_eq(result.good_size, ends[3]);
                buffer.data[at] ^= 0x40;
        }
        buffer_deinit(&buffer);
}
END_TEST

/* What a task made to look like a record is none, even where the one around it is damaged. */
START_TEST(a_body_cannot_pretend_to_be_a_record)
{
        Buffer inner = BUFFER_NULL(SIZE_MAX), buffer = BUFFER_NULL(SIZE_MAX);
        Record record = sample;
        SegmentScan result;
        size_t ends[4];
        Seen seen;

        ck_assert_int_eq(record_append(&inner, &sample, SALT ^ 1), 0);
        record.body = buffer_slice(&inner);
        make_segment(&buffer, ends);
        ck_assert_int_eq(record_append(&buffer, &record, SALT), 0);
        append(&buffer, 5, "the last");
        buffer.data[ends[3] + 20] ^= 1;
        ck_assert_int_eq(scan(buffer_slice(&buffer), &seen, &result), 0);
        ck_assert_uint_eq(seen.n, 4);
        ck_assert_uint_eq(seen.numbers[3], 5);
        buffer_deinit(&inner);
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(files_of_others_are_known)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        SegmentScan result;
        size_t ends[4];
        Seen seen;

        make_segment(&buffer, ends);
        buffer.data[8] = 2;
        ck_assert_int_eq(scan(buffer_slice(&buffer), &seen, &result), 0);
        ck_assert_int_eq(result.verdict, SEGMENT_NEWER);
        buffer.data[8] = 0;
        ck_assert_int_eq(scan(buffer_slice(&buffer), &seen, &result), 0);
        ck_assert_int_eq(result.verdict, SEGMENT_FOREIGN);
        buffer.data[8] = 1;
        buffer.data[0] = 'Z';
        ck_assert_int_eq(scan(buffer_slice(&buffer), &seen, &result), 0);
        ck_assert_int_eq(result.verdict, SEGMENT_FOREIGN);
        ck_assert_uint_eq(seen.n, 0);
        buffer_deinit(&buffer);
}
END_TEST

/* Larger than what is read at once. */
START_TEST(long_records_are_read)
{
        size_t size = 3 * 1024 * 1024;
        _cleanup_free_ char *body = malloc(size + 1);
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        SegmentScan result;
        size_t ends[4];
        Seen seen;

        ck_assert_ptr_nonnull(body);
        memset(body, 'x', size);
        body[size] = '\0';
        make_segment(&buffer, ends);
        append(&buffer, 4, body);
        append(&buffer, 5, "the last");
        ck_assert_int_eq(scan(buffer_slice(&buffer), &seen, &result), 0);
        ck_assert_int_eq(result.verdict, SEGMENT_WHOLE);
        ck_assert_uint_eq(seen.n, 5);
        buffer_deinit(&buffer);
}
END_TEST

UNIT_MAIN("journal", a_record_is_read_as_it_was_written, a_cut_record_says_how_much_is_missing,
          no_flipped_bit_goes_unseen, a_segment_has_its_header,
          a_segment_cut_anywhere_is_torn_behind_its_last_record, zeros_at_the_end_are_torn,
          damage_costs_one_record, a_body_cannot_pretend_to_be_a_record, files_of_others_are_known,
          long_records_are_read);
