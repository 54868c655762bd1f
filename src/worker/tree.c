/* SPDX-License-Identifier: Apache-2.0 */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include "base/macro.h"
#include "base/parse.h"
#include "worker/tree.h"

/* /proc paths of ours: "/proc/", two numbers, a name. */
#define PROC_PATH_MAX 64

/* Bytes of an environment that are searched: the kernel allows more, but nobody has it. */
#define ENVIRONMENT_MAX ((size_t)1024 * 1024)

#define READ_SIZE 4096

void tree_list_deinit(TreeList *list)
{
        free(list->pids);
        *list = TREE_LIST_NULL;
}

/* 1: appended, 0: the list is full. */
static int tree_list_append(TreeList *list, pid_t pid)
{
        size_t capacity;
        pid_t *pids;

        if (list->n_pids == TREE_PROCESSES_MAX)
                return 0;
        if (list->n_pids == list->capacity) {
                capacity = MAX(list->capacity * 2, (size_t)16);
                pids = reallocarray(list->pids, capacity, sizeof(*pids));
                if (!pids)
                        return -ENOMEM;
                list->pids = pids;
                list->capacity = capacity;
        }
        list->pids[list->n_pids++] = pid;
        return 1;
}

bool tree_list_contains(const TreeList *list, pid_t pid)
{
        for (size_t i = 0; i < list->n_pids; i++) {
                if (list->pids[i] == pid)
                        return true;
        }
        return false;
}

/* Whether a failed look at a process only says that it is gone. */
static bool is_gone(int error)
{
        return error == -ENOENT || error == -ESRCH;
}

/* Numbers separated by blanks, which reads may cut anywhere. */
static int tree_list_read(TreeList *list, int fd)
{
        char buffer[READ_SIZE];
        pid_t pid = 0;
        ssize_t n;
        int r;

        for (;;) {
                n = read(fd, buffer, sizeof(buffer));
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                for (ssize_t i = 0; i < n; i++) {
                        if (buffer[i] >= '0' && buffer[i] <= '9') {
                                pid = pid * 10 + (buffer[i] - '0');
                        } else if (pid > 0) {
                                r = tree_list_append(list, pid);
                                if (r < 0)
                                        return r;
                                pid = 0;
                        }
                }
        }
        return pid > 0 ? tree_list_append(list, pid) : 0;
}

int tree_list_children(TreeList *list, pid_t pid, pid_t tid)
{
        _cleanup_close_ int fd = -EBADF;
        char path[PROC_PATH_MAX];
        int r;

        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = tree_list_read(list, fd);
        return r < 0 ? r : 0;
}

static void closedirp(DIR **directory)
{
        if (*directory)
                (void)closedir(*directory);
}

/* A process has a list of children for each of its threads. */
static int tree_list_children_of_threads(TreeList *list, pid_t pid)
{
        _cleanup_(closedirp) DIR *directory = NULL;
        char path[PROC_PATH_MAX];
        const struct dirent *entry;
        uint64_t tid;
        int r;

        (void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
        directory = opendir(path);
        if (!directory)
                return -errno;
        while ((entry = readdir(directory))) {
                if (parse_uint64(entry->d_name, &tid) < 0)
                        continue;
                r = tree_list_children(list, pid, (pid_t)tid);
                if (r < 0 && !is_gone(r))
                        return r;
        }
        return 0;
}

/* Members of root's session whose parent has died are children of our main thread. */
static int tree_list_orphans(TreeList *list, pid_t root)
{
        _cleanup_(tree_list_deinit) TreeList orphans = TREE_LIST_NULL;
        int r;

        r = tree_list_children(&orphans, getpid(), getpid());
        if (r < 0)
                return is_gone(r) ? 0 : r;
        for (size_t i = 0; i < orphans.n_pids; i++) {
                if (orphans.pids[i] == root || getsid(orphans.pids[i]) != root)
                        continue;
                r = tree_list_append(list, orphans.pids[i]);
                if (r <= 0)
                        return r;
        }
        return 0;
}

int tree_list_all(TreeList *list, pid_t root)
{
        size_t i = list->n_pids;
        int r;

        r = tree_list_append(list, root);
        if (r >= 0)
                r = tree_list_orphans(list, root);
        for (; r >= 0 && i < list->n_pids; i++) {
                r = tree_list_children_of_threads(list, list->pids[i]);
                if (is_gone(r))
                        r = 0;
        }
        return r < 0 ? r : 0;
}

/* The second number of statm is the resident set in pages. */
static int process_rss(pid_t pid, uint64_t *ret_bytes)
{
        _cleanup_close_ int fd = -EBADF;
        char buffer[READ_SIZE], path[PROC_PATH_MAX];
        unsigned long pages;
        ssize_t n;

        (void)snprintf(path, sizeof(path), "/proc/%d/statm", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, buffer, sizeof(buffer) - 1);
        if (n < 0)
                return -errno;
        buffer[n] = '\0';
        if (sscanf(buffer, "%*u %lu", &pages) != 1)
                return -EIO;
        *ret_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
        return 0;
}

int tree_rss(pid_t root, uint64_t *ret_bytes)
{
        _cleanup_(tree_list_deinit) TreeList list = TREE_LIST_NULL;
        uint64_t total, bytes;
        int r;

        r = process_rss(root, &total);
        if (r < 0)
                return r == -ENOENT ? -ESRCH : r;
        r = tree_list_all(&list, root);
        if (r < 0)
                return r;
        for (size_t i = 1; i < list.n_pids; i++) {
                r = process_rss(list.pids[i], &bytes);
                if (r >= 0)
                        total += bytes;
                else if (!is_gone(r))
                        return r;
        }
        *ret_bytes = total;
        return 0;
}

/* Looks for "name=value" between NULs. 1 if value was copied. */
static int find_variable(const char *data, size_t size, const char *name, char *ret_value,
                         size_t value_size)
{
        size_t name_size = strlen(name), length;

        for (const char *p = data, *end = data + size; p < end; p += length + 1) {
                length = strnlen(p, (size_t)(end - p));
                if (length <= name_size || p[name_size] != '=' || memcmp(p, name, name_size) != 0)
                        continue;
                if (length - name_size > value_size || p + length == end)
                        return 0;
                memcpy(ret_value, p + name_size + 1, length - name_size);
                return 1;
        }
        return 0;
}

int tree_read_variable(pid_t pid, const char *name, char *ret_value, size_t size)
{
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *data = NULL;
        char path[PROC_PATH_MAX];
        size_t used = 0, capacity = 0;
        ssize_t n;

        (void)snprintf(path, sizeof(path), "/proc/%d/environ", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        do {
                if (used == capacity) {
                        char *larger = realloc(data, capacity + READ_SIZE * 4);

                        if (!larger)
                                return -ENOMEM;
                        data = larger;
                        capacity += READ_SIZE * 4;
                }
                n = read(fd, data + used, capacity - used);
                if (n < 0)
                        return -errno;
                used += (size_t)n;
        } while (n > 0 && used < ENVIRONMENT_MAX);
        return used == 0 ? -ENODATA : find_variable(data, used, name, ret_value, size);
}
