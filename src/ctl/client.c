/* SPDX-License-Identifier: Apache-2.0 */

#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "base/frame.h"
#include "base/strv.h"
#include "build-config.h"
#include "ctl/client.h"

struct Client {
        int fd;
        Frame frame;
        Buffer output;
};

/* Where the daemon may be, in the order of looking. An explicit place is the only one. */
static int find_sockets(const Ctl *ctl, char ***ret)
{
        _cleanup_(strv_freep) char **paths = NULL;
        _cleanup_free_ char *path = NULL;
        const char *runtime = getenv("XDG_RUNTIME_DIR"), *given = getenv("YARDMASTER_SOCKET");
        const char *dash = ctl->instance ? "-" : "", *instance = ctl->instance ?: "";
        int r;

        if (ctl->socket || (given && given[0] && !ctl->instance)) {
                r = strv_append(&paths, ctl->socket ?: given);
                if (r >= 0)
                        *ret = TAKE_PTR(paths);
                return r;
        }
        if (runtime && runtime[0] == '/') {
                if (asprintf(&path, "%s/yardmaster%s%s/control", runtime, dash, instance) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                r = strv_append(&paths, path);
                if (r < 0)
                        return r;
                free(TAKE_PTR(path));
        }
        if (asprintf(&path, "/run/yardmaster%s%s/control", dash, instance) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = strv_append(&paths, ctl->instance ? path : YARDMASTER_SOCKET);
        if (r >= 0)
                *ret = TAKE_PTR(paths);
        return r;
}

static int connect_to(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static ExitCode report_permission(const char *path)
{
        struct group *group;
        struct stat st;

        if (stat(path, &st) < 0)
                return ctl_fail(EXIT_PERMISSION, "permission denied for %s: try as root", path);
        group = getgrgid(st.st_gid);
        return ctl_fail(EXIT_PERMISSION,
                        "permission denied for %s: become root or a member of group %s (as root: "
                        "adduser USER %s)",
                        path, group ? group->gr_name : "?", group ? group->gr_name : "GROUP");
}

static ExitCode report_unreachable(char *const *tried, char *const *reasons)
{
        (void)ctl_fail(EXIT_UNREACHABLE, "cannot reach yardmasterd. Tried:");
        for (size_t i = 0; tried && tried[i]; i++)
                (void)fprintf(stderr, "  %s: %s\n", tried[i], reasons[i]);
        (void)fprintf(stderr, "Start it: systemctl start yardmaster (or run yardmasterd), or say "
                              "where it listens: --socket PATH\n");
        return EXIT_UNREACHABLE;
}

static ExitCode client_connect(Client *client, const Ctl *ctl)
{
        _cleanup_(strv_freep) char **paths = NULL, **reasons = NULL;

        if (find_sockets(ctl, &paths) < 0)
                return ctl_out_of_memory();
        STRV_FOREACH (path, paths) {
                client->fd = connect_to(*path);
                if (client->fd >= 0)
                        return EXIT_DONE;
                if (client->fd == -EACCES)
                        return ctl->quiet ? EXIT_PERMISSION : report_permission(*path);
                if (strv_append(&reasons, strerror(-client->fd)) < 0)
                        return ctl_out_of_memory();
        }
        return ctl->quiet ? EXIT_UNREACHABLE : report_unreachable(paths, reasons);
}

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
        code = client_connect(client, ctl);
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

ExitCode client_send_raw(Client *client, Slice message)
{
        ssize_t n;

        while (message.size > 0) {
                n = send(client->fd, message.data, message.size, MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        continue;
                /* Why the daemon closed may stand in what it sent last. */
                if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
                        return EXIT_DONE;
                if (n < 0)
                        return ctl_fail(EXIT_UNREACHABLE, "cannot write to the daemon: %s",
                                        strerror(errno));
                message.data += n;
                message.size -= (size_t)n;
        }
        return EXIT_DONE;
}

ExitCode client_send(Client *client, const char *method, Slice parameters, unsigned flags)
{
        char qualified[WIRE_NAME_MAX + 1];
        ExitCode code;
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
        code = client_send_raw(client, buffer_slice(&client->output));
        buffer_clear(&client->output);
        buffer_trim(&client->output, FRAME_RESERVE_MAX);
        return code;
}

static ExitCode client_read(Client *client, bool *ret_ended)
{
        ssize_t n;
        char *to;

        if (frame_reserve(&client->frame, FRAME_RESERVE_MAX, &to) < 0)
                return ctl_out_of_memory();
        do
                n = read(client->fd, to, FRAME_RESERVE_MAX);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno != ECONNRESET)
                return ctl_fail(EXIT_UNREACHABLE, "cannot read from the daemon: %s",
                                strerror(errno));
        if (n <= 0) {
                *ret_ended = true;
                return EXIT_UNREACHABLE;
        }
        frame_commit(&client->frame, (size_t)n);
        return EXIT_DONE;
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
                if (code != EXIT_DONE)
                        return code;
        }
        if (result == FRAME_OVERSIZED)
                return ctl_fail(EXIT_REFUSED, "the daemon's answer is too long");
        if (wire_parse_reply(message, ret, &problem) < 0)
                return ctl_fail(EXIT_REFUSED, "the daemon's answer cannot be read: %s",
                                problem ?: "out of memory");
        return EXIT_DONE;
}
