#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The unit that the daemon runs in, for `yardmasterd --check`, which looks as its user, and says
 * which folders that a file names ProtectSystem=strict keeps handlers, or the daemon, from writing
 * to. */

#include "base/macro.h"
#include "config/config.h"

typedef struct Confinement Confinement;

/* path: of the configuration, by which its unit is found; unit: which it is; NULL: that one. An
 * error where there is no systemd, or no such unit. */
int confinement_new(Confinement **ret, const char *path, const char *unit);
Confinement *confinement_free(Confinement *confinement);
DEFINE_CLEANUP(Confinement *, confinement_free);

/* Makes of root the unit's user, for good: what that may not read, the daemon cannot. */
int confinement_enter(const Confinement *confinement);

/* Prints a line for each folder on stderr. */
void confinement_check(const Confinement *confinement, const Config *config);
