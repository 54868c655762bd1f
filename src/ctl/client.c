/* SPDX-License-Identifier: Apache-2.0 */

#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "base/frame.h"
#include "ctl/client.h"
#include "ctl/connect.h"

/* How often a call is sent again that a daemon closed on without having read it: one that ends may
 * have accepted a client that its successor was meant to have. */
#define SEND_AGAIN_MAX 3

struct Client {
        int fd;
        Frame frame;
        Buffer output;
        Patience patience;
        bool answered; /* something came */
        bool untaken;  /* the connection broke with something in it that the daemon has not read */
        unsigned n_sent;
        unsigned n_again;
};

ExitCode client_new(Client **ret, const Ctl *ctl)
{
        Client *client;
        ExitCode code;

        client = malloc(sizeof(*client));
        if (!client)
                return ctl_out_of_memory();
        *client = (Client){
                .fd = -EBADF,
                .output = BUFFER_NULL(WIRE_MESSAGE_MAX + WIRE_ENVELOPE_MAX),
        };
        frame_init(&client->frame, '\0', WIRE_MESSAGE_MAX + WIRE_ENVELOPE_MAX);
        patience_begin(&client->patience, ctl);
        code = connect_to_daemon(&client->patience, &client->fd);
        if (code != EXIT_DONE) {
                client_free(client);
                return code;
        }
        *ret = client;
        return EXIT_DONE;
}

Client *client_free(Client *client)
{
        if (!client)
                return NULL;
        (void)close_fd(client->fd);
        frame_deinit(&client->frame);
        buffer_deinit(&client->output);
        free(client);
        return NULL;
}

static ExitCode write_all(Client *client, Slice message)
{
        ssize_t n;

        while (message.size > 0) {
                n = send(client->fd, message.data, message.size, MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN) {
                        ExitCode code = client->answered ? EXIT_DONE
                                                         : patience_lose_step(&client->patience);

                        if (code != EXIT_DONE)
                                return code;
                        continue;
                }
                /* Why the daemon closed may stand in what it sent last. */
                if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
                        client->untaken = true;
                        return EXIT_DONE;
                }
                if (n < 0)
                        return ctl_fail(EXIT_UNREACHABLE, "cannot write to the daemon: %s",
                                        strerror(errno));
                message.data += n;
                message.size -= (size_t)n;
        }
        return EXIT_DONE;
}

ExitCode client_send_raw(Client *client, Slice message)
{
        client->n_sent++;
        buffer_clear(&client->output);
        return write_all(client, message);
}

ExitCode client_send(Client *client, const char *method, Slice parameters, unsigned flags)
{
        char qualified[WIRE_NAME_MAX + 1];
        int r;

        if (!strchr(method, '.')) {
                (void)snprintf(qualified, sizeof(qualified), WIRE_INTERFACE ".%s", method);
                method = qualified;
        }
        buffer_clear(&client->output);
        r = wire_append_call(&client->output, method, parameters, flags);
        if (r == -ENOBUFS || client->output.size > WIRE_MESSAGE_MAX + 1)
                return ctl_fail(EXIT_REFUSED, "a call has at most %zu bytes", WIRE_MESSAGE_MAX);
        if (r < 0)
                return ctl_out_of_memory();
        client->n_sent++;
        return write_all(client, buffer_slice(&client->output));
}

/* Until something comes, or the daemon has read what it was sent: then it is at work on it, and
 * that may take as long as it takes. */
static ExitCode wait_until_taken(Client *client)
{
        struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
        int step_msec = (int)(client->patience.step_usec / USEC_PER_MSEC), unread, n;
        ExitCode code;

        for (;;) {
                n = poll(&poll_fd, 1, step_msec);
                if (n > 0 || (n < 0 && errno != EINTR))
                        return EXIT_DONE;
                if (ioctl(client->fd, SIOCOUTQ, &unread) < 0 || unread == 0)
                        return EXIT_DONE;
                code = patience_lose_step(&client->patience);
                if (code != EXIT_DONE)
                        return code;
        }
}

static ExitCode client_read(Client *client, bool *ret_ended)
{
        ExitCode code = EXIT_DONE;
        ssize_t n;
        char *to;

        if (frame_reserve(&client->frame, FRAME_RESERVE_MAX, &to) < 0)
                return ctl_out_of_memory();
        if (!client->answered)
                code = wait_until_taken(client);
        if (code != EXIT_DONE)
                return code;
        do
                n = read(client->fd, to, FRAME_RESERVE_MAX);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno != ECONNRESET)
                return ctl_fail(EXIT_UNREACHABLE, "cannot read from the daemon: %s",
                                strerror(errno));
        if (n <= 0) {
                client->untaken |= n < 0;
                *ret_ended = true;
                return EXIT_UNREACHABLE;
        }
        client->answered = true;
        frame_commit(&client->frame, (size_t)n);
        return EXIT_DONE;
}

/* Only one call was sent, and its end was never read: it cannot have been carried out. */
static bool may_send_again(const Client *client)
{
        return client->untaken && !client->answered && client->n_sent == 1 &&
               client->output.size > 0 && client->n_again < SEND_AGAIN_MAX;
}

static ExitCode send_again(Client *client)
{
        ExitCode code;

        client->n_again++;
        client->untaken = false;
        client->fd = close_fd(client->fd);
        code = connect_to_daemon(&client->patience, &client->fd);
        return code == EXIT_DONE ? write_all(client, buffer_slice(&client->output)) : code;
}

ExitCode client_receive(Client *client, WireReply *ret, bool *ret_ended)
{
        _cleanup_free_ char *problem = NULL;
        FrameResult result;
        ExitCode code;
        Slice message;

        *ret_ended = false;
        while ((result = frame_next(&client->frame, &message)) == FRAME_NONE) {
                code = client_read(client, ret_ended);
                if (*ret_ended && may_send_again(client)) {
                        *ret_ended = false;
                        code = send_again(client);
                }
                if (code != EXIT_DONE)
                        return code;
        }
        buffer_clear(&client->output);
        buffer_trim(&client->output, FRAME_RESERVE_MAX);
        if (result == FRAME_OVERSIZED)
                return ctl_fail(EXIT_REFUSED, "the daemon's answer is too long");
        if (wire_parse_reply(message, ret, &problem) < 0)
                return ctl_fail(EXIT_REFUSED, "the daemon's answer cannot be read: %s",
                                problem ?: "out of memory");
        return EXIT_DONE;
}
