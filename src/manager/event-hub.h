#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Hands events to those who listen (Monitor calls, the event hook), and keeps the set of the types
 * that anyone wants, so that others are never built. */

#include "base/list.h"
#include "pool/event.h"

typedef struct EventListener EventListener;

/* The event is borrowed; the listener may remove itself, and no other. */
typedef void (*event_callback_t)(EventListener *listener, const Event *event);

/* Embedded in its owner. */
struct EventListener {
        ListLink link;
        EventSet types;
        event_callback_t callback;
};

typedef struct EventHub {
        ListLink listeners;
        EventSet *wanted; /* borrowed: where the pools look */
} EventHub;

void event_hub_init(EventHub *hub, EventSet *wanted);
void event_hub_add(EventHub *hub, EventListener *listener);
/* Removing one that was not added, or twice, does nothing. */
void event_hub_remove(EventHub *hub, EventListener *listener);
void event_hub_emit(EventHub *hub, const Event *event);
