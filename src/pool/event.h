#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What happens in a daemon, as Monitor and on_event tell it. An event is built only when someone
 * listens to its type; it borrows everything for the time of the call. */

#include <stdint.h>
#include "base/buffer.h"

typedef enum EventType {
        EVENT_TASK_STARTED,
        EVENT_TASK_COMPLETED,
        EVENT_TASK_FAILED,  /* for good */
        EVENT_TASK_RETRIED, /* an execution failed, there will be another */
        EVENT_TASK_CANCELED,
        EVENT_TASK_HANDED_BACK,
        EVENT_WORKER_STARTED,
        EVENT_WORKER_STOPPED,
        EVENT_WORKER_CRASHED,
        EVENT_WORKER_KILLED,
        EVENT_POOL_FAILED,
        EVENT_POOL_RECOVERED,
        EVENT_POOL_PAUSED,
        EVENT_POOL_RESUMED,
        EVENT_QUEUE_FULL,
        EVENT_CONFIG_RELOADED,
        EVENT_CONFIG_REJECTED,
        EVENT_DRAIN_BEGUN,
        _EVENT_TYPE_MAX,
        _EVENT_TYPE_INVALID = -EINVAL,
} EventType;

const char *event_type_to_string(EventType type);
EventType event_type_from_string(const char *s);

/* A set of types: one bit each. */
typedef uint32_t EventSet;

#define EVENT_SET_ALL ((EventSet)((1u << _EVENT_TYPE_MAX) - 1))

static inline bool event_set_has(EventSet set, EventType type)
{
        return set & (1u << type);
}

typedef struct Event {
        EventType type;
        int64_t time_msec; /* epoch */
        const char *pool;  /* NULL: not about a pool; so with the others */
        const char *worker;
        const char *task_id;
        const char *task_type;
        const char *status;
        const char *message;
} Event;

/* Far more than names, ids and messages add up to. */
#define EVENT_JSON_MAX ((size_t)16 * 1024)

/* {"event":…,"time":…,…}: one object without white space; members that are NULL are left out. */
int event_append_json(Buffer *buffer, const Event *event);
