/* SPDX-License-Identifier: Apache-2.0 */

#include "base/strv.h"
#include "control/params.h"

/* Fields of one table; a larger one would not fit the set of those seen. */
#define PARAM_FIELDS_MAX 64
/* How much of an unknown name is repeated to the one who sent it. */
#define PARAM_NAME_SHOWN 100

struct ParamChunk {
        struct ParamChunk *next;
        max_align_t data[];
};

void param_arena_deinit(ParamArena *arena)
{
        while (arena->chunks) {
                struct ParamChunk *chunk = arena->chunks;

                arena->chunks = chunk->next;
                free(chunk);
        }
}

void *param_arena_allocate(ParamArena *arena, size_t size)
{
        struct ParamChunk *chunk = malloc(sizeof(*chunk) + size);

        if (!chunk)
                return NULL;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
        return chunk->data;
}

static char *arena_string(ParamArena *arena, Slice text)
{
        char *copy = param_arena_allocate(arena, text.size + 1);

        if (!copy)
                return NULL;
        if (text.size > 0)
                memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
        return copy;
}

/* Whether a string has an escaped U+0000, which no C string can hold. */
static bool has_nul(Slice text)
{
        const char *p = text.data, *end = p + text.size;

        while ((p = memchr(p, '\\', (size_t)(end - p)))) {
                if (end - p >= 6 && memcmp(p, "\\u0000", 6) == 0)
                        return true;
                p += 2;
                if (p >= end)
                        break;
        }
        return false;
}

static int decode_text(Slice value, ParamArena *arena, Slice *ret)
{
        _cleanup_free_ char *decoded = NULL;
        int r;

        if (json_raw_string(value, ret) >= 0)
                return 0;
        if (has_nul(value))
                return -EINVAL;
        r = json_decode_string(value, &decoded);
        if (r < 0)
                return r;
        *ret = slice_from_string(decoded);
        ret->data = arena_string(arena, *ret);
        return ret->data ? 0 : -ENOMEM;
}

static int decode_string(Slice value, ParamArena *arena, const char **ret)
{
        Slice text;
        char *copy;
        int r;

        r = decode_text(value, arena, &text);
        if (r < 0)
                return r;
        copy = arena_string(arena, text);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

static int decode_strings(Slice value, ParamArena *arena, char ***ret)
{
        const char **strings;
        size_t n = 0;
        Slice element;
        int r;

        if (json_type_of(value) != JSON_ARRAY)
                return -EINVAL;
        JSON_FOREACH_ELEMENT (element, value)
                n++;
        strings = param_arena_allocate(arena, (n + 1) * sizeof(*strings));
        if (!strings)
                return -ENOMEM;
        n = 0;
        JSON_FOREACH_ELEMENT (element, value) {
                r = decode_string(element, arena, &strings[n++]);
                if (r < 0)
                        return r;
        }
        strings[n] = NULL;
        *ret = (char **)strings;
        return 0;
}

static int decode_raw(Slice value, JsonType type, Slice *ret)
{
        if (json_type_of(value) != type)
                return -EINVAL;
        *ret = value;
        return 0;
}

static int decode_field(const ParamField *field, Slice value, ParamArena *arena, void *to)
{
        switch (field->type) {
        case PARAM_STRING:
                return decode_string(value, arena, to);
        case PARAM_TEXT:
                return decode_text(value, arena, to);
        case PARAM_INTEGER:
                return json_to_int64(value, to);
        case PARAM_DOUBLE:
                return json_to_double(value, to);
        case PARAM_BOOLEAN:
                return json_to_bool(value, to);
        case PARAM_OBJECT:
                return decode_raw(value, JSON_OBJECT, to);
        case PARAM_ARRAY:
                return decode_raw(value, JSON_ARRAY, to);
        case PARAM_ANY:
                *(Slice *)to = value;
                return 0;
        case PARAM_STRINGS:
                return decode_strings(value, arena, to);
        default:
                return -EINVAL;
        }
}

static int wrong(Slice name, ParamArena *arena, const char **ret_wrong)
{
        char *copy;

        name.size = MIN(name.size, (size_t)PARAM_NAME_SHOWN);
        copy = arena_string(arena, name);
        if (!copy)
                return -ENOMEM;
        *ret_wrong = copy;
        return -EINVAL;
}

int params_decode(Slice object, const ParamField *fields, size_t n_fields, ParamArena *arena,
                  void *ret, const char **ret_wrong)
{
        uint64_t seen = 0;
        Slice key, value;
        size_t i;
        int r;

        if (n_fields > PARAM_FIELDS_MAX)
                return -ENOBUFS;
        JSON_FOREACH_MEMBER (key, value, object) {
                for (i = 0; i < n_fields && !json_key_is(key, fields[i].name); i++)
                        ;
                if (i == n_fields)
                        return wrong(key, arena, ret_wrong);
                if (json_type_of(value) == JSON_NULL)
                        continue;
                r = decode_field(&fields[i], value, arena, (char *)ret + fields[i].offset);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return wrong(slice_from_string(fields[i].name), arena, ret_wrong);
                seen |= UINT64_C(1) << i;
        }
        for (i = 0; i < n_fields; i++) {
                if (fields[i].required && !(seen & UINT64_C(1) << i))
                        return wrong(slice_from_string(fields[i].name), arena, ret_wrong);
        }
        return 0;
}
