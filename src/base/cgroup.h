#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Files of cgroup v2: attributes of one group, and what a process may do with its own. Nothing is
 * kept but what Delegation holds; a group is its path. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Controllers that are used here: bits of a mask. */
typedef enum CgroupController {
        CGROUP_MEMORY = 1 << 0,
        CGROUP_PIDS = 1 << 1,
        CGROUP_CPU = 1 << 2,
        CGROUP_ALL = CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPU,
} CgroupController;

/* "memory", "pids", "cpu"; NULL at the end. */
const char *cgroup_controller_to_string(CgroupController controller);

/* What has no limit, in a file "max". */
#define CGROUP_MAX UINT64_MAX

/* Longest path of a group that is used, with its NUL. */
#define CGROUP_PATH_SIZE 1024

/* Why a daemon has no groups of its own. */
typedef enum CgroupObstacle {
        CGROUP_OBSTACLE_NONE,
        CGROUP_OBSTACLE_VERSION,     /* cgroup v1, or a mixture in which v2 has no controllers */
        CGROUP_OBSTACLE_HIDDEN,      /* its own group is not below what is mounted here */
        CGROUP_OBSTACLE_READ_ONLY,   /* ProtectControlGroups=, a container */
        CGROUP_OBSTACLE_DELEGATION,  /* nobody gave it the group */
        CGROUP_OBSTACLE_CONTROLLERS, /* none of memory, pids, cpu */
        CGROUP_OBSTACLE_SHARED,      /* other processes live in the group */
        CGROUP_OBSTACLE_KERNEL,      /* without cgroup.kill: older than 5.14 */
        CGROUP_OBSTACLE_ERROR,
        _CGROUP_OBSTACLE_MAX,
        _CGROUP_OBSTACLE_INVALID = -1,
} CgroupObstacle;

/* For people, static text: why, and what to do about it (NULL: nothing). */
const char *cgroup_obstacle_to_string(CgroupObstacle obstacle);
const char *cgroup_obstacle_remedy(CgroupObstacle obstacle);

/* Of a process that may make groups below its own. */
typedef struct CgroupDelegation {
        char path[CGROUP_PATH_SIZE]; /* the group that is ours; not its attributes */
        unsigned controllers;        /* enabled for the groups below it */
} CgroupDelegation;

/* The name of the group below its own that a process moves itself to. */
#define CGROUP_SUPERVISOR "supervisor"

/* Moves this process aside, into CGROUP_SUPERVISOR below the group that was delegated to it, and
 * enables the controllers that there are for groups beside it. Once, before it has children. On an
 * obstacle everything is as before; *ret_error is -errno for OBSTACLE_ERROR. */
CgroupObstacle cgroup_take_over(CgroupDelegation *ret, int *ret_error);

/* Kills what lives in the groups below path, but for CGROUP_SUPERVISOR and names that begin with a
 * dot (systemd's), and removes them, waiting for the processes up to a second. Returns how many
 * groups were removed, or -errno. */
int cgroup_remove_leftovers(const char *path);

/* Removes a group in which nothing lives (any more), with those that its processes made below it.
 * 0: it is gone; else -errno: -EBUSY while something lives there. */
int cgroup_remove(const char *path);

/* name as that of a group: one that could be an attribute's or the supervisor's gets an underscore
 * before it, and a slash becomes one. *ret_name must hold CGROUP_NAME_SIZE. -ENAMETOOLONG. */
#define CGROUP_NAME_SIZE 256
int cgroup_escape(const char *name, char *ret_name);

/* 0, -errno */
int cgroup_write(const char *path, const char *attribute, const char *value);
/* "max" for CGROUP_MAX. */
int cgroup_write_uint(const char *path, const char *attribute, uint64_t value);
int cgroup_read_uint(const char *path, const char *attribute, uint64_t *ret);
/* The number behind key in a file with lines "key number". -ENOENT: no such line. */
int cgroup_read_key(const char *path, const char *attribute, const char *key, uint64_t *ret);
/* Up to n pids of processes that live in the group itself; zombies are not among them. Returns how
 * many there are (of more than some hundred: some hundred), or -errno. */
int cgroup_read_pids(const char *path, pid_t *ret_pids, size_t n);

/* SIGKILL to everything in the group and below it, what is being forked included. */
int cgroup_kill(const char *path);
/* Whether a process lives in the group or below it. */
int cgroup_is_populated(const char *path);
/* An fd of an attribute that becomes readable with EPOLLPRI when it changes; reading it waits for
 * the next change. */
int cgroup_open(const char *path, const char *attribute);

/* What the kernel counts, read now; UINT64_MAX: not known. */
typedef struct CgroupFigures {
        uint64_t memory_bytes; /* page cache included */
        uint64_t memory_peak_bytes;
        uint64_t swap_bytes;
        uint64_t cpu_usec;
        uint64_t throttled_usec; /* by cpu_quota */
        uint64_t n_processes;    /* and threads */
        uint64_t n_oom_kills;
        uint64_t n_forks_refused;
} CgroupFigures;
void cgroup_read_figures(const char *path, CgroupFigures *ret);
