/* SPDX-License-Identifier: Apache-2.0 */

/* yardmasterd: what the process needs before anything else, then what the command line asks for. */

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"
#include "base/strv.h"
#include "build-config.h"
#include "daemon/confinement.h"
#include "daemon/exit.h"
#include "daemon/run-once.h"
#include "daemon/run.h"
#include "daemon/serve.h"

/* Before the first thread: signals are read from the loop, and every thread inherits the mask. */
static int prepare_process(void)
{
        sigset_t set;

        /* one arena: the storage and spawner threads allocate little, an arena each costs RSS */
        (void)mallopt(M_ARENA_MAX, 1);
        if (sigemptyset(&set) < 0 || sigaddset(&set, SIGTERM) < 0 || sigaddset(&set, SIGINT) < 0 ||
            sigaddset(&set, SIGHUP) < 0 || sigaddset(&set, SIGCHLD) < 0)
                return -errno;
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        return 0;
}

/* A line for people, who find it in the journal by its level too. */
static void print_finding(int level, const char *line)
{
        if (log_to_journal())
                log_event(level, NULL, "%s", line);
        else
                (void)fprintf(stderr, "%s\n", line);
}

/* 0, or the exit code after every error was printed. */
static int load_config(const char *path, int (*load)(const char *, Config **, ConfigDiagnostics **),
                       Config **ret)
{
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;
        int r;

        r = load(path, ret, &diagnostics);
        if (diagnostics)
                STRV_FOREACH (line, diagnostics->lines)
                        print_finding(r == 0 ? LOG_WARNING : LOG_ERR, *line);
        if (r == 0)
                return 0;
        if (r < 0)
                (void)fprintf(stderr, "yardmasterd: cannot load %s: %s\n", path, strerror(-r));
        return EXIT_CONFIG;
}

static int check(const char *path, const char *unit)
{
        _cleanup_(confinement_freep) Confinement *confinement = NULL;
        _cleanup_(config_unrefp) Config *config = NULL;
        int r;

        if (confinement_new(&confinement, path, unit) >= 0) {
                r = confinement_enter(confinement);
                if (r < 0)
                        (void)fprintf(stderr,
                                      "yardmasterd: cannot check as the user of the service: %s\n",
                                      strerror(-r));
        }
        r = load_config(path, config_load_elsewhere, &config);
        if (r != 0)
                return r;
        if (confinement)
                confinement_check(confinement, config);
        (void)printf("%s: valid, %zu pool%s, %zu source%s\n", path, config->n_pools,
                     PLURAL(config->n_pools), config->n_sources, PLURAL(config->n_sources));
        return EXIT_SUCCESS;
}

static int serve_files(const char *path)
{
        _cleanup_(config_unrefp) Config *config = NULL;
        int r;

        r = load_config(path, config_load, &config);
        if (r == 0)
                return serve(config);
        if (log_to_journal())
                log_event(LOG_ERR, (&(LogFields){ .message_id = LOG_ID_CONFIG_INVALID }),
                          "not started: the configuration is invalid");
        return r;
}

int main(int argc, char *argv[])
{
        DaemonOptions options;
        int r;

        log_open("yardmasterd");
        if (options_parse(&options, argc, argv) < 0)
                return EXIT_USAGE;
        r = prepare_process();
        if (r < 0) {
                log_error_errno(r, "cannot set up signals: %m");
                return EXIT_FAILURE;
        }
        switch (options.action) {
        case DAEMON_HELP:
                options_print_help();
                return EXIT_SUCCESS;
        case DAEMON_VERSION:
                (void)puts("yardmasterd " YARDMASTER_VERSION);
                return EXIT_SUCCESS;
        case DAEMON_CHECK:
                return check(options.config_path, options.unit);
        case DAEMON_RUN_ONCE:
                return run_once(&options);
        case DAEMON_RUN:
                return run(&options);
        case DAEMON_SERVE:
                break;
        }
        return serve_files(options.config_path);
}
