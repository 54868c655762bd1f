/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/options.h"

#include <getopt.h>
#include <stdio.h>
#include "base/parse.h"
#include "build-config.h"

enum {
        OPTION_CHECK = 0x100,
        OPTION_CONFIG,
        OPTION_COUNT,
        OPTION_DOMAIN,
        OPTION_EXEC_TIMEOUT,
        OPTION_HELP,
        OPTION_INPUT,
        OPTION_JSON,
        OPTION_MODE,
        OPTION_ONCE,
        OPTION_PASS_CREDENTIALS,
        OPTION_POLL_TIMEOUT,
        OPTION_STATE_DIR,
        OPTION_TASK_TIMEOUT,
        OPTION_UNIT,
        OPTION_URL,
        OPTION_VERSION,
        OPTION_WORKER_ID,
};

void options_print_help(void)
{
        (void)puts(
                "Usage: yardmasterd [--config FILE] [--check [--unit UNIT]]\n"
                "       yardmasterd run TYPE --url URL [OPTION…] -- COMMAND… | FILE.so\n"
                "       yardmasterd run TYPE --once [OPTION…] -- COMMAND… | FILE.so\n"
                "\n"
                "Runs tasks through the handlers that the configuration names.\n"
                "\n"
                "  --config FILE         configuration; default " YARDMASTER_CONFIG_FILE "\n"
                "  --check               only say whether the configuration is valid\n"
                "  --unit UNIT           --check for this systemd unit: what it may not write to\n"
                "  --help                show this\n"
                "  --version             show the version\n"
                "\n"
                "run TYPE: tasks of one type through a handler, without any configuration.\n"
                "\n"
                "  --mode MODE           per-task (default) or persistent, for a COMMAND\n"
                "  --task-timeout TIME, --exec-timeout TIME\n"
                "                        how long a task may take: \"30s\", or seconds; default "
                "1h\n"
                "\n"
                "run TYPE --url: tasks of a Conductor server, until stopped.\n"
                "\n"
                "  --url URL             of its API, as http://host:8080/api;\n"
                "                        default: CONDUCTOR_SERVER_URL\n"
                "  --count N             tasks at a time; default 1\n"
                "  --worker-id ID        name at the server; default: one that is unique\n"
                "  --domain DOMAIN       only tasks of this domain\n"
                "  --poll-timeout TIME   how long a poll waits: \"2s\", or milliseconds; default "
                "2s\n"
                "  --pass-credentials    give the handler the server's key and secret, too\n"
                "  --state-dir DIR       where results wait for the server; default: one for each\n"
                "                        server, type and domain\n"
                "\n"
                "run TYPE --once: one task, without any server.\n"
                "\n"
                "  --input JSON|@FILE|-  the task's inputData, an object; default {}\n"
                "  --json                print the whole outcome, not only the output\n"
                "\n"
                "Exit codes: 0 done; 1 failed; 2 wrong usage; 5 the task of 'run --once' did not\n"
                "complete; 75 state_dir belongs to a running daemon; 78 invalid configuration.");
}

