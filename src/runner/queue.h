#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Tasks between the reader and the threads that run them: those that wait, in order, and a slot per
 * thread for the one it runs.
 *
 * A wake-up costs more than a small task, so there is at most one on its way: the woken thread
 * takes a task and wakes the next one if more are waiting. A burst of small tasks is thus worked
 * off by the threads that are awake, and of long ones each still gets a thread of its own at once.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "base/list.h"
#include "runner/job.h"

/* The reader waits above these: the daemon sends no more tasks than there are threads, so they
 * bound only what a wrong peer can make us hold. */
#define QUEUE_JOBS_MAX  4096
#define QUEUE_BYTES_MAX ((size_t)64 * 1024 * 1024)

/*   IDLE ──take──▶ RUNNING ──finish──▶ IDLE
 *                  RUNNING ◀──cancel──▶ CANCELLING       finish waits until cancel is through */
typedef enum SlotState {
        SLOT_IDLE,
        SLOT_RUNNING,
        SLOT_CANCELLING,
} SlotState;

typedef struct QueueSlot {
        Job *job; /* the thread's; others look at it in CANCELLING only */
        _Atomic SlotState state;
} QueueSlot;

typedef struct Queue {
        pthread_mutex_t lock;
        pthread_cond_t work;    /* for threads: a task, or closed */
        pthread_cond_t room;    /* for the reader */
        pthread_cond_t through; /* for finish: cancel is through */
        ListLink jobs;
        size_t n_jobs;
        size_t bytes;
        unsigned n_idle; /* threads that wait for work */
        bool waking;     /* one of them has been woken and has not come yet */
        bool closed;
        QueueSlot *slots;
        unsigned n_slots;
} Queue;

int queue_init(Queue *queue, unsigned n_slots);
void queue_deinit(Queue *queue); /* with the tasks that still wait */

/* Takes all of from. Waits while there is no room. */
void queue_post(Queue *queue, ListLink *from);
/* Threads take what waits, then NULL. */
void queue_close(Queue *queue);

/* Waits for a task, which is the thread's; NULL once the queue is closed and empty. */
Job *queue_take(Queue *queue, QueueSlot *slot);
/* The thread's execute has returned: from here on its task cannot be cancelled, and may be freed.
 */
void queue_finish(Queue *queue, QueueSlot *slot);

typedef void (*queue_cancel_t)(const Job *job, void *userdata);

/* The task of this id: marks it cancelled; if it runs, calls callback, and its execute's answer is
 * held up for as long. One that still waits is returned and is the caller's. */
Job *queue_cancel(Queue *queue, Slice id, queue_cancel_t callback, void *userdata);
