#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What a pool's handlers get beside the daemon's own environment. */

#include "config/findings.h"

/* Fills in pool->environment: what belongs to its source, over it what its file says, over it what
 * the pool says. The file is read; what is wrong with it goes into the findings. */
int pool_environment_fill(Findings *findings, const Config *config, ConfigPool *pool);
