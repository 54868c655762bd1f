#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Between the two files of the persistent mode: process and messages. */

#include "worker/worker-internal.h"

/* An idle worker's scratch buffer keeps no more than this. */
#define MESSAGE_KEEP ((size_t)64 * 1024)

void worker_on_stream(Stream *stream, StreamEvent event, Slice frame, int error, void *userdata);
/* Before what it printed is logged. */
void worker_note_printer(Worker *worker);
/* The process no longer reads: it gets nothing more, and is to go once its tasks are done. */
void worker_lost_input(Worker *worker);
