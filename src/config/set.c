/* SPDX-License-Identifier: Apache-2.0 */

#include "base/strv.h"
#include "config/check.h"
#include "config/object.h"
#include "config/suggest.h"
#include "config/value.h"

static int refuse_key(const char *key, char **ret_message)
{
        char near[128];

        if (schema_is_group(SCHEMA_POOL, key))
                return value_refuse(ret_message, "%s: a group, name a key in it as %s.KEY", key,
                                    key);
        if (suggest_key(SCHEMA_POOL, key, near, sizeof(near)))
                return value_refuse(ret_message, "%s: unknown key, did you mean '%s'?", key, near);
        return value_refuse(ret_message, "%s: unknown key", key);
}

static int prefix_message(const char *key, char **message)
{
        _cleanup_free_ char *what = TAKE_PTR(*message);
        return value_refuse(message, "%s: %s", key, what);
}

static int check_key(const ConfigPool *pool, const SchemaRow *row, char **ret_message)
{
        if (row->change != SCHEMA_LIVE)
                return value_refuse(ret_message,
                                    "%s: cannot change while workers run: change it in the file "
                                    "and reload",
                                    row->key);
        if (row->sources && !(row->sources & 1u << pool->source_type))
                return value_refuse(ret_message, "%s: has no effect for a source of type \"%s\"",
                                    row->key, schema_source_type_to_string(pool->source_type));
        if (row->handlers && !(row->handlers & 1u << pool->handler.mode))
                return value_refuse(ret_message, "%s: has no effect for mode \"%s\"", row->key,
                                    handler_mode_to_string(pool->handler.mode));
        return 0;
}

static void mark_set(ConfigPool *pool, const SchemaRow *row)
{
        size_t n;

        if (pool->origins)
                pool->origins->at[row - schema_rows(SCHEMA_POOL, &n)] =
                        (ConfigOrigin){ .kind = ORIGIN_SET };
}

int config_pool_with(const ConfigPool *pool, const char *key, const char *value, ConfigPool **ret,
                     char **ret_message)
{
        _cleanup_(config_pool_unrefp) ConfigPool *copy = NULL;
        const SchemaRow *row = schema_find(SCHEMA_POOL, key);
        _cleanup_free_ char *message = NULL;
        const char *culprit = key;

        int r = row ? check_key(pool, row, &message) : refuse_key(key, &message);
        if (r == 0)
                r = pool_copy(pool, NULL, &copy);
        if (r < 0)
                return r;
        if (r == 0) {
                r = value_set_text(row, copy, value, &message);
                if (r == 0)
                        r = check_values(copy, &culprit, &message);
                if (r > 0)
                        r = prefix_message(culprit, &message);
        }
        if (r != 0) {
                if (r > 0)
                        *ret_message = TAKE_PTR(message);
                return r < 0 ? r : CONFIG_E_INVALID;
        }
        mark_set(copy, row);
        *ret = TAKE_PTR(copy);
        return 0;
}
