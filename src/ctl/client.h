#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A connection to the daemon that waits: one thread, no loop. */

#include "ctl/ctl.h"

/* Connects (ctl/connect.h). ctl is borrowed. The first call waits for a daemon that takes nothing
 * yet, and goes to its successor if it ends without having read it. */
ExitCode client_new(Client **ret, const Ctl *ctl);
Client *client_free(Client *client);

/* Sends now. parameters: a raw object or SLICE_NULL. */
ExitCode client_send(Client *client, const char *method, Slice parameters, unsigned flags);
/* The same for a message that is made already, its NUL included. */
ExitCode client_send_raw(Client *client, Slice message);
/* The next reply, valid until the next call here. EXIT_UNREACHABLE with *ret_ended if the daemon
 * has closed the connection between two messages; then nothing is reported. */
ExitCode client_receive(Client *client, WireReply *ret, bool *ret_ended);

/* Reports an error reply and says which exit code it means. */
ExitCode client_report_error(const WireReply *reply);
