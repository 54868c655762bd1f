/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include "base/strv.h"
#include "config/object.h"
#include "config/value.h"

int object_set_defaults(SchemaScope scope, void *object)
{
        size_t n;
        const SchemaRow *rows = schema_rows(scope, &n);

        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *message = NULL;

                if (!rows[i].fallback)
                        continue;
                int r = value_set_text(&rows[i], object, rows[i].fallback, &message);
                assert(r <= 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

int object_copy(SchemaScope scope, const void *from, void *to)
{
        size_t n;
        const SchemaRow *rows = schema_rows(scope, &n);

        for (size_t i = 0; i < n; i++) {
                int r = value_copy(&rows[i], from, to);
                if (r < 0)
                        return r;
        }
        return 0;
}

void object_clear(SchemaScope scope, void *object)
{
        size_t n;
        const SchemaRow *rows = schema_rows(scope, &n);

        for (size_t i = 0; i < n; i++)
                value_clear(&rows[i], object);
}

static int pool_alloc(const char *name, ConfigPool **ret)
{
        _cleanup_(config_pool_unrefp) ConfigPool *pool = calloc(1, sizeof(*pool));

        if (!pool)
                return -ENOMEM;
        pool->n_ref = 1;
        pool->name = strdup(name);
        if (!pool->name)
                return -ENOMEM;
        *ret = TAKE_PTR(pool);
        return 0;
}

int config_pool_make(const char *name, ConfigPool **ret)
{
        _cleanup_(config_pool_unrefp) ConfigPool *pool = NULL;

        int r = pool_alloc(name, &pool);
        if (r < 0)
                return r;
        r = object_set_defaults(SCHEMA_POOL, pool);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(pool);
        return 0;
}

int pool_copy(const ConfigPool *pool, const char *name, ConfigPool **ret)
{
        _cleanup_(config_pool_unrefp) ConfigPool *copy = NULL;

        int r = pool_alloc(name ?: pool->name, &copy);
        if (r < 0)
                return r;
        r = object_copy(SCHEMA_POOL, pool, copy);
        if (r < 0)
                return r;
        if (pool->environment) {
                r = strv_copy(&copy->environment, pool->environment);
                if (r < 0)
                        return r;
        }
        if (pool->origins) {
                r = config_origins_copy(pool->origins, &copy->origins);
                if (r < 0)
                        return r;
        }
        if (pool->file) {
                copy->file = strdup(pool->file);
                if (!copy->file)
                        return -ENOMEM;
        }
        copy->line = pool->line;
        copy->source_type = pool->source_type;
        *ret = TAKE_PTR(copy);
        return 0;
}

int source_new(const char *name, ConfigSource **ret)
{
        _cleanup_(config_source_freep) ConfigSource *source = calloc(1, sizeof(*source));

        if (!source)
                return -ENOMEM;
        source->name = strdup(name);
        if (!source->name)
                return -ENOMEM;
        int r = object_set_defaults(SCHEMA_SOURCE, source);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(source);
        return 0;
}

int source_copy(const ConfigSource *source, ConfigSource **ret)
{
        _cleanup_(config_source_freep) ConfigSource *copy = NULL;

        int r = source_new(source->name, &copy);
        if (r < 0)
                return r;
        r = object_copy(SCHEMA_SOURCE, source, copy);
        if (r < 0)
                return r;
        /* One that was not loaded has neither. */
        if (source->origins) {
                r = config_origins_copy(source->origins, &copy->origins);
                if (r < 0)
                        return r;
        }
        copy->line = source->line;
        if (source->file) {
                copy->file = strdup(source->file);
                if (!copy->file)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(copy);
        return 0;
}

ConfigSource *config_source_free(ConfigSource *source)
{
        if (!source)
                return NULL;
        if (source->conductor.auth.secret)
                explicit_bzero(source->conductor.auth.secret,
                               strlen(source->conductor.auth.secret));
        object_clear(SCHEMA_SOURCE, source);
        free(source->name);
        free(source->file);
        (void)config_origins_free(source->origins);
        free(source);
        return NULL;
}

ConfigOrigin object_origin(SchemaScope scope, const ConfigOrigins *origins, const char *key)
{
        const SchemaRow *row = schema_find(scope, key);
        size_t n;

        if (!origins || !row)
                return (ConfigOrigin){ .kind = ORIGIN_DEFAULT };
        return origins->at[row - schema_rows(scope, &n)];
}
