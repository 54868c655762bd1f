/* SPDX-License-Identifier: Apache-2.0 */

/* What tasks in hand need by time alone: their leases, and the question whether they are still
 * wanted. One timer for all of them. It is set when a task comes and nothing stands earlier, so a
 * stream of short tasks sets it once in WATCH_FIRST_USEC; a task that ends leaves it alone. */

#include "source/conductor/clock.h"

/* The timer may be so late: much that is due goes at once. */
#define CLOCK_ACCURACY_USEC (20 * USEC_PER_MSEC)

static void set_timer(struct ConductorClock *clock, usec_t wake)
{
        clock->wake_usec = wake;
        if (wake < USEC_INFINITY)
                (void)sd_event_source_set_time(clock->timer, wake);
        (void)sd_event_source_set_enabled(clock->timer,
                                          wake < USEC_INFINITY ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

void clock_wake(Conductor *conductor, usec_t at_usec)
{
        if (at_usec < conductor->clock->wake_usec)
                set_timer(conductor->clock, at_usec);
}

void clock_add(ConductorTask *holding)
{
        Conductor *conductor = holding->subscription->conductor;

        holding->lease_usec =
                usec_add(holding->taken_usec,
                         lease_delay_usec(holding->response_timeout_sec, holding->task->id_hash));
        holding->watch_usec = usec_add(holding->taken_usec, WATCH_FIRST_USEC);
        clock_wake(conductor, MIN(holding->lease_usec, holding->watch_usec));
}

void clock_remove(ConductorTask *holding)
{
        list_remove(&holding->lease_link);
        list_remove(&holding->watch_link);
}

void clock_renew(ConductorTask *holding)
{
        list_remove(&holding->watch_link);
        holding->asked = false;
        holding->watch_usec = usec_add(clock_monotonic_usec(), WATCH_FIRST_USEC);
        clock_wake(holding->subscription->conductor, holding->watch_usec);
}

/* Queues what is due; *ret_watch: whether there is anything to be asked about. The time of the
 * next, of those that are not due. */
static usec_t look_at_tasks(Conductor *conductor, usec_t now, bool *ret_watch)
{
        usec_t next = USEC_INFINITY;

        LIST_FOREACH (s, &conductor->subscriptions) {
                ConductorSubscription *subscription = LIST_ENTRY(s, ConductorSubscription, link);

                LIST_FOREACH (t, &subscription->tasks) {
                        ConductorTask *holding = LIST_ENTRY(t, ConductorTask, link);

                        if (holding->lease_usec <= now)
                                lease_queue(holding);
                        else
                                next = MIN(next, holding->lease_usec);
                        if (holding->watch_usec <= now)
                                *ret_watch = true;
                        else
                                next = MIN(next, holding->watch_usec);
                }
        }
        return next;
}

void clock_run(Conductor *conductor)
{
        usec_t now = clock_monotonic_usec(), next;
        bool watch = false;

        conductor->clock->wake_usec = USEC_INFINITY;
        next = look_at_tasks(conductor, now, &watch);
        if (next < USEC_INFINITY)
                clock_wake(conductor, MAX(next, usec_add(now, CLOCK_TICK_USEC)));
        lease_run(conductor);
        if (watch)
                watch_run(conductor, now);
        look_run(conductor);
}

void clock_resume(Conductor *conductor)
{
        clock_wake(conductor, clock_monotonic_usec());
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        clock_run(userdata);
        return 0;
}

int clock_new(Conductor *conductor)
{
        struct ConductorClock *clock = calloc(1, sizeof(*clock));
        int r;

        if (!clock)
                return -ENOMEM;
        conductor->clock = clock;
        clock->wake_usec = USEC_INFINITY;
        list_init(&clock->leases);
        if ((r = sd_event_add_time(conductor->event, &clock->timer, CLOCK_MONOTONIC, 0,
                                   CLOCK_ACCURACY_USEC, on_timer, conductor)) < 0 ||
            (r = sd_event_source_set_enabled(clock->timer, SD_EVENT_OFF)) < 0)
                return r;
        (void)sd_event_source_set_description(clock->timer, "conductor-clock");
        r = look_new(conductor);
        return r < 0 ? r : watch_new(conductor);
}

void clock_free(Conductor *conductor)
{
        struct ConductorClock *clock = conductor->clock;

        progress_free(conductor);
        look_free(conductor);
        watch_free(conductor);
        if (!clock)
                return;
        lease_free(clock);
        while (list_pop_first(&clock->leases))
                ;
        (void)sd_event_source_disable_unref(clock->timer);
        free(clock);
        conductor->clock = NULL;
}
