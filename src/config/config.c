/* SPDX-License-Identifier: Apache-2.0 */

#include "base/strv.h"
#include "config/object.h"

static const char *name_of(SchemaScope scope, const char *key, int value, int maximum)
{
        return value < 0 || value >= maximum ? NULL : schema_find(scope, key)->names[value];
}

const char *handler_mode_to_string(HandlerMode mode)
{
        return name_of(SCHEMA_POOL, "handler.mode", mode, _HANDLER_MODE_MAX);
}

HandlerMode handler_mode_from_string(const char *s)
{
        const char *const *names = schema_find(SCHEMA_POOL, "handler.mode")->names;

        for (HandlerMode mode = 0; mode < _HANDLER_MODE_MAX; mode++)
                if (streq(names[mode], s))
                        return mode;
        return _HANDLER_MODE_INVALID;
}

Config *config_ref(Config *config)
{
        if (config)
                config->n_ref++;
        return config;
}

Config *config_unref(Config *config)
{
        if (!config || --config->n_ref > 0)
                return NULL;
        for (size_t i = 0; i < config->n_pools; i++)
                (void)config_pool_unref(config->pools[i]);
        for (size_t i = 0; i < config->n_sources; i++)
                (void)config_source_free(config->sources[i]);
        free(config->pools);
        free(config->sources);
        object_clear(SCHEMA_TOP, config);
        (void)config_origins_free(config->origins);
        free(config->path);
        free(config);
        return NULL;
}

ConfigPool *config_pool_ref(ConfigPool *pool)
{
        if (pool)
                pool->n_ref++;
        return pool;
}

ConfigPool *config_pool_unref(ConfigPool *pool)
{
        if (!pool || --pool->n_ref > 0)
                return NULL;
        object_clear(SCHEMA_POOL, pool);
        pool->environment = strv_free(pool->environment);
        (void)config_origins_free(pool->origins);
        free(pool->name);
        free(pool->file);
        free(pool);
        return NULL;
}

static int copy_sources(const Config *config, Config *copy)
{
        copy->sources = calloc(MAX(config->n_sources, (size_t)1), sizeof(*copy->sources));
        if (!copy->sources)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_sources; i++) {
                int r = source_copy(config->sources[i], &copy->sources[i]);
                if (r < 0)
                        return r;
                copy->n_sources++;
        }
        return 0;
}

int config_with_pools(const Config *config, const ConfigPool *const *pools, size_t n_pools,
                      Config **ret)
{
        _cleanup_(config_unrefp) Config *copy = calloc(1, sizeof(*copy));

        if (!copy)
                return -ENOMEM;
        copy->n_ref = 1;
        copy->fileless = config->fileless;
        copy->path = strdup(config->path);
        copy->pools = calloc(MAX(n_pools, (size_t)1), sizeof(*copy->pools));
        if (!copy->path || !copy->pools)
                return -ENOMEM;
        int r = object_copy(SCHEMA_TOP, config, copy);
        if (r < 0)
                return r;
        r = config_origins_copy(config->origins, &copy->origins);
        if (r < 0)
                return r;
        r = copy_sources(config, copy);
        if (r < 0)
                return r;
        for (; copy->n_pools < n_pools; copy->n_pools++)
                copy->pools[copy->n_pools] = config_pool_ref((ConfigPool *)pools[copy->n_pools]);
        *ret = TAKE_PTR(copy);
        return 0;
}

ConfigPool *config_find_pool(const Config *config, const char *name)
{
        for (size_t i = 0; i < config->n_pools; i++)
                if (streq(config->pools[i]->name, name))
                        return config->pools[i];
        return NULL;
}

ConfigSource *config_find_source(const Config *config, const char *name)
{
        for (size_t i = 0; i < config->n_sources; i++)
                if (streq(config->sources[i]->name, name))
                        return config->sources[i];
        return NULL;
}

int config_pool_new_default(const char *name, ConfigPool **ret)
{
        return config_pool_make(name, ret);
}
