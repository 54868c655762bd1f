/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json.h"
#include "base/json-scan.h"

unsigned json_utf8_length(const char *p, const char *end)
{
        const unsigned char *b = (const unsigned char *)p;
        unsigned char low = 0x80, high = 0xBF; /* bounds of the second byte */
        unsigned n;

        if (p == end)
                return 0;
        if (b[0] < 0x80)
                return 1;
        if (b[0] < 0xC2 || b[0] > 0xF4)
                return 0;
        n = b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 : 4;
        if ((size_t)(end - p) < n)
                return 0;
        if (b[0] == 0xE0)
                low = 0xA0; /* below: overlong */
        else if (b[0] == 0xED)
                high = 0x9F; /* above: surrogates */
        else if (b[0] == 0xF0)
                low = 0x90; /* below: overlong */
        else if (b[0] == 0xF4)
                high = 0x8F; /* above: over U+10FFFF */
        if (b[1] < low || b[1] > high)
                return 0;
        for (unsigned i = 2; i < n; i++) {
                if ((b[i] & 0xC0) != 0x80)
                        return 0;
        }
        return n;
}

static inline const char *slice_end(Slice slice)
{
        return slice.size > 0 ? slice.data + slice.size : slice.data;
}

/* From behind an opening bracket to behind the closing one. Brackets match, as the text was
 * checked, so their kinds need not be told apart. */
static const char *skip_container(const char *p, const char *end)
{
        size_t depth = 1;

        while ((p = json_skip_to_structure(p, end)) < end) {
                switch (*p++) {
                case '"':
                        p = json_skip_string(p, end);
                        break;
                case '{':
                case '[':
                        depth++;
                        break;
                case '}':
                case ']':
                        if (--depth == 0)
                                return p;
                        break;
                default:
                        break;
                }
        }
        return p;
}

static inline const char *skip_value(const char *p, const char *end)
{
        if (p == end)
                return p;
        if (*p == '"')
                return json_skip_string(p + 1, end);
        if (*p == '{' || *p == '[')
                return skip_container(p + 1, end);
        while (p < end && *p != ',' && *p != '}' && *p != ']' && !json_is_white(*p))
                p++;
        return p;
}

static Slice trim(Slice value)
{
        const char *end = slice_end(value), *p = json_skip_white(value.data, end);

        while (end > p && json_is_white(end[-1]))
                end--;
        return (Slice){ p, (size_t)(end - p) };
}

JsonType json_type_of(Slice value)
{
        value = trim(value);
        if (value.size == 0)
                return _JSON_TYPE_INVALID;
        switch (*value.data) {
        case '{':
                return JSON_OBJECT;
        case '[':
                return JSON_ARRAY;
        case '"':
                return JSON_STRING;
        case 't':
        case 'f':
                return JSON_BOOLEAN;
        case 'n':
                return JSON_NULL;
        default:
                return JSON_NUMBER;
        }
}

const char *json_type_to_string(JsonType type)
{
        static const char *const names[] = {
                [JSON_NULL] = "null",     [JSON_BOOLEAN] = "boolean", [JSON_NUMBER] = "number",
                [JSON_STRING] = "string", [JSON_ARRAY] = "array",     [JSON_OBJECT] = "object",
        };

        return type >= 0 && (size_t)type < ELEMENTSOF(names) ? names[type] : "nothing";
}

JsonWalk json_walk(Slice container)
{
        Slice value = trim(container);

        if (value.size < 2 || (*value.data != '{' && *value.data != '['))
                return (JsonWalk){ NULL, NULL };
        return (JsonWalk){ value.data + 1, value.data + value.size - 1 };
}

/* Moves to the next item's first byte; false at the closing bracket. */
static inline bool walk_next(JsonWalk *walk)
{
        const char *p = json_skip_white(walk->position, walk->end);

        if (p < walk->end && *p == ',')
                p = json_skip_white(p + 1, walk->end);
        walk->position = p;
        return p < walk->end;
}

static inline Slice walk_value(JsonWalk *walk)
{
        const char *start = walk->position;

        walk->position = skip_value(start, walk->end);
        return (Slice){ start, (size_t)(walk->position - start) };
}

bool json_next_element(JsonWalk *walk, Slice *ret_value)
{
        if (!walk_next(walk))
                return false;
        *ret_value = walk_value(walk);
        return ret_value->size > 0;
}

bool json_next_member(JsonWalk *walk, Slice *ret_key, Slice *ret_value)
{
        const char *start, *p;

        if (!walk_next(walk) || *walk->position != '"')
                return false;
        start = walk->position + 1;
        p = json_skip_string(start, walk->end);
        if (p == start)
                return false;
        *ret_key = (Slice){ start, (size_t)(p - start) - 1 };

        p = json_skip_white(p, walk->end);
        if (p < walk->end && *p == ':')
                p = json_skip_white(p + 1, walk->end);
        walk->position = p;
        *ret_value = walk_value(walk);
        return true;
}

bool json_key_is_escaped(Slice key, const char *name)
{
        const char *p = key.data, *end = slice_end(key);
        char decoded[JSON_DECODED_MAX];

        while (p < end) {
                size_t n = json_decode_next(&p, end, decoded);

                if (strncmp(name, decoded, n) != 0)
                        return false;
                name += n;
        }
        return *name == '\0';
}

Slice json_member(Slice object, const char *key)
{
        Slice found = SLICE_NULL, name, value;

        if (json_type_of(object) != JSON_OBJECT)
                return SLICE_NULL;
        JSON_FOREACH_MEMBER (name, value, object) {
                if (json_key_is(name, key))
                        found = value;
        }
        return found;
}
