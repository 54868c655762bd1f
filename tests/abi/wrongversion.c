/* SPDX-License-Identifier: Apache-2.0 */

/* A handler for an API that does not exist yet. */

#include <yardmaster-handler.h>

static struct yardmaster_handler handler = {
        .struct_size = sizeof(handler),
        .api_version = 99,
        .name = "wrongversion",
};

YARDMASTER_EXPORT const struct yardmaster_handler *yardmaster_handler_v1(void);
const struct yardmaster_handler *yardmaster_handler_v1(void)
{
        return &handler;
}
