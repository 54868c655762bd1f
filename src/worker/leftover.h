#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Processes that outlived their worker, told by the token in their environment. A program that
 * clears its environment is beyond reach here: only a cgroup would hold it. */

#include <stdbool.h>
#include <sys/types.h>

/* The variable that holds a worker's token: "instance/pool/n/k". */
#define LEFTOVER_TOKEN_NAME "YARDMASTER_WORKER"

/* Longest token that is looked at, with its NUL; longer ones belong to nobody. */
#define LEFTOVER_TOKEN_SIZE 512

typedef bool (*leftover_is_alive_t)(const char *token, void *userdata);

/* Whether pid carries a token of this instance that is not alive: 1, and *ret_token is it; 0; or
 * -ENODATA while it has no environment to look at (see tree_read_variable). */
int leftover_check(pid_t pid, const char *instance, leftover_is_alive_t is_alive, void *userdata,
                   char ret_token[LEFTOVER_TOKEN_SIZE]);

/* Kills all such processes on this machine, and waits up to a second for them to be gone. Blocks;
 * for the start. Returns how many were killed, or -errno. */
int leftover_kill_all(const char *instance, leftover_is_alive_t is_alive, void *userdata);
