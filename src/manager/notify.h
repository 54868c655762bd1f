#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What the daemon tells systemd (or whoever started it with NOTIFY_SOCKET). Without one, every call
 * does nothing. Never waits for a peer that does not read: messages are queued, within a bound.
 *
 *   starting ──ready──▶ running ◀──reloading, ready──▶ reloading
 *                          └──stopping──▶ stopping
 */

#include <stdbool.h>
#include <systemd/sd-event.h>
#include "base/clock.h"
#include "base/macro.h"

typedef struct Notify Notify;

/* Whether everything turns: asked before each watchdog ping, which is left out if not. */
typedef bool (*notify_alive_t)(usec_t max_usec, void *userdata);

int notify_new(Notify **ret, sd_event *event, notify_alive_t alive, void *userdata);
Notify *notify_free(Notify *notify);
DEFINE_CLEANUP(Notify *, notify_free);

void notify_ready(Notify *notify);
void notify_reloading(Notify *notify);
void notify_stopping(Notify *notify);
/* One line; sent when it differs from the last. */
void notify_status(Notify *notify, const char *status);
void notify_extend_timeout(Notify *notify, usec_t usec);
/* Hands over fd, for the next start of the daemon to get it back by this name. False: there is
 * nobody who could keep it. fd stays the caller's. */
bool notify_store_fd(Notify *notify, const char *name, int fd);
/* Whatever was handed over by this name is kept no more. */
void notify_forget_fd(Notify *notify, const char *name);
/* For _cleanup_: every way out of a reload sends the READY=1 that RELOADING=1 asks for. */
static inline void notify_readyp(Notify **notify)
{
        if (*notify)
                notify_ready(*notify);
}
