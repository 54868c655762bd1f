/* SPDX-License-Identifier: Apache-2.0 */

/* A handler in C++98, the oldest that anybody may still use. */

#include <yardmaster-handler.h>

namespace
{

int execute(void *, const yardmaster_task *task, yardmaster_result *result)
{
        if (!YARDMASTER_HOST_HAS(task->host, cancelled))
                return -1;
        return task->host->add_string(result, "language", "C++");
}

yardmaster_handler handler = { 0, 0, "c++", "1", "a handler in C++", 0, 0, execute, 0, 0, 0 };

} // namespace

YARDMASTER_HANDLER(handler)
