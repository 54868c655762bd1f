#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What a source has in its hands from a server, on disk: tasks that it was given, messages about
 * them that the server has not accepted yet, messages that it refused for good. One per source, its
 * owner; used on the loop only.
 *
 *   (outbox_hold) HELD ──outbox_put──▶ WAITING ──outbox_accept──▶ gone
 *                   └─outbox_forget─▶ gone │ ▲
 *                                          │ └──outbox_retry──┐
 *                                          └─outbox_bury─▶ DEAD ──outbox_drop──▶ gone
 *
 * Promises. A message is *written* (it survives kill -9 of the daemon) before on_ready offers it
 * for sending, and synced by the storage thread if it is still there after OUTBOX_SYNC_USEC, in
 * groups; what is accepted sooner is never synced. So a power cut may lose what is younger than
 * that plus one flush. Messages of one task are offered one at a time, in their order. Nothing is
 * ever dropped: above the high mark outbox_is_high says to fetch no more. Where the disk is full
 * or failing, messages are offered unwritten, kept in memory, written when it works again, and
 * outbox_problem says so.
 *
 * The loop itself appends to the file (outbox/journal.h says how), once for all that a pass of the
 * loop brought; it never waits for a sync. Bodies stay in memory while they are few
 * (OUTBOX_MEMORY_MAX) and are read back by the storage thread otherwise. The files may take twice
 * what is alive and some MiB. */

#include <systemd/sd-event.h>
#include "base/list.h"
#include "base/slice.h"
#include "base/storage.h"
#include "base/table.h"

typedef struct Outbox Outbox;

/* What is still there so long after it was written is synced. */
#define OUTBOX_SYNC_USEC (50 * USEC_PER_MSEC)

/* Bodies kept in memory: those of results that are just being sent, not those of an outage. */
#define OUTBOX_MEMORY_MAX ((size_t)8 * 1024 * 1024)

/* Of an id and a head; a body is bounded by TASK_MESSAGE_MAX and some envelope. */
#define OUTBOX_HEAD_MAX 65536

typedef enum OutboxState {
        OUTBOX_HELD,
        OUTBOX_WAITING,
        OUTBOX_DEAD,
        _OUTBOX_STATE_MAX,
} OutboxState;

/* Its members are for reading, but for n_tries and userdata, which are the source's. */
typedef struct OutboxEntry {
        OutboxState state;
        unsigned kind;        /* the source's: which request the body is for; 0 while HELD */
        uint64_t number;      /* its name for yardctl; survives restarts, never used twice */
        int64_t created_msec; /* epoch: of the present state */
        const char *id;       /* the task's */
        Slice head;           /* the source's: what it needs to know of the task, any bytes */
        size_t body_size;
        unsigned n_crashes; /* daemons in a row that died with this task HELD; this one not */
        bool recovered;     /* it is from before this start: it may have been sent already */
        char *reason;       /* DEAD: why; text */
        unsigned n_tries;   /* the source's to count; 0 at each start */
        void *userdata;
} OutboxEntry;

typedef struct OutboxCallbacks {
        /* A WAITING entry may be sent: it is written, and no older message of its task waits. Comes
         * from the loop, never from within a call. body is borrowed until the entry is accepted,
         * buried, or postponed. */
        void (*on_ready)(Outbox *outbox, OutboxEntry *entry, Slice body, void *userdata);
        /* A WAITING entry is about to be dropped by someone, or buried because its body cannot be
         * read: its userdata is to be let go. May be NULL. */
        void (*on_gone)(Outbox *outbox, OutboxEntry *entry, void *userdata);
        /* outbox_is_high or outbox_problem has changed. */
        void (*on_change)(Outbox *outbox, void *userdata);
} OutboxCallbacks;

typedef struct OutboxOptions {
        sd_event *event;
        Storage *storage;
        const char *folder; /* made if missing (0700); its parent must exist */
        uint64_t max_bytes; /* of what is alive; the high mark is three quarters of it */
        OutboxCallbacks callbacks;
        void *userdata;
} OutboxOptions;

/* Reads back what is there (waits for the disk: start and reload). WAITING entries are offered once
 * the loop runs; HELD ones of a dead predecessor are for their owner to look for. Refused with
 * *ret_error (fresh text): a newer format, not ours, not readable. What is damaged is kept beside
 * as
 * *.damaged, everything else read, and *ret_error tells it though the result is 0. */
