#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What separates two configurations, pool by pool: derived from the schema, key by key. Pure. */

#include "config/config.h"

typedef enum PoolChange {
        POOL_UNCHANGED,
        POOL_ADDED,
        POOL_REMOVED,
        POOL_LIVE,    /* only live keys differ: same processes */
        POOL_RESTART, /* a restart key differs: workers are replaced one by one, after their task */
        POOL_REPLACE, /* source or task_type differs: as if removed and added */
        _POOL_CHANGE_MAX,
} PoolChange;

PoolChange config_pool_compare(const ConfigPool *before, const ConfigPool *after);

/* Whether the source has become another one (its url or worker_id differs): then its pools finish
 * with the old one, and start anew on the new one. */
bool config_source_replaced(const ConfigSource *before, const ConfigSource *after);

/* NULL if after can be applied to a running daemon; else the first key that cannot change without a
 * restart of the daemon (state_dir, socket, a source's type), as static text. */
const char *config_unreloadable(const Config *before, const Config *after);
