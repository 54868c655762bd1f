#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What `yardmasterd run` runs: the COMMAND or FILE.so of its command line as a pool's handler. */

#include "daemon/options.h"

/* Makes it the pool's. 0; VALUE_E_INVALID with *ret_message, fresh text that says why there is no
 * such program or library; -errno. */
int handler_from_options(ConfigPool *config, const DaemonOptions *options, char **ret_message);
