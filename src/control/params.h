#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The parameters of a call, decoded by a table into a struct. Pure.
 *
 *     typedef struct ScaleParams { const char *pool; const char *workers; } ScaleParams;
 *     static const ParamField scale_fields[] = {
 *             { "pool", PARAM_STRING, true, offsetof(ScaleParams, pool) },
 *             { "workers", PARAM_STRING, true, offsetof(ScaleParams, workers) },
 *     };
 *
 * A member that is absent or null leaves its field as it was, so the caller fills in the defaults;
 * a required one must be there. Unknown members are refused by name: a misspelt one would otherwise
 * be silently without effect. The text has passed json_check. */

#include "base/json.h"

typedef enum ParamType {
        PARAM_STRING,  /* const char *: decoded, in the arena; U+0000 in it is refused */
        PARAM_TEXT,    /* Slice: decoded; in place if it has no escapes, else in the arena */
        PARAM_INTEGER, /* int64_t: a whole number */
        PARAM_DOUBLE,  /* double */
        PARAM_BOOLEAN, /* bool */
        PARAM_OBJECT,  /* Slice: raw */
        PARAM_ARRAY,   /* Slice: raw */
        PARAM_ANY,     /* Slice: raw */
        PARAM_STRINGS, /* char **: NULL-terminated, in the arena, from an array of strings */
        _PARAM_TYPE_MAX,
} ParamType;

typedef struct ParamField {
        const char *name;
        ParamType type;
        bool required;
        size_t offset;
} ParamField;

/* What was decoded lives here and ends with it. */
typedef struct ParamArena {
        struct ParamChunk *chunks;
} ParamArena;

void param_arena_deinit(ParamArena *arena);
/* NULL if out of memory. */
void *param_arena_allocate(ParamArena *arena, size_t size);

/* 0; -EINVAL with *ret_wrong (in the arena) naming the member that is unknown, missing or does not
 * fit; -ENOMEM. */
int params_decode(Slice object, const ParamField *fields, size_t n_fields, ParamArena *arena,
                  void *ret, const char **ret_wrong);
