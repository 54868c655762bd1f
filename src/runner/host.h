#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The functions that a handler calls. A process has one handler, so what they share exists once:
 * the pool's config and the time of the last heartbeat. */

#include "base/clock.h"
#include "handler/yardmaster-handler.h"

/* config_json: a JSON object, borrowed until host_deinit. watchdog_usec: 0: no watchdog. */
void host_init(const char *config_json, usec_t watchdog_usec);
void host_deinit(void);
const struct yardmaster_host *host_get(void);

/* What error() said in this thread since it was cleared; "" if nothing. */
const char *host_error(void);
void host_clear_error(void);
