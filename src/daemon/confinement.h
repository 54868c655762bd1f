#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What `yardmasterd --check` says of the unit that the daemon runs in: folders that a file names
 * and that ProtectSystem=strict keeps handlers, or the daemon, from writing to. */

#include "config/config.h"

/* unit: NULL: the one that is installed for this configuration, if it is. Prints a line for each on
 * stderr; nothing where there is no systemd, or no such unit. */
void confinement_check(const Config *config, const char *unit);
