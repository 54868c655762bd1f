/* SPDX-License-Identifier: Apache-2.0 */

/* Methods that steer a pool. */

#include <inttypes.h>
#include <stdio.h>
#include "base/parse.h"
#include "base/strv.h"
#include "control/answer.h"

int method_pause_pool(ControlCall *call, void *userdata)
{
        Pool *pool;
        int r;

        r = find_pool_parameter(call, userdata, &pool);
        if (r != 0)
                return MIN(r, 0);
        pool_pause(pool);
        return control_call_reply(call, NULL);
}

int method_resume_pool(ControlCall *call, void *userdata)
{
        Pool *pool;
        int r;

        r = find_pool_parameter(call, userdata, &pool);
        if (r != 0)
                return MIN(r, 0);
        pool_resume(pool);
        return control_call_reply(call, NULL);
}

/* Settings: pool_set's verdict to the caller; 1: it has been answered. */
static int set_or_refuse(ControlCall *call, Pool *pool, char *const *settings)
{
        _cleanup_free_ char *message = NULL;
        int r;

        r = pool_set(pool, settings, &message);
        if (r <= 0)
                return r;
        r = control_call_refused(call, "%s", message);
        return r < 0 ? r : 1;
}

typedef struct ScaleParams {
        const char *pool;
        const char *workers;
} ScaleParams;

/* "4", "+1", "-2" */
static int parse_scale(const char *text, unsigned now, int64_t *ret)
{
        bool relative = text[0] == '+' || text[0] == '-';
        uint64_t n;
        int r;

        r = parse_uint64(text + relative, &n);
        if (r < 0)
                return r;
        if (n > UINT32_MAX)
                return -ERANGE;
        *ret = !relative ? (int64_t)n : text[0] == '+' ? now + (int64_t)n : now - (int64_t)n;
        return 0;
}

int method_scale(ControlCall *call, void *userdata)
{
        static const ParamField fields[] = {
                { "pool", PARAM_STRING, true, offsetof(ScaleParams, pool) },
                { "workers", PARAM_STRING, true, offsetof(ScaleParams, workers) },
        };
        char setting[64];
        ScaleParams params = { 0 };
        int64_t wanted;
        Pool *pool;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r == 0)
                r = find_pool(call, userdata, params.pool, &pool);
        if (r != 0)
                return MIN(r, 0);
        if (parse_scale(params.workers, pool_config(pool)->workers, &wanted) < 0)
                return control_call_invalid_parameter(call, "workers");
        if (wanted < 0)
                return control_call_refused(call, "pool %s has only %u worker%s", pool_name(pool),
                                            pool_config(pool)->workers,
                                            PLURAL(pool_config(pool)->workers));
        (void)snprintf(setting, sizeof(setting), "workers=%" PRId64, wanted);
        r = set_or_refuse(call, pool, (char *const[]){ setting, NULL });
        if (r != 0)
                return MIN(r, 0);
        return reply_single(call, "wantedWorkers", json_object_new_int64(wanted));
}

typedef struct SetPoolParams {
        const char *pool;
        Slice settings;
} SetPoolParams;

/* {"key": "value", …} → "key=value", … ; -EINVAL: a value is no string. */
static int collect_settings(Slice object, char ***settings)
{
        Slice key, value;

        JSON_FOREACH_MEMBER (key, value, object) {
                _cleanup_free_ char *text = NULL, *setting = NULL;
                int r;

                r = json_decode_string(value, &text);
                if (r < 0)
                        return r;
                if (asprintf(&setting, "%.*s=%s", (int)key.size, key.data, text) < 0)
                        return -ENOMEM;
                r = strv_append(settings, setting);
                if (r < 0)
                        return r;
        }
        return 0;
}

