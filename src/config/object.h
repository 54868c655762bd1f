#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* All members of a Config, ConfigSource or ConfigPool at once, by the rows of the schema. */

#include "config/origin.h"
#include "config/schema.h"

/* Every default as the schema has it; object is zeroed before. -ENOMEM (object can be cleared). */
int object_set_defaults(SchemaScope scope, void *object);
int object_copy(SchemaScope scope, const void *from, void *to);
void object_clear(SchemaScope scope, void *object);

/* A pool with all defaults but no origins; name is copied. */
int config_pool_make(const char *name, ConfigPool **ret);
/* With another name if that is set. */
int pool_copy(const ConfigPool *pool, const char *name, ConfigPool **ret);

int source_new(const char *name, ConfigSource **ret);
int source_copy(const ConfigSource *source, ConfigSource **ret);
ConfigSource *config_source_free(ConfigSource *source);
DEFINE_CLEANUP(ConfigSource *, config_source_free);

/* The origin of a key; ORIGIN_DEFAULT without origins. */
ConfigOrigin object_origin(SchemaScope scope, const ConfigOrigins *origins, const char *key);
