/* SPDX-License-Identifier: Apache-2.0 */

#include "control/object.h"

#include "base/json-scan.h"
#include "base/strv.h"

Object object_new(void)
{
        return (Object){ .json = json_object_new_object() };
}

json_object *object_take(Object *object)
{
        return TAKE_PTR(object->json);
}

void object_deinit(Object *object)
{
        json_object_put(object->json);
        object->json = NULL;
}

void object_add(Object *object, const char *key, json_object *value)
{
        if (value && object->json && json_object_object_add(object->json, key, value) == 0)
                return;
        json_object_put(value);
        object_deinit(object);
}

/* json-c writes bytes as they are, and a reply must be UTF-8. Paths need not be, and what was cut
 * to a length may end within a character. */
static json_object *new_text(const char *value)
{
        size_t size = strlen(value);
        _cleanup_free_ char *copy = NULL;

        for (size_t i = 0; i < size;) {
                unsigned n = json_utf8_length(value + i, value + size);

                if (n == 0 && !copy) {
                        copy = strdup(value);
                        if (!copy)
                                return NULL;
                }
                if (n == 0)
                        copy[i] = '?';
                i += MAX(n, 1U);
        }
        return json_object_new_string(copy ? copy : value);
}

void object_add_string(Object *object, const char *key, const char *value)
{
        if (value)
                object_add(object, key, new_text(value));
}

void object_add_int(Object *object, const char *key, int64_t value)
{
        object_add(object, key, json_object_new_int64(value));
}

void object_add_uint(Object *object, const char *key, uint64_t value)
{
        object_add_int(object, key, (int64_t)MIN(value, (uint64_t)INT64_MAX));
}

void object_add_double(Object *object, const char *key, double value)
{
        json_object *number = json_object_new_double(value);

        /* not 0.050000000000000003 */
        if (number)
                json_object_set_serializer(number, json_object_double_to_json_string,
                                           (void *)"%.6g", NULL);
        object_add(object, key, number);
}

void object_add_bool(Object *object, const char *key, bool value)
{
        object_add(object, key, json_object_new_boolean(value));
}

void object_add_strings(Object *object, const char *key, char *const *values)
{
        object_add(object, key, json_from_strings(values));
}

void array_add(json_object **array, json_object *value)
{
        if (value && *array && json_object_array_add(*array, value) == 0)
                return;
        json_object_put(value);
        json_object_put(*array);
        *array = NULL;
}

json_object *json_from_strings(char *const *values)
{
        json_object *array = json_object_new_array();

        STRV_FOREACH (value, values)
                array_add(&array, new_text(*value));
        return array;
}