int method_set_pool(ControlCall *call, void *userdata)
{
        static const ParamField fields[] = {
                { "pool", PARAM_STRING, true, offsetof(SetPoolParams, pool) },
                { "settings", PARAM_OBJECT, true, offsetof(SetPoolParams, settings) },
        };
        _cleanup_(strv_freep) char **settings = NULL;
        SetPoolParams params = { 0 };
        Pool *pool;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r == 0)
                r = find_pool(call, userdata, params.pool, &pool);
        if (r != 0)
                return MIN(r, 0);
        r = collect_settings(params.settings, &settings);
        if (r == -EINVAL)
                return control_call_invalid_parameter(call, "settings");
        if (r < 0)
                return r;
        r = set_or_refuse(call, pool, settings);
        return r != 0 ? MIN(r, 0) : control_call_reply(call, NULL);
}

/* Restart: answered at once, or with "more" as the workers are replaced. */

typedef struct RestartPoolParams {
        const char *pool;
        bool rolling;
} RestartPoolParams;

typedef struct RestartCall {
        EventListener listener;
        ControlCall *call;
        Manager *manager;
        unsigned n_wanted;
        char pool[];
} RestartCall;

static json_object *describe_restart(unsigned n_wanted, unsigned n_left)
{
        OBJECT_CLEANUP Object object = object_new();

        object_add_int(&object, "replaced", (int64_t)n_wanted - n_left);
        object_add_int(&object, "remaining", n_left);
        return object_take(&object);
}

static void restart_call_free(RestartCall *restart)
{
        event_hub_remove(manager_event_hub(restart->manager), &restart->listener);
        free(restart);
}

static void on_restart_gone(ControlCall *call, void *userdata)
{
        restart_call_free(userdata);
}

/* A worker is ready, or the pool may be gone. */
static void on_restart_event(EventListener *listener, const Event *event)
{
        RestartCall *restart = container_of(listener, RestartCall, listener);
        const Pool *pool = manager_find_pool(restart->manager, restart->pool);
        unsigned n_left = pool ? pool_n_to_replace(pool) : 0;
        ControlCall *call = restart->call;

        if (event->pool && !streq(event->pool, restart->pool))
                return;
        n_left = MIN(n_left, restart->n_wanted);
        if (n_left > 0) {
                (void)control_call_continue(call, describe_restart(restart->n_wanted, n_left));
                return;
        }
        (void)control_call_reply(call, describe_restart(restart->n_wanted, 0));
        restart_call_free(restart);
}

static int follow_restart(ControlCall *call, Manager *manager, const Pool *pool, unsigned n_wanted)
{
        static const ControlCallbacks callbacks = { .on_gone = on_restart_gone };
        size_t size = strlen(pool_name(pool)) + 1;
        RestartCall *restart = calloc(1, sizeof(RestartCall) + size);

        if (!restart)
                return -ENOMEM;
        memcpy(restart->pool, pool_name(pool), size);
        restart->call = call;
        restart->manager = manager;
        restart->n_wanted = n_wanted;
        restart->listener.callback = on_restart_event;
        restart->listener.types =
                1u << EVENT_WORKER_STARTED | 1u << EVENT_CONFIG_RELOADED | 1u << EVENT_DRAIN_BEGUN;
        event_hub_add(manager_event_hub(manager), &restart->listener);
        control_call_keep(call, &callbacks, restart);
        return 0;
}

int method_restart_pool(ControlCall *call, void *userdata)
{
        static const ParamField fields[] = {
                { "pool", PARAM_STRING, true, offsetof(RestartPoolParams, pool) },
                { "rolling", PARAM_BOOLEAN, false, offsetof(RestartPoolParams, rolling) },
        };
        RestartPoolParams params = { 0 };
        unsigned n;
        Pool *pool;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r == 0)
                r = find_pool(call, userdata, params.pool, &pool);
        if (r != 0)
                return MIN(r, 0);
        pool_restart(pool, params.rolling);
        n = pool_n_to_replace(pool);
        if (n == 0 || !control_call_wants_more(call))
                return control_call_reply(call, describe_restart(n, n));
        return follow_restart(call, userdata, pool, n);
}
