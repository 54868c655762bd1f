#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What /proc tells of process trees: children, memory, tokens. Nothing here is kept; each call
 * looks anew, and processes that vanish meanwhile are no error. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A tree larger than this is looked at in part: what is over is no longer counted. */
#define TREE_PROCESSES_MAX 4096

typedef struct TreeList {
        pid_t *pids;
        size_t n_pids;
        size_t capacity;
} TreeList;

#define TREE_LIST_NULL ((TreeList){})
void tree_list_deinit(TreeList *list);
bool tree_list_contains(const TreeList *list, pid_t pid);

/* Appends the direct children of one thread. 0, -ENOENT (no such thread, or a kernel without
 * CONFIG_PROC_CHILDREN), -ENOMEM, -errno. */
int tree_list_children(TreeList *list, pid_t pid, pid_t tid);
/* Appends root and its descendants, and those orphans of its session that came to us. */
int tree_list_all(TreeList *list, pid_t root);

/* Memory in RAM of root's tree, in bytes; pages that its processes share count once for each. Costs
 * about 20 µs for each process plus 5 µs for each further thread. 0, -ESRCH, -errno. */
int tree_rss(pid_t root, uint64_t *ret_bytes);

/* Reads one variable of a process's environment as it was at its start. 1: found, and it fits in
 * size with its NUL; 0: not; -ENODATA: there is none at all (a kernel thread, a program started
 * with none, and any process for an instant inside exec); -errno (-ESRCH, -EACCES). */
int tree_read_variable(pid_t pid, const char *name, char *ret_value, size_t size);
