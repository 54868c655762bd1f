/* SPDX-License-Identifier: Apache-2.0 */

/* What the source does not do yet, answered as an error: payloads in external storage, source
 * check, queue depth. */

#include "source/conductor-internal.h"

void depth_want(ConductorSubscription *subscription)
{
}

int payload_fetch_input(ConductorTask *holding)
{
        return conductor_hand_back(holding, false);
}

int payload_upload_output(Conductor *conductor, const MessageHead *head, const char *task_id,
                          Slice output, payload_done_t done, void *userdata, PayloadUpload **ret)
{
        return -EOPNOTSUPP;
}

void payload_upload_abandon(PayloadUpload *upload)
{
}

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
