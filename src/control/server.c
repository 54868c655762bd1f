/* SPDX-License-Identifier: Apache-2.0 */

#include <grp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/connection.h"

/* Clients taken in one turn of the loop; the others wait for the next. */
#define ACCEPTS_PER_TURN 16
/* How long accepting pauses when the fds have run out: long enough not to spin. */
#define ACCEPT_RETRY_USEC (1 * USEC_PER_SEC)
/* Groups of a peer that are looked at; the kernel allows more, nobody has them. */
#define PEER_GROUPS_MAX 1024
#define NO_GROUP        ((gid_t)-1)

typedef struct Listener {
        ControlServer *server;
        ListLink link;
        sd_event_source *source;
        int fd;
        char *path; /* to be removed at the end; NULL: not ours */
} Listener;

static bool is_admin(const ControlServer *server, int fd, const struct ucred *peer)
{
        gid_t groups[PEER_GROUPS_MAX];
        socklen_t size = sizeof(groups);

        if (peer->uid == 0 || peer->uid == geteuid())
                return true;
        if (server->admin_gid == NO_GROUP)
                return false;
        if (peer->gid == server->admin_gid)
                return true;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return false;
        for (size_t i = 0; i < size / sizeof(*groups); i++) {
                if (groups[i] == server->admin_gid)
                        return true;
        }
        return false;
}

static size_t count_connections_of(const ControlServer *server, uid_t uid)
{
        size_t n = 0;

        LIST_FOREACH (link, &server->connections)
                n += LIST_ENTRY(link, Connection, link)->peer.uid == uid;
        return n;
}

/* Tells a client that there is no room; whoever does not take it at once misses the reason only. */
static void turn_away(ControlServer *server, int fd, const char *reason)
{
        Buffer *scratch = &server->scratch;
        char parameters[200];
        Slice text;

        (void)snprintf(parameters, sizeof(parameters), "{\"message\":\"%s\"}", reason);
        if (wire_append_error(scratch, WIRE_INTERFACE ".Refused", slice_from_string(parameters)) ==
            0) {
                text = buffer_slice(scratch);
                (void)send(fd, text.data, text.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        buffer_clear(scratch);
}

int control_server_add_connection(ControlServer *server, int fd)
{
        struct ucred ucred;
        socklen_t size = sizeof(ucred);
        ControlPeer peer;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &size) < 0)
                return -errno;
        peer = (ControlPeer){
                .pid = ucred.pid,
                .uid = ucred.uid,
                .gid = ucred.gid,
                .admin = is_admin(server, fd, &ucred),
        };
        if (server->n_connections >= CONTROL_CONNECTIONS_MAX) {
                turn_away(server, fd, "the control socket has 256 connections, its most");
                return -EUSERS;
        }
        if (peer.uid != 0 &&
            count_connections_of(server, peer.uid) >= CONTROL_CONNECTIONS_PER_UID_MAX) {
                turn_away(server, fd,
                          "this user has 64 connections to the control socket, its most");
                return -EUSERS;
        }
        return connection_new(server, fd, &peer);
}

static void set_accepting(ControlServer *server, bool accept)
{
        LIST_FOREACH (link, &server->listeners)
                (void)sd_event_source_set_enabled(LIST_ENTRY(link, Listener, link)->source,
                                                  accept ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int server_on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
        set_accepting(userdata, true);
        return 0;
}

/* The waiting client keeps the listener readable, so it is not watched for a moment. */
static void pause_accepting(ControlServer *server, int error)
{
        log_warning_errno(error, "the control socket takes no connection for a second: %m");
        set_accepting(server, false);
        if (sd_event_source_set_time_relative(server->retry_source, ACCEPT_RETRY_USEC) < 0 ||
            sd_event_source_set_enabled(server->retry_source, SD_EVENT_ONESHOT) < 0)
                set_accepting(server, true);
}

static int listener_on_event(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Listener *listener = userdata;
        int client, r;

        for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
                client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (client < 0 && (errno == EINTR || errno == ECONNABORTED))
                        continue;
                if (client < 0) {
                        if (errno != EAGAIN)
                                pause_accepting(listener->server, -errno);
                        return 0;
                }
                r = control_server_add_connection(listener->server, client);
                if (r < 0) {
                        (void)close_fd(client);
                        if (r != -EUSERS)
                                log_warning_errno(r, "a control connection was dropped: %m");
                }
        }
        return 0;
}

