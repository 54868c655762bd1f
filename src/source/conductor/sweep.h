#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Shared by sweep.c (when to search, and what is found) and stray.c (what
 * becomes of it). */

#include "source/conductor/internal.h"

typedef struct Suspicion Suspicion;

struct ConductorSweep {
        sd_event_source *timer;
        ServerCall *search;
        ListLink suspicions;
        Suspicion *subject; /* of the search under way; NULL: none */
        unsigned n_pages;   /* of it, done */
        bool refused;       /* the server does not search */

        ListLink strays;   /* that wait for calls under way, or to be ripe; the oldest first */
        ListLink returned; /* that were handed back: has anyone been given them? The oldest first */
};

/* stray.c */

/* Found by a search: in progress with the subscription's worker id, and not known here. */
int stray_add(ConductorSubscription *subscription, const TaskView *view);
/* The search that found the latest has been answered: calls under way now may still bring them. */
void stray_set_barrier(Conductor *conductor);
/* Looks at those whose time has come. */
void stray_look(Conductor *conductor);
/* When that is. */
usec_t stray_wake_usec(const Conductor *conductor);
void stray_free_all(struct ConductorSweep *sweep);
