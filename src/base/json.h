#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A strict JSON scanner (RFC 8259, UTF-8) that cuts raw slices and builds no tree.
 *
 * Used wherever a task or a result passes: json-c accepts NaN, single quotes and trailing commas,
 * clamps integers and costs ten times as much. One pass of json_check over a whole message, then
 * the member and element walks below, which rely on it and look at nothing twice. */

#include <stdint.h>
#include <string.h>
#include "base/buffer.h"

/* Deepest nesting accepted anywhere; json-c's parser is told the same (its default is 32). */
#define JSON_DEPTH_MAX 900

typedef enum JsonType {
        JSON_NULL,
        JSON_BOOLEAN,
        JSON_NUMBER,
        JSON_STRING,
        JSON_ARRAY,
        JSON_OBJECT,
        _JSON_TYPE_INVALID = -EINVAL,
} JsonType;

typedef struct JsonError {
        size_t offset;       /* first byte that cannot be right; the size if the text is cut off */
        const char *message; /* static text: what was expected or found */
} JsonError;

/* One complete JSON value with optional white space around it: 0, or -EBADMSG with *ret_error
 * (may be NULL). Refuses invalid UTF-8, lone surrogate escapes are accepted as RFC 8259 does,
 * depth over JSON_DEPTH_MAX, control characters in strings, leading zeros, trailing bytes. */
int json_check(Slice text, JsonError *ret_error);
/* Refused for its depth alone: as far as that it is well-formed. */
bool json_error_is_depth(const JsonError *error);

/* The same, and in the same pass what a walk over the outermost object would find, if it is one:
 * on_member is told of each member, in order, before it is known whether the text is good. Saves
 * that walk where every task goes by. */
typedef void (*json_member_t)(Slice key, Slice value, void *userdata);
int json_check_members(Slice text, json_member_t on_member, void *userdata, JsonError *ret_error);

/* The walks below are for text that json_check accepted (white space at the ends is fine); from
 * other text they get nonsense but never leave it. json-c owns the name json_type. */
JsonType json_type_of(Slice value);
const char *json_type_to_string(JsonType type);

typedef struct JsonWalk {
        const char *position;
        const char *end;
} JsonWalk;

JsonWalk json_walk(Slice container);
/* true and the next member: *ret_key without quotes and still escaped, *ret_value raw and trimmed.
 */
bool json_next_member(JsonWalk *walk, Slice *ret_key, Slice *ret_value);
bool json_next_element(JsonWalk *walk, Slice *ret_value);

#define JSON_FOREACH_MEMBER(key, value, object)        \
        for (JsonWalk _walk_##key = json_walk(object); \
             json_next_member(&_walk_##key, &(key), &(value));)
#define JSON_FOREACH_ELEMENT(value, array)              \
        for (JsonWalk _walk_##value = json_walk(array); \
             json_next_element(&_walk_##value, &(value));)

/* Whether a key of a walk, still escaped, is this name once it is decoded. */
bool json_key_is_escaped(Slice key, const char *name);
static inline bool json_key_is(Slice key, const char *name)
{
        size_t size = strlen(name);

        if (key.size <= size)
                return key.size == size && memcmp(key.data, name, size) == 0 &&
                       !memchr(name, '\\', size);
        return memchr(key.data, '\\', key.size) && json_key_is_escaped(key, name);
}

/* The last member of that name (duplicates: the last wins), or SLICE_NULL. Keys with escapes match
 * after decoding. */
Slice json_member(Slice object, const char *key);

/* Decoded text in a fresh string. U+0000 becomes U+FFFD, so that no C string is cut short; a lone
 * surrogate becomes U+FFFD. -EINVAL if the value is no string. */
int json_decode_string(Slice value, char **ret);
/* A string without escapes: its bytes in place, no copy; -EINVAL if it is no string or has escapes.
 */
int json_raw_string(Slice value, Slice *ret);
/* Whole numbers only: -EINVAL for another type or a fraction, -ERANGE outside int64. 1e3 and 5.0
 * count as whole. */
int json_to_int64(Slice value, int64_t *ret);
int json_to_double(Slice value, double *ret);
int json_to_bool(Slice value, bool *ret);

/* Both append all or, on -ENOMEM and -ENOBUFS, nothing.
 *
 * text as a JSON string with quotes; bytes that are no UTF-8 become U+FFFD. */
int json_append_string(Buffer *buffer, Slice text);
/* value without white space outside strings (one line, whatever came in). */
int json_append_compact(Buffer *buffer, Slice value);
