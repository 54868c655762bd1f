#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* `yardmasterd run TYPE --url URL`: the daemon with one pool on one Conductor server, from the
 * command line instead of files. */

#include "daemon/options.h"

/* Serves until it was told to stop and has drained. Returns the exit code. */
int run(const DaemonOptions *options);
