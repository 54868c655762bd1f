#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Tables of the daemon's objects, from arrays of a reply. */

#include "ctl/ctl.h"

ExitCode print_pools(const Ctl *ctl, Slice pools);
ExitCode print_workers(const Ctl *ctl, Slice workers);
