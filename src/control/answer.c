/* SPDX-License-Identifier: Apache-2.0 */

#include "control/answer.h"

#include "base/strv.h"
#include "config/suggest.h"

const char **pool_names(const Manager *manager)
{
        size_t n = manager_n_pools(manager);
        const char **names = calloc(n + 1, sizeof(char *));

        for (size_t i = 0; names && i < n; i++)
                names[i] = pool_name(manager_pool(manager, i));
        return names;
}

const char **type_names(const Manager *manager)
{
        size_t n = 0, at = 0;
        const char **names;

        for (size_t i = 0; i < manager_n_pools(manager); i++)
                n += strv_length(pool_config(manager_pool(manager, i))->task_type);
        names = calloc(n + 1, sizeof(char *));
        for (size_t i = 0; names && i < manager_n_pools(manager); i++)
                STRV_FOREACH (type, pool_config(manager_pool(manager, i))->task_type)
                        names[at++] = *type;
        return names;
}

int find_pool(ControlCall *call, const Manager *manager, const char *name, Pool **ret)
{
        Pool *pool = manager_find_pool(manager, name);
        _cleanup_free_ const char **names = NULL;
        int r;

        if (pool) {
                *ret = pool;
                return 0;
        }
        names = pool_names(manager);
        if (!names)
                return -ENOMEM;
        r = control_call_error_strings(call, "NoSuchPool", "pool", name, "suggestion",
                                       suggest_word(names, name), NULL);
        return r < 0 ? r : 1;
}

int find_source(ControlCall *call, const Manager *manager, const char *name, Source **ret)
{
        Source *source = manager_find_source(manager, name);
        int r;

        if (source) {
                *ret = source;
                return 0;
        }
        r = control_call_error_strings(call, "NoSuchSource", "source", name, NULL);
        return r < 0 ? r : 1;
}

int find_queue(ControlCall *call, const Manager *manager, const char *name, Source **ret)
{
        Source *source;
        int r = find_source(call, manager, name, &source);

        if (r != 0)
                return r;
        if (source_type(source) == SOURCE_QUEUE) {
                *ret = source;
                return 0;
        }
        r = control_call_refused(call,
                                 "source %s is a Conductor server, which keeps its tasks itself: "
                                 "use its own interface",
                                 name);
        return r < 0 ? r : 1;
}

Source *next_queue(const Manager *manager, size_t *at)
{
        for (; *at < manager_n_sources(manager); (*at)++) {
                Source *source = manager_source(manager, *at);

                if (source_type(source) == SOURCE_QUEUE)
                        return source;
        }
        return NULL;
}

int reply_object(ControlCall *call, Object *object)
{
        json_object *json = object_take(object);

        return json ? control_call_reply(call, json) : -ENOMEM;
}

int reply_single(ControlCall *call, const char *key, json_object *value)
{
        OBJECT_CLEANUP Object object = object_new();

        object_add(&object, key, value);
        return reply_object(call, &object);
}

int find_pool_parameter(ControlCall *call, const Manager *manager, Pool **ret)
{
        struct {
                const char *pool;
        } parameters = { 0 };
        static const ParamField fields[] = { { "pool", PARAM_STRING, true, 0 } };
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &parameters);
        return r != 0 ? r : find_pool(call, manager, parameters.pool, ret);
}
