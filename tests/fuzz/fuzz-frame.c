/* SPDX-License-Identifier: Apache-2.0 */

/* The first byte is the longest frame, the second the size of a read, the rest the stream. What is
 * cut must be what a plain search in the whole stream finds. */

#include "base/frame.h"
#include "fuzz.h"

typedef struct Expected {
        Slice rest;
        size_t maximum;
} Expected;

/* Compares one result with the frame that the stream goes on with. */
static void expect(Expected *expected, FrameResult result, Slice frame)
{
        const char *end = memchr(expected->rest.data, '\n', expected->rest.size);
        size_t size = end ? (size_t)(end - expected->rest.data) : expected->rest.size;

        if (result == FRAME_COMPLETE) {
                fuzz_assert(end);
                fuzz_assert(slice_equal(frame, (Slice){ expected->rest.data, size }));
        } else {
                fuzz_assert(size > expected->maximum);
                fuzz_assert(frame.size <= expected->maximum);
                fuzz_assert(slice_equal(frame, (Slice){ expected->rest.data, frame.size }));
        }
        size += !!end;
        expected->rest.data += size;
        expected->rest.size -= size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Expected expected;
        FrameResult result;
        Frame frame;
        Slice slice;
        size_t step;
        char *to;

        if (size < 3)
                return 0;
        step = MAX(data[1], 1);
        expected.maximum = data[0];
        expected.rest = (Slice){ (const char *)data + 2, size - 2 };
        frame_init(&frame, '\n', expected.maximum);

        for (size_t i = 2; i < size; i += step) {
                size_t n = MIN(step, size - i);

                fuzz_assert(frame_reserve(&frame, n, &to) == 0);
                memcpy(to, data + i, n);
                frame_commit(&frame, n);
                while ((result = frame_next(&frame, &slice)) != FRAME_NONE)
                        expect(&expected, result, slice);
        }
        slice = frame_rest(&frame);
        if (!frame.discarding)
                fuzz_assert(slice_equal(slice, expected.rest));
        frame_deinit(&frame);
        return 0;
}
