/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "control/inherited.h"
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

/* In a process of its own: what systemd passes stands at fd 3 and following and in the environment.
 * Returns 10 for a stored socket, 1 for an activated one, their sum for both; or 100 and more. */
static int inherit(const int *fds, int n, const char *n_fds, const char *names)
{
        Inherited inherited;
        char pid[32];
        int status;
        pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child > 0) {
                ck_assert_int_eq(waitpid(child, &status, 0), child);
                ck_assert(WIFEXITED(status));
                return WEXITSTATUS(status);
        }
        for (int i = 0; i < n; i++)
                if (dup2(fds[i], 200 + i) < 0 || dup2(200 + i, 3 + i) < 0)
                        _exit(101);
        (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
        if (setenv("LISTEN_PID", pid, 1) < 0 || (n_fds && setenv("LISTEN_FDS", n_fds, 1) < 0) ||
            (names && setenv("LISTEN_FDNAMES", names, 1) < 0))
                _exit(102);
        inherited_take(&inherited);
        for (int fd = 3; fd < 3 + n; fd++) {
                int flags = fcntl(fd, F_GETFD);
                bool kept = fd == inherited.stored || fd == inherited.activated;

                if (kept != (flags >= 0))
                        _exit(103);
                if (kept && (!(flags & FD_CLOEXEC) || !(fcntl(fd, F_GETFL) & O_NONBLOCK)))
                        _exit(104);
        }
        if (getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES"))
                _exit(105);
        status = 10 * (inherited.stored >= 0) + (inherited.activated >= 0);
        inherited_close(&inherited);
        _exit(inherited.stored >= 0 || inherited.activated >= 0 ? 106 : status);
}

START_TEST(test_inherited)
{
        char directory[] = "/tmp/ym-unit-XXXXXX", path[200];
        int fd, pair[2], fds[4];
        char *problem = NULL;

        ck_assert_ptr_nonnull(mkdtemp(directory));
        (void)snprintf(path, sizeof(path), "%s/control", directory);
        ck_assert_int_eq(control_listen(path, &fd, &problem), 0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        /* as systemd passes them */
        ck_assert_int_ge(fcntl(fd, F_SETFL, 0), 0);
        ck_assert_int_eq(inherit(NULL, 0, NULL, NULL), 0);
        ck_assert_int_eq(inherit(&fd, 1, "1", NULL), 1);
        ck_assert_int_eq(inherit(&fd, 1, "1", "yardmaster.socket"), 1);
        ck_assert_int_eq(inherit(&fd, 1, "1", "control"), 10);
        ck_assert_int_eq(inherit(&fd, 1, "1", "stored"), 0);
        ck_assert_int_eq(inherit(&fd, 1, "1", ".socket"), 0);
        ck_assert_int_eq(inherit(&pair[0], 1, "1", "control"), 0);
        ck_assert_int_eq(inherit(&pair[0], 1, "1", NULL), 0);
        ck_assert_int_eq(inherit(NULL, 0, "many", NULL), 0);
        fds[0] = pair[0];
        fds[1] = fds[2] = fds[3] = fd;
        ck_assert_int_eq(inherit(fds, 4, "4", "control:x.socket:control:control"), 11);
        ck_assert_int_eq(inherit(fds, 4, "4", "a:b:c:d"), 0);
        (void)close_fd(pair[0]);
        (void)close_fd(pair[1]);
        (void)close_fd(fd);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

static void assert_not_adopted(int fd, const char *path, const char *text)
{
        _cleanup_free_ char *problem = NULL;

        ck_assert_int_eq(inherited_adopt(fd, path, &problem), -ESTALE);
        ck_assert_msg(strstr(problem, text), "%s", problem);
}

static int connect_to(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        strcpy(address.sun_path, path);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                int error = errno;

                close_fd(fd);
                return -error;
        }
        return fd;
}

/* As if another process had made it. */
static void listen_elsewhere(int fd)
{
        int status;
        pid_t child = fork();

        if (child == 0)
                _exit(listen(fd, 1) < 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
}

/* A socket of a predecessor: the same file, and who waits in it goes on waiting. */
START_TEST(test_adopt)
{
        char directory[] = "/tmp/ym-unit-XXXXXX", path[200], other[200];
        int fd, second, client, clients[CONTROL_BACKLOG + 1];
        char *problem = NULL;
        struct stat st;

        ck_assert_ptr_nonnull(mkdtemp(directory));
        (void)snprintf(path, sizeof(path), "%s/control", directory);
        (void)snprintf(other, sizeof(other), "%s/other", directory);
        ck_assert_int_eq(control_listen(path, &fd, &problem), 0);
        /* also with as many as the kernel lets wait */
        for (int i = 0; i <= CONTROL_BACKLOG; i++)
                ck_assert_int_ge(clients[i] = connect_to(path), 0);
        ck_assert_int_eq(connect_to(path), -EAGAIN);
        ck_assert_int_eq(chmod(path, 0600), 0);
        ck_assert_int_eq(inherited_adopt(fd, path, &problem), 0);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, CONTROL_SOCKET_MODE);
        ck_assert_int_eq(connect_to(path), -EAGAIN);
        client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        ck_assert_int_ge(client, 0);
        (void)close_fd(client);
        for (int i = 0; i <= CONTROL_BACKLOG; i++)
                (void)close_fd(clients[i]);

        assert_not_adopted(fd, other, "it belongs to /tmp/ym-unit-");
        ck_assert_int_eq(rename(path, other), 0);
        assert_not_adopted(fd, path, "removed or replaced");
        ck_assert_int_eq(control_listen(path, &second, &problem), 0);
        listen_elsewhere(second);
        inherited_abandon(fd);
        ck_assert_int_eq(access(path, F_OK), 0);
        (void)close_fd(fd);
        inherited_abandon(second);
        ck_assert_int_eq(access(path, F_OK), -1);
        (void)close_fd(second);
        ck_assert_int_eq(unlink(other), 0);
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

UNIT_MAIN("listen", test_listen, test_listen_refused, test_inherited, test_adopt, test_out_of_fds);
