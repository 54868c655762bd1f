/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a segment of the outbox's journal: what is read of it stands there, in its order,
 * and would be written the same. */

#include <sys/mman.h>
#include <unistd.h>
#include "fuzz.h"
#include "outbox/segment.h"

typedef struct Input {
        Slice bytes;
        uint64_t end; /* of the record before */
        uint32_t salt;
} Input;

static int on_record(const Record *record, uint64_t offset, void *userdata)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        Input *input = userdata;

        fuzz_assert(record->type > 0 && record->type < _RECORD_TYPE_MAX);
        fuzz_assert(offset >= input->end);
        input->end = offset + record_size(record);
        fuzz_assert(input->end <= input->bytes.size);
        fuzz_assert(record_append(&buffer, record, input->salt) == 0);
        fuzz_assert(slice_equal(buffer_slice(&buffer),
                                (Slice){ input->bytes.data + offset, buffer.size }));
        buffer_deinit(&buffer);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Input input = { .bytes = { (const char *)data, size }, .end = SEGMENT_HEADER_SIZE };
        int fd = memfd_create("segment", MFD_CLOEXEC);
        SegmentScan result;

        if (size >= SEGMENT_HEADER_SIZE)
                input.salt = (uint32_t)data[12] | (uint32_t)data[13] << 8 |
                             (uint32_t)data[14] << 16 | (uint32_t)data[15] << 24;
        fuzz_assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
        fuzz_assert(segment_scan(fd, on_record, &input, &result) == 0);
        switch (result.verdict) {
        case SEGMENT_WHOLE:
                fuzz_assert(result.good_size == size && input.end == size);
                break;
        case SEGMENT_TORN:
                fuzz_assert(result.good_size == input.end && input.end < size);
                break;
        case SEGMENT_DAMAGED:
                fuzz_assert(result.good_size <= size);
                break;
        default:
                fuzz_assert(input.end == SEGMENT_HEADER_SIZE);
        }
        (void)close(fd);
        return 0;
}
