#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The daemon's figures in Prometheus' text format 0.0.4, from one table of families. */

#include "base/buffer.h"
#include "manager/manager.h"

int metrics_append(Buffer *buffer, const Manager *manager);
