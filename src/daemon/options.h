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
        DAEMON_RUN,
        DAEMON_RUN_ONCE,
        DAEMON_HELP,
        DAEMON_VERSION,
} DaemonAction;

typedef struct DaemonOptions {
        DaemonAction action;
        const char *config_path;
        const char *unit; /* --check for it; NULL: the installed one of this configuration */

        /* run TYPE */
        const char *task_type;
        HandlerMode mode;
        usec_t task_timeout_usec; /* 0: the default */
        char *const *command;     /* COMMAND… or FILE.so, NULL-terminated */

        /* --once */
        const char *input; /* JSON, @FILE or - */
        bool json;         /* print the whole outcome */

        /* --url: as they were given, NULL where they were not */
        const char *url;
        const char *worker_id;
        const char *domain;
        const char *pass_credentials; /* "true" */
        const char *poll_timeout;
        const char *count;
        const char *state_dir;
} DaemonOptions;

/* 0, or -EINVAL after saying on stderr what is wrong. */
int options_parse(DaemonOptions *ret, int argc, char *argv[]);
void options_print_help(void);
