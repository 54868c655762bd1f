/* SPDX-License-Identifier: Apache-2.0 */

#include "control/describe-cgroup.h"

#include "control/object.h"

/* Without cgroups, or the controller, nobody holds them: RLIMIT_NPROC counts all of the user's
 * processes, so it is not used. */
json_object *describe_unenforced(const ConfigPool *config, unsigned controllers)
{
        const struct {
                const char *name;
                unsigned controller;
                bool set;
        } limits[] = {
                { "processes", CGROUP_PIDS, config->limits.processes > 0 },
                { "memory_high", CGROUP_MEMORY, config->limits.memory_high > 0 },
                { "swap", CGROUP_MEMORY, config->limits.swap != UINT64_MAX },
                { "cpu_quota", CGROUP_CPU, config->limits.cpu_quota > 0 },
                { "cpu_weight", CGROUP_CPU, config->limits.cpu_weight > 0 },
        };
        json_object *array = json_object_new_array();

        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                if (limits[i].set && !(controllers & limits[i].controller))
                        array_add(&array, json_object_new_string(limits[i].name));
        }
        return array;
}

json_object *describe_cgroup(const char *path)
{
        OBJECT_CLEANUP Object object = object_new();
        CgroupFigures figures;

        cgroup_read_figures(path, &figures);
        const struct {
                const char *name;
                uint64_t value;
        } rows[] = {
                { "memoryBytes", figures.memory_bytes },
                { "memoryPeakBytes", figures.memory_peak_bytes },
                { "swapBytes", figures.swap_bytes },
                { "cpuUsec", figures.cpu_usec },
                { "throttledUsec", figures.throttled_usec },
                { "processes", figures.n_processes },
                { "oomKills", figures.n_oom_kills },
                { "forksRefused", figures.n_forks_refused },
        };

        object_add_string(&object, "path", path);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (rows[i].value != CGROUP_MAX)
                        object_add_uint(&object, rows[i].name, rows[i].value);
        }
        return object_take(&object);
}

void describe_pool_cgroup(Object *object, const Cgroups *cgroups, const char *pool)
{
        char path[CGROUP_PATH_SIZE];

        if (cgroups_controllers(cgroups) != 0 && cgroups_pool_path(cgroups, pool, path) >= 0 &&
            access(path, F_OK) >= 0)
                object_add(object, "cgroup", describe_cgroup(path));
}

static json_object *describe_controllers(unsigned controllers)
{
        json_object *array = json_object_new_array();

        for (unsigned bit = 1; bit <= CGROUP_ALL; bit <<= 1) {
                if (controllers & bit)
                        array_add(&array, json_object_new_string(cgroup_controller_to_string(bit)));
        }
        return array;
}

json_object *describe_cgroups(const Cgroups *cgroups)
{
        OBJECT_CLEANUP Object object = object_new();
        unsigned controllers = cgroups_controllers(cgroups);
        int error;
        CgroupObstacle obstacle = cgroups_obstacle(cgroups, &error);

        object_add_bool(&object, "used", controllers != 0);
        object_add(&object, "controllers", describe_controllers(controllers));
        if (controllers != 0) {
                object_add_string(&object, "path", cgroups_path(cgroups));
                return object_take(&object);
        }
        object_add_string(&object, "reason", cgroup_obstacle_to_string(obstacle));
        object_add_string(&object, "remedy", cgroup_obstacle_remedy(obstacle));
        object_add_string(&object, "error", error < 0 ? strerror(-error) : NULL);
        return object_take(&object);
}
