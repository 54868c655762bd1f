#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The sd_notify socket of one worker: the address says who speaks, the credentials only that it is
 * our uid (a systemd-notify child is gone before its pid can be looked up). Lives as long as its
 * worker's slot, across its processes. Messages that are queued are read before any deadline is
 * judged (notify_socket_read). */

#include <stdbool.h>
#include <systemd/sd-event.h>
#include "base/clock.h"
#include "base/slice.h"

typedef struct NotifySocket NotifySocket;

/* One datagram's fields; all that were absent are NULL, false or 0. */
typedef struct NotifyMessage {
        bool ready;
        bool stopping;
        bool watchdog;
        bool watchdog_trigger;
        usec_t extend_timeout_usec;
        const char *status; /* one line, UTF-8, cut at NOTIFY_STATUS_MAX */
} NotifyMessage;

#define NOTIFY_STATUS_MAX 1024

typedef void (*notify_callback_t)(NotifySocket *socket, const NotifyMessage *message,
                                  void *userdata);

/* directory: where the socket is made, "directory/name". -ENAMETOOLONG over 107 bytes (sun_path).
 */
int notify_socket_new(NotifySocket **ret, sd_event *event, const char *directory, const char *name,
                      notify_callback_t callback, void *userdata);
NotifySocket *notify_socket_free(NotifySocket *socket);
DEFINE_CLEANUP(NotifySocket *, notify_socket_free);

const char *notify_socket_path(const NotifySocket *socket);
/* Handles everything that is queued, now. */
void notify_socket_read(NotifySocket *socket);

/* Pure: fields of one datagram; buffer is changed. Unknown fields are ignored. */
void notify_message_parse(char *buffer, size_t size, NotifyMessage *ret);
