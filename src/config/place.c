/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "build-config.h"
#include "config/place.h"

static int in_folder(const char *folder, size_t size, const char *name, char **ret)
{
        char *path;

        if (asprintf(&path, "%.*s%s", (int)size, folder, name) < 0)
                return -ENOMEM;
        *ret = path;
        return 0;
}

/* An absolute path, the first of a list as systemd has it; NULL if it is not set. */
static const char *folder_from_environment(const char *name)
{
        const char *folder = getenv(name);
        return folder && folder[0] == '/' ? folder : NULL;
}

int place_socket(char **ret)
{
        const char *folder = folder_from_environment("RUNTIME_DIRECTORY");

        if (folder)
                return in_folder(folder, strcspn(folder, ":"), "/control", ret);
        if (geteuid() == 0)
                return in_folder(YARDMASTER_SOCKET, strlen(YARDMASTER_SOCKET), "", ret);
        folder = folder_from_environment("XDG_RUNTIME_DIR");
        if (!folder)
                return -ENXIO;
        return in_folder(folder, strlen(folder), "/yardmaster/control", ret);
}

int place_state_dir(char **ret)
{
        const char *folder = folder_from_environment("STATE_DIRECTORY");

        if (folder)
                return in_folder(folder, strcspn(folder, ":"), "", ret);
        if (geteuid() == 0)
                return in_folder(YARDMASTER_STATE_DIR, strlen(YARDMASTER_STATE_DIR), "", ret);
        folder = folder_from_environment("XDG_STATE_HOME");
        if (folder)
                return in_folder(folder, strlen(folder), "/yardmaster", ret);
        folder = folder_from_environment("HOME");
        if (!folder)
                return -ENXIO;
        return in_folder(folder, strlen(folder), "/.local/state/yardmaster", ret);
}
