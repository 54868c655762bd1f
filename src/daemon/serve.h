#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The daemon proper: manager and control socket for a valid configuration. */

#include "config/config.h"

/* Serves until it was told to stop and has drained. Returns the exit code, after saying what was
 * wrong. */
int serve(Config *config);
