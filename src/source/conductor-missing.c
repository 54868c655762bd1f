/* SPDX-License-Identifier: Apache-2.0 */

/* What the source does not do yet, answered as an error: source check. */

#include "source/conductor-internal.h"

int conductor_check(Source *source, ConfigPool *const *pools, size_t n_pools,
                    conductor_check_t done, void *userdata, ConductorCheck **ret)
{
        return -EOPNOTSUPP;
}

void conductor_check_abandon(ConductorCheck *check)
{
}

const char *finding_level_to_string(FindingLevel level)
{
        return "error";
}
