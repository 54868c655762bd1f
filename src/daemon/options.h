#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The command line of yardmasterd. */

#include <stdbool.h>
#include "base/clock.h"
#include "base/macro.h"
#include "config/config.h"

typedef enum DaemonAction {
        DAEMON_SERVE,
        DAEMON_CHECK,
        DAEMON_RUN_ONCE,
        DAEMON_HELP,
        DAEMON_VERSION,
} DaemonAction;

typedef struct DaemonOptions {
        DaemonAction action;
        const char *config_path;

        /* run TYPE --once */
        const char *task_type;
        const char *input; /* JSON, @FILE or - */
        HandlerMode mode;
        usec_t task_timeout_usec; /* 0: the default */
        bool json;                /* print the whole outcome */
        char *const *command;     /* COMMAND… or FILE.so, NULL-terminated */
} DaemonOptions;

/* 0, or -EINVAL after saying on stderr what is wrong. */
int options_parse(DaemonOptions *ret, int argc, char *argv[]);
void options_print_help(void);
