#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A configuration that stands in no file: for `yardmasterd run`, one pool on one source, key by key
 * from the command line. Until it is finished it is its maker's alone. */

#include "config/schema.h"

/* Source and pool with all defaults; names are copied. */
int config_make(SourceType type, const char *source, const char *pool, Config **ret);
/* A key of the configuration, its source, or its pool; what the environment says does not win over
 * it. 0, CONFIG_E_INVALID with *ret_message (fresh text), -errno. */
int config_make_set(Config *config, SchemaScope scope, const char *key, const char *text,
                    char **ret_message);
/* As config_load does once all files are read: what the environment says, what does not fit
 * together, the handler's environment. The pool has its handler by then. */
int config_make_finish(Config *config, ConfigDiagnostics **ret_diagnostics);
