#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What the daemon's own environment says over the files: the variables that every client of a
 * Conductor server knows. They hold for each source of that type. */

#include "config/findings.h"

/* Sets what rows with a variable have there; an empty variable counts as none, and what was given
 * on the command line stays. What is refused is reported at `at`. 0 (with or without findings),
 * -errno. */
int override_source(Findings *findings, ConfigSource *source, ConfigOrigin at);
