#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A JSON object being written. An error sticks, so that only the end needs a check. */

#include "base/json.h"

typedef struct Object {
        Buffer text;
        int error;
} Object;

void object_init(Object *object);
void object_deinit(Object *object);

/* NULL is left out. */
void object_string(Object *object, const char *key, const char *value);
void object_integer(Object *object, const char *key, int64_t value);
void object_true(Object *object, const char *key);
/* Raw JSON; SLICE_NULL is left out. */
void object_raw(Object *object, const char *key, Slice value);
void object_strings(Object *object, const char *key, char *const *values, size_t n);
/* value is finished and consumed; what failed in it fails here. */
void object_object(Object *object, const char *key, Object *value);

/* Closes it: the whole text, valid until object_deinit; SLICE_NULL if something failed. */
Slice object_finish(Object *object);
