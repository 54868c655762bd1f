#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What is wrong with the daemon right now, each with its remedy: an empty array is health. */

#include <json-c/json.h>
#include "manager/manager.h"

/* The storage counts as standing still after this time at one job. */
#define HEALTH_STALL_USEC (5 * USEC_PER_SEC)
/* Due tasks, free workers, and nothing fetched for this long: fetching has stalled. */
#define HEALTH_FETCH_USEC (30 * USEC_PER_SEC)

/* ready: beyond the loop and the storage, every pool runs and fetches, every waiting type is
 * served. NULL if memory is short. */
json_object *health_findings(const Manager *manager, bool ready);
