#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The cgroups of a daemon: the one it was given, in which it stands aside, "POOL/" for each pool
 * and "POOL/N" for each of its workers. Owned by the manager, one for a daemon; where it was given
 * none it says why, and everything goes on without.
 *
 * A worker's group is made for it and discarded with it: it is killed then, and removed as soon as
 * nothing lives in it. A worker that starts meanwhile gets another one, so nobody waits. */

#include <systemd/sd-event.h>
#include "base/cgroup.h"
#include "base/macro.h"

typedef struct Cgroups Cgroups;

/* Takes the daemon's group over and removes what a predecessor left in it: before there are other
 * children. */
int cgroups_new(Cgroups **ret, sd_event *event);
/* Waits for what was killed, for a moment, to remove its groups. */
Cgroups *cgroups_free(Cgroups *cgroups);
DEFINE_CLEANUP(Cgroups *, cgroups_free);

/* OBSTACLE_NONE: there are groups. *ret_error as in base/cgroup.h. */
CgroupObstacle cgroups_obstacle(const Cgroups *cgroups, int *ret_error);
/* Mask of CGROUP_MEMORY and so on; 0: none. NULL has none. */
unsigned cgroups_controllers(const Cgroups *cgroups);
const char *cgroups_path(const Cgroups *cgroups);
/* Groups of a dead predecessor that were removed at the start. */
unsigned cgroups_n_leftovers(const Cgroups *cgroups);

/* The group of a pool, whether it is there or not. -ENAMETOOLONG. */
int cgroups_pool_path(const Cgroups *cgroups, const char *pool, char ret[CGROUP_PATH_SIZE]);
/* Makes a group for worker n of a pool, and that of the pool if need be. *ret_path is fresh. */
int cgroups_make(Cgroups *cgroups, const char *pool, unsigned n, char **ret_path);
/* Kills what is in it and removes it, now or later. Takes path; NULL: nothing. */
void cgroups_discard(Cgroups *cgroups, char *path);
/* The pool is gone: its group, too, with its last worker's. */
void cgroups_forget_pool(Cgroups *cgroups, const char *pool);
