#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Long polls of the stub server. A poll whose client has gone goes on waiting and takes tasks, as
 * on a real server: those are stranded until their response timeout. */

#include "stub/http.h"
#include "stub/model.h"

/* GET /api/tasks/poll/batch/{type} */
void poll_batch(Connection *connection, const Request *request, Slice type);
/* The rest of update-v2: the next task of the queue, or 204 */
#define POLL_SINGLE (-2)
/* Answers with up to count tasks (-1: all), at once or after at most timeout. */
void poll_wait(Connection *connection, StubQueue *queue, const char *worker, int64_t count,
               usec_t timeout);
/* Gives ready tasks to the queue's waiting polls. */
void poll_serve(StubQueue *queue);
/* The connection of a poll is gone. */
void poll_abandon(Poll *poll);
/* At the end of the program. */
void polls_deinit(void);
