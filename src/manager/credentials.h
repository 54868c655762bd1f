#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The credentials that a pool passes on to its handlers: a folder of links to those that the pool
 * names, which the handlers find in CREDENTIALS_DIRECTORY. The secrets stay where the service
 * manager keeps them. */

#include "config/config.h"

/* Makes state_dir/credentials/POOL what the pool says; without credentials there is no folder. */
int credentials_link(const char *state_dir, const ConfigPool *pool);
/* Takes away the folders of pools that config does not have. */
void credentials_clean(const char *state_dir, const Config *config);
