#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* `yardmasterd run TYPE --once`: one task through a handler, as a worker of a pool would run it,
 * without any source: how a handler is tried out. */

#include "daemon/options.h"

/* Prints the output on stdout; reason and logs on stderr. The exit code: 0 only if the task
 * completed. */
int run_once(const DaemonOptions *options);
