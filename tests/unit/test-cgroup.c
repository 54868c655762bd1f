/* SPDX-License-Identifier: Apache-2.0 */

/* Files as the kernel shows them, in a folder. What a kernel makes of them is tested live. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/cgroup.h"
#include "unit.h"

static char group[64];

static void put(const char *attribute, const char *text)
{
        char path[128];
        FILE *file;

        (void)snprintf(path, sizeof(path), "%s/%s", group, attribute);
        file = fopen(path, "we");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

static void setup(void)
{
        (void)strcpy(group, "/tmp/test-cgroup-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(group));
}

static void teardown(void)
{
        char command[128];

        (void)snprintf(command, sizeof(command), "rm -r %s", group);
        ck_assert_int_eq(system(command), 0);
}

static void assert_name(const char *name, const char *expected)
{
        char escaped[CGROUP_NAME_SIZE];

        ck_assert_int_eq(cgroup_escape(name, escaped), 0);
        ck_assert_str_eq(escaped, expected);
}

START_TEST(test_escape)
{
        char name[400], escaped[CGROUP_NAME_SIZE];

        assert_name("thumbnail", "thumbnail");
        assert_name("a-b_c", "a-b_c");
        assert_name("supervisor", "_supervisor");
        assert_name("_supervisor", "__supervisor");
        assert_name("memory.max", "_memory.max");
        assert_name("tasks", "_tasks");
        assert_name(".control", "_.control");
        assert_name("image/resize", "image_resize");
        (void)memset(name, 'x', sizeof(name));
        name[255] = '\0';
        assert_name(name, name);
        name[255] = 'x';
        name[256] = '\0';
        ck_assert_int_eq(cgroup_escape(name, escaped), -ENAMETOOLONG);
}
END_TEST

START_TEST(test_numbers)
{
        uint64_t value = 7;

        setup();
        put("memory.current", "123456\n");
        put("memory.max", "max\n");
        put("memory.peak", "many\n");
        ck_assert_int_eq(cgroup_read_uint(group, "memory.current", &value), 0);
        ck_assert_uint_eq(value, 123456);
        ck_assert_int_eq(cgroup_read_uint(group, "memory.max", &value), 0);
        ck_assert_uint_eq(value, CGROUP_MAX);
        ck_assert_int_eq(cgroup_read_uint(group, "memory.peak", &value), -EINVAL);
        ck_assert_int_eq(cgroup_read_uint(group, "memory.none", &value), -ENOENT);
        ck_assert_uint_eq(value, CGROUP_MAX);
        teardown();
}
END_TEST

START_TEST(test_keys)
{
        uint64_t value = 7;

        setup();
        put("memory.events", "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n");
        ck_assert_int_eq(cgroup_read_key(group, "memory.events", "oom", &value), 0);
        ck_assert_uint_eq(value, 4);
        ck_assert_int_eq(cgroup_read_key(group, "memory.events", "oom_group_kill", &value), 0);
        ck_assert_uint_eq(value, 6);
        ck_assert_int_eq(cgroup_read_key(group, "memory.events", "oo", &value), -ENOENT);
        put("cgroup.events", "populated 1\nfrozen 0\n");
        ck_assert_int_eq(cgroup_is_populated(group), 1);
        put("cgroup.events", "populated 0\nfrozen 0\n");
        ck_assert_int_eq(cgroup_is_populated(group), 0);
        teardown();
        ck_assert_int_eq(cgroup_is_populated(group), -ENOENT);
}
END_TEST

START_TEST(test_write)
{
        uint64_t value;

        setup();
        ck_assert_int_eq(cgroup_write_uint(group, "pids.max", 20), -ENOENT); /* makes no files */
        put("pids.max", "");
        ck_assert_int_eq(cgroup_write_uint(group, "pids.max", 20), 0);
        ck_assert_int_eq(cgroup_read_uint(group, "pids.max", &value), 0);
        ck_assert_uint_eq(value, 20);
        ck_assert_int_eq(cgroup_write_uint(group, "pids.max", CGROUP_MAX), 0);
        ck_assert_int_eq(cgroup_read_uint(group, "pids.max", &value), 0);
        ck_assert_uint_eq(value, CGROUP_MAX);
        teardown();
}
END_TEST

START_TEST(test_pids)
{
        pid_t pids[2] = { 0 };

        setup();
        put("cgroup.procs", "");
        ck_assert_int_eq(cgroup_read_pids(group, pids, ELEMENTSOF(pids)), 0);
        put("cgroup.procs", "12\n345678\n9\n");
        ck_assert_int_eq(cgroup_read_pids(group, pids, ELEMENTSOF(pids)), 3);
        ck_assert_int_eq(pids[0], 12);
        ck_assert_int_eq(pids[1], 345678);
        teardown();
}
END_TEST

START_TEST(test_figures)
{
        CgroupFigures figures;

        setup();
        put("memory.current", "4096\n");
        put("cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nthrottled_usec 0\n");
        put("pids.events", "max 3\n");
        cgroup_read_figures(group, &figures);
        ck_assert_uint_eq(figures.memory_bytes, 4096);
        ck_assert_uint_eq(figures.memory_peak_bytes, CGROUP_MAX); /* a kernel before 5.19 */
        ck_assert_uint_eq(figures.cpu_usec, 1500);
        ck_assert_uint_eq(figures.throttled_usec, 0);
        ck_assert_uint_eq(figures.n_forks_refused, 3);
        teardown();
}
END_TEST

/* All but what is the supervisor's and systemd's. */
START_TEST(test_leftovers)
{
        static const char *const kept[] = { "supervisor", ".control" };
        static const char *const gone[] = { "work", "work/1", "work/2.2", "old" };
        char path[128];

        setup();
        for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", group, kept[i]);
                ck_assert_int_eq(mkdir(path, 0755), 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(gone); i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", group, gone[i]);
                ck_assert_int_eq(mkdir(path, 0755), 0);
        }
        ck_assert_int_eq(cgroup_remove_leftovers(group), (int)ELEMENTSOF(gone));
        for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", group, kept[i]);
                ck_assert_int_eq(access(path, F_OK), 0);
        }
        ck_assert_int_eq(cgroup_remove_leftovers(group), 0);
        teardown();
}
END_TEST

/* With what a worker has made in it, whatever it is called. */
START_TEST(test_remove)
{
        static const char *const groups[] = { "1", "1/app", "1/app/.hidden", "1/supervisor" };
        char path[128];

        setup();
        for (size_t i = 0; i < ELEMENTSOF(groups); i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", group, groups[i]);
                ck_assert_int_eq(mkdir(path, 0755), 0);
        }
        (void)snprintf(path, sizeof(path), "%s/1", group);
        ck_assert_int_eq(cgroup_remove(path), 0);
        ck_assert_int_lt(access(path, F_OK), 0);
        ck_assert_int_eq(cgroup_remove(path), 0);
        ck_assert_int_eq(mkdir(path, 0755), 0);
        put("1/cgroup.procs", "as if something lived there");
        ck_assert_int_lt(cgroup_remove(path), 0);
        teardown();
}
END_TEST

START_TEST(test_obstacles)
{
        for (int i = 0; i < _CGROUP_OBSTACLE_MAX; i++)
                ck_assert((i == CGROUP_OBSTACLE_NONE) == !cgroup_obstacle_to_string(i));
        ck_assert_ptr_null(cgroup_obstacle_to_string(_CGROUP_OBSTACLE_MAX));
}
END_TEST

UNIT_MAIN("cgroup", test_escape, test_numbers, test_keys, test_write, test_pids, test_figures,
          test_leftovers, test_remove, test_obstacles);