static void listener_free(Listener *listener)
{
        list_remove(&listener->link);
        (void)sd_event_source_disable_unref(listener->source);
        (void)close_fd(listener->fd);
        if (listener->path)
                (void)unlink(listener->path);
        free(listener->path);
        free(listener);
}

int control_server_add_listener(ControlServer *server, int fd, const char *path)
{
        Listener *listener;
        int r = 0;

        listener = malloc(sizeof(*listener));
        if (!listener) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        *listener = (Listener){ .server = server, .fd = fd };
        list_append(&server->listeners, &listener->link);
        if (path) {
                listener->path = strdup(path);
                r = listener->path ? 0 : -ENOMEM;
        }
        if (r >= 0)
                r = sd_event_add_io(server->event, &listener->source, fd, EPOLLIN,
                                    listener_on_event, listener);
        if (r >= 0)
                r = sd_event_source_set_priority(listener->source, server->priority);
        if (r < 0)
                listener_free(listener);
        return r < 0 ? r : 0;
}

void control_server_set_admin_group(ControlServer *server, const char *admin_group)
{
        struct group *group;

        server->admin_gid = NO_GROUP;
        if (!admin_group)
                return;
        errno = 0;
        group = getgrnam(admin_group);
        if (group)
                server->admin_gid = group->gr_gid;
        else
                log_warning("admin_group %s does not exist: only root and this daemon's user may "
                            "change things",
                            admin_group);
}

static bool is_sorted(const ControlMethod *methods, size_t n)
{
        for (size_t i = 1; i < n; i++) {
                if (strcmp(methods[i - 1].name, methods[i].name) >= 0)
                        return false;
        }
        return true;
}

int control_server_new(ControlServer **ret, sd_event *event, const ControlOptions *options)
{
        _cleanup_(control_server_freep) ControlServer *server = NULL;
        int r;

        for (size_t i = 0; i < options->n_interfaces; i++) {
                if (!is_sorted(options->interfaces[i].methods, options->interfaces[i].n_methods))
                        return -EINVAL;
        }
        server = malloc(sizeof(*server));
        if (!server)
                return -ENOMEM;
        *server = (ControlServer){
                .event = sd_event_ref(event),
                .interfaces = options->interfaces,
                .n_interfaces = options->n_interfaces,
                .service = { WIRE_SERVICE, service_interface, service_methods, n_service_methods,
                             server },
                .priority = options->priority,
                .scratch = BUFFER_NULL(WIRE_MESSAGE_MAX + WIRE_ENVELOPE_MAX),
        };
        list_init(&server->listeners);
        list_init(&server->connections);
        server->version = strdup(options->version);
        if (!server->version)
                return -ENOMEM;
        r = sd_event_add_time(event, &server->retry_source, CLOCK_MONOTONIC, 0, 0, server_on_retry,
                              server);
        if (r >= 0)
                r = sd_event_source_set_enabled(server->retry_source, SD_EVENT_OFF);
        if (r < 0)
                return r;
        control_server_set_admin_group(server, options->admin_group);
        *ret = TAKE_PTR(server);
        return 0;
}

ControlServer *control_server_free(ControlServer *server)
{
        if (!server)
                return NULL;
        while (!list_is_empty(&server->listeners))
                listener_free(LIST_FIRST(&server->listeners, Listener, link));
        while (!list_is_empty(&server->connections))
                connection_free(LIST_FIRST(&server->connections, Connection, link));
        (void)sd_event_source_disable_unref(server->retry_source);
        (void)sd_event_unref(server->event);
        buffer_deinit(&server->scratch);
        free(server->version);
        free(server);
        return NULL;
}

void control_server_flush(ControlServer *server)
{
        LIST_FOREACH (link, &server->connections)
                (void)stream_flush(LIST_ENTRY(link, Connection, link)->stream);
}

size_t control_server_n_connections(const ControlServer *server)
{
        return server->n_connections;
}
