#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Growable bytes with a hard maximum: consumed at the front, appended at the end. */

#include <stdarg.h>
#include <stdint.h>
#include "base/macro.h"
#include "base/slice.h"

typedef struct Buffer {
        char *data;      /* allocation; bytes begin at data + start */
        size_t start;    /* consumed, still allocated */
        size_t size;     /* bytes held, from start on */
        size_t capacity; /* allocated */
        size_t maximum;  /* size never exceeds this; -ENOBUFS instead */
} Buffer;

#define BUFFER_NULL(max) ((Buffer){ .maximum = (max) })

void buffer_deinit(Buffer *buffer);

static inline Slice buffer_slice(const Buffer *buffer)
{
        return (Slice){ buffer->data ? buffer->data + buffer->start : NULL, buffer->size };
}

/* All return 0, -ENOMEM, or -ENOBUFS if the maximum would be passed; then nothing was appended. */
int buffer_append(Buffer *buffer, const void *data, size_t size);
int buffer_append_slice(Buffer *buffer, Slice slice);
int buffer_append_string(Buffer *buffer, const char *s);
int buffer_append_byte(Buffer *buffer, char c);
int buffer_append_uint(Buffer *buffer, uint64_t value);
int buffer_append_int(Buffer *buffer, int64_t value);
int buffer_appendf(Buffer *buffer, const char *format, ...) _printf_(2, 3);

/* Room for size more bytes at the end: *ret_data is where they go; buffer_commit says how many
 * came. */
int buffer_reserve(Buffer *buffer, size_t size, char **ret_data);
void buffer_commit(Buffer *buffer, size_t size);

/* Drops bytes at the front. An empty buffer that has grown past keep bytes gives its memory back.
 */
void buffer_consume(Buffer *buffer, size_t size);
void buffer_trim(Buffer *buffer, size_t keep);
void buffer_clear(Buffer *buffer);
/* Drops bytes at the end, down to size. */
void buffer_truncate(Buffer *buffer, size_t size);

/* NUL-terminates (not counted in size) and hands the allocation to the caller; NULL if out of
 * memory. */
char *buffer_steal_string(Buffer *buffer);
