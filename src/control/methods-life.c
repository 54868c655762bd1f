/* SPDX-License-Identifier: Apache-2.0 */

/* Reload and drain. */

#include "base/strv.h"
#include "control/answer.h"

static int reply_reloaded(ControlCall *call, const ReloadReport *report)
{
        OBJECT_CLEANUP Object object = object_new();

        object_add_strings(&object, "added", report->added);
        object_add_strings(&object, "removed", report->removed);
        object_add_strings(&object, "changed", report->changed);
        object_add_strings(&object, "restarted", report->restarted);
        object_add_strings(&object, "warnings",
                           report->diagnostics ? report->diagnostics->lines : NULL);
        return reply_object(call, &object);
}

static int reply_invalid(ControlCall *call, const ReloadReport *report)
{
        OBJECT_CLEANUP Object object = object_new();
        json_object *json;

        object_add_strings(&object, "diagnostics", report->diagnostics->lines);
        json = object_take(&object);
        return json ? control_call_error(call, "ConfigInvalid", json) : -ENOMEM;
}

int method_reload(ControlCall *call, void *userdata)
{
        ReloadReport report;
        int r;

        r = manager_reload(userdata, &report);
        if (r == 0)
                r = reply_reloaded(call, &report);
        else if (r == MANAGER_E_INVALID)
                r = reply_invalid(call, &report);
        else if (r == MANAGER_E_REFUSED)
                r = control_call_refused(call, "%s", report.message);
        reload_report_deinit(&report);
        return r;
}

/* Drain */

#define DRAIN_REPORT_INTERVAL_USEC (USEC_PER_SEC / 2)

typedef struct DrainCall {
        DrainListener listener;
        ControlCall *call;
        Manager *manager;
        sd_event_source *timer;
} DrainCall;

static json_object *describe_drain(const Manager *manager)
{
        OBJECT_CLEANUP Object object = object_new();
        unsigned running;
        uint64_t handed_back;

        manager_get_drain(manager, &running, &handed_back);
        object_add_int(&object, "running", running);
        object_add_uint(&object, "handedBack", handed_back);
        return object_take(&object);
}

static void drain_call_free(DrainCall *drain)
{
        list_remove(&drain->listener.link);
        sd_event_source_disable_unref(drain->timer);
        free(drain);
}

static void on_drain_gone(ControlCall *call, void *userdata)
{
        drain_call_free(userdata);
}

static void on_drained(DrainListener *listener)
{
        DrainCall *drain = container_of(listener, DrainCall, listener);

        (void)control_call_reply(drain->call, describe_drain(drain->manager));
        drain_call_free(drain);
}

static int on_drain_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
        DrainCall *drain = userdata;

        (void)control_call_continue(drain->call, describe_drain(drain->manager));
        (void)sd_event_source_set_time(
                source, usec_add(clock_monotonic_usec(), DRAIN_REPORT_INTERVAL_USEC));
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int follow_drain(ControlCall *call, Manager *manager)
{
        static const ControlCallbacks callbacks = { .on_gone = on_drain_gone };
        DrainCall *drain = calloc(1, sizeof(DrainCall));
        int r;

        if (!drain)
                return -ENOMEM;
        drain->call = call;
        drain->manager = manager;
        r = sd_event_add_time(manager_event(manager), &drain->timer, CLOCK_MONOTONIC, 0,
                              USEC_PER_MSEC, on_drain_tick, drain);
        if (r < 0) {
                free(drain);
                return r;
        }
        drain->listener.callback = on_drained;
        manager_add_drain_listener(manager, &drain->listener);
        control_call_keep(call, &callbacks, drain);
        return 0;
}

int method_drain(ControlCall *call, void *userdata)
{
        struct {
                int64_t deadline_usec;
        } params = { .deadline_usec = -1 };
        static const ParamField fields[] = { { "deadlineUsec", PARAM_INTEGER, false, 0 } };
        Manager *manager = userdata;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return MIN(r, 0);
        if (params.deadline_usec < -1)
                return control_call_invalid_parameter(call, "deadlineUsec");
        manager_drain(manager,
                      params.deadline_usec < 0 ? USEC_INFINITY : (usec_t)params.deadline_usec);
        if (control_call_wants_more(call))
                return follow_drain(call, manager);
        return control_call_reply(call, describe_drain(manager));
}