int outbox_open(Outbox **ret, const OutboxOptions *options, char **ret_error);
/* Writes what is not written; waits for storage jobs under way, not for the server. */
Outbox *outbox_close(Outbox *outbox);
DEFINE_CLEANUP(Outbox *, outbox_close);
/* Live. */
void outbox_set_max_bytes(Outbox *outbox, uint64_t max_bytes);

/* A task was handed to us. id and head are copied. n_crashes continues from what is remembered of
 * the task. Written with the next flush. 0, -ENOMEM, -EMSGSIZE (OUTBOX_HEAD_MAX). */
int outbox_hold(Outbox *outbox, const char *id, Slice head, OutboxEntry **ret);
/* HELD → WAITING; or, for a further message of a task, outbox_add. The body is copied. crashed:
 * this hand-back follows a crash, so the entry's n_crashes is remembered of the task until it is
 * put without it (bounded: the last OUTBOX_CRASHES_MAX tasks). On an error (-ENOMEM, -EMSGSIZE) it
 * is as before. */
int outbox_put(Outbox *outbox, OutboxEntry *entry, unsigned kind, Slice body, bool crashed);
int outbox_add(Outbox *outbox, const char *id, Slice head, unsigned kind, Slice body,
               OutboxEntry **ret);
#define OUTBOX_CRASHES_MAX 10000
/* HELD → gone: nothing has to be told to the server. The entry is freed. */
void outbox_forget(Outbox *outbox, OutboxEntry *entry);

/* The server has it: the entry is freed; the next message of its task becomes ready. */
void outbox_accept(Outbox *outbox, OutboxEntry *entry);
/* Sending failed: it is offered again (on_ready) after delay_usec. */
void outbox_postpone(Outbox *outbox, OutboxEntry *entry, usec_t delay_usec);
/* All that are postponed are offered now: the server answers again. */
void outbox_hurry(Outbox *outbox);
/* Refused for good. reason is copied. Later messages of the task are offered. */
void outbox_bury(Outbox *outbox, OutboxEntry *entry, const char *reason);

/* Whether there is an entry of this task, in any state. */
bool outbox_knows(const Outbox *outbox, const char *id);

/* For people. By number; NULL: none. retry: DEAD → WAITING, and WAITING ones are offered at once.
 * drop: DEAD or WAITING and not being sent right now (-EBUSY), gone. */
OutboxEntry *outbox_find(Outbox *outbox, uint64_t number);
int outbox_retry(Outbox *outbox, OutboxEntry *entry);
int outbox_drop(Outbox *outbox, OutboxEntry *entry);
/* The body for show: from memory, or read by the storage thread. done is called later, from the
 * loop; error -ENOENT: it is gone by now. Not abandoned by outbox_drop. */
typedef void (*outbox_body_t)(int error, Slice body, void *userdata);
int outbox_read(Outbox *outbox, OutboxEntry *entry, outbox_body_t done, void *userdata);

/* The first entry in a state, and the one behind another in the same state; in the order in which
 * they came into it. NULL: no more. Whoever changes an entry on the way has taken the next before.
 */
OutboxEntry *outbox_first(const Outbox *outbox, OutboxState state);
OutboxEntry *outbox_next(const Outbox *outbox, const OutboxEntry *entry);
#define OUTBOX_FOREACH(entry, outbox, state)                                        \
        for (OutboxEntry *entry = outbox_first(outbox, state),                      \
                         *entry##_next = entry ? outbox_next(outbox, entry) : NULL; \
             entry;                                                                 \
             entry = entry##_next, entry##_next = entry ? outbox_next(outbox, entry) : NULL)

/* True above the high mark, while the disk is full or failing, or the storage thread stalls. */
bool outbox_is_high(const Outbox *outbox);
/* What is wrong, with the remedy; NULL: nothing. Borrowed until the next pass. */
const char *outbox_problem(const Outbox *outbox);
/* No sync and no read is under way and everything is written. */
bool outbox_is_idle(const Outbox *outbox);

typedef struct OutboxStatus {
        uint64_t n_held, n_waiting, n_dead;
        uint64_t bytes;      /* alive */
        uint64_t disk_bytes; /* of the files */
        int64_t oldest_msec; /* epoch: of the oldest WAITING; 0: none */
} OutboxStatus;
void outbox_get_status(const Outbox *outbox, OutboxStatus *ret);
