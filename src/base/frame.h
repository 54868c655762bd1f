#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Cuts a byte stream at one delimiter (newline: workers and logs; NUL: Varlink). Pure: no I/O.
 *
 * A frame longer than the maximum is not collected: its bytes are dropped up to its delimiter and
 * it is reported once as FRAME_OVERSIZED, so that the stream stays in step. */

#include "base/buffer.h"

/* Most bytes that frame_reserve is asked for at once: what may stand behind a frame of full length.
 */
#define FRAME_RESERVE_MAX ((size_t)64 * 1024)
/* An empty frame keeps no larger allocation than this, so that idle streams cost little. */
#define FRAME_KEEP ((size_t)4096)
/* How much of an oversized frame is shown: enough to tell what it was. */
#define FRAME_OVERSIZED_SHOWN 256

typedef enum FrameResult {
        FRAME_NONE,      /* no complete frame yet: feed more */
        FRAME_COMPLETE,  /* *ret is the frame without its delimiter; valid until the next call */
        FRAME_OVERSIZED, /* a frame over the maximum was dropped; *ret is its first bytes */
} FrameResult;

typedef struct Frame {
        Buffer buffer;
        size_t scanned;  /* bytes of buffer already searched for the delimiter */
        size_t consumed; /* frame handed out last, dropped at the next call */
        size_t maximum;  /* longest frame */
        char delimiter;
        bool discarding; /* inside an oversized frame */
} Frame;

void frame_init(Frame *frame, char delimiter, size_t maximum);
void frame_deinit(Frame *frame);

/* Where the next bytes go (for read(2)); then frame_commit what came. -ENOBUFS only if the frames
 * there are were not taken first or size is over FRAME_RESERVE_MAX. */
int frame_reserve(Frame *frame, size_t size, char **ret_data);
void frame_commit(Frame *frame, size_t size);

FrameResult frame_next(Frame *frame, Slice *ret);

/* What is left without a delimiter, for the end of the stream. */
Slice frame_rest(const Frame *frame);
