/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/strv.h"
#include "manager/environment.h"
#include "manager/state-dir.h"
#include "unit.h"

static char scratch[] = "/tmp/yardmaster-test-XXXXXX";

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

static void setup(void)
{
        (void)strcpy(scratch, "/tmp/yardmaster-test-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(scratch));
}

static void teardown(void)
{
        (void)nftw(scratch, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *path(const char *name)
{
        static char buffers[4][512];
        static unsigned next;
        char *buffer = buffers[next++ % 4];

        (void)snprintf(buffer, sizeof(buffers[0]), "%s/%s", scratch, name);
        return buffer;
}

START_TEST(test_made_and_locked)
{
        StateDir first, second;
        _cleanup_free_ char *error = NULL;
        char pid[32];
        struct stat st;

        ck_assert_int_eq(state_dir_open(&first, path("a/b/state"), &error), 0);
        ck_assert_int_eq(stat(path("a/b/state"), &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0700);
        ck_assert_int_eq(state_dir_open(&second, path("a/b/state"), &error), STATE_DIR_E_LOCKED);
        (void)snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
        ck_assert_ptr_nonnull(strstr(error, pid));
        state_dir_close(&first);
        free(error);
        ck_assert_int_eq(state_dir_open(&second, path("a/b/state"), &error), 0);
        state_dir_close(&second);
}
END_TEST

/* As a daemon that is killed while its spawner starts a child: the child outlives it for a moment,
 * with the lock in its hands. */
START_TEST(test_a_dead_daemons_lock_is_waited_for)
{
        StateDir dir;
        char *error;
        pid_t daemon;

        daemon = fork();
        if (daemon == 0) {
                if (state_dir_open(&dir, path("state"), &error) != 0)
                        _exit(1);
                if (fork() == 0)
                        (void)poll(NULL, 0, 300);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(daemon, NULL, 0), daemon);
        ck_assert_int_eq(state_dir_open(&dir, path("state"), &error), 0);
        state_dir_close(&dir);
}
END_TEST

START_TEST(test_the_instance_stays)
{
        StateDir dir;
        char *error, instance[17];
        int fd;

        ck_assert_int_eq(state_dir_open(&dir, path("state"), &error), 0);
        ck_assert_uint_eq(strlen(dir.instance), 16);
        memcpy(instance, dir.instance, sizeof(instance));
        state_dir_close(&dir);
        ck_assert_int_eq(state_dir_open(&dir, path("state"), &error), 0);
        ck_assert_str_eq(dir.instance, instance);
        state_dir_close(&dir);
        ck_assert_int_eq(state_dir_open(&dir, path("other"), &error), 0);
        ck_assert_str_ne(dir.instance, instance);
        state_dir_close(&dir);
        /* nonsense in the file is replaced */
        fd = open(path("state/instance"), O_WRONLY | O_TRUNC | O_CLOEXEC);
        ck_assert_int_eq(write(fd, "../../etc", 9), 9);
        close_fd(fd);
        ck_assert_int_eq(state_dir_open(&dir, path("state"), &error), 0);
        ck_assert_uint_eq(strspn(dir.instance, "0123456789abcdef"), 16);
        state_dir_close(&dir);
}
END_TEST

START_TEST(test_what_cannot_be_made_is_named)
{
        _cleanup_free_ char *error = NULL;
        StateDir dir;

        close_fd(open(path("file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        ck_assert_int_eq(state_dir_open(&dir, path("file/state"), &error), -ENOTDIR);
        ck_assert_ptr_nonnull(strstr(error, path("file/state")));
}
END_TEST

START_TEST(test_runtime_beside_the_socket)
{
        char expected[128], *error;
        struct stat st;
        StateDir dir;

        ck_assert_int_eq(state_dir_open(&dir, path("state"), &error), 0);
        ck_assert_int_eq(state_dir_make_runtime(&dir, path("control"), 20, &error), 0);
        (void)snprintf(expected, sizeof(expected), "%s/workers-%.8s", scratch, dir.instance);
        ck_assert_str_eq(dir.runtime_dir, expected);
        ck_assert_int_eq(stat(expected, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0700);
        state_dir_close(&dir);
        ck_assert_int_lt(stat(expected, &st), 0);
}
END_TEST

START_TEST(test_what_a_predecessor_left_is_removed)
{
        StateDir dir;
        char *error, file[256];

        ck_assert_int_eq(state_dir_open(&dir, path("state"), &error), 0);
        (void)snprintf(file, sizeof(file), "%s/workers-%.8s", scratch, dir.instance);
        ck_assert_int_eq(mkdir(file, 0700), 0);
        (void)strcat(file, "/stale");
        close_fd(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        ck_assert_int_eq(state_dir_make_runtime(&dir, path("control"), 20, &error), 0);
        ck_assert_int_lt(access(file, F_OK), 0);
        state_dir_close(&dir);
}
END_TEST

/* The socket may lie in a folder where anybody can put something in our way. */
START_TEST(test_runtime_that_is_a_link_is_left_alone)
{
        char *error, link[128], kept[256];
        StateDir dir;

        ck_assert_int_eq(state_dir_open(&dir, path("state"), &error), 0);
        (void)snprintf(kept, sizeof(kept), "%s/other", scratch);
        ck_assert_int_eq(mkdir(kept, 0700), 0);
        (void)snprintf(link, sizeof(link), "%s/workers-%.8s", scratch, dir.instance);
        ck_assert_int_eq(symlink(kept, link), 0);
        (void)strcat(kept, "/file");
        close_fd(open(kept, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        ck_assert_int_eq(state_dir_make_runtime(&dir, path("control"), 20, &error), 0);
        ck_assert_str_eq(dir.runtime_dir, path("state/workers"));
        state_dir_close(&dir);
        ck_assert_int_eq(access(kept, F_OK), 0);
}
END_TEST

START_TEST(test_runtime_falls_back_to_state_dir)
{
        StateDir dir;
        char *error;

        ck_assert_int_eq(state_dir_open(&dir, path("state"), &error), 0);
        ck_assert_int_eq(state_dir_make_runtime(&dir, path("no/such/folder/control"), 20, &error),
                         0);
        ck_assert_str_eq(dir.runtime_dir, path("state/workers"));
        state_dir_close(&dir);
}
END_TEST

START_TEST(test_runtime_that_is_too_long_is_refused_by_name)
{
        _cleanup_free_ char *error = NULL;
        StateDir dir;

        ck_assert_int_eq(state_dir_open(&dir, path("state"), &error), 0);
        /* "DIR/state/workers/" and 89 more are past sun_path's 107 */
        ck_assert_int_eq(state_dir_make_runtime(&dir, path("control"), 89, &error), -ENAMETOOLONG);
        ck_assert_ptr_nonnull(strstr(error, path("state/workers")));
        state_dir_close(&dir);
}
END_TEST

START_TEST(test_environment_of_workers)
{
        char *const given[] = { (char *)"PATH=/bin",
                                (char *)"NOTIFY_SOCKET=/run/notify",
                                (char *)"WATCHDOG_USEC=1",
                                (char *)"LISTEN_FDS=1",
                                (char *)"INVOCATION_ID=1",
                                (char *)"JOURNAL_STREAM=8:1",
                                (char *)"CREDENTIALS_DIRECTORY=/run/credentials",
                                (char *)"NOTIFY_SOCKET_OF_MINE=kept",
                                (char *)"NOTIFY=kept",
                                NULL };
        _cleanup_(strv_freep) char **kept = NULL;

        ck_assert_int_eq(environment_for_workers(given, &kept), 0);
        ck_assert_uint_eq(strv_length(kept), 3);
        ck_assert_str_eq(kept[0], "PATH=/bin");
        ck_assert_str_eq(kept[1], "NOTIFY_SOCKET_OF_MINE=kept");
        ck_assert_str_eq(kept[2], "NOTIFY=kept");
}
END_TEST

UNIT_MAIN_WITH("manager-state-dir", setup, teardown, test_made_and_locked,
               test_a_dead_daemons_lock_is_waited_for, test_the_instance_stays,
               test_what_cannot_be_made_is_named, test_runtime_beside_the_socket,
               test_what_a_predecessor_left_is_removed, test_runtime_that_is_a_link_is_left_alone,
               test_runtime_falls_back_to_state_dir,
               test_runtime_that_is_too_long_is_refused_by_name, test_environment_of_workers);
