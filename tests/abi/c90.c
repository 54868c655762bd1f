/* SPDX-License-Identifier: Apache-2.0 */

/* A handler in the oldest C: the header and its macros compile with -std=c90 -pedantic -Werror. */

#include <yardmaster-handler.h>

static int execute(void *thread, const struct yardmaster_task *task,
                   struct yardmaster_result *result)
{
        (void)thread;
        if (!YARDMASTER_HOST_HAS(task->host, cancelled))
                return -1;
        return task->host->add_string(result, "language", "C90");
}

static struct yardmaster_handler handler = { 0,       0, "c90", "1", "a handler in C90", 0, 0,
                                             execute, 0, 0,     0 };
YARDMASTER_HANDLER(handler)
