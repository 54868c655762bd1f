#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A scripted HTTP server on a loopback port, with a thread for each connection: what a request gets
 * is written down as a function per path. It counts, and tests wait for its counters. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include "unit.h"

#define SERVER_CONNECTIONS_MAX 256
#define SERVER_REQUEST_SIZE    65536

typedef struct HttpServer HttpServer;

typedef struct Peer {
        HttpServer *server;
        pthread_t thread;
        int fd;
        void *tls;
        unsigned n_requests; /* of this connection */
        char request[SERVER_REQUEST_SIZE];
        size_t size; /* held of the request and what follows it */
        size_t header_size;
        size_t body_size;
} Peer;

/* Whether the connection goes on. */
typedef bool (*server_script_t)(Peer *peer);

typedef struct ServerPath {
        const char *path; /* what the request begins with: "GET /echo " */
        server_script_t script;
} ServerPath;

typedef struct ServerTransport {
        bool (*open)(Peer *peer);
        ssize_t (*read)(Peer *peer, void *data, size_t size);
        ssize_t (*write)(Peer *peer, const void *data, size_t size);
        void (*close)(Peer *peer);
} ServerTransport;

struct HttpServer {
        int fd;
        unsigned port;
        pthread_t thread;
        const ServerPath *paths;
        ServerTransport transport;
        void *userdata; /* of the scripts */

        pthread_mutex_t mutex;
        pthread_cond_t changed;
        Peer *peers[SERVER_CONNECTIONS_MAX];
        unsigned n_connections;
        unsigned n_closed;
        unsigned n_requests;
        unsigned n_released;
};

static inline void server_count(HttpServer *server, unsigned *counter)
{
        (void)pthread_mutex_lock(&server->mutex);
        (*counter)++;
        (void)pthread_cond_broadcast(&server->changed);
        (void)pthread_mutex_unlock(&server->mutex);
}

/* Until the counter has reached n. */
static inline void server_wait(HttpServer *server, const unsigned *counter, unsigned n)
{
        (void)pthread_mutex_lock(&server->mutex);
        while (*counter < n)
                (void)pthread_cond_wait(&server->changed, &server->mutex);
        (void)pthread_mutex_unlock(&server->mutex);
}

static inline unsigned server_counter(HttpServer *server, const unsigned *counter)
{
        unsigned n;

        (void)pthread_mutex_lock(&server->mutex);
        n = *counter;
        (void)pthread_mutex_unlock(&server->mutex);
        return n;
}

static inline ssize_t plain_read(Peer *peer, void *data, size_t size)
{
        return recv(peer->fd, data, size, 0);
}

static inline ssize_t plain_write(Peer *peer, const void *data, size_t size)
{
        return send(peer->fd, data, size, MSG_NOSIGNAL);
}

static inline bool peer_write(Peer *peer, const void *data, size_t size)
{
        while (size > 0) {
                ssize_t n = peer->server->transport.write(peer, data, size);

                if (n <= 0)
                        return false;
                data = (const char *)data + n;
                size -= (size_t)n;
        }
        return true;
}

static inline bool peer_text(Peer *peer, const char *text)
{
        return peer_write(peer, text, strlen(text));
}

static inline bool peer_answer(Peer *peer, const char *status, const char *more, const void *body,
                               size_t size)
{
        char header[1024];

        (void)snprintf(header, sizeof(header), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n",
                       status, more, size);
        return peer_text(peer, header) && peer_write(peer, body, size);
}

/* The connection is reset, not ended. */
static inline bool peer_reset(Peer *peer)
{
        struct linger none = { .l_onoff = 1 };

        (void)setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
        return false;
}

static inline bool peer_fill(Peer *peer, size_t size)
{
        while (peer->size < size) {
                ssize_t n;

                if (peer->size >= sizeof(peer->request) - 1)
                        return false;
                n = peer->server->transport.read(peer, peer->request + peer->size,
                                                 sizeof(peer->request) - 1 - peer->size);
                if (n <= 0)
                        return false;
                peer->size += (size_t)n;
                peer->request[peer->size] = '\0';
        }
        return true;
}

