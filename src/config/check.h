#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What no key can say alone: values that contradict one another in a pool, and pools that
 * contradict one another. */

#include "config/findings.h"

/* Makes a pool whole once all its keys were read: keeps either command or library (its own over
 * that of defaults), takes back what defaults set for another kind of handler, fills in what
 * follows from other keys, and reports what is missing or does not fit. 0 (with or without
 * findings), -errno. */
int check_pool(Findings *findings, ConfigPool *pool);

/* Pairs of values, as they are after any change: NULL, or fresh text about *ret_key (static). */
int check_values(const ConfigPool *pool, const char **ret_key, char **ret_message);

/* Sources that exist, what their type means for the pools on them, task types that belong to one
 * pool. complete: every file could be read, so a name that is missing is missing. elsewhere: as of
 * check_source. */
int check_pools(Findings *findings, const Config *config, bool complete, bool elsewhere);

/* Where a key of the pool was set, or else the pool. */
ConfigOrigin check_place(const ConfigPool *pool, const char *key);
