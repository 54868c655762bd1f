#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Timers of the stub server: a heap of intrusive entries, for one loop. Nothing is owned. */

#include <stdbool.h>
#include <stddef.h>
#include "base/clock.h"

typedef struct StubTimer StubTimer;

/* Zeroed: not set. */
struct StubTimer {
        usec_t due;
        size_t place; /* in the heap, from 1; 0: not set */
        void (*fire)(StubTimer *timer);
};

/* Sets it anew if it is set. */
void stub_timer_set(StubTimer *timer, usec_t due, void (*fire)(StubTimer *timer));
void stub_timer_clear(StubTimer *timer);
static inline bool stub_timer_is_set(const StubTimer *timer)
{
        return timer->place > 0;
}

/* For epoll_wait: milliseconds to the next one, rounded up; -1 if none is set. */
int stub_timers_wait_msec(usec_t now);
/* Fires what is due; each is cleared before. */
void stub_timers_run(usec_t now);
void stub_timers_deinit(void);
