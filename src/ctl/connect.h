#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Finds the daemon's socket and connects; waits for a daemon that does not take what it is sent.
 *
 * While the service is restarted its socket is kept, and who connects waits in the kernel until the
 * new daemon takes it. A stopped service has no socket. So a socket that accepts without answering
 * is worth waiting for, and a missing one is not. */

#include "base/clock.h"
#include "ctl/ctl.h"

/* How long, unless --connect-timeout says otherwise: as long as a start may take. */
#define CONNECT_TIMEOUT_USEC (90 * USEC_PER_SEC)

typedef struct Patience {
        const Ctl *ctl;
        usec_t begun_usec;
        usec_t limit_usec;
        usec_t step_usec; /* of one wait */
        bool told;
} Patience;

void patience_begin(Patience *patience, const Ctl *ctl);
/* A step was waited for nothing: EXIT_DONE if there is time for another; after some seconds the
 * user is told. Else it is reported that the daemon does not answer. */
ExitCode patience_lose_step(Patience *patience);

/* Looks for the socket (--socket, --instance, YARDMASTER_SOCKET, $XDG_RUNTIME_DIR, /run) and
 * connects; reports what it tried and what to do. Writes to *ret_fd give up with EAGAIN after a
 * step. */
ExitCode connect_to_daemon(Patience *patience, int *ret_fd);
