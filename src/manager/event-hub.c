/* SPDX-License-Identifier: Apache-2.0 */

#include "manager/event-hub.h"

static void update_wanted(EventHub *hub)
{
        EventSet wanted = 0;

        LIST_FOREACH (link, &hub->listeners)
                wanted |= LIST_ENTRY(link, EventListener, link)->types;
        *hub->wanted = wanted;
}

void event_hub_init(EventHub *hub, EventSet *wanted)
{
        list_init(&hub->listeners);
        hub->wanted = wanted;
        *wanted = 0;
}

void event_hub_add(EventHub *hub, EventListener *listener)
{
        list_append(&hub->listeners, &listener->link);
        update_wanted(hub);
}

void event_hub_remove(EventHub *hub, EventListener *listener)
{
        list_remove(&listener->link);
        update_wanted(hub);
}

void event_hub_emit(EventHub *hub, const Event *event)
{
        if (!event_set_has(*hub->wanted, event->type))
                return;
        LIST_FOREACH_SAFE (link, &hub->listeners) {
                EventListener *listener = LIST_ENTRY(link, EventListener, link);

                if (event_set_has(listener->types, event->type))
                        listener->callback(listener, event);
        }
}
