/* SPDX-License-Identifier: Apache-2.0 */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "base/explain.h"
#include "control/listen.h"

#define DIRECTORY_MODE 0755

static int make_parents(const char *path, char **ret_problem)
{
        char parent[CONTROL_PATH_MAX + 1];

        for (const char *slash = path; (slash = strchr(slash + 1, '/'));) {
                memcpy(parent, path, (size_t)(slash - path));
                parent[slash - path] = '\0';
                if (mkdir(parent, DIRECTORY_MODE) < 0 && errno != EEXIST) {
                        int error = errno;

                        return explain(-error, ret_problem,
                                       "cannot create %s for the control socket: %s", parent,
                                       strerror(error));
                }
        }
        return 0;
}

/* Makes room at path: removes a socket that nobody listens on. */
static int remove_stale(const struct sockaddr_un *address, char **ret_problem)
{
        const char *path = address->sun_path;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT
                               ? 0
                               : explain(-errno, ret_problem, "cannot look at %s: %m", path);
        if (!S_ISSOCK(st.st_mode))
                return explain(-EEXIST, ret_problem,
                               "%s exists and is no socket; move it away or set another socket",
                               path);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return explain(-errno, ret_problem, "cannot create a socket: %m");
        /* A full backlog (EAGAIN) is a living daemon too. */
        if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
                return explain(-EADDRINUSE, ret_problem,
                               "another process listens on %s; stop it or set another socket",
                               path);
        if (errno != ECONNREFUSED)
                return explain(-errno, ret_problem, "cannot tell who listens on %s: %m", path);
        if (unlink(path) < 0 && errno != ENOENT)
                return explain(-errno, ret_problem, "cannot remove the stale socket %s: %m", path);
        return 0;
}

int control_listen(const char *path, int *ret_fd, char **ret_problem)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (path[0] != '/')
                return explain(-EINVAL, ret_problem, "socket %s is not an absolute path", path);
        if (strlen(path) > CONTROL_PATH_MAX)
                return explain(
                        -ENAMETOOLONG, ret_problem,
                        "socket %s is longer than the %d bytes that a socket's path may have", path,
                        CONTROL_PATH_MAX);
        strcpy(address.sun_path, path);
        r = make_parents(path, ret_problem);
        if (r < 0)
                return r;
        r = remove_stale(&address, ret_problem);
        if (r < 0)
                return r;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return explain(-errno, ret_problem, "cannot create a socket: %m");
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return explain(-errno, ret_problem, "cannot bind %s: %m", path);
        /* Nobody can connect before listen, so nobody meets the mode of the umask. */
        if (chmod(path, CONTROL_SOCKET_MODE) < 0 || listen(fd, CONTROL_BACKLOG) < 0) {
                int error = errno;

                (void)unlink(path);
                return explain(-error, ret_problem, "cannot listen on %s: %s", path,
                               strerror(error));
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}
