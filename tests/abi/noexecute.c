/* SPDX-License-Identifier: Apache-2.0 */

/* A handler that lacks the one callback it must have. */

#include <yardmaster-handler.h>

static struct yardmaster_handler handler = { .name = "noexecute" };
YARDMASTER_HANDLER(handler)
