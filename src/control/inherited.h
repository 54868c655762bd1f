#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Listening sockets that the service manager passes at start: the daemon's own, which it keeps in
 * the manager's fd store over a restart so that clients wait in its backlog meanwhile; or one that
 * a .socket unit listens on. Owned by the daemon until its server has them. */

#include "base/macro.h"

/* The name of our own in the fd store. */
#define INHERITED_STORED_NAME "control"

typedef struct Inherited {
        int stored;    /* our own, from before a restart; -EBADF: none */
        int activated; /* what a .socket unit listens on; -EBADF: none */
} Inherited;

#define INHERITED_NULL ((Inherited){ -EBADF, -EBADF })

/* Takes what was passed, and its variables out of the environment: to be called before the first
 * thread is made. Everything that is not one of the two is closed, and named in the log: a daemon
 * of another version may have stored more. All are close-on-exec. */
void inherited_take(Inherited *ret);
void inherited_close(Inherited *inherited);

/* Whether the stored socket is still the one at path: 0, and it listens with our backlog; else
 * -errno with *ret_problem (fresh, or NULL) that says in which way it is not. */
int inherited_adopt(int fd, const char *path, char **ret_problem);
/* For one that was not adopted: removes its path if it is still its own. fd stays open. */
void inherited_abandon(int fd);