static const struct option long_options[] = {
        { "check", no_argument, NULL, OPTION_CHECK },
        { "config", required_argument, NULL, OPTION_CONFIG },
        { "count", required_argument, NULL, OPTION_COUNT },
        { "domain", required_argument, NULL, OPTION_DOMAIN },
        { "exec-timeout", required_argument, NULL, OPTION_EXEC_TIMEOUT },
        { "help", no_argument, NULL, OPTION_HELP },
        { "input", required_argument, NULL, OPTION_INPUT },
        { "json", no_argument, NULL, OPTION_JSON },
        { "mode", required_argument, NULL, OPTION_MODE },
        { "once", no_argument, NULL, OPTION_ONCE },
        { "pass-credentials", no_argument, NULL, OPTION_PASS_CREDENTIALS },
        { "poll-timeout", required_argument, NULL, OPTION_POLL_TIMEOUT },
        { "state-dir", required_argument, NULL, OPTION_STATE_DIR },
        { "task-timeout", required_argument, NULL, OPTION_TASK_TIMEOUT },
        { "unit", required_argument, NULL, OPTION_UNIT },
        { "url", required_argument, NULL, OPTION_URL },
        { "version", no_argument, NULL, OPTION_VERSION },
        { "worker-id", required_argument, NULL, OPTION_WORKER_ID },
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

static int parse_task_timeout(const char *name, const char *text, usec_t *ret)
{
        usec_t value;

        if (parse_duration(text, &value) < 0 || value == 0 || value == USEC_INFINITY) {
                (void)fprintf(stderr, "yardmasterd: --%s is a time such as 30s: %s (see --help)\n",
                              name, text);
                return -EINVAL;
        }
        *ret = value;
        return 0;
}

/* Where the value of an option that is kept as it was given goes; NULL for others. */
static const char **text_of(DaemonOptions *options, int option)
{
        switch (option) {
        case OPTION_CONFIG:
                return &options->config_path;
        case OPTION_COUNT:
                return &options->count;
        case OPTION_DOMAIN:
                return &options->domain;
        case OPTION_INPUT:
                return &options->input;
        case OPTION_PASS_CREDENTIALS:
                return &options->pass_credentials;
        case OPTION_POLL_TIMEOUT:
                return &options->poll_timeout;
        case OPTION_STATE_DIR:
                return &options->state_dir;
        case OPTION_UNIT:
                return &options->unit;
        case OPTION_URL:
                return &options->url;
        case OPTION_WORKER_ID:
                return &options->worker_id;
        default:
                return NULL;
        }
}

static int parse_option(DaemonOptions *options, int option, bool *once)
{
        const char **text = text_of(options, option);

        if (text) {
                *text = optarg ?: "true";
                return 0;
        }
        switch (option) {
        case OPTION_CHECK:
                options->action = DAEMON_CHECK;
                return 0;
        case OPTION_HELP:
                options->action = DAEMON_HELP;
                return 0;
        case OPTION_JSON:
                options->json = true;
                return 0;
        case OPTION_MODE:
                return parse_mode(optarg, &options->mode);
        case OPTION_ONCE:
                *once = true;
                return 0;
        case OPTION_EXEC_TIMEOUT:
                return parse_task_timeout("exec-timeout", optarg, &options->task_timeout_usec);
        case OPTION_TASK_TIMEOUT:
                return parse_task_timeout("task-timeout", optarg, &options->task_timeout_usec);
        case OPTION_VERSION:
                options->action = DAEMON_VERSION;
                return 0;
        default:
                return -EINVAL;
        }
}

/* What only one of the two kinds of 'run' knows. */
static int check_run(const DaemonOptions *options, bool once)
{
        static const int server_options[] = {
                OPTION_COUNT,     OPTION_DOMAIN, OPTION_PASS_CREDENTIALS, OPTION_POLL_TIMEOUT,
                OPTION_STATE_DIR, OPTION_URL,    OPTION_WORKER_ID
        };

        if (!once && (options->input || options->json))
                return complain("this option belongs to --once",
                                options->input ? "--input" : "--json");
        for (size_t i = 0; once && i < ELEMENTSOF(server_options); i++) {
                DaemonOptions copy = *options;
                const struct option *known = long_options;

                if (!*text_of(&copy, server_options[i]))
                        continue;
                while (known->val != server_options[i])
                        known++;
                (void)fprintf(stderr,
                              "yardmasterd: --once runs a task without any server: leave out --%s "
                              "(see --help)\n",
                              known->name);
                return -EINVAL;
        }
        if (!once && !options->url)
                return complain(
                        "run: which server? --url URL (or CONDUCTOR_SERVER_URL); or --once, "
                        "for one task without any",
                        NULL);
        return 0;
}

/* Words before "--", options between them. */
static int take_words(DaemonOptions *options, int n, char *words[], bool once)
{
        const char *url = getenv("CONDUCTOR_SERVER_URL");

        if (n == 0)
                return once ? complain("--once belongs to 'run TYPE'", NULL) : 0;
        if (!streq(words[0], "run"))
                return complain("there is no such command", words[0]);
        if (n < 2)
                return complain("run: which task TYPE?", NULL);
        if (!once && !options->url && url && url[0])
                options->url = url;
        if (check_run(options, once) < 0)
                return -EINVAL;
        if (n < 3)
                return complain("run: which COMMAND or FILE.so, after --?", NULL);
        options->action = once ? DAEMON_RUN_ONCE : DAEMON_RUN;
        options->task_type = words[1];
        options->command = words + 2;
        return 0;
}

int options_parse(DaemonOptions *ret, int argc, char *argv[])
{
        DaemonOptions options = {
                .config_path = YARDMASTER_CONFIG_FILE,
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
