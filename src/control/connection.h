#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One client of the control socket, and its calls; private to the server.
 *
 *             call arrives              answered, none waits
 *     IDLE ───────────────▶ BUSY ───────────────────────────▶ IDLE
 *       │                     │ answered, none waits
 *       └── input ended ──────┴── and input ended ──▶ CLOSING ──▶ freed when all is written
 *
 * Input has ended when the client closed its side, or when it sent something that is no call: that
 * is answered in its turn, and nothing behind it is read. A client that hangs up, or no longer
 * reads, is freed in any state; a kept call is told by on_gone. */

#include "base/list.h"
#include "base/stream.h"
#include "control/server.h"

typedef struct Connection Connection;

typedef enum ConnectionState {
        CONNECTION_IDLE,
        CONNECTION_BUSY,
        CONNECTION_CLOSING,
        _CONNECTION_STATE_MAX,
} ConnectionState;

struct ControlServer {
        sd_event *event;
        const ControlInterface *interfaces;
        size_t n_interfaces;
        ControlInterface service; /* org.varlink.service */
        char *version;
        gid_t admin_gid; /* (gid_t)-1: none */
        int64_t priority;

        ListLink listeners;
        ListLink connections;
        size_t n_connections;
        sd_event_source *retry_source; /* accepts again after the fds had run out */
        Buffer scratch;                /* one outgoing message */
};

struct Connection {
        ControlServer *server;
        ListLink link; /* server->connections */
        Stream *stream;
        ControlPeer peer;
        ConnectionState state;

        ControlCall *current; /* in hand; BUSY */
        ListLink waiting;     /* calls behind it, oldest first */
        size_t n_waiting;
        size_t waiting_bytes;
        sd_event_source *advance_source; /* one shot: start the next call from the loop */
        int peer_fd;                     /* of the stream, for a look at who hung up */
        bool input_ended;
        bool reading; /* the stream is not paused */
        bool broken;  /* an answer could not be queued: only closing it is left */
        bool denial_logged;
};

struct ControlCall {
        Connection *connection;
        ListLink link; /* connection->waiting */
        WireCall wire; /* points into message */
        char *problem; /* what came was no call: why */
        char *name;    /* of the method, without the interface */

        ControlCallbacks callbacks;
        void *userdata;
        ParamArena arena;
        bool running;  /* its handler is on the stack */
        bool answered; /* the last answer is out */
        bool kept;
        bool blocked; /* was told that the client is slow */

        size_t size;
        char message[];
};

/* fd is owned on success. */
int connection_new(ControlServer *server, int fd, const ControlPeer *peer);
Connection *connection_free(Connection *connection);
/* Starts what can be started now. May free the connection. */
void connection_advance(Connection *connection);

/* message is copied; never fails but for memory: what is wrong with it is answered later. */
int call_new(Connection *connection, Slice message, ControlCall **ret);
ControlCall *call_new_invalid(Connection *connection, const char *problem);
ControlCall *call_free(ControlCall *call);
/* Finds the handler, checks, calls it. */
void call_run(ControlCall *call);

/* The built-in interface; its userdata is the server. */
extern const char service_interface[];
extern const ControlMethod service_methods[];
extern const size_t n_service_methods;
