#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Makes the listening Unix socket. */

#include "base/macro.h"

/* sun_path less its NUL. */
#define CONTROL_PATH_MAX 107
/* Connections the kernel keeps waiting for us. */
#define CONTROL_BACKLOG 128
/* For its owner and group: what a member of the group may do, the methods' access classes say. */
#define CONTROL_SOCKET_MODE 0660

/* Binds path with mode 0660 and listens; missing folders are made (0755). A socket that is left
 * from a dead daemon is removed, one that somebody listens on never is. 0; or -errno with
 * *ret_problem (fresh text, or NULL) naming the path, what is wrong and what to do: -ENAMETOOLONG,
 * -EADDRINUSE, -EEXIST (something that is no socket), … */
int control_listen(const char *path, int *ret_fd, char **ret_problem);
