/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "base/buffer.h"

/* The first allocation: smaller ones would be followed by another at once. */
#define BUFFER_CAPACITY_MIN ((size_t)64)

/* buffer_appendf formats into this first, so that short texts are formatted once. */
#define BUFFER_FORMAT_SIZE 256

void buffer_deinit(Buffer *buffer)
{
        free(buffer->data);
        *buffer = BUFFER_NULL(buffer->maximum);
}

/* Moves the bytes to a larger allocation, or to the front of the one there is. The move to the
 * front waits until at least as many bytes were consumed as would be moved, so that each byte is
 * moved a bounded number of times however a reader and a writer alternate; hence the allocation may
 * reach twice the maximum. */
static int buffer_make_room(Buffer *buffer, size_t needed)
{
        size_t capacity;
        char *data;

        if (needed <= buffer->capacity && buffer->start >= buffer->size) {
                memmove(buffer->data, buffer->data + buffer->start, buffer->size);
                buffer->start = 0;
                return 0;
        }

        capacity = MAX(needed, MIN(buffer->capacity, buffer->maximum) * 2);
        capacity = MAX(capacity, BUFFER_CAPACITY_MIN);
        if (buffer->start == 0) {
                data = realloc(buffer->data, capacity);
                if (!data)
                        return -ENOMEM;
        } else {
                data = malloc(capacity);
                if (!data)
                        return -ENOMEM;
                memcpy(data, buffer->data + buffer->start, buffer->size);
                free(buffer->data);
        }
        buffer->data = data;
        buffer->capacity = capacity;
        buffer->start = 0;
        return 0;
}

int buffer_reserve(Buffer *buffer, size_t size, char **ret_data)
{
        size_t used = buffer->start + buffer->size;
        int r;

        if (size > buffer->maximum || buffer->size > buffer->maximum - size)
                return -ENOBUFS;
        if (!buffer->data || size > buffer->capacity - used) {
                r = buffer_make_room(buffer, buffer->size + size);
                if (r < 0)
                        return r;
        }
        *ret_data = buffer->data + buffer->start + buffer->size;
        return 0;
}

void buffer_commit(Buffer *buffer, size_t size)
{
        buffer->size += size;
}

int buffer_append(Buffer *buffer, const void *data, size_t size)
{
        char *to;
        int r;

        if (size == 0)
                return 0;
        r = buffer_reserve(buffer, size, &to);
        if (r < 0)
                return r;
        memcpy(to, data, size);
        buffer_commit(buffer, size);
        return 0;
}

int buffer_append_slice(Buffer *buffer, Slice slice)
{
        return buffer_append(buffer, slice.data, slice.size);
}

int buffer_append_string(Buffer *buffer, const char *s)
{
        return buffer_append(buffer, s, strlen(s));
}

int buffer_append_byte(Buffer *buffer, char c)
{
        return buffer_append(buffer, &c, 1);
}

int buffer_append_uint(Buffer *buffer, uint64_t value)
{
        char digits[20]; /* UINT64_MAX has 20 */
        size_t i = sizeof(digits);

        do {
                digits[--i] = (char)('0' + value % 10);
                value /= 10;
        } while (value > 0);
        return buffer_append(buffer, digits + i, sizeof(digits) - i);
}

int buffer_append_int(Buffer *buffer, int64_t value)
{
        char digits[21]; /* INT64_MIN: a sign and 19 digits */
        uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
        size_t i = sizeof(digits);

        do {
                digits[--i] = (char)('0' + magnitude % 10);
                magnitude /= 10;
        } while (magnitude > 0);
        if (value < 0)
                digits[--i] = '-';
        return buffer_append(buffer, digits + i, sizeof(digits) - i);
}

int buffer_appendf(Buffer *buffer, const char *format, ...)
{
        _cleanup_free_ char *longer = NULL;
        char text[BUFFER_FORMAT_SIZE];
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        if (n < 0)
                return -EINVAL;
        if ((size_t)n < sizeof(text))
                return buffer_append(buffer, text, (size_t)n);

        va_start(args, format);
        n = vasprintf(&longer, format, args);
        va_end(args);
        if (n < 0) {
                longer = NULL;
                return -ENOMEM;
        }
        return buffer_append(buffer, longer, (size_t)n);
}

void buffer_consume(Buffer *buffer, size_t size)
{
        buffer->start += size;
        buffer->size -= size;
        if (buffer->size == 0)
                buffer->start = 0;
}

void buffer_trim(Buffer *buffer, size_t keep)
{
        if (buffer->size == 0 && buffer->capacity > keep)
                buffer_deinit(buffer);
}

void buffer_clear(Buffer *buffer)
{
        buffer->start = 0;
        buffer->size = 0;
}

void buffer_truncate(Buffer *buffer, size_t size)
{
        if (size < buffer->size)
                buffer->size = size;
}

char *buffer_steal_string(Buffer *buffer)
{
        char *string;

        if (buffer->start > 0) {
                memmove(buffer->data, buffer->data + buffer->start, buffer->size);
                buffer->start = 0;
        }
        string = realloc(buffer->data, buffer->size + 1);
        if (!string)
                return NULL;
        string[buffer->size] = '\0';
        buffer->data = NULL;
        buffer_deinit(buffer);
        return string;
}
