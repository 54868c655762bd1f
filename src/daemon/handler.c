/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/handler.h"

#include "base/strv.h"
#include "config/resolve.h"

static bool is_library(const char *path)
{
        size_t length = strlen(path);

        return length > 3 && streq(path + length - 3, ".so");
}

int handler_from_options(ConfigPool *config, const DaemonOptions *options, char **ret_message)
{
        const char *name = options->command[0];
        char *path = NULL;
        int r;

        if (is_library(name) && !options->command[1]) {
                config->handler.mode = HANDLER_LIBRARY;
                r = resolve_library("./run", name, &path, ret_message);
                if (r != 0)
                        return r;
                free(config->handler.library);
                config->handler.library = path;
                return 0;
        }
        config->handler.mode = options->mode;
        r = resolve_program("./run", name, &path, ret_message);
        if (r != 0)
                return r;
        strv_free(config->handler.command);
        r = strv_copy(&config->handler.command, options->command);
        if (r < 0) {
                free(path);
                return r;
        }
        free(config->handler.command[0]);
        config->handler.command[0] = path;
        return 0;
}
