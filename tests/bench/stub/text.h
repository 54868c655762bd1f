#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Small text for the stub server: ids, percent encoding, query parameters. Nothing here fails for
 * lack of memory: a test program ends then. */

#include <err.h>
#include <stdint.h>
#include "base/buffer.h"

#define STUB_ID_SIZE 36

/* A result of 0 or more, else the program ends with the error. */
static inline int must(int r)
{
        if (r < 0)
                errx(1, "%s", strerror(-r));
        return r;
}

#define must_alloc(pointer)                       \
        ({                                        \
                __auto_type _made = (pointer);    \
                if (!_made)                       \
                        errx(1, "out of memory"); \
                _made;                            \
        })

static inline void put_slice(Buffer *buffer, Slice slice)
{
        must(buffer_append(buffer, slice.data, slice.size));
}
#define put_literal(buffer, s) put_slice((buffer), SLICE_LITERAL(s))
static inline void put_uint(Buffer *buffer, uint64_t value)
{
        must(buffer_append_uint(buffer, value));
}

uint64_t text_hash(Slice text);
/* The one copy of this text, kept until text_deinit. NULL for SLICE_NULL. */
const char *text_intern(Slice text);
void text_deinit(void);

/* Ids look like UUIDs and hold a number: 'a' for a task, 'b' for a workflow. Those of another run
 * of the stub are unknown. */
void text_ids_init(uint32_t salt);
void text_put_id(Buffer *buffer, char kind, uint32_t number);
/* -ENOENT if it is none of this run. */
int text_parse_id(Slice id, char kind, uint32_t *ret_number);

/* Decodes %XX (and + in a query). The result lies in place if there is nothing to decode, else in
 * scratch. */
Slice text_percent_decode(Slice text, bool in_query, Buffer *scratch);
/* A parameter of a query string, decoded; SLICE_NULL if it is absent. */
Slice text_query(Slice query, const char *name, Buffer *scratch);
int64_t text_query_number(Slice query, const char *name, int64_t otherwise);
/* -EINVAL if it is present and no whole number. */
int text_number(Slice text, int64_t *ret);
