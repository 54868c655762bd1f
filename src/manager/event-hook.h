#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* on_event: runs a command for each event that the administrator wants to hear of, the event's JSON
 * on its stdin. One at a time, EVENT_HOOK_TIMEOUT_USEC each; events that come meanwhile wait in a
 * bounded queue, further ones are dropped and counted. No task ever waits for it. */

#include <systemd/sd-event.h>
#include "config/config.h"
#include "manager/event-hub.h"
#include "worker/reaper.h"
#include "worker/spawn.h"

#define EVENT_HOOK_QUEUE_MAX    256
#define EVENT_HOOK_TIMEOUT_USEC (10 * USEC_PER_SEC)

typedef struct EventHook EventHook;

typedef struct EventHookOptions {
        sd_event *event;
        Spawner *spawner;
        Reaper *reaper;
        EventHub *hub;
        char *const *environment;
} EventHookOptions;

/* All borrowed. Runs nothing before event_hook_apply. */
int event_hook_new(EventHook **ret, const EventHookOptions *options);
/* Kills a command that runs. Before reaper and spawner go. */
EventHook *event_hook_free(EventHook *hook);
DEFINE_CLEANUP(EventHook *, event_hook_free);

/* Takes on_event of config; events already queued go to the new command. Holds a reference. */
void event_hook_apply(EventHook *hook, Config *config);
uint64_t event_hook_n_dropped(const EventHook *hook);
