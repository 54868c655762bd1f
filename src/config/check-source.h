#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What no key of a source can say alone. */

#include "config/findings.h"

/* Makes a source whole once all its keys were read: what the environment says over the files, the
 * secret that it names, and what is missing, belongs to another type, or does not fit together.
 * elsewhere: this is not the daemon's own environment, so credentials that are not there are a
 * warning. 0 (with or without findings), -errno. */
int check_source(Findings *findings, ConfigSource *source, bool elsewhere);

/* Where a key of the source was set, or else the source. */
ConfigOrigin check_source_place(const ConfigSource *source, const char *key);
