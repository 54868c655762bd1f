#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* "Did you mean": the nearest of what would have been right, if any is near enough. Pure. */

#include "config/schema.h"

/* The key that an unknown one was meant to be: one of the same group, else one of the same name in
 * another group. Writes the full dotted key; false if none is near. */
bool suggest_key(SchemaScope scope, const char *key, char *ret, size_t size);
/* The nearest of names (NULL-terminated), or NULL. */
const char *suggest_word(const char *const *names, const char *word);
