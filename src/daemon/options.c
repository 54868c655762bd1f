/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/options.h"

#include <getopt.h>
#include <stdio.h>
#include "base/parse.h"
#include "build-config.h"

enum {
        OPTION_CHECK = 0x100,
        OPTION_CONFIG,
        OPTION_HELP,
        OPTION_INPUT,
        OPTION_JSON,
        OPTION_MODE,
        OPTION_ONCE,
        OPTION_TASK_TIMEOUT,
        OPTION_VERSION,
};

void options_print_help(void)
{
        (void)puts("Usage: yardmasterd [--config FILE] [--check]\n"
                   "       yardmasterd run TYPE --once [OPTION…] -- COMMAND… | FILE.so\n"
                   "\n"
                   "Runs tasks through the handlers that the configuration names.\n"
                   "\n"
                   "  --config FILE         configuration; default " YARDMASTER_CONFIG_FILE "\n"
                   "  --check               only say whether the configuration is valid\n"
                   "  --help                show this\n"
                   "  --version             show the version\n"
                   "\n"
                   "run TYPE --once: one task through a handler, without any source.\n"
                   "\n"
                   "  --input JSON|@FILE|-  the task's inputData, an object; default {}\n"
                   "  --mode MODE           per-task (default) or persistent, for a COMMAND\n"
                   "  --task-timeout TIME   \"30s\"; default 1h\n"
                   "  --json                print the whole outcome, not only the output\n"
                   "\n"
                   "Exit codes: 0 done; 1 failed; 2 wrong usage; 5 the task of 'run' did not\n"
                   "complete; 75 state_dir belongs to a running daemon; 78 invalid configuration.");
}

static const struct option long_options[] = {
        { "check", no_argument, NULL, OPTION_CHECK },
        { "config", required_argument, NULL, OPTION_CONFIG },
        { "help", no_argument, NULL, OPTION_HELP },
        { "input", required_argument, NULL, OPTION_INPUT },
        { "json", no_argument, NULL, OPTION_JSON },
        { "mode", required_argument, NULL, OPTION_MODE },
        { "once", no_argument, NULL, OPTION_ONCE },
        { "task-timeout", required_argument, NULL, OPTION_TASK_TIMEOUT },
        { "version", no_argument, NULL, OPTION_VERSION },
        { NULL, 0, NULL, 0 },
};

static int complain(const char *message, const char *what)
{
        (void)fprintf(stderr, "yardmasterd: %s%s%s (see --help)\n", message, what ? ": " : "",
                      what ? what : "");
        return -EINVAL;
}

static int parse_mode(const char *text, HandlerMode *ret)
{
        HandlerMode mode = handler_mode_from_string(text);

        if (mode != HANDLER_PER_TASK && mode != HANDLER_PERSISTENT)
                return complain("--mode is per-task or persistent", text);
        *ret = mode;
        return 0;
}

static int parse_option(DaemonOptions *options, int option, bool *once)
{
        switch (option) {
        case OPTION_CHECK:
                options->action = DAEMON_CHECK;
                return 0;
        case OPTION_CONFIG:
                options->config_path = optarg;
                return 0;
        case OPTION_HELP:
                options->action = DAEMON_HELP;
                return 0;
        case OPTION_INPUT:
                options->input = optarg;
                return 0;
        case OPTION_JSON:
                options->json = true;
                return 0;
        case OPTION_MODE:
                return parse_mode(optarg, &options->mode);
        case OPTION_ONCE:
                *once = true;
                return 0;
        case OPTION_TASK_TIMEOUT:
                if (parse_duration(optarg, &options->task_timeout_usec) < 0 ||
                    options->task_timeout_usec == 0)
                        return complain("--task-timeout is a time such as 30s", optarg);
                return 0;
        case OPTION_VERSION:
                options->action = DAEMON_VERSION;
                return 0;
        default:
                return -EINVAL;
        }
}

/* Words before "--", options between them. */
static int take_words(DaemonOptions *options, int n, char *words[], bool once)
{
        if (n == 0)
                return once ? complain("--once belongs to 'run TYPE'", NULL) : 0;
        if (!streq(words[0], "run"))
                return complain("there is no such command", words[0]);
        if (n < 2)
                return complain("run: which task TYPE?", NULL);
        if (!once)
                return complain("run: --once is missing, tasks of a source are run by the daemon",
                                NULL);
        if (n < 3)
                return complain("run: which COMMAND or FILE.so, after --?", NULL);
        options->action = DAEMON_RUN_ONCE;
        options->task_type = words[1];
        options->command = words + 2;
        return 0;
}

int options_parse(DaemonOptions *ret, int argc, char *argv[])
{
        DaemonOptions options = {
                .config_path = YARDMASTER_CONFIG_FILE,
                .input = "{}",
                .mode = HANDLER_PER_TASK,
        };
        bool once = false;
        int option, r;

        /* ":": a missing value is told from an unknown option, and getopt prints nothing */
        while ((option = getopt_long(argc, argv, ":", long_options, NULL)) >= 0) {
                if (option == ':')
                        return complain("this option needs a value", argv[optind - 1]);
                if (option == '?')
                        return complain("there is no such option", argv[optind - 1]);
                r = parse_option(&options, option, &once);
                if (r < 0)
                        return r;
        }
        if (options.action == DAEMON_SERVE || options.action == DAEMON_CHECK) {
                r = take_words(&options, argc - optind, argv + optind, once);
                if (r < 0)
                        return r;
        }
        *ret = options;
        return 0;
}
