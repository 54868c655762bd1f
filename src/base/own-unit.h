#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Which systemd unit this process is part of. sd_pid_get_unit would tell, but it compares with
 * PID 1, which ProtectProc=invisible hides. */

#include <stdbool.h>
#include "base/macro.h"

/* "yardmaster.service", fresh; *ret_user: of a user's service manager. -ENODATA if it is of no
 * service. */
int own_unit(char **ret, bool *ret_user);
/* The same for what /proc/self/cgroup says. */
int own_unit_from_text(const char *text, char **ret, bool *ret_user);
