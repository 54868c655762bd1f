/* SPDX-License-Identifier: Apache-2.0 */

/* Methods that look at the daemon: all answered at once, from memory. */

#include "base/log.h"
#include "base/strv.h"
#include "control/answer.h"
#include "control/describe.h"
#include "control/health.h"
#include "control/metrics.h"

int method_get_status(ControlCall *call, void *userdata)
{
        json_object *status = describe_status(userdata);

        return status ? control_call_reply(call, status) : -ENOMEM;
}

int method_list_pools(ControlCall *call, void *userdata)
{
        return reply_single(call, "pools", describe_pools(userdata));
}

int method_list_sources(ControlCall *call, void *userdata)
{
        return reply_single(call, "sources", describe_sources(userdata));
}

typedef struct ListWorkersParams {
        const char *pool;
        const char *name;
} ListWorkersParams;

static bool is_retiring(const Manager *manager, const char *name)
{
        for (size_t i = 0; i < manager_n_retiring(manager); i++)
                if (streq(pool_name(manager_retiring(manager, i)), name))
                        return true;
        return false;
}

int method_list_workers(ControlCall *call, void *userdata)
{
        static const ParamField fields[] = {
                { "pool", PARAM_STRING, false, offsetof(ListWorkersParams, pool) },
                { "name", PARAM_STRING, false, offsetof(ListWorkersParams, name) },
        };
        ListWorkersParams params = { 0 };
        json_object *workers;
        Pool *pool;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return MIN(r, 0);
        if (params.pool && !is_retiring(userdata, params.pool)) {
                r = find_pool(call, userdata, params.pool, &pool);
                if (r != 0)
                        return MIN(r, 0);
        }
        workers = describe_workers(userdata, params.pool, params.name);
        if (workers && params.name && json_object_array_length(workers) == 0) {
                json_object_put(workers);
                return control_call_error_strings(call, "NoSuchWorker", "worker", params.name,
                                                  NULL);
        }
        return reply_single(call, "workers", workers);
}

int method_get_metrics(ControlCall *call, void *userdata)
{
        _cleanup_(buffer_deinit) Buffer text = BUFFER_NULL(WIRE_MESSAGE_MAX);
        Slice slice;
        int r;

        r = metrics_append(&text, userdata);
        if (r < 0)
                return r;
        slice = buffer_slice(&text);
        return reply_single(call, "text", json_object_new_string_len(slice.data, (int)slice.size));
}

int method_get_health(ControlCall *call, void *userdata)
{
        struct {
                const char *level;
        } params = { .level = "ready" };
        static const ParamField fields[] = { { "level", PARAM_STRING, false, 0 } };
        OBJECT_CLEANUP Object object = object_new();
        json_object *findings;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return MIN(r, 0);
        if (!streq(params.level, "ready") && !streq(params.level, "live"))
                return control_call_invalid_parameter(call, "level");
        findings = health_findings(userdata, streq(params.level, "ready"));
        if (!findings)
                return -ENOMEM;
        object_add_bool(&object, "healthy", json_object_array_length(findings) == 0);
        object_add(&object, "findings", findings);
        return reply_object(call, &object);
}

int method_get_log_level(ControlCall *call, void *userdata)
{
        return reply_single(call, "level",
                            json_object_new_string(log_level_to_string(log_level())));
}

int method_set_log_level(ControlCall *call, void *userdata)
{
        struct {
                const char *level;
        } params = { 0 };
        static const ParamField fields[] = { { "level", PARAM_STRING, true, 0 } };
        int level, r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return MIN(r, 0);
        level = log_level_from_string(params.level);
        if (level < 0)
                return control_call_refused(
                        call, "there is no log level '%s': error, warning, notice, info, debug",
                        params.level);
        log_set_level(level);
        return control_call_reply(call, NULL);
}

/* Names */

static void add_type_name(const TypeStatus *type, void *userdata)
{
        char ***names = userdata;

        if (!strv_contains(*names, type->type))
                (void)strv_append(names, type->type);
}

