#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Outboxes of sources that are not configured (any more): what is in them stays on disk, and is
 * told of, since nobody delivers it. */

#include "config/config.h"
#include "outbox/outbox.h"

/* A source is about to be closed for good. */
void left_outbox_tell(const char *source, const char *state_dir, const Outbox *outbox);
/* At start: looks at all that are in config's state_dir; waits for the disk. */
void left_outboxes_tell(const Config *config, sd_event *event, Storage *storage);
