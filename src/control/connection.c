/* SPDX-License-Identifier: Apache-2.0 */

#include <poll.h>
#include "base/log.h"
#include "control/connection.h"

static bool connection_is_full(const Connection *connection)
{
        return connection->n_waiting >= CONTROL_CALLS_QUEUED_MAX ||
               connection->waiting_bytes >= CONTROL_CALLS_QUEUED_BYTES_MAX;
}

static void connection_watch_input(Connection *connection)
{
        bool read = !connection->input_ended && !connection_is_full(connection);

        if (connection->reading == read)
                return;
        connection->reading = read;
        stream_pause_reading(connection->stream, !read);
}

static bool connection_is_writable(const Connection *connection)
{
        return stream_queued(connection->stream) <= CONTROL_OUTPUT_MARK;
}

static ControlCall *connection_next_call(Connection *connection)
{
        ControlCall *call;

        if (connection->current || connection->state == CONNECTION_CLOSING ||
            !connection_is_writable(connection))
                return NULL;
        call = LIST_FIRST(&connection->waiting, ControlCall, link);
        if (!call)
                return NULL;
        list_remove(&call->link);
        connection->n_waiting--;
        connection->waiting_bytes -= call->size;
        return call;
}

void connection_advance(Connection *connection)
{
        ControlCall *call;

        while (!connection->broken && (call = connection_next_call(connection))) {
                connection->current = call;
                connection->state = CONNECTION_BUSY;
                call_run(call);
        }
        if (connection->broken) {
                connection_free(connection);
                return;
        }
        if (connection->state != CONNECTION_CLOSING && !connection->current) {
                connection->state = CONNECTION_IDLE;
                if (connection->input_ended && list_is_empty(&connection->waiting)) {
                        connection->state = CONNECTION_CLOSING;
                        stream_close_output(connection->stream);
                }
        }
        connection_watch_input(connection);
}

static int connection_on_advance(sd_event_source *source, void *userdata)
{
        connection_advance(userdata);
        return 0;
}

/* False if memory is too short to answer: then only closing it is left. */
static bool connection_add_call(Connection *connection, ControlCall *call)
{
        if (!call)
                return false;
        if (call->problem)
                connection->input_ended = true;
        list_append(&connection->waiting, &call->link);
        connection->n_waiting++;
        connection->waiting_bytes += call->size;
        connection_advance(connection);
        return true;
}

static void connection_on_frame(Connection *connection, Slice frame)
{
        ControlCall *call = NULL;

        if (connection->input_ended)
                return;
        if (call_new(connection, frame, &call) < 0 || !connection_add_call(connection, call))
                connection_free(connection);
}

static void connection_on_bad_input(Connection *connection, const char *problem)
{
        if (connection->input_ended)
                return;
        if (!connection_add_call(connection, call_new_invalid(connection, problem)))
                connection_free(connection);
}

/* A client may close its sending side and wait for its answers; one that closed all has gone. */
static void connection_on_end(Connection *connection, Slice rest)
{
        struct pollfd pollfd = { .fd = connection->peer_fd };

        if (poll(&pollfd, 1, 0) > 0 && pollfd.revents & (POLLHUP | POLLERR)) {
                connection_free(connection);
                return;
        }
        if (rest.size > 0 && !connection->input_ended) {
                connection_on_bad_input(connection,
                                        "the last message does not end with a NUL byte");
                return;
        }
        connection->input_ended = true;
        connection_advance(connection);
}

static void connection_on_drained(Connection *connection)
{
        ControlCall *call = connection->current;

        if (call && call->blocked) {
                call->blocked = false;
                if (call->kept && call->callbacks.on_writable)
                        call->callbacks.on_writable(call, call->userdata);
        }
        connection_advance(connection);
}

static void connection_on_stream(Stream *stream, StreamEvent event, Slice frame, int error,
                                 void *userdata)
{
        Connection *connection = userdata;

        switch (event) {
        case STREAM_FRAME:
                connection_on_frame(connection, frame);
                break;
        case STREAM_OVERSIZED:
                connection_on_bad_input(connection, "a message has at most 16777216 bytes");
                break;
        case STREAM_DRAINED:
                connection_on_drained(connection);
                break;
        case STREAM_END:
                connection_on_end(connection, frame);
                break;
        case STREAM_WRITE_END:
        case STREAM_WRITTEN:
        case STREAM_ERROR:
                connection_free(connection);
                break;
        }
}

int connection_new(ControlServer *server, int fd, const ControlPeer *peer)
{
        StreamOptions options = {
                .input_fd = fd,
                .output_fd = fd,
                .delimiter = '\0',
                .frame_maximum = WIRE_MESSAGE_MAX,
                .output_maximum = CONTROL_OUTPUT_MAX,
                .output_mark = CONTROL_OUTPUT_MARK,
                .priority = server->priority,
                .callback = connection_on_stream,
                .name = "control connection",
        };
        Connection *connection;
        int r;

        connection = malloc(sizeof(*connection));
        if (!connection)
                return -ENOMEM;
        *connection =
                (Connection){ .server = server, .peer = *peer, .peer_fd = fd, .reading = true };
        list_init(&connection->waiting);
        options.userdata = connection;

        r = sd_event_add_defer(server->event, &connection->advance_source, connection_on_advance,
                               connection);
        if (r >= 0)
                r = sd_event_source_set_priority(connection->advance_source, server->priority);
        if (r >= 0)
                r = sd_event_source_set_enabled(connection->advance_source, SD_EVENT_OFF);
        if (r >= 0)
                r = stream_new(&connection->stream, server->event, &options);
        if (r < 0) {
                (void)sd_event_source_disable_unref(connection->advance_source);
                free(connection);
                return r;
        }
        list_append(&server->connections, &connection->link);
        server->n_connections++;
        return 0;
}

Connection *connection_free(Connection *connection)
{
        ListLink *link;

        if (!connection)
                return NULL;
        list_remove(&connection->link);
        connection->server->n_connections--;
        (void)sd_event_source_disable_unref(connection->advance_source);
        connection->stream = stream_free(connection->stream);
        if (connection->current) {
                ControlCall *call = connection->current;

                if (call->kept)
                        call->callbacks.on_gone(call, call->userdata);
                call_free(call);
        }
        while ((link = list_pop_first(&connection->waiting)))
                call_free(LIST_ENTRY(link, ControlCall, link));
        free(connection);
        return NULL;
}
