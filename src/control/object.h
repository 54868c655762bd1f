#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Builds JSON objects for answers: members are added one after the other, and whether memory was
 * short is asked once, at the end. */

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/macro.h"
#include "base/slice.h"

typedef struct Object {
        json_object *json; /* NULL: memory was short */
} Object;

Object object_new(void);
/* The finished object, or NULL if memory was short at any time. */
json_object *object_take(Object *object);
void object_deinit(Object *object);
#define OBJECT_CLEANUP _cleanup_(object_deinit)

/* value is consumed; a NULL value means that memory was short. */
void object_add(Object *object, const char *key, json_object *value);
/* NULL is left out; bytes that are no UTF-8 become question marks. */
void object_add_string(Object *object, const char *key, const char *value);
void object_add_int(Object *object, const char *key, int64_t value);
/* Above what JSON readers take exactly for a whole number is cut to that. */
void object_add_uint(Object *object, const char *key, uint64_t value);
void object_add_double(Object *object, const char *key, double value);
void object_add_bool(Object *object, const char *key, bool value);
void object_add_strings(Object *object, const char *key, char *const *values);

/* Appends value to array, consuming it; a failure frees *array and makes it NULL. */
void array_add(json_object **array, json_object *value);
json_object *json_from_strings(char *const *values);
