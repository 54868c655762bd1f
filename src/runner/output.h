#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Where all threads write their messages. Whoever finds nobody writing writes, for everyone who
 * adds messages meanwhile too: one write(2) carries all that came together, and no thread is woken
 * for it. A daemon that does not read makes the threads wait once OUTPUT_MAX is collected. */

#include <pthread.h>
#include <stdbool.h>
#include "base/buffer.h"
#include "task/task.h"

/* One longest message being written and another one waiting. */
#define OUTPUT_MAX (2 * TASK_LINE_MAX)

typedef struct Output {
        pthread_mutex_t lock;
        pthread_cond_t room;
        int fd;           /* owned */
        int error;        /* first error of write; nothing is taken after it */
        bool writing;     /* some thread is in write */
        Buffer pending;   /* added under the lock */
        Buffer departing; /* of the thread that writes */
} Output;

int output_init(Output *output, int fd);
void output_deinit(Output *output);

/* Whole lines. 0, or -errno: -EPIPE and the like once the daemon is gone, -ENOMEM. */
int output_write(Output *output, Slice lines);
