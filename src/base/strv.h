#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* NULL-terminated vectors of strings, as exec and getenv use them. NULL is an empty vector. */

#include <stdbool.h>
#include "base/macro.h"

size_t strv_length(char *const *strv);
char **strv_free(char **strv);
DEFINE_CLEANUP(char **, strv_free);
int strv_copy(char ***ret, char *const *strv);
/* Appends a copy of s; *strv may be NULL. */
int strv_append(char ***strv, const char *s);
bool strv_contains(char *const *strv, const char *s);
/* For "NAME=value" vectors: replaces the entry of that name or appends it; -EINVAL without a name.
 */
int strv_set_env(char ***env, const char *assignment);
const char *strv_get_env(char *const *env, const char *name);

#define STRV_FOREACH(s, strv) for (char *const *s = (strv); s && *s; s++)
