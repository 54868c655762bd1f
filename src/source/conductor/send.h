#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The sender: what waits in the outbox goes to the server. Owned by its Conductor.
 *
 * An item is a WAITING entry on its way. Its steps:
 *
 *   on_ready ─▶ queue ─▶ (READ) ─▶ (upload) ─▶ UPDATE, UPDATE_V2 or LOG ─▶ (DECIDE) ─▶ accepted
 *                 ▲                                     │
 *                 └── on_ready ◀─ outbox_postpone ◀─────┴─▶ outbox_bury
 *
 * At most config->conductor.connections calls are under way, in the order in which the outbox
 * offered; but what was tried before stands in a queue of its own, so that a server which refuses
 * some for now does not keep the others waiting behind them. Calls are kept: what is the same for
 * all requests of a step is set once.
 *
 * A try that the server may have acted on makes an item uncertain. Sending a result again does no
 * harm, but the server may have stored it without going on with its workflow (measured): once it is
 * accepted the workflow is told to decide. An IN_PROGRESS would take the task from whoever has it
 * by now: before it is sent again the task is read, and what is not ours any more is dropped. An
 * update-v2 would hand out another task: it is sent again as a plain update. */

#include "source/conductor/internal.h"

typedef enum SendStep {
        SEND_UPDATE,    /* POST /tasks */
        SEND_UPDATE_V2, /* POST /tasks/update-v2: the answer may carry the next task */
        SEND_LOG,       /* POST /tasks/ID/log */
        SEND_READ,      /* GET /tasks/ID */
        SEND_DECIDE,    /* PUT /workflow/decide/ID */
        _SEND_STEP_MAX,
} SendStep;

typedef struct SendCall {
        ListLink link; /* of send->idle[step] or send->running */
        struct ConductorSend *send;
        SendStep step;
        ServerCall *call;
        SendItem *item;      /* under way */
        usec_t timeout_usec; /* as set */
        usec_t until_usec;   /* UPDATE_V2: when its answer is not waited for any more */
        FetchMark mark;      /* UPDATE_V2 */
} SendCall;

typedef struct ConductorSend {
        Conductor *conductor;
        ListLink queue;          /* SendItem: not tried yet */
        ListLink retries;        /* SendItem: tried before */
        unsigned n_before_retry; /* first tries that still go before the next of retries */
        ListLink idle[_SEND_STEP_MAX];
        ListLink running;
        unsigned n_running;
        uint64_t n_accepted;   /* updates and log lines, ever */
        unsigned n_without_v2; /* results that went by the plain update after update-v2 was 404 */
        uint64_t kept_bytes;   /* of tasks whose result the server has not accepted yet */

        ListLink later; /* ConductorTask by link: stale ones, and what found no memory */
        sd_event_source *later_source;
        bool told_retry_after;
        Buffer body, rest; /* of the settlement in hand */
} ConductorSend;

/* Of an entry that has none: log lines, a predecessor's. NULL: out of memory. */
SendItem *send_item_new(Conductor *conductor, OutboxEntry *entry);
/* A drain waits until the item's first try is over. */
void send_begin_first(SendItem *item, ConductorSubscription *subscription);
/* Starts what can be started. */
void send_pump(ConductorSend *send);
/* Its next step comes before what waits in the queue. */
void send_again(SendItem *item);
/* It is offered again after delay. */
void send_postpone(SendItem *item, usec_t delay_usec);
/* Tried again after a pause of its own. */
void send_retry(SendItem *item);
/* There was no answer of the server's: the same, or, where it is away, when it is back. */
void send_retry_unanswered(SendItem *item);
/* The first way of its entry, which a drain waits for, ends, however. */
void send_end_first(SendItem *item);
/* What was kept for its update-v2 is free again. */
void send_unreserve(SendItem *item);
/* What is sent instead of the outbox's body: the buffer's text. */
int send_set_body(SendItem *item, Buffer *buffer);
/* The entry is gone or buried: forgets the item; a holding lives on. */
void send_item_free(SendItem *item);

/* verdict.c */

/* The answer to an item's step; the item has gone on, or is gone, when it returns. */
void send_on_answer(SendItem *item, SendStep step, Verdict verdict, const HttpAnswer *answer);
/* Refused for good. */
void send_bury(SendItem *item, const char *reason);

/* upload.c */

/* The server refuses larger outputs, and ends the task (measured): they have to go to its external
 * storage. */
#define CONDUCTOR_OUTPUT_MAX ((size_t)10240 * 1024)

/* True: the item's output is too large, and on its way to the storage; the item goes on by itself
 * when it is there, or fails its task. */
bool send_upload(SendItem *item);

/* settle.c */

/* Ends the holding and tells the pool; status as on_settled's. */
void conductor_settled(ConductorTask *holding, TaskStatus status);
/* What a pass of the loop left over. */
void conductor_settle_rest(ConductorSend *send);
