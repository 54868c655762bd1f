/* SPDX-License-Identifier: Apache-2.0 */

/* A library that does no work. */

#include "handler/yardmaster-handler.h"

static int execute(void *thread, const struct yardmaster_task *task,
                   struct yardmaster_result *result)
{
        (void)thread;
        return task->host->add_int64(result, "n", 1);
}

static struct yardmaster_handler handler = { .name = "nothing", .execute = execute };
YARDMASTER_HANDLER(handler)
