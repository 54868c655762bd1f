/* SPDX-License-Identifier: Apache-2.0 */

#include "control/wire.h"
#include "ctl/object.h"

void object_init(Object *object)
{
        *object = (Object){ .text = BUFFER_NULL(WIRE_MESSAGE_MAX) };
        object->error = buffer_append_byte(&object->text, '{');
}

void object_deinit(Object *object)
{
        buffer_deinit(&object->text);
}

static void object_key(Object *object, const char *key)
{
        if (object->error >= 0 && object->text.size > 1)
                object->error = buffer_append_byte(&object->text, ',');
        if (object->error >= 0)
                object->error = json_append_string(&object->text, slice_from_string(key));
        if (object->error >= 0)
                object->error = buffer_append_byte(&object->text, ':');
}

void object_raw(Object *object, const char *key, Slice value)
{
        if (value.size == 0)
                return;
        object_key(object, key);
        if (object->error >= 0)
                object->error = buffer_append_slice(&object->text, value);
}

void object_string(Object *object, const char *key, const char *value)
{
        if (!value)
                return;
        object_key(object, key);
        if (object->error >= 0)
                object->error = json_append_string(&object->text, slice_from_string(value));
}

void object_integer(Object *object, const char *key, int64_t value)
{
        object_key(object, key);
        if (object->error >= 0)
                object->error = buffer_append_int(&object->text, value);
}

void object_true(Object *object, const char *key)
{
        object_raw(object, key, SLICE_LITERAL("true"));
}

void object_strings(Object *object, const char *key, char *const *values, size_t n)
{
        object_key(object, key);
        if (object->error >= 0)
                object->error = buffer_append_byte(&object->text, '[');
        for (size_t i = 0; i < n; i++) {
                if (object->error >= 0 && i > 0)
                        object->error = buffer_append_byte(&object->text, ',');
                if (object->error >= 0)
                        object->error =
                                json_append_string(&object->text, slice_from_string(values[i]));
        }
        if (object->error >= 0)
                object->error = buffer_append_byte(&object->text, ']');
}

Slice object_finish(Object *object)
{
        if (object->error >= 0)
                object->error = buffer_append_byte(&object->text, '}');
        return object->error < 0 ? SLICE_NULL : buffer_slice(&object->text);
}

void object_object(Object *object, const char *key, Object *value)
{
        Slice text = object_finish(value);

        if (text.size == 0 && object->error >= 0)
                object->error = value->error;
        object_raw(object, key, text);
        object_deinit(value);
}
