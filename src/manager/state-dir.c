/* SPDX-License-Identifier: Apache-2.0 */

#include "manager/state-dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include "base/backoff.h"
#include "base/explain.h"

/* mkdir -p; parents get the usual mode, the folder itself is the daemon's alone. */
static int make_folder(const char *path)
{
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *p = copy + 1; *p; p++) {
                if (*p != '/')
                        continue;
                *p = '\0';
                if (mkdir(copy, 0755) < 0 && errno != EEXIST)
                        return -errno;
                *p = '/';
        }
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
                return -errno;
        return 0;
}

/* How long a dead daemon's lock is waited for, and how often it is tried: at start, before the loop
 * runs. */
#define LOCK_WAIT_USEC (5 * USEC_PER_SEC)
#define LOCK_STEP_USEC (10 * USEC_PER_MSEC)

/* The lock file holds the pid of the daemon that has it; 0 if it cannot be told. */
static pid_t read_holder(int fd)
{
        char text[32] = "";

        if (pread(fd, text, sizeof(text) - 1, 0) < 0)
                return 0;
        return (pid_t)MAX(atoi(text), 0);
}

/* A child that a killed daemon was just starting has the lock open until it executes its program,
 * or notices that its parent is gone: that long a dead daemon's lock is waited for. */
static int lock_file(int fd, pid_t *ret_holder)
{
        const struct timespec step = { .tv_nsec = 1000 * LOCK_STEP_USEC };
        usec_t deadline = usec_add(clock_monotonic_usec(), LOCK_WAIT_USEC);

        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                pid_t holder;

                if (errno != EWOULDBLOCK)
                        return -errno;
                *ret_holder = holder = read_holder(fd);
                if (holder <= 0 || kill(holder, 0) >= 0 || errno != ESRCH ||
                    clock_monotonic_usec() >= deadline)
                        return STATE_DIR_E_LOCKED;
                (void)nanosleep(&step, NULL);
        }
        return 0;
}

static const char *remedy_for(int error, const char *otherwise)
{
        return error == -EROFS ? "a service can only write to its StateDirectory= and to what "
                                 "ReadWritePaths= names (systemctl edit, section [Service])"
                               : otherwise;
}

static int take_lock(const char *path, int *ret_fd, char **ret_error)
{
        _cleanup_free_ char *file = NULL;
        _cleanup_close_ int fd = -EBADF;
        pid_t holder = 0;
        char text[32];
        int n, r;

        if (asprintf(&file, "%s/lock", path) < 0)
                return -ENOMEM;
        fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
                return explain(-errno, ret_error, "cannot open %s: %s; %s", file, strerror(errno),
                               remedy_for(-errno, "the daemon's user needs to write there"));
        r = lock_file(fd, &holder);
        if (r < 0)
                return explain(r, ret_error, "cannot lock %s: %s", file, strerror(-r));
        if (r > 0)
                return explain(
                        STATE_DIR_E_LOCKED, ret_error,
                        "another yardmasterd (pid %d) uses %s: stop it, or set another state_dir",
                        (int)holder, path);
        n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
                return explain(-errno, ret_error, "cannot write %s: %s", file, strerror(errno));
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static bool is_instance(const char *s)
{
        return strspn(s, "0123456789abcdef") == 16 && s[16] == '\0';
}

/* Made once and kept, so that a successor recognises its predecessor's workers. */
static int read_instance(StateDir *dir, char **ret_error)
{
        _cleanup_free_ char *file = NULL;
        _cleanup_close_ int fd = -EBADF;
        char text[32] = "";

        if (asprintf(&file, "%s/instance", dir->path) < 0)
                return -ENOMEM;
        fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
                return explain(-errno, ret_error, "cannot open %s: %s", file, strerror(errno));
        if (pread(fd, text, sizeof(text) - 1, 0) < 0)
                return explain(-errno, ret_error, "cannot read %s: %s", file, strerror(errno));
        text[strcspn(text, "\n")] = '\0';
        if (!is_instance(text)) {
                (void)snprintf(text, sizeof(text), "%016" PRIx64 "\n", random_u64());
                if (ftruncate(fd, 0) < 0 || pwrite(fd, text, 17, 0) != 17)
                        return explain(-errno, ret_error, "cannot write %s: %s", file,
                                       strerror(errno));
        }
        memcpy(dir->instance, text, 16);
        dir->instance[16] = '\0';
        return 0;
}

int state_dir_open(StateDir *ret, const char *path, char **ret_error)
{
        _cleanup_(state_dir_close) StateDir dir = STATE_DIR_NULL;
        int r;

        *ret_error = NULL;
        dir.path = strdup(path);
        if (!dir.path)
                return -ENOMEM;
        r = make_folder(path);
        if (r < 0)
                return explain(r, ret_error, "cannot make state_dir %s: %s; %s", path, strerror(-r),
                               remedy_for(r, "make it for the daemon's user, or set another "
                                             "state_dir"));
        r = take_lock(path, &dir.lock_fd, ret_error);
        if (r != 0)
                return r;
        r = read_instance(&dir, ret_error);
        if (r < 0)
                return r;
        *ret = dir;
        dir = STATE_DIR_NULL;
        return 0;
}

static void remove_entries(const char *path)
{
        DIR *folder = opendir(path);
        struct dirent *entry;

        if (!folder)
                return;
        while ((entry = readdir(folder)))
                if (entry->d_name[0] != '.')
                        (void)unlinkat(dirfd(folder), entry->d_name, 0);
        (void)closedir(folder);
}

static bool fits(const char *path, size_t longest_name)
{
        return strlen(path) + 1 + longest_name < sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

/* What is in it goes, so it must be a folder of our own: the one above may be everybody's. */
static int try_runtime(const char *path)
{
        struct stat st;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return -errno;
        if (lstat(path, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
                return -EEXIST;
        if (access(path, W_OK | X_OK) < 0)
                return -errno;
        remove_entries(path);
        return 0;
}

int state_dir_make_runtime(StateDir *dir, const char *control_socket, size_t longest_name,
                           char **ret_error)
{
        _cleanup_free_ char *beside = NULL, *inside = NULL;
        const char *slash = strrchr(control_socket, '/');
        int folder = slash ? (int)(slash - control_socket) : 0;
        int r;

        *ret_error = NULL;
        /* two daemons may have their sockets in one folder */
        if (asprintf(&beside, "%.*s/workers-%.8s", folder, control_socket, dir->instance) < 0 ||
            asprintf(&inside, "%s/workers", dir->path) < 0)
                return -ENOMEM;
        if (fits(beside, longest_name) && try_runtime(beside) >= 0) {
                dir->runtime_dir = TAKE_PTR(beside);
                return 0;
        }
        if (!fits(inside, longest_name))
                return explain(-ENAMETOOLONG, ret_error,
                               "%s/… is too long for the workers' notify sockets (107 bytes with "
                               "the pool's name): set a shorter socket path or state_dir",
                               inside);
        r = try_runtime(inside);
        if (r < 0)
                return explain(r, ret_error, "cannot make %s: %s", inside, strerror(-r));
        dir->runtime_dir = TAKE_PTR(inside);
        return 0;
}

void state_dir_close(StateDir *dir)
{
        if (dir->runtime_dir) {
                remove_entries(dir->runtime_dir);
                (void)rmdir(dir->runtime_dir);
                free(dir->runtime_dir);
        }
        free(dir->path);
        close_fd(dir->lock_fd);
        *dir = STATE_DIR_NULL;
}
