/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/serve.h"

#include "base/log-ids.h"
#include "base/log.h"
#include "build-config.h"
#include "control/inherited.h"
#include "control/listen.h"
#include "control/methods.h"
#include "daemon/exit.h"
#include "manager/manager.h"

typedef struct Daemon {
        Inherited inherited;
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
        inherited_close(&daemon->inherited);
}

static void on_reloaded(EventListener *listener, const Event *event)
{
        Daemon *daemon = container_of(listener, Daemon, on_reload);

        control_server_set_admin_group(daemon->server,
                                       manager_config(daemon->manager)->admin_group);
}

/* The socket at the configured path: the one that was kept for us, else a new one. Either is stored
 * for the next start, and then its path outlives us. */
static int listen_at_path(Daemon *daemon, const char *path)
{
        _cleanup_free_ char *why = NULL, *problem = NULL;
        int fd = daemon->inherited.stored, r;
        bool abandoned = false;

        if (fd >= 0 && inherited_adopt(fd, path, &why) < 0) {
                log_notice("the control socket that was kept over the restart is of no use: %s",
                           why ?: "out of memory");
                inherited_abandon(fd);
                fd = close_fd(fd);
                abandoned = true;
        }
        daemon->inherited.stored = -EBADF;
        if (fd < 0) {
                r = control_listen(path, &fd, &problem);
                if (r < 0)
                        return log_error_errno(r, "cannot listen: %s", problem ?: strerror(-r));
        }
        if (manager_store_fd(daemon->manager, INHERITED_STORED_NAME, fd, abandoned))
                path = NULL;
        return control_server_add_listener(daemon->server, fd, path);
}

static int listen_for_clients(Daemon *daemon, const Config *config)
{
        if (daemon->inherited.activated < 0)
                return listen_at_path(daemon, config->socket);
        return control_server_add_listener(daemon->server, TAKE_FD(daemon->inherited.activated),
                                           NULL);
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

int serve(Config *config)
{
        _cleanup_(daemon_deinit) Daemon daemon = { .inherited = INHERITED_NULL };
        _cleanup_free_ char *problem = NULL;
        int r;

        log_set_level(config->log_level);
        inherited_take(&daemon.inherited);
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
