#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Where values came from: the files of one load, counted and shared by everything that was made
 * from it, and one small record per key and object. */

#include <stdint.h>
#include "config/config.h"

typedef struct ConfigFiles {
        unsigned n_ref;
        char **paths; /* as the user would write them: for messages */
        size_t n_paths;
} ConfigFiles;

int config_files_new(ConfigFiles **ret);
ConfigFiles *config_files_ref(ConfigFiles *files);
ConfigFiles *config_files_unref(ConfigFiles *files);
DEFINE_CLEANUP(ConfigFiles *, config_files_unref);
/* The index of path, which is added if it is new. */
int config_files_add(ConfigFiles *files, const char *path, uint16_t *ret);

typedef enum ConfigOriginKind {
        ORIGIN_DEFAULT,     /* built in: no place */
        ORIGIN_DEFAULTS,    /* the group defaults */
        ORIGIN_FILE,        /* the object's own */
        ORIGIN_SET,         /* by command, until the next start: no place */
        ORIGIN_ENVIRONMENT, /* the variable that the row names: no place */
} ConfigOriginKind;

typedef struct ConfigOrigin {
        uint8_t kind;
        uint16_t file; /* index into ConfigFiles */
        uint32_t line;
} ConfigOrigin;

struct ConfigOrigins {
        ConfigFiles *files;
        size_t n;
        ConfigOrigin at[]; /* by row of the schema */
};

/* All ORIGIN_DEFAULT. files may be NULL. */
int config_origins_new(ConfigFiles *files, size_t n, ConfigOrigins **ret);
int config_origins_copy(const ConfigOrigins *origins, ConfigOrigins **ret);
/* Where an object as a whole stands. */
ConfigOrigin origins_place(const ConfigOrigins *origins, const char *file, unsigned line);
ConfigOrigins *config_origins_free(ConfigOrigins *origins);
DEFINE_CLEANUP(ConfigOrigins *, config_origins_free);
