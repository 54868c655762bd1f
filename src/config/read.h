#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* From libconfig's tree into the members of a Config, ConfigSource or ConfigPool, as the schema
 * says. Whatever is wrong with a value goes into the findings, and the member keeps what it had. */

#include <libconfig.h>
#include "config/findings.h"
#include "config/schema.h"

typedef struct Reader {
        Findings *findings;
        const char *file; /* the one that libconfig was given; others are named by the settings */
        ConfigOriginKind kind; /* of the values that are read now */
} Reader;

/* The folder of file and name: how an included file is called in messages. */
int read_beside(const char *file, const char *name, char **ret);

ConfigOrigin read_origin(const Reader *reader, const config_setting_t *setting);
/* Dotted, from the root: "pools.hash.retry.attempts"; fresh text, NULL if out of memory. */
char *read_path(const config_setting_t *setting);
/* Adds an error about this setting. */
void read_error(Reader *reader, const config_setting_t *setting, const char *format, ...)
        _printf_(3, 4);

/* All members of a group; keys of type SCHEMA_GROUP are the caller's to read. A key that object has
 * from reader->kind already is refused, both places named. 0 (with or without findings), -errno. */
int read_group(Reader *reader, SchemaScope scope, const config_setting_t *group, void *object,
               ConfigOrigins *origins);
