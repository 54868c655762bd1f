/* SPDX-License-Identifier: Apache-2.0 */

/* A handler of a later release: its structure has callbacks that this runner does not know. */

#include <stdlib.h>
#include <yardmaster-handler.h>

static int execute(void *thread, const struct yardmaster_task *task,
                   struct yardmaster_result *result)
{
        return task->host->add_string(result, "age", "new");
}

static struct {
        struct yardmaster_handler handler;
        void (*later)(void);
} object = {
        .handler = { .name = "newsize",
                     .version = "1",
                     .description = "of a later release",
                     .execute = execute },
        .later = abort,
};

YARDMASTER_EXPORT const struct yardmaster_handler *yardmaster_handler_v1(void);
const struct yardmaster_handler *yardmaster_handler_v1(void)
{
        object.handler.struct_size = sizeof(object);
        object.handler.api_version = YARDMASTER_API_VERSION;
        return &object.handler;
}
