/* SPDX-License-Identifier: Apache-2.0 */

#include "base/frame.h"

void frame_init(Frame *frame, char delimiter, size_t maximum)
{
        *frame = (Frame){
                .buffer = BUFFER_NULL(maximum + FRAME_RESERVE_MAX),
                .maximum = maximum,
                .delimiter = delimiter,
        };
}

void frame_deinit(Frame *frame)
{
        buffer_deinit(&frame->buffer);
}

static void frame_drop_consumed(Frame *frame)
{
        buffer_consume(&frame->buffer, frame->consumed);
        frame->consumed = 0;
}

int frame_reserve(Frame *frame, size_t size, char **ret_data)
{
        frame_drop_consumed(frame);
        return buffer_reserve(&frame->buffer, size, ret_data);
}

void frame_commit(Frame *frame, size_t size)
{
        buffer_commit(&frame->buffer, size);
}

/* Drops the rest of an oversized frame; true once its delimiter is gone too. */
static bool frame_discard(Frame *frame)
{
        Slice held = buffer_slice(&frame->buffer);
        const char *end = held.size > 0 ? memchr(held.data, frame->delimiter, held.size) : NULL;

        buffer_consume(&frame->buffer, end ? (size_t)(end - held.data) + 1 : held.size);
        frame->discarding = !end;
        return end;
}

FrameResult frame_next(Frame *frame, Slice *ret)
{
        const char *end = NULL;
        Slice held;

        frame_drop_consumed(frame);
        if (frame->discarding && !frame_discard(frame)) {
                buffer_trim(&frame->buffer, FRAME_KEEP);
                return FRAME_NONE;
        }

        held = buffer_slice(&frame->buffer);
        if (held.size > frame->scanned)
                end = memchr(held.data + frame->scanned, frame->delimiter,
                             held.size - frame->scanned);
        if (end) {
                frame->scanned = 0;
                frame->consumed = (size_t)(end - held.data) + 1;
                *ret = (Slice){ held.data, frame->consumed - 1 };
                if (ret->size <= frame->maximum)
                        return FRAME_COMPLETE;
        } else if (held.size > frame->maximum) {
                frame->scanned = 0;
                frame->consumed = held.size;
                frame->discarding = true;
                *ret = held;
        } else {
                frame->scanned = held.size;
                buffer_trim(&frame->buffer, FRAME_KEEP);
                return FRAME_NONE;
        }
        ret->size = MIN(ret->size, MIN(frame->maximum, (size_t)FRAME_OVERSIZED_SHOWN));
        return FRAME_OVERSIZED;
}

Slice frame_rest(const Frame *frame)
{
        Slice held = buffer_slice(&frame->buffer);

        if (frame->discarding || held.size == frame->consumed)
                return SLICE_NULL;
        return (Slice){ held.data + frame->consumed, held.size - frame->consumed };
}
