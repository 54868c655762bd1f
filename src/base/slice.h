#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A borrowed run of bytes: not terminated, owned by whoever made it. */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct Slice {
        const char *data;
        size_t size;
} Slice;

#define SLICE_NULL       ((Slice){ NULL, 0 })
#define SLICE_LITERAL(s) ((Slice){ (s), sizeof(s) - 1 })

static inline Slice slice_from_string(const char *s)
{
        return (Slice){ s, s ? strlen(s) : 0 };
}

static inline bool slice_equal(Slice a, Slice b)
{
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_is(Slice a, const char *s)
{
        return slice_equal(a, slice_from_string(s));
}
