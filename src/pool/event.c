/* SPDX-License-Identifier: Apache-2.0 */

#include "pool/event.h"

#include <assert.h>
#include <inttypes.h>
#include "base/json.h"

static const char *const event_type_table[] = {
        [EVENT_TASK_STARTED] = "task_started",       [EVENT_TASK_COMPLETED] = "task_completed",
        [EVENT_TASK_FAILED] = "task_failed",         [EVENT_TASK_RETRIED] = "task_retried",
        [EVENT_TASK_CANCELED] = "task_canceled",     [EVENT_TASK_HANDED_BACK] = "task_handed_back",
        [EVENT_WORKER_STARTED] = "worker_started",   [EVENT_WORKER_STOPPED] = "worker_stopped",
        [EVENT_WORKER_CRASHED] = "worker_crashed",   [EVENT_WORKER_KILLED] = "worker_killed",
        [EVENT_POOL_FAILED] = "pool_failed",         [EVENT_POOL_RECOVERED] = "pool_recovered",
        [EVENT_POOL_PAUSED] = "pool_paused",         [EVENT_POOL_RESUMED] = "pool_resumed",
        [EVENT_QUEUE_FULL] = "queue_full",           [EVENT_CONFIG_RELOADED] = "config_reloaded",
        [EVENT_CONFIG_REJECTED] = "config_rejected", [EVENT_DRAIN_BEGUN] = "drain_begun",
};
static_assert(ELEMENTSOF(event_type_table) == _EVENT_TYPE_MAX, "a name for each type");
static_assert(_EVENT_TYPE_MAX <= 31, "an EventSet has a bit for each type");

const char *event_type_to_string(EventType type)
{
        assert(type >= 0 && type < _EVENT_TYPE_MAX);
        return event_type_table[type];
}

EventType event_type_from_string(const char *s)
{
        for (int i = 0; i < _EVENT_TYPE_MAX; i++)
                if (streq(s, event_type_table[i]))
                        return (EventType)i;
        return _EVENT_TYPE_INVALID;
}

static int append_text(Buffer *buffer, const char *key, const char *text)
{
        int r;

        if (!text)
                return 0;
        r = buffer_append_string(buffer, key);
        return r < 0 ? r : json_append_string(buffer, slice_from_string(text));
}

int event_append_json(Buffer *buffer, const Event *event)
{
        const struct {
                const char *key, *text;
        } members[] = {
                { ",\"pool\":", event->pool },      { ",\"worker\":", event->worker },
                { ",\"taskId\":", event->task_id }, { ",\"taskType\":", event->task_type },
                { ",\"status\":", event->status },  { ",\"message\":", event->message },
        };
        int r;

        r = buffer_appendf(buffer, "{\"event\":\"%s\",\"time\":%" PRId64,
                           event_type_to_string(event->type), event->time_msec);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(members); i++)
                r = append_text(buffer, members[i].key, members[i].text);
        return r < 0 ? r : buffer_append_byte(buffer, '}');
}
