#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The environment of a worker process: the daemon's own (borrowed), the pool's (borrowed, wins),
 * and the variables of the handler's contract (owned, win over both: they must be true).
 *
 * Built once for a slot; for each task only the contract's variables are written anew, into memory
 * that is kept. */

#include "config/config.h"
#include "task/task.h"

typedef struct Environment Environment;

typedef enum EnvironmentVariable {
        ENVIRONMENT_WORKER,         /* YARDMASTER_WORKER: the token of a process tree */
        ENVIRONMENT_NOTIFY_SOCKET,  /* NOTIFY_SOCKET */
        ENVIRONMENT_WATCHDOG_USEC,  /* WATCHDOG_USEC; WATCHDOG_PID is never set */
        ENVIRONMENT_HANDLER_CONFIG, /* YARDMASTER_HANDLER_CONFIG: a library's config, as JSON */
        ENVIRONMENT_TASK_TIMEOUT,   /* YARDMASTER_TASK_TIMEOUT_USEC: so that a runner can tell a
                                     * task's deadline; as it was when the process started */
        ENVIRONMENT_TASK_TYPE,      /* the rest: per-task commands */
        ENVIRONMENT_TASK_ID,
        ENVIRONMENT_WORKFLOW_ID,
        ENVIRONMENT_EXECUTION_ID,
        ENVIRONMENT_POLL_DOMAIN,
        _ENVIRONMENT_VARIABLE_MAX,
        _ENVIRONMENT_VARIABLE_INVALID = -EINVAL,
} EnvironmentVariable;

/* inherited and pool must outlive the Environment. */
int environment_new(Environment **ret, char *const *inherited, char *const *pool);
Environment *environment_free(Environment *environment);
DEFINE_CLEANUP(Environment *, environment_free);

/* value NULL: not set. A NUL byte cannot come: ids and decoded JSON strings hold none. */
int environment_set(Environment *environment, EnvironmentVariable variable, const char *value);
/* TASK_TYPE, TASK_ID, WORKFLOW_ID, EXECUTION_ID, and POLL_DOMAIN if the task has a domain. */
int environment_set_task(Environment *environment, const Task *task);

/* What it was set to, or NULL; valid until the next change. */
const char *environment_get(const Environment *environment, EnvironmentVariable variable);
/* As exec takes it; valid until the next change. */
char *const *environment_vector(const Environment *environment);
