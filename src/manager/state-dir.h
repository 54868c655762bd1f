#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The folders of a daemon. state_dir belongs to one daemon at a time: the lock says which, and the
 * instance id in it, made once, tells that daemon's workers (and what a dead one left behind) from
 * those of others. runtime_dir holds the notify sockets of the workers. */

#include "base/macro.h"

typedef struct StateDir {
        char *path;
        int lock_fd;
        char instance[17]; /* 16 hex digits */
        char *runtime_dir;
} StateDir;

#define STATE_DIR_NULL ((StateDir){ .lock_fd = -EBADF })

/* Another daemon holds the lock. */
#define STATE_DIR_E_LOCKED 1

/* Makes path if it is not there and locks it. STATE_DIR_E_LOCKED and -errno come with *ret_error,
 * fresh text that names the path and the remedy. */
int state_dir_open(StateDir *ret, const char *path, char **ret_error);
/* Makes an empty folder for sockets beside the control socket, or in state_dir where that cannot
 * be; longest_name: the longest that a socket in it will have. */
int state_dir_make_runtime(StateDir *dir, const char *control_socket, size_t longest_name,
                           char **ret_error);
/* Removes runtime_dir and lets go of the lock. */
void state_dir_close(StateDir *dir);
