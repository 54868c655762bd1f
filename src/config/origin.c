/* SPDX-License-Identifier: Apache-2.0 */

#include "config/origin.h"

int config_files_new(ConfigFiles **ret)
{
        ConfigFiles *files = calloc(1, sizeof(*files));
        if (!files)
                return -ENOMEM;
        files->n_ref = 1;
        *ret = files;
        return 0;
}

ConfigFiles *config_files_ref(ConfigFiles *files)
{
        if (files)
                files->n_ref++;
        return files;
}

ConfigFiles *config_files_unref(ConfigFiles *files)
{
        if (!files || --files->n_ref > 0)
                return NULL;
        for (size_t i = 0; i < files->n_paths; i++)
                free(files->paths[i]);
        free(files->paths);
        free(files);
        return NULL;
}

int config_files_add(ConfigFiles *files, const char *path, uint16_t *ret)
{
        for (size_t i = 0; i < files->n_paths; i++)
                if (streq(files->paths[i], path)) {
                        *ret = i;
                        return 0;
                }
        if (files->n_paths >= UINT16_MAX)
                return -ENOBUFS;

        char **paths = reallocarray(files->paths, files->n_paths + 1, sizeof(*paths));
        if (!paths)
                return -ENOMEM;
        files->paths = paths;
        paths[files->n_paths] = strdup(path);
        if (!paths[files->n_paths])
                return -ENOMEM;
        *ret = files->n_paths++;
        return 0;
}

int config_origins_new(ConfigFiles *files, size_t n, ConfigOrigins **ret)
{
        ConfigOrigins *origins = calloc(1, sizeof(*origins) + n * sizeof(origins->at[0]));
        if (!origins)
                return -ENOMEM;
        origins->files = config_files_ref(files);
        origins->n = n;
        *ret = origins;
        return 0;
}

int config_origins_copy(const ConfigOrigins *origins, ConfigOrigins **ret)
{
        ConfigOrigins *copy;
        int r = config_origins_new(origins->files, origins->n, &copy);
        if (r < 0)
                return r;
        memcpy(copy->at, origins->at, origins->n * sizeof(origins->at[0]));
        *ret = copy;
        return 0;
}

ConfigOrigin origins_place(const ConfigOrigins *origins, const char *file, unsigned line)
{
        for (size_t i = 0; i < origins->files->n_paths; i++)
                if (streq(origins->files->paths[i], file))
                        return (ConfigOrigin){ ORIGIN_FILE, i, line };
        return (ConfigOrigin){ ORIGIN_FILE, 0, 0 };
}

ConfigOrigins *config_origins_free(ConfigOrigins *origins)
{
        if (!origins)
                return NULL;
        (void)config_files_unref(origins->files);
        free(origins);
        return NULL;
}
