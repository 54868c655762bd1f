/* SPDX-License-Identifier: Apache-2.0 */

#include "stub/timer.h"
#include "stub/text.h"

#define WAIT_MSEC_MAX 60000 /* longer waits are done in pieces, so that an int holds them */

static StubTimer **heap; /* from 1 */
static size_t n_timers, n_allocated;

static void put(size_t place, StubTimer *timer)
{
        heap[place] = timer;
        timer->place = place;
}

static void sift_up(size_t place, StubTimer *timer)
{
        for (; place > 1 && heap[place / 2]->due > timer->due; place /= 2)
                put(place, heap[place / 2]);
        put(place, timer);
}

static void sift_down(size_t place, StubTimer *timer)
{
        for (size_t child; (child = place * 2) <= n_timers; place = child) {
                if (child < n_timers && heap[child + 1]->due < heap[child]->due)
                        child++;
                if (heap[child]->due >= timer->due)
                        break;
                put(place, heap[child]);
        }
        put(place, timer);
}

void stub_timer_clear(StubTimer *timer)
{
        size_t place = timer->place;
        StubTimer *last;

        if (place == 0)
                return;
        timer->place = 0;
        last = heap[n_timers--];
        if (last == timer)
                return;
        if (place > 1 && heap[place / 2]->due > last->due)
                sift_up(place, last);
        else
                sift_down(place, last);
}

void stub_timer_set(StubTimer *timer, usec_t due, void (*fire)(StubTimer *timer))
{
        stub_timer_clear(timer);
        if (n_timers + 1 >= n_allocated) {
                n_allocated = MAX(n_allocated * 2, (size_t)1024);
                heap = must_alloc(reallocarray(heap, n_allocated, sizeof(*heap)));
        }
        timer->due = due;
        timer->fire = fire;
        sift_up(++n_timers, timer);
}

int stub_timers_wait_msec(usec_t now)
{
        usec_t left;

        if (n_timers == 0)
                return -1;
        if (heap[1]->due <= now)
                return 0;
        left = (heap[1]->due - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
        return (int)MIN(left, (usec_t)WAIT_MSEC_MAX);
}

void stub_timers_run(usec_t now)
{
        while (n_timers > 0 && heap[1]->due <= now) {
                StubTimer *timer = heap[1];

                stub_timer_clear(timer);
                timer->fire(timer);
        }
}

void stub_timers_deinit(void)
{
        free(heap);
        heap = NULL;
        n_timers = n_allocated = 0;
}
