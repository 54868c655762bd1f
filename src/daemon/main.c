/* SPDX-License-Identifier: Apache-2.0 */

/* yardmasterd: what the process needs before anything else, then manager and control socket. */

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"
#include "base/strv.h"
#include "build-config.h"
#include "control/listen.h"
#include "control/methods.h"
#include "daemon/run-once.h"
#include "manager/manager.h"

#define EXIT_USAGE  2
#define EXIT_LOCKED 75 /* EX_TEMPFAIL */
#define EXIT_CONFIG 78 /* EX_CONFIG */

typedef struct Daemon {
        Manager *manager;
        ControlInterface interface;
        ControlServer *server;
        EventListener on_reload;
} Daemon;

static void daemon_deinit(Daemon *daemon)
{
        if (daemon->server)
                control_server_flush(daemon->server);
        control_server_free(daemon->server);
        manager_free(daemon->manager);
}

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

/* 0, or the exit code after every error was printed. */
static int load_config(const char *path, int (*load)(const char *, Config **, ConfigDiagnostics **),
                       Config **ret)
{
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;
        int r;

        r = load(path, ret, &diagnostics);
        if (diagnostics)
                STRV_FOREACH (line, diagnostics->lines)
                        (void)fprintf(stderr, "%s\n", *line);
        if (r == 0)
                return 0;
        if (r < 0)
                (void)fprintf(stderr, "yardmasterd: cannot load %s: %s\n", path, strerror(-r));
        return EXIT_CONFIG;
}

static int check(const char *path)
{
        _cleanup_(config_unrefp) Config *config = NULL;
        int r;

        r = load_config(path, config_load_elsewhere, &config);
        if (r != 0)
                return r;
        (void)printf("%s: valid, %zu pools, %zu sources\n", path, config->n_pools,
                     config->n_sources);
        return EXIT_SUCCESS;
}

static void on_reloaded(EventListener *listener, const Event *event)
{
        Daemon *daemon = container_of(listener, Daemon, on_reload);

        control_server_set_admin_group(daemon->server,
                                       manager_config(daemon->manager)->admin_group);
}

static int listen_for_clients(Daemon *daemon, const Config *config)
{
        _cleanup_free_ char *problem = NULL;
        bool inherited;
        int fd, r;

        r = control_listen_inherited(&fd, &problem);
        inherited = r >= 0 && fd >= 0;
        if (r >= 0 && fd < 0)
                r = control_listen(config->socket, &fd, &problem);
        if (r < 0)
                return log_error_errno(r, "cannot listen: %s", problem ? problem : strerror(-r));
        return control_server_add_listener(daemon->server, fd, inherited ? NULL : config->socket);
}

static int start_control(Daemon *daemon, const Config *config)
{
        int r;

        daemon->interface = (ControlInterface){
                .name = WIRE_INTERFACE,
                .description = manager_interface,
                .methods = manager_methods,
                .n_methods = n_manager_methods,
                .userdata = daemon->manager,
        };
        r = control_server_new(&daemon->server, manager_event(daemon->manager),
                               &(ControlOptions){
                                       .interfaces = &daemon->interface,
                                       .n_interfaces = 1,
                                       .version = YARDMASTER_VERSION,
                                       .admin_group = config->admin_group,
                               });
        if (r < 0)
                return log_error_errno(r, "cannot make the control server: %m");
        daemon->on_reload.types = 1u << EVENT_CONFIG_RELOADED;
        daemon->on_reload.callback = on_reloaded;
        event_hub_add(manager_event_hub(daemon->manager), &daemon->on_reload);
        return listen_for_clients(daemon, config);
}

static int serve(const char *path)
{
        _cleanup_(daemon_deinit) Daemon daemon = { 0 };
        _cleanup_(config_unrefp) Config *config = NULL;
        _cleanup_free_ char *problem = NULL;
        int r;

        r = load_config(path, config_load, &config);
        if (r != 0)
                return r;
        log_set_level(config->log_level);
        r = manager_new(&daemon.manager, config, &problem);
        if (r != 0) {
                log_event(LOG_ERR, (&(LogFields){ .message_id = LOG_ID_CANNOT_START }),
                          "cannot start: %s", problem ? problem : strerror(r < 0 ? -r : EIO));
                return r == MANAGER_E_LOCKED ? EXIT_LOCKED : EXIT_FAILURE;
        }
        r = start_control(&daemon, config);
        if (r < 0)
                return EXIT_FAILURE;
        r = manager_run(daemon.manager);
        if (r < 0) {
                log_error_errno(r, "the event loop failed: %m");
                return EXIT_FAILURE;
        }
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
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
                return check(options.config_path);
        case DAEMON_RUN_ONCE:
                return run_once(&options);
        case DAEMON_SERVE:
                break;
        }
        return serve(options.config_path);
}
