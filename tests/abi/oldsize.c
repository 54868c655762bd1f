/* SPDX-License-Identifier: Apache-2.0 */

/* A handler that was built when the structure ended with execute, as its binary looks today. What
 * stands behind it in memory must not be taken for callbacks. */

#include <yardmaster-handler.h>

struct old_handler {
        size_t struct_size;
        unsigned int api_version;
        const char *name;
        const char *version;
        const char *description;
        int (*init)(const struct yardmaster_host *host, const char *config_json, void **ret_state);
        int (*thread_init)(void *state, void **ret_thread);
        int (*execute)(void *thread, const struct yardmaster_task *task,
                       struct yardmaster_result *result);
};

static int execute(void *thread, const struct yardmaster_task *task,
                   struct yardmaster_result *result)
{
        return task->host->add_string(result, "age", "old");
}

static struct {
        struct old_handler handler;
        void *not_a_callback[3];
} object = {
        .handler = { sizeof(struct old_handler), 1, "oldsize", "1", "of an older release", NULL,
                     NULL, execute },
        .not_a_callback = { (void *)1, (void *)1, (void *)1 },
};

YARDMASTER_EXPORT const struct old_handler *yardmaster_handler_v1_old(void) __asm__(
        "yardmaster_handler_v1");
const struct old_handler *yardmaster_handler_v1_old(void)
{
        return &object.handler;
}
