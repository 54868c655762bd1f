#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The sd_notify socket of one worker: the address says who speaks, the credentials only that it is
 * our uid or root (a systemd-notify child is gone before its pid can be looked up). Lives as long
 * as its worker's slot, across its processes.
 *
 * Messages that are queued are read before any deadline is judged: the source's priority is above
 * that of timers, and notify_socket_read takes what has come since. Fds that come with a message
 * (BARRIER=1) are closed once it and those before it are handled, which is the sender's sign. */

#include <stdbool.h>
#include <systemd/sd-event.h>
#include "base/clock.h"
#include "base/slice.h"

typedef struct NotifySocket NotifySocket;

/* Longest datagram; longer ones, those with a NUL inside and those of other users are ignored. */
#define NOTIFY_MESSAGE_MAX 4096

#define NOTIFY_STATUS_MAX 1024

/* One datagram's fields; all that were absent are NULL, false or 0. */
typedef struct NotifyMessage {
        bool ready;
        bool stopping;
        bool watchdog;
        bool watchdog_trigger;
        usec_t extend_timeout_usec;
        const char
                *status; /* one line, UTF-8 (what is not becomes '?'), cut at NOTIFY_STATUS_MAX */
} NotifyMessage;

/* The socket may be freed in here. */
typedef void (*notify_callback_t)(NotifySocket *socket, const NotifyMessage *message,
                                  void *userdata);

/* directory: where the socket is made, "directory/name"; a stale one is replaced. -ENAMETOOLONG
 * over 107 bytes (sun_path). */
int notify_socket_new(NotifySocket **ret, sd_event *event, const char *directory, const char *name,
                      notify_callback_t callback, void *userdata);
/* Removes the file too. */
NotifySocket *notify_socket_free(NotifySocket *socket);
DEFINE_CLEANUP(NotifySocket *, notify_socket_free);

const char *notify_socket_path(const NotifySocket *socket);
/* Handles everything that is queued, now. The socket may be gone afterwards, if a callback freed
 * it. */
void notify_socket_read(NotifySocket *socket);

/* Pure: fields of one datagram; buffer is changed, and has room for a NUL behind size. Unknown
 * fields are ignored. */
void notify_message_parse(char *buffer, size_t size, NotifyMessage *ret);