/* The header of the next request; what it was answered with is the script's. */
static inline bool peer_read_header(Peer *peer)
{
        const char *end, *length;

        while (!(end = strstr(peer->request, "\r\n\r\n")))
                if (!peer_fill(peer, peer->size + 1))
                        return false;
        peer->header_size = (size_t)(end - peer->request) + 4;
        length = strstr(peer->request, "Content-Length: ");
        peer->body_size =
                length && length < end ? strtoul(length + strlen("Content-Length: "), NULL, 10) : 0;
        return true;
}

/* Most scripts begin with it. */
static inline bool peer_read_body(Peer *peer)
{
        return peer_fill(peer, peer->header_size + peer->body_size);
}

static inline void peer_forget_request(Peer *peer)
{
        size_t size = MIN(peer->size, peer->header_size + peer->body_size);

        peer->size -= size;
        memmove(peer->request, peer->request + size, peer->size + 1);
}

static inline server_script_t peer_script(Peer *peer)
{
        for (const ServerPath *i = peer->server->paths; i->path; i++)
                if (strncmp(peer->request, i->path, strlen(i->path)) == 0)
                        return i->script;
        return NULL;
}

static inline void *peer_run(void *userdata)
{
        Peer *peer = userdata;
        HttpServer *server = peer->server;
        bool goes_on = !server->transport.open || server->transport.open(peer);

        while (goes_on && peer_read_header(peer)) {
                server_script_t script = peer_script(peer);

                peer->n_requests++;
                server_count(server, &server->n_requests);
                goes_on = script && script(peer);
                peer_forget_request(peer);
        }
        if (server->transport.close)
                server->transport.close(peer);
        /* Not closed before the server ends: nobody else gets the number. */
        (void)shutdown(peer->fd, SHUT_RDWR);
        (void)pthread_mutex_lock(&server->mutex);
        peer->fd = close_fd(peer->fd);
        (void)pthread_mutex_unlock(&server->mutex);
        server_count(server, &server->n_closed);
        return NULL;
}

static inline void *server_run(void *userdata)
{
        HttpServer *server = userdata;
        int fd;

        while ((fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
                Peer *peer = calloc(1, sizeof(*peer));
                int one = 1;

                peer->server = server;
                peer->fd = fd;
                (void)pthread_mutex_lock(&server->mutex);
                server->peers[server->n_connections] = peer;
                (void)pthread_mutex_unlock(&server->mutex);
                server_count(server, &server->n_connections);
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                (void)pthread_create(&peer->thread, NULL, peer_run, peer);
        }
        return NULL;
}

static inline void server_start(HttpServer *server, const ServerPath *paths,
                                const ServerTransport *transport, void *userdata)
{
        struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        socklen_t size = sizeof(address);

        *server = (HttpServer){ .paths = paths, .userdata = userdata };
        server->transport = transport
                                    ? *transport
                                    : (ServerTransport){ .read = plain_read, .write = plain_write };
        (void)pthread_mutex_init(&server->mutex, NULL);
        (void)pthread_cond_init(&server->changed, NULL);
        server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(server->fd, 0);
        ck_assert_int_eq(bind(server->fd, (struct sockaddr *)&address, size), 0);
        ck_assert_int_eq(getsockname(server->fd, (struct sockaddr *)&address, &size), 0);
        ck_assert_int_eq(listen(server->fd, SERVER_CONNECTIONS_MAX), 0);
        server->port = ntohs(address.sin_port);
        ck_assert_int_eq(pthread_create(&server->thread, NULL, server_run, server), 0);
}

static inline void server_stop(HttpServer *server)
{
        (void)shutdown(server->fd, SHUT_RDWR);
        (void)pthread_join(server->thread, NULL);
        for (unsigned i = 0; i < server->n_connections; i++) {
                (void)pthread_mutex_lock(&server->mutex);
                if (server->peers[i]->fd >= 0)
                        (void)shutdown(server->peers[i]->fd, SHUT_RDWR);
                (void)pthread_mutex_unlock(&server->mutex);
                (void)pthread_join(server->peers[i]->thread, NULL);
                free(server->peers[i]);
        }
        (void)close_fd(server->fd);
}
