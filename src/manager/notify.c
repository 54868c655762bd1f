/* SPDX-License-Identifier: Apache-2.0 */

#include "manager/notify.h"

#include <inttypes.h>
#include <systemd/sd-daemon.h>
#include "base/log.h"

struct Notify {
        sd_event_source *watchdog; /* NULL: not asked for */
        usec_t interval_usec;      /* of our pings: half of what systemd waits */
        notify_alive_t alive;
        void *userdata;
        char *status;    /* last one sent */
        bool complained; /* that something does not turn; once until it does again */
};

static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata)
{
        Notify *notify = userdata;

        if (notify->alive(notify->interval_usec, notify->userdata)) {
                (void)sd_notify(0, "WATCHDOG=1");
                notify->complained = false;
        } else if (!notify->complained) {
                log_error("a pool's supervision stands still: no watchdog ping");
                notify->complained = true;
        }
        (void)sd_event_source_set_time(source,
                                       usec_add(clock_monotonic_usec(), notify->interval_usec));
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int notify_new(Notify **ret, sd_event *event, notify_alive_t alive, void *userdata)
{
        _cleanup_(notify_freep) Notify *notify = calloc(1, sizeof(Notify));
        uint64_t watchdog_usec;
        int r;

        if (!notify)
                return -ENOMEM;
        notify->alive = alive;
        notify->userdata = userdata;
        r = sd_watchdog_enabled(0, &watchdog_usec);
        if (r < 0)
                return r;
        if (r > 0) {
                notify->interval_usec = watchdog_usec / 2;
                /* accuracy: the other half is what a ping may be late */
                r = sd_event_add_time(event, &notify->watchdog, CLOCK_MONOTONIC,
                                      usec_add(clock_monotonic_usec(), notify->interval_usec),
                                      notify->interval_usec / 8, on_watchdog, notify);
                if (r < 0)
                        return r;
                /* judged after whatever else is due in the same pass */
                (void)sd_event_source_set_priority(notify->watchdog, SD_EVENT_PRIORITY_NORMAL);
                (void)sd_event_source_set_description(notify->watchdog, "watchdog");
        }
        *ret = TAKE_PTR(notify);
        return 0;
}

Notify *notify_free(Notify *notify)
{
        if (!notify)
                return NULL;
        sd_event_source_disable_unref(notify->watchdog);
        free(notify->status);
        free(notify);
        return NULL;
}

void notify_ready(Notify *notify)
{
        (void)sd_notify(0, "READY=1");
}

void notify_reloading(Notify *notify)
{
        /* one datagram: newer versions refuse RELOADING=1 without the time */
        (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_monotonic_usec());
}

void notify_stopping(Notify *notify)
{
        (void)sd_notify(0, "STOPPING=1");
}

void notify_status(Notify *notify, const char *status)
{
        char *copy;

        if (notify->status && streq(notify->status, status))
                return;
        (void)sd_notifyf(0, "STATUS=%s", status);
        copy = strdup(status);
        if (!copy)
                return;
        free(notify->status);
        notify->status = copy;
}

void notify_extend_timeout(Notify *notify, usec_t usec)
{
        (void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64, usec);
}

void notify_error(Notify *notify, int error, const char *status)
{
        (void)sd_notifyf(0, "STATUS=%s\nERRNO=%d", status, -error);
}
