#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Where socket and state stand if no file says it: as systemd set it up, as root, or as XDG has it.
 */

#include "base/macro.h"

/* Absolute and fresh; -ENXIO if neither systemd nor the user's environment gives a place. */
int place_socket(char **ret);
int place_state_dir(char **ret);
