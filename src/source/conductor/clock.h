#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Shared by the files that look after tasks in hand: clock.c (the timer),
 * lease.c, watch.c. */

#include "source/conductor/internal.h"

/* Extensions under way at a time: many tasks are spread, and settling goes on beside them. */
#define LEASE_CALLS_MAX 8

/* A task that has been in hand for so long is asked about; shorter ones cost nothing. */
#define WATCH_FIRST_USEC (2 * USEC_PER_SEC)

typedef struct LeaseCall LeaseCall;

struct ConductorClock {
        sd_event_source *timer;
        usec_t wake_usec; /* what it is set to; USEC_INFINITY: off */
        ListLink leases;  /* ConductorTask.lease_link: to be extended, the longest due first */
        LeaseCall *calls[LEASE_CALLS_MAX]; /* made as they are needed */
};

/* Does what is due. */
void clock_run(Conductor *conductor);

/* lease.c */

/* From when it was taken or last extended until it is extended again: at 0.5 to 0.6 of the
 * time-out, by random, so that tasks of one answer are not all extended at once. Never before it
 * is needed: a server looks late after an overdue task once it was extended (measured: 60 to 120 s
 * on SQLite and Postgres). USEC_INFINITY without a time-out. Pure. */
usec_t lease_delay_usec(int64_t response_timeout_sec, uint64_t random);
/* Until the next try of one that failed: four fit into what is left of the time-out. Pure. */
usec_t lease_retry_usec(int64_t response_timeout_sec);
void lease_queue(ConductorTask *holding);
/* Sends what may be sent now. */
void lease_run(Conductor *conductor);
void lease_free(struct ConductorClock *clock);
