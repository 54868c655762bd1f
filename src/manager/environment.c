/* SPDX-License-Identifier: Apache-2.0 */

#include "manager/environment.h"

#include "base/strv.h"

/* Each would make a worker speak to the wrong peer, or claim what is the daemon's. A pool on a
 * Conductor server gets what belongs to that server with its own environment. */
static const char *const hidden[] = {
        "CONDUCTOR_AUTH_KEY",
        "CONDUCTOR_AUTH_SECRET",
        "CONDUCTOR_MAX_HTTP2_CONNECTIONS",
        "CONDUCTOR_REFRESH_TOKEN_INTERVAL",
        "CONDUCTOR_SERVER_URL",
        "CREDENTIALS_DIRECTORY",
        "FDSTORE",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "MAINPID",
        "MANAGERPID",
        "MEMORY_PRESSURE_WATCH",
        "MEMORY_PRESSURE_WRITE",
        "NOTIFY_SOCKET",
        "SYSTEMD_EXEC_PID",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "YARDMASTER_WORKER",
};

static bool is_hidden(const char *assignment)
{
        size_t length = strcspn(assignment, "=");

        for (size_t i = 0; i < ELEMENTSOF(hidden); i++)
                if (strlen(hidden[i]) == length && strncmp(hidden[i], assignment, length) == 0)
                        return true;
        return false;
}

int environment_for_workers(char *const *environment, char ***ret)
{
        _cleanup_(strv_freep) char **result = calloc(1, sizeof(char *));
        int r;

        if (!result)
                return -ENOMEM;
        STRV_FOREACH (assignment, environment) {
                if (is_hidden(*assignment))
                        continue;
                r = strv_append(&result, *assignment);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(result);
        return 0;
}
