/* SPDX-License-Identifier: Apache-2.0 */

#include <sys/stat.h>
#include <sys/un.h>
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

UNIT_MAIN("listen", test_listen, test_listen_refused);
