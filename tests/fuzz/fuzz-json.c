/* SPDX-License-Identifier: Apache-2.0 */

/* Any text: what json_check accepts, json-c accepts too, and every walk, getter and writer holds
 * its promises; from what it refuses, the walks come back. */

#include <json-c/json.h>
#include <string.h>
#include "base/json.h"
#include "fuzz.h"

/* The writers may need six bytes for one (\u0001), and quotes. */
#define OUTPUT_MAX(size) (6 * (size) + 2)

static void check_inside(Slice inner, Slice outer)
{
        fuzz_assert(inner.data >= outer.data);
        fuzz_assert(inner.data + inner.size <= outer.data + outer.size);
}

static void visit_string(Slice value)
{
        Buffer buffer = BUFFER_NULL(OUTPUT_MAX(value.size));
        char *text = NULL, *again = NULL;

        fuzz_assert(json_decode_string(value, &text) == 0);
        fuzz_assert(json_append_string(&buffer, slice_from_string(text)) == 0);
        fuzz_assert(json_check(buffer_slice(&buffer), NULL) == 0);
        fuzz_assert(json_decode_string(buffer_slice(&buffer), &again) == 0);
        fuzz_assert(strcmp(text, again) == 0);
        buffer_deinit(&buffer);
        free(text);
        free(again);
}

static void visit_number(Slice value)
{
        int64_t number = 0;
        double real = 0;
        int r = json_to_int64(value, &number);

        if (json_to_double(value, &real) == 0 && r == 0)
                fuzz_assert(real == (double)number);
}

/* Recursion is as deep as a checked text, or as an unchecked one has brackets. */
static void visit(Slice value, unsigned depth)
{
        Slice key, item;

        switch (json_type_of(value)) {
        case JSON_OBJECT:
                JSON_FOREACH_MEMBER (key, item, value) {
                        check_inside(key, value);
                        check_inside(item, value);
                        visit(item, depth + 1);
                }
                break;
        case JSON_ARRAY:
                JSON_FOREACH_ELEMENT (item, value) {
                        check_inside(item, value);
                        visit(item, depth + 1);
                }
                break;
        case JSON_STRING:
                visit_string(value);
                break;
        case JSON_NUMBER:
                visit_number(value);
                break;
        default:
                break;
        }
        fuzz_assert(depth <= JSON_DEPTH_MAX);
}

/* The check tells of the members that a walk finds. */
static void on_member(Slice key, Slice value, void *userdata)
{
        Slice walked_key, walked_value;

        fuzz_assert(json_next_member(userdata, &walked_key, &walked_value));
        fuzz_assert(key.data == walked_key.data && slice_equal(key, walked_key));
        fuzz_assert(value.data == walked_value.data && slice_equal(value, walked_value));
}

static void check_members(Slice text)
{
        JsonWalk walk = json_walk(text);
        Slice key, value;

        fuzz_assert(json_check_members(text, on_member, &walk, NULL) == 0);
        fuzz_assert(json_type_of(text) != JSON_OBJECT || !json_next_member(&walk, &key, &value));
}

static void check_accepted(Slice text)
{
        struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
        Buffer compact = BUFFER_NULL(text.size);
        struct json_object *object;

        fuzz_assert(tokener);
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        object = json_tokener_parse_ex(tokener, text.data, (int)text.size + 1);
        fuzz_assert(json_tokener_get_error(tokener) == json_tokener_success);
        json_object_put(object);
        json_tokener_free(tokener);

        visit(text, 0);
        check_members(text);
        fuzz_assert(json_append_compact(&compact, text) == 0);
        fuzz_assert(json_check(buffer_slice(&compact), NULL) == 0);
        fuzz_assert(!memchr(compact.data, '\n', compact.size));
        buffer_deinit(&compact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *copy = malloc(size + 1);
        Slice text = { copy, size }, key, value;
        JsonError error = { 0 };

        fuzz_assert(copy);
        memcpy(copy, data, size);
        copy[size] = '\0';
        if (json_check(text, &error) == 0) {
                check_accepted(text);
        } else {
                fuzz_assert(error.offset <= size && error.message);
                JSON_FOREACH_MEMBER (key, value, text) {
                        check_inside(key, text);
                        check_inside(value, text);
                }
                JSON_FOREACH_ELEMENT (value, text)
                        check_inside(value, text);
        }
        free(copy);
        return 0;
}