static int collect_types(const Manager *manager, char ***names)
{
        for (size_t i = 0; i < manager_n_pools(manager); i++)
                STRV_FOREACH (type, pool_config(manager_pool(manager, i))->task_type)
                        if (!strv_contains(*names, *type)) {
                                int r = strv_append(names, *type);

                                if (r < 0)
                                        return r;
                        }
        for (size_t i = 0; i < manager_n_sources(manager); i++)
                source_visit_types(manager_source(manager, i), add_type_name, names);
        return 0;
}

static void add_worker_name(const PoolWorkerStatus *status, void *userdata)
{
        (void)strv_append(userdata, worker_name(status->worker));
}

static int collect_names(const Manager *manager, const char *kind, char ***names)
{
        int r = 0;

        if (streq(kind, "types"))
                return collect_types(manager, names);
        if (streq(kind, "sources"))
                for (size_t i = 0; i < manager_n_sources(manager) && r >= 0; i++)
                        r = strv_append(names, source_name(manager_source(manager, i)));
        else if (streq(kind, "pools"))
                for (size_t i = 0; i < manager_n_pools(manager) && r >= 0; i++)
                        r = strv_append(names, pool_name(manager_pool(manager, i)));
        else if (streq(kind, "workers"))
                for (size_t i = 0; i < manager_n_pools(manager); i++)
                        pool_visit_workers(manager_pool(manager, i), add_worker_name, names);
        else
                return -EINVAL;
        return r;
}

int method_list_names(ControlCall *call, void *userdata)
{
        struct {
                const char *kind;
        } params = { 0 };
        static const ParamField fields[] = { { "kind", PARAM_STRING, true, 0 } };
        _cleanup_(strv_freep) char **names = NULL;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return MIN(r, 0);
        r = collect_names(userdata, params.kind, &names);
        if (r == -EINVAL)
                return control_call_invalid_parameter(call, "kind");
        if (r < 0)
                return r;
        return reply_single(call, "names", json_from_strings(names));
}

/* Configuration */

/* As the files have it, but the pools as they are now: scale and set change them until a restart.
 */
static int current_config(const Manager *manager, Config **ret)
{
        const Config *config = manager_config(manager);
        _cleanup_free_ const ConfigPool **pools =
                calloc(MAX(config->n_pools, (size_t)1), sizeof(*pools));

        if (!pools)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_pools; i++) {
                const Pool *pool = manager_find_pool(manager, config->pools[i]->name);
                pools[i] = pool ? pool_config(pool) : config->pools[i];
        }
        return config_with_pools(config, pools, config->n_pools, ret);
}

int method_dump_config(ControlCall *call, void *userdata)
{
        _cleanup_(config_unrefp) Config *config = NULL;
        _cleanup_(buffer_deinit) Buffer text = BUFFER_NULL(WIRE_MESSAGE_MAX / 4);
        _cleanup_(buffer_deinit) Buffer json = BUFFER_NULL(WIRE_MESSAGE_MAX / 2);
        _cleanup_(buffer_deinit) Buffer reply = BUFFER_NULL(WIRE_MESSAGE_MAX);
        int r;

        r = current_config(userdata, &config);
        if (r >= 0)
                r = config_dump_text(config, &text);
        if (r >= 0)
                r = config_dump_json(config, &json);
        if (r >= 0)
                r = buffer_append_string(&reply, "{\"text\":");
        if (r >= 0)
                r = json_append_string(&reply, buffer_slice(&text));
        if (r >= 0)
                r = buffer_append_string(&reply, ",\"settings\":");
        if (r >= 0)
                r = buffer_append_slice(&reply, json_member(buffer_slice(&json), "settings"));
        if (r >= 0)
                r = buffer_append_byte(&reply, '}');
        return r < 0 ? r : control_call_reply_raw(call, buffer_slice(&reply));
}

int method_check_config(ControlCall *call, void *userdata)
{
        _cleanup_(config_unrefp) Config *config = NULL;
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;
        OBJECT_CLEANUP Object object = object_new();
        const Config *present = manager_config(userdata);
        int r = 0;

        /* what stands on a command line was checked when it was taken */
        if (!present->fileless)
                r = config_load(present->path, &config, &diagnostics);
        if (r < 0)
                return r;
        object_add_bool(&object, "valid", r == 0);
        object_add_strings(&object, "diagnostics", diagnostics ? diagnostics->lines : NULL);
        return reply_object(call, &object);
}
