#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Cgroups as JSON: what the kernel counts, and which limits it holds. */

#include "config/config.h"
#include "control/object.h"
#include "worker/cgroups.h"

/* Names of the limits that are set and that nobody holds, given these controllers. */
json_object *describe_unenforced(const ConfigPool *config, unsigned controllers);
/* The figures of a group. */
json_object *describe_cgroup(const char *path);
/* Adds member "cgroup", if the pool has one. */
void describe_pool_cgroup(Object *object, const Cgroups *cgroups, const char *pool);
/* Whether the daemon's workers have groups, and why not. */
json_object *describe_cgroups(const Cgroups *cgroups);
