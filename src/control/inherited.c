/* SPDX-License-Identifier: Apache-2.0 */

#include "control/inherited.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include "base/explain.h"
#include "base/log.h"
#include "base/strv.h"
#include "control/listen.h"

/* While we look whether a path leads to us, a backlog that is full of clients must not refuse us.
 */
#define PROBE_BACKLOG 4096

/* Where a socket of that name belongs; NULL: nowhere. A .socket unit names its sockets after
 * itself, and whoever passes LISTEN_FDS without names passes nothing else. */
static int *find_place(Inherited *inherited, const char *name)
{
        size_t length = strlen(name), suffix = strlen(".socket");

        if (streq(name, INHERITED_STORED_NAME))
                return &inherited->stored;
        if (streq(name, "unknown") || (length > suffix && streq(name + length - suffix, ".socket")))
                return &inherited->activated;
        return NULL;
}

/* systemd passes sockets that block, unless the unit says NonBlocking=yes. */
static bool make_non_blocking(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) >= 0;
}

static void sort_one(Inherited *inherited, int fd, const char *name)
{
        int *place = find_place(inherited, name);
        const char *why = NULL;

        if (!place)
                why = "there is no use for it";
        else if (*place >= 0)
                why = "one of that kind is enough";
        else if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0)
                why = "it is no listening Unix stream socket";
        else if (!make_non_blocking(fd))
                why = strerror(errno);
        if (!why) {
                *place = fd;
                return;
        }
        log_warning("closing what the service manager passed as \"%s\": %s", name, why);
        (void)close_fd(fd);
}

void inherited_take(Inherited *ret)
{
        _cleanup_(strv_freep) char **names = NULL;
        int n;

        *ret = INHERITED_NULL;
        n = sd_listen_fds_with_names(true, &names);
        if (n < 0)
                log_warning_errno(n, "cannot take the sockets that the service manager passed: %m");
        for (int i = 0; i < n; i++)
                sort_one(ret, SD_LISTEN_FDS_START + i, names[i]);
}

void inherited_close(Inherited *inherited)
{
        inherited->stored = close_fd(inherited->stored);
        inherited->activated = close_fd(inherited->activated);
}

/* The path that fd is bound to; "" if there is none. */
static void get_path(int fd, char path[static CONTROL_PATH_MAX + 1])
{
        struct sockaddr_un address = { 0 };
        socklen_t size = sizeof(address) - 1;

        path[0] = '\0';
        if (getsockname(fd, (struct sockaddr *)&address, &size) >= 0 && address.sun_path[0] == '/')
                strcpy(path, address.sun_path);
}

/* A client learns who last called listen on what it has reached. We just did, so if that is we, it
 * is this socket. The client that asked is found closed by whoever accepts it. */
static bool leads_to(const char *path, int listener)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct ucred peer = { 0 };
        socklen_t size = sizeof(peer);
        _cleanup_close_ int fd = -EBADF;

        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || listen(listener, PROBE_BACKLOG) < 0)
                return false;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return false;
        return peer.pid == getpid();
}

int inherited_adopt(int fd, const char *path, char **ret_problem)
{
        char bound[CONTROL_PATH_MAX + 1];
        struct stat st;

        get_path(fd, bound);
        if (!streq(bound, path))
                return explain(-ESTALE, ret_problem, "it belongs to %s", bound);
        if (!leads_to(path, fd))
                return explain(-ESTALE, ret_problem, "%s was removed or replaced", path);
        if (stat(path, &st) < 0 || st.st_uid != geteuid())
                return explain(-ESTALE, ret_problem, "%s belongs to another user", path);
        if (chmod(path, CONTROL_SOCKET_MODE) < 0 || listen(fd, CONTROL_BACKLOG) < 0)
                return explain(-errno, ret_problem, "%m");
        return 0;
}

void inherited_abandon(int fd)
{
        char path[CONTROL_PATH_MAX + 1];

        get_path(fd, path);
        if (path[0] && leads_to(path, fd))
                (void)unlink(path);
}
