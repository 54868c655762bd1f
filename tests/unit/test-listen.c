/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "control/listen.h"
#include "control-fixture.h"

static void assert_listen_fails(const char *path, int error, const char *text)
{
        _cleanup_free_ char *problem = NULL;
        int fd = -EBADF;

        ck_assert_int_eq(control_listen(path, &fd, &problem), error);
        ck_assert_ptr_nonnull(strstr(problem, text));
        ck_assert_int_eq(fd, -EBADF);
}

START_TEST(test_listen)
{
        char directory[] = "/tmp/ym-unit-XXXXXX", path[200], other[200];
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char *problem = NULL;
        struct stat st;
        Fixture fixture;
        FILE *file;
        int fd;

        setup(&fixture);
        ck_assert_ptr_nonnull(mkdtemp(directory));
        (void)snprintf(path, sizeof(path), "%s/run/control", directory);
        ck_assert_int_eq(control_listen(path, &fd, &problem), 0);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0660);
        assert_listen_fails(path, -EADDRINUSE, "another process listens");

        ck_assert_int_eq(control_server_add_listener(fixture.server, fd, path), 0);
        (void)close_fd(fixture.client);
        fixture.client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        strcpy(address.sun_path, path);
        ck_assert_int_eq(connect(fixture.client, (struct sockaddr *)&address, sizeof(address)), 0);
        call(&fixture, "Echo", "");
        expect(&fixture, "{\"parameters\":{}}\n");
        fixture.server = control_server_free(fixture.server);
        ck_assert_int_lt(stat(path, &st), 0);

        /* What a dead daemon left is taken over. */
        ck_assert_int_eq(control_listen(path, &fd, &problem), 0);
        (void)close_fd(fd);
        ck_assert_int_eq(control_listen(path, &fd, &problem), 0);
        (void)close_fd(fd);
        ck_assert_int_eq(unlink(path), 0);

        (void)snprintf(other, sizeof(other), "%s/run/file", directory);
        file = fopen(other, "we");
        ck_assert_ptr_nonnull(file);
        (void)fclose(file);
        assert_listen_fails(other, -EEXIST, "is no socket");
        ck_assert_int_eq(unlink(other), 0);
        (void)snprintf(other, sizeof(other), "%s/run", directory);
        ck_assert_int_eq(rmdir(other), 0);
        ck_assert_int_eq(rmdir(directory), 0);
        teardown(&fixture);
}
END_TEST

START_TEST(test_listen_refused)
{
        char path[CONTROL_PATH_MAX + 2];

        memset(path, 'p', sizeof(path));
        path[0] = '/';
        path[sizeof(path) - 1] = '\0';
        assert_listen_fails(path, -ENAMETOOLONG, "longer than the 107 bytes");
        assert_listen_fails("control", -EINVAL, "not an absolute path");
        assert_listen_fails("/proc/none/control", -ENOENT, "cannot create /proc/none");
}
END_TEST

/* In a process of its own: what systemd passes stands at fd 3 and in the environment. Returns what
 * control_listen_inherited did: an fd, 100 for none, 101 for a refusal. */
static int inherit(int fd, const char *n_fds)
{
        int inherited = -EBADF, status;
        char *problem = NULL, pid[32];
        pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child > 0) {
                ck_assert_int_eq(waitpid(child, &status, 0), child);
                ck_assert(WIFEXITED(status));
                return WEXITSTATUS(status);
        }
        (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
        if ((fd >= 0 && dup2(fd, 3) < 0) || setenv("LISTEN_PID", pid, 1) < 0 ||
            (n_fds && setenv("LISTEN_FDS", n_fds, 1) < 0))
                _exit(102);
        if (control_listen_inherited(&inherited, &problem) < 0)
                _exit(strstr(problem, "one listening Unix stream socket") ? 101 : 103);
        if (inherited >= 0 && (fcntl(inherited, F_GETFD) & FD_CLOEXEC) == 0)
                _exit(104);
        _exit(getenv("LISTEN_FDS") ? 105 : inherited >= 0 ? inherited : 100);
}

START_TEST(test_inherited)
{
        char directory[] = "/tmp/ym-unit-XXXXXX", path[200];
        char *problem = NULL;
        int fd, fds[2];

        ck_assert_ptr_nonnull(mkdtemp(directory));
        (void)snprintf(path, sizeof(path), "%s/control", directory);
        ck_assert_int_eq(control_listen(path, &fd, &problem), 0);
        ck_assert_int_eq(inherit(fd, "1"), 3);
        ck_assert_int_eq(inherit(-1, NULL), 100);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        ck_assert_int_eq(inherit(fds[0], "1"), 101);
        ck_assert_int_eq(inherit(fd, "2"), 101);
        (void)close_fd(fds[0]);
        (void)close_fd(fds[1]);
        (void)close_fd(fd);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

/* Without a free fd a client waits, without a loop that spins, until there is one. */
START_TEST(test_out_of_fds)
{
        char directory[] = "/tmp/ym-unit-XXXXXX", path[200];
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct rlimit limit, none;
        char *problem = NULL;
        unsigned n_turns = 0;
        Fixture fixture;
        int fd;

        setup(&fixture);
        ck_assert_ptr_nonnull(mkdtemp(directory));
        (void)snprintf(path, sizeof(path), "%s/control", directory);
        ck_assert_int_eq(control_listen(path, &fd, &problem), 0);
        ck_assert_int_eq(control_server_add_listener(fixture.server, fd, path), 0);
        (void)close_fd(fixture.client);
        settle(&fixture);
        fixture.client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        strcpy(address.sun_path, path);

        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        none = (struct rlimit){ (rlim_t)fixture.client, limit.rlim_max };
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        ck_assert_int_eq(connect(fixture.client, (struct sockaddr *)&address, sizeof(address)), 0);
        settle(&fixture);
        ck_assert_uint_eq(control_server_n_connections(fixture.server), 0);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        while (control_server_n_connections(fixture.server) == 0) {
                ck_assert_int_gt(sd_event_run(fixture.event, UINT64_MAX), 0);
                n_turns++;
        }
        ck_assert_uint_le(n_turns, 3);
        call(&fixture, "Echo", "");
        expect(&fixture, "{\"parameters\":{}}\n");
        teardown(&fixture);
        ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

UNIT_MAIN("listen", test_listen, test_listen_refused, test_inherited, test_out_of_fds);
