/* SPDX-License-Identifier: Apache-2.0 */

#include "config/diff.h"
#include "config/value.h"

static PoolChange severity(SchemaChange change)
{
        static const PoolChange changes[] = {
                [SCHEMA_LIVE] = POOL_LIVE,
                [SCHEMA_RESTART] = POOL_RESTART,
                [SCHEMA_REPLACE] = POOL_REPLACE,
                [SCHEMA_DAEMON] = POOL_REPLACE,
        };
        return changes[change];
}

static bool same_environment(const ConfigPool *a, const ConfigPool *b)
{
        const SchemaRow row = { .type = SCHEMA_ENVIRONMENT,
                                .offset = offsetof(ConfigPool, environment) };
        return value_equal(&row, a, b);
}

PoolChange config_pool_compare(const ConfigPool *before, const ConfigPool *after)
{
        size_t n;
        const SchemaRow *rows = schema_rows(SCHEMA_POOL, &n);
        PoolChange change = POOL_UNCHANGED;

        for (size_t i = 0; i < n; i++)
                if (!value_equal(&rows[i], before, after))
                        change = MAX(change, severity(rows[i].change));
        /* What the environment file says may differ though no key does. */
        if (!same_environment(before, after))
                change = MAX(change, POOL_RESTART);
        return change;
}

static const char *first_difference(SchemaScope scope, SchemaChange change, const void *before,
                                    const void *after)
{
        size_t n;
        const SchemaRow *rows = schema_rows(scope, &n);

        for (size_t i = 0; i < n; i++)
                if (rows[i].change == change && !value_equal(&rows[i], before, after))
                        return rows[i].key;
        return NULL;
}

bool config_source_replaced(const ConfigSource *before, const ConfigSource *after)
{
        return first_difference(SCHEMA_SOURCE, SCHEMA_REPLACE, before, after);
}

const char *config_unreloadable(const Config *before, const Config *after)
{
        const char *key = first_difference(SCHEMA_TOP, SCHEMA_DAEMON, before, after);

        for (size_t i = 0; i < before->n_sources && !key; i++) {
                const ConfigSource *source = before->sources[i];
                const ConfigSource *other = config_find_source(after, source->name);

                if (other)
                        key = first_difference(SCHEMA_SOURCE, SCHEMA_DAEMON, source, other);
        }
        return key;
}
