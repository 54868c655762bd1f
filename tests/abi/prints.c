/* SPDX-License-Identifier: Apache-2.0 */

/* A handler that treats standard input and output as its own, from the moment it is loaded. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yardmaster-handler.h>

/* Looks like an answer, by stdio and by write, and whether stdin holds anything for us. */
static void print(const char *where)
{
        static const char line[] = "{\"type\":\"result\",\"taskId\":\"1\",\"status\":\"FAILED\"}\n";
        char c;

        (void)fputs(line, stdout);
        (void)printf("printed in %s%s", where, read(0, &c, 1) > 0 ? ", stole input\n" : "\n");
        (void)fflush(stdout);
        if (write(1, line, sizeof(line) - 1) < 0)
                abort();
}

__attribute__((constructor)) static void on_load(void)
{
        print("a constructor");
}

static int init(const struct yardmaster_host *host, const char *config_json, void **ret_state)
{
        print("init");
        return 0;
}

static int execute(void *thread, const struct yardmaster_task *task,
                   struct yardmaster_result *result)
{
        print("execute");
        if (system("echo printed by a child") != 0)
                return -1;
        return task->host->add_int64(result, "printed", 1);
}

static struct yardmaster_handler handler = { .name = "prints", .init = init, .execute = execute };
YARDMASTER_HANDLER(handler)
