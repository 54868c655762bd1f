/* SPDX-License-Identifier: Apache-2.0 */

#include "ctl/connect.h"

#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include "base/parse.h"
#include "base/strv.h"
#include "build-config.h"

/* One wait: short enough to tell the user in time. */
#define STEP_USEC (500 * USEC_PER_MSEC)
/* Nobody waits for less: a daemon that is well may be busy for a moment. */
#define STEP_MIN_USEC (100 * USEC_PER_MSEC)
/* When the user is told that we wait. */
#define TELL_USEC (3 * USEC_PER_SEC)
/* All that is waited for a daemon that need not be there. */
#define QUIET_USEC USEC_PER_SEC

/* "yardmaster", or "yardmaster@NAME". */
static const char *unit_name(const Ctl *ctl, char *buffer, size_t size)
{
        (void)snprintf(buffer, size, "yardmaster%s%s", ctl->instance ? "@" : "",
                       ctl->instance ?: "");
        return buffer;
}

void patience_begin(Patience *patience, const Ctl *ctl)
{
        *patience = (Patience){
                .ctl = ctl,
                .begun_usec = clock_monotonic_usec(),
                .limit_usec = ctl->quiet ? MIN(ctl->connect_timeout_usec, QUIET_USEC)
                                         : ctl->connect_timeout_usec,
                .step_usec = CLAMP(ctl->connect_timeout_usec, STEP_MIN_USEC, STEP_USEC),
        };
}

ExitCode patience_lose_step(Patience *patience)
{
        usec_t waited = clock_monotonic_usec() - patience->begun_usec;
        char unit[128], time[FORMAT_MAX];

        if (waited >= patience->limit_usec && patience->ctl->quiet)
                return EXIT_UNREACHABLE;
        (void)unit_name(patience->ctl, unit, sizeof(unit));
        if (waited >= patience->limit_usec)
                return ctl_fail(EXIT_UNREACHABLE,
                                "yardmasterd does not answer: it is starting, stopped by a "
                                "signal, or stuck (systemctl status %s)",
                                unit);
        if (waited >= TELL_USEC && !patience->told) {
                patience->told = true;
                (void)ctl_fail(EXIT_DONE,
                               "yardmasterd does not answer yet, as when it is started again; "
                               "waiting up to %s (systemctl status %s tells more)",
                               format_duration(time, patience->limit_usec), unit);
        }
        return EXIT_DONE;
}

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

static int connect_to(const char *path, usec_t step_usec)
{
        const struct timeval step = {
                .tv_sec = (time_t)(step_usec / USEC_PER_SEC),
                .tv_usec = (suseconds_t)(step_usec % USEC_PER_SEC),
        };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &step, sizeof(step)) < 0 ||
            connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* Where so many wait already that the kernel takes no more, we wait to be let in. */
static ExitCode connect_patiently(Patience *patience, const char *path, int *ret_fd)
{
        ExitCode code = EXIT_DONE;

        while ((*ret_fd = connect_to(path, patience->step_usec)) == -EAGAIN && code == EXIT_DONE)
                code = patience_lose_step(patience);
        return code;
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

static ExitCode report_unreachable(const Ctl *ctl, char *const *tried, char *const *reasons)
{
        char unit[128];

        (void)unit_name(ctl, unit, sizeof(unit));
        (void)ctl_fail(EXIT_UNREACHABLE, "cannot reach yardmasterd. Tried:");
        for (size_t i = 0; tried && tried[i]; i++)
                (void)fprintf(stderr, "  %s: %s\n", tried[i], reasons[i]);
        (void)fprintf(
                stderr,
                "It does not run: systemctl start %s (or run yardmasterd), systemctl status "
                "%s says why it ended. Or its socket was removed: systemctl restart %s. Or say "
                "where it listens: --socket PATH\n",
                unit, unit, unit);
        return EXIT_UNREACHABLE;
}

ExitCode connect_to_daemon(Patience *patience, int *ret_fd)
{
        _cleanup_(strv_freep) char **paths = NULL, **reasons = NULL;
        ExitCode code;
        int fd;

        if (find_sockets(patience->ctl, &paths) < 0)
                return ctl_out_of_memory();
        STRV_FOREACH (path, paths) {
                code = connect_patiently(patience, *path, &fd);
                if (code != EXIT_DONE)
                        return code;
                if (fd >= 0) {
                        *ret_fd = fd;
                        return EXIT_DONE;
                }
                if (fd == -EACCES)
                        return patience->ctl->quiet ? EXIT_PERMISSION : report_permission(*path);
                if (strv_append(&reasons, strerror(-fd)) < 0)
                        return ctl_out_of_memory();
        }
        return patience->ctl->quiet ? EXIT_UNREACHABLE
                                    : report_unreachable(patience->ctl, paths, reasons);
}
