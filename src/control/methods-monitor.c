/* SPDX-License-Identifier: Apache-2.0 */

/* Monitor: a reply for each event; a client that does not keep up loses some and is told how many.
 */

#include "base/strv.h"
#include "control/answer.h"

typedef struct MonitorCall {
        EventListener listener;
        ControlCall *call;
        Manager *manager;
        char *pool; /* NULL: all */
        uint64_t n_dropped;
} MonitorCall;

static MonitorCall *monitor_call_free(MonitorCall *monitor)
{
        if (!monitor)
                return NULL;
        if (list_is_linked(&monitor->listener.link))
                event_hub_remove(manager_event_hub(monitor->manager), &monitor->listener);
        free(monitor->pool);
        free(monitor);
        return NULL;
}
DEFINE_CLEANUP(MonitorCall *, monitor_call_free);

static void on_monitor_gone(ControlCall *call, void *userdata)
{
        monitor_call_free(userdata);
}

static int tell_dropped(MonitorCall *monitor)
{
        OBJECT_CLEANUP Object object = object_new();
        int r;

        object_add_uint(&object, "dropped", monitor->n_dropped);
        r = control_call_continue(monitor->call, object_take(&object));
        if (r == 0)
                monitor->n_dropped = 0;
        return r;
}

static void on_monitor_writable(ControlCall *call, void *userdata)
{
        MonitorCall *monitor = userdata;

        if (monitor->n_dropped > 0)
                (void)tell_dropped(monitor);
}

static void on_event(EventListener *listener, const Event *event)
{
        MonitorCall *monitor = container_of(listener, MonitorCall, listener);
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(EVENT_JSON_MAX);
        int r = -ENOBUFS;

        if (monitor->pool && (!event->pool || !streq(event->pool, monitor->pool)))
                return;
        if (monitor->n_dropped == 0 && control_call_writable(monitor->call)) {
                r = event_append_json(&buffer, event);
                if (r >= 0)
                        r = control_call_continue_raw(monitor->call, buffer_slice(&buffer));
        }
        if (r < 0)
                monitor->n_dropped++;
}

typedef struct MonitorParams {
        char **types;
        const char *pool;
} MonitorParams;

static int read_types(char *const *names, EventSet *ret)
{
        EventSet set = names ? 0 : EVENT_SET_ALL;

        STRV_FOREACH (name, names) {
                EventType type = event_type_from_string(*name);

                if (type < 0)
                        return -EINVAL;
                set |= 1u << type;
        }
        *ret = set;
        return 0;
}

int method_monitor(ControlCall *call, void *userdata)
{
        static const ControlCallbacks callbacks = {
                .on_gone = on_monitor_gone,
                .on_writable = on_monitor_writable,
        };
        static const ParamField fields[] = {
                { "types", PARAM_STRINGS, false, offsetof(MonitorParams, types) },
                { "pool", PARAM_STRING, false, offsetof(MonitorParams, pool) },
        };
        _cleanup_(monitor_call_freep) MonitorCall *monitor = NULL;
        MonitorParams params = { 0 };
        Pool *pool;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r == 0 && params.pool)
                r = find_pool(call, userdata, params.pool, &pool);
        if (r != 0)
                return MIN(r, 0);
        monitor = calloc(1, sizeof(MonitorCall));
        if (!monitor)
                return -ENOMEM;
        if (read_types(params.types, &monitor->listener.types) < 0)
                return control_call_invalid_parameter(call, "types");
        monitor->listener.callback = on_event;
        monitor->call = call;
        monitor->manager = userdata;
        if (params.pool) {
                monitor->pool = strdup(params.pool);
                if (!monitor->pool)
                        return -ENOMEM;
        }
        r = control_call_continue(call, NULL);
        if (r < 0)
                return r;
        event_hub_add(manager_event_hub(userdata), &monitor->listener);
        control_call_keep(call, &callbacks, TAKE_PTR(monitor));
        return 0;
}
