/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include "base/cgroup.h"
#include "base/macro.h"
#include "base/parse.h"

/* Largest attribute that is read whole: memory.stat has some 2 KiB. */
#define ATTRIBUTE_SIZE 8192

/* Longest line of cgroup.procs with its newline. */
#define PID_LINE_MAX 12

const char *cgroup_controller_to_string(CgroupController controller)
{
        switch (controller) {
        case CGROUP_MEMORY:
                return "memory";
        case CGROUP_PIDS:
                return "pids";
        case CGROUP_CPU:
                return "cpu";
        default:
                return NULL;
        }
}

/* Names that the kernel, systemd or we ourselves may give to something in a group. Attributes have
 * a dot in them, all but these three of cgroup v1. */
static bool is_taken(const char *name)
{
        return name[0] == '_' || strchr(name, '.') || streq(name, CGROUP_SUPERVISOR) ||
               streq(name, "tasks") || streq(name, "notify_on_release") ||
               streq(name, "release_agent");
}

int cgroup_escape(const char *name, char *ret_name)
{
        int n = snprintf(ret_name, CGROUP_NAME_SIZE, "%s%s", is_taken(name) ? "_" : "", name);

        if (n >= CGROUP_NAME_SIZE)
                return -ENAMETOOLONG;
        for (char *p = ret_name; *p; p++) {
                if (*p == '/')
                        *p = '_';
        }
        return 0;
}

static int open_attribute(const char *path, const char *attribute, int flags)
{
        char full[CGROUP_PATH_SIZE + 32];
        int fd;

        if (snprintf(full, sizeof(full), "%s/%s", path, attribute) >= (int)sizeof(full))
                return -ENAMETOOLONG;
        fd = open(full, flags | O_CLOEXEC | O_NOCTTY);
        return fd < 0 ? -errno : fd;
}

int cgroup_open(const char *path, const char *attribute)
{
        return open_attribute(path, attribute, O_RDONLY);
}

int cgroup_write(const char *path, const char *attribute, const char *value)
{
        _cleanup_close_ int fd = -EBADF;
        size_t size = strlen(value);

        /* From Linux 6.15 on, a limit below what is in use then takes effect by and by, and is not
         * waited for. */
        fd = open_attribute(path, attribute, O_WRONLY | O_NONBLOCK);
        if (fd < 0)
                return fd;
        return write(fd, value, size) == (ssize_t)size ? 0 : -errno;
}

int cgroup_write_uint(const char *path, const char *attribute, uint64_t value)
{
        char text[24];

        (void)snprintf(text, sizeof(text), "%" PRIu64, value);
        return cgroup_write(path, attribute, value == CGROUP_MAX ? "max" : text);
}

/* The attribute, terminated and without its last newline. */
static int read_attribute(const char *path, const char *attribute, char *ret, size_t size)
{
        _cleanup_close_ int fd = -EBADF;
        size_t length = 0;
        ssize_t n;

        fd = open_attribute(path, attribute, O_RDONLY);
        if (fd < 0)
                return fd;
        do {
                n = read(fd, ret + length, size - 1 - length);
                if (n < 0)
                        return -errno;
                length += (size_t)n;
        } while (n > 0 && length < size - 1);
        if (length > 0 && ret[length - 1] == '\n')
                length--;
        ret[length] = '\0';
        return 0;
}

static int parse_value(const char *text, uint64_t *ret)
{
        if (streq(text, "max")) {
                *ret = CGROUP_MAX;
                return 0;
        }
        return parse_uint64(text, ret);
}

int cgroup_read_uint(const char *path, const char *attribute, uint64_t *ret)
{
        char text[32];
        int r;

        r = read_attribute(path, attribute, text, sizeof(text));
        return r < 0 ? r : parse_value(text, ret);
}

/* Of a file's text. */
static int find_key(const char *text, const char *key, uint64_t *ret)
{
        size_t length = strlen(key);
        char number[24];

        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, key, length) != 0 || line[length] != ' ')
                        continue;
                (void)snprintf(number, sizeof(number), "%.*s",
                               (int)MIN(strcspn(line + length + 1, "\n"), sizeof(number) - 1),
                               line + length + 1);
                return parse_value(number, ret);
        }
        return -ENOENT;
}

int cgroup_read_key(const char *path, const char *attribute, const char *key, uint64_t *ret)
{
        char text[ATTRIBUTE_SIZE];
        int r;

        r = read_attribute(path, attribute, text, sizeof(text));
        return r < 0 ? r : find_key(text, key, ret);
}

int cgroup_read_pids(const char *path, pid_t *ret_pids, size_t n)
{
        char text[ATTRIBUTE_SIZE], *rest = text, *line;
        uint64_t pid;
        int count = 0, r;

        r = read_attribute(path, "cgroup.procs", text, sizeof(text) - PID_LINE_MAX);
        if (r < 0)
                return r;
        while ((line = strsep(&rest, "\n"))) {
                if (parse_uint64(line, &pid) < 0)
                        continue;
                if ((size_t)count < n)
                        ret_pids[count] = (pid_t)pid;
                count++;
        }
        return count;
}

int cgroup_kill(const char *path)
{
        return cgroup_write(path, "cgroup.kill", "1");
}

int cgroup_is_populated(const char *path)
{
        uint64_t value;
        int r;

        r = cgroup_read_key(path, "cgroup.events", "populated", &value);
        return r < 0 ? r : value > 0;
}

void cgroup_read_figures(const char *path, CgroupFigures *ret)
{
        const struct {
                const char *attribute; /* NULL: as before */
                const char *key;       /* NULL: it is a number */
                uint64_t *value;
        } rows[] = {
                { "memory.current", NULL, &ret->memory_bytes },
                { "memory.peak", NULL, &ret->memory_peak_bytes },
                { "memory.swap.current", NULL, &ret->swap_bytes },
                { "cpu.stat", "usage_usec", &ret->cpu_usec },
                { NULL, "throttled_usec", &ret->throttled_usec },
                { "pids.current", NULL, &ret->n_processes },
                { "memory.events", "oom_kill", &ret->n_oom_kills },
                { "pids.events", "max", &ret->n_forks_refused },
        };
        char text[ATTRIBUTE_SIZE];
        int read = -ENOENT, r;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (rows[i].attribute)
                        read = read_attribute(path, rows[i].attribute, text, sizeof(text));
                r = read;
                if (r >= 0)
                        r = rows[i].key ? find_key(text, rows[i].key, rows[i].value)
                                        : parse_value(text, rows[i].value);
                if (r < 0)
                        *rows[i].value = CGROUP_MAX;
        }
}
