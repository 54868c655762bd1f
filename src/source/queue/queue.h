#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The embedded queue: a Source whose tasks are kept in SQLite (state_dir/queue-NAME.db), and what
 * the control socket does with it: submit, look, change, back up.
 *
 * Everything is called on the loop and answered by callback, later, never from within the call.
 * Arguments are copied; what a callback gets is borrowed for its duration. An answer means that
 * what it says is as durable as the queue promises (durability "full": synced).
 *
 * Order: of the ready tasks of a type the one goes next whose due time, less priority_step for each
 * step of its priority, is the earliest; so waiting outweighs any priority in the end. TypeStatus's
 * oldest_msec is since when that one waits: where priorities are mixed, another may be older.
 *
 * A task waits (SCHEDULED: ready, or delayed until its time), is IN_PROGRESS at a pool, or has
 * ended with one of the five other statuses. Its id is text of 36 characters in the form of a
 * UUIDv7, ordered by time of submission, and known only to the database that made it. */

#include "source/source.h"
#include "base/storage.h"

#define QUEUE_ID_LENGTH 36

/* Bounds, so that one client cannot fill memory or a message; each is named in its refusal. */
#define QUEUE_SUBMIT_MAX   10000 /* tasks in one call: a transaction of about 0.1 s */
#define QUEUE_TYPE_MAX     255   /* bytes of a type's name; no control characters */
#define QUEUE_TYPES_MAX    10000 /* different types in one queue: all are kept in memory */
#define QUEUE_KEY_MAX      512   /* bytes of a unique key */
#define QUEUE_PRIORITY_MAX 100   /* and at least minus that */
#define QUEUE_ATTEMPTS_MAX 1000000
/* Times, epoch, and delays lie below: the year 5000; sums of them then never overflow. */
#define QUEUE_TIME_MAX_MSEC (INT64_C(95617584000000))
/* The task object, with its envelope, is at most TASK_MESSAGE_MAX. */
#define QUEUE_INPUT_MAX (TASK_MESSAGE_MAX - 8192)
#define QUEUE_PAGE_MAX  1000 /* tasks in one answer of queue_list */

/* Opens or creates the database; tasks that a dead predecessor had in progress become ready again.
 * Waits for the disk: meant for start and reload. Refused, with *ret_error (fresh text) saying what
 * to do: a database of a newer version, a damaged one, one that is not ours. The config is copied.
 */
int queue_new(Source **ret, Storage *storage, sd_event *event, const ConfigSource *config,
              const char *state_dir, char **ret_error);
/* Live: durability, limits, retention, priority step. */
int queue_alter(Source *source, const ConfigSource *config);

/* A question under way. It ends with its callback, or when it is abandoned: then the callback is
 * not called (its asker is gone), and what was asked is still done, except that a list, a count or
 * a backup stops. Every function below takes a QueueCall **ret, which may be NULL. */
typedef struct QueueCall QueueCall;
void queue_call_abandon(QueueCall *call);

/* Submit */

typedef enum QueueConflict {
        QUEUE_CONFLICT_ERROR,
        QUEUE_CONFLICT_RETURN_EXISTING,
        /* A waiting task is replaced in place and keeps its id; one in progress is a duplicate. */
        QUEUE_CONFLICT_REPLACE,
        _QUEUE_CONFLICT_MAX,
        _QUEUE_CONFLICT_INVALID = -EINVAL,
} QueueConflict;
QueueConflict queue_conflict_from_slice(Slice s); /* error, return_existing, replace */

typedef struct QueueTask {
        Slice type;
        Slice input;         /* a JSON object that json_check accepted; SLICE_NULL: {} */
        int priority;        /* higher goes first */
        int64_t delay_msec;  /* not before now plus this */
        int64_t run_at_msec; /* not before, epoch; with both the later counts; 0: none */
        Slice unique_key;    /* at most one unfinished task of a type has it; SLICE_NULL: none */
        QueueConflict conflict;
        unsigned attempts;     /* executions allowed; 0: the pool's */
        int64_t deadline_msec; /* epoch: TIMED_OUT when not finished by then; 0: none */
} QueueTask;

typedef enum QueueVerdict {
        QUEUE_ACCEPTED,  /* submitted; or the change was made */
        QUEUE_EXISTING,  /* return_existing: id is the one that was there */
        QUEUE_REPLACED,  /* replace: id is the one that was there */
        QUEUE_DUPLICATE, /* id is the one that has the key */
        QUEUE_FULL,      /* max_tasks or max_bytes */
        QUEUE_DISK_FULL,
        QUEUE_TOO_BIG, /* the input */
        QUEUE_INVALID, /* another argument is out of its bounds */
        QUEUE_NO_SUCH_TASK,
        QUEUE_WRONG_STATE, /* the task's state does not allow the change */
        QUEUE_FAILED,      /* the database: see message */
        _QUEUE_VERDICT_MAX,
} QueueVerdict;
static inline bool queue_verdict_is_good(QueueVerdict verdict)
{
        return verdict <= QUEUE_REPLACED;
}

typedef struct QueueReceipt {
        QueueVerdict verdict;
        char id[QUEUE_ID_LENGTH + 1]; /* empty where there is none */
        const char *message;          /* not good: what is wrong and the remedy; else NULL */
} QueueReceipt;

/* One receipt for each task, in their order. */
typedef void (*queue_receipts_t)(const QueueReceipt *receipts, size_t n, void *userdata);
int queue_submit(Source *source, const QueueTask *tasks, size_t n, queue_receipts_t done,
                 void *userdata, QueueCall **ret);

/* Look. Tasks are JSON objects as the control interface's type Task has them (without "source"). */

/* Everything of one task: error -ENOENT, or 0 with the object. */
typedef void (*queue_task_t)(int error, Slice task, void *userdata);
int queue_get(Source *source, const char *id, queue_task_t done, void *userdata, QueueCall **ret);

/* All that are given must match. */
typedef struct QueueFilter {
        unsigned statuses;  /* 1 << TaskStatus, or-ed; 0: any */
        const char *type;   /* exact, or with * and ?; NULL: any */
        int64_t since_msec; /* submitted at or after; 0: any */
} QueueFilter;

/* One page, oldest first: n objects without their bodies, joined by commas. next: the id to
 * continue after; NULL: that was all. */
typedef void (*queue_page_t)(int error, Slice tasks, size_t n, const char *next, void *userdata);
int queue_list(Source *source, const QueueFilter *filter, const char *after, size_t limit,
               queue_page_t done, void *userdata, QueueCall **ret);

/* Change */

typedef enum QueueVerb {
        QUEUE_CANCEL, /* unfinished: CANCELED, a running handler is told */
        QUEUE_RETRY,  /* ended, but not COMPLETED: SCHEDULED, starts afresh; a passed deadline goes
                       */
        QUEUE_DELETE, /* ended */
        QUEUE_UPDATE, /* unfinished: ends with status, output, reason; FAILED is not retried */
} QueueVerb;

typedef struct QueueChange {
        QueueVerb verb;
        TaskStatus status; /* UPDATE: a final one */
        Slice output;      /* UPDATE: a JSON object; SLICE_NULL: as it is */
        Slice reason;      /* UPDATE, CANCEL: text; SLICE_NULL: as it is */
        bool dry_run;      /* only say what would be changed */
} QueueChange;

/* One receipt for each id. At most QUEUE_SUBMIT_MAX ids. */
int queue_change(Source *source, const QueueChange *change, const char *const *ids, size_t n,
                 queue_receipts_t done, void *userdata, QueueCall **ret);
typedef void (*queue_count_t)(int error, uint64_t n, void *userdata);
/* All that match when it begins, a bounded group at a time; n: how many were (would be) changed. */
int queue_change_matching(Source *source, const QueueChange *change, const QueueFilter *filter,
                          queue_count_t done, void *userdata, QueueCall **ret);

/* Told of what happens, once it is durable: what waiters and monitors need. One per queue. */
typedef enum QueueEventKind {
        QUEUE_EVENT_ENDED,   /* status is final */
        QUEUE_EVENT_RETRIED, /* an execution failed and another will follow */
        QUEUE_EVENT_REFUSED, /* a submission, because queue or disk is full; id is NULL */
} QueueEventKind;

typedef struct QueueEvent {
        QueueEventKind kind;
        const char *id;
        const char *type;
        TaskStatus status;
} QueueEvent;
typedef void (*queue_listener_t)(Source *source, const QueueEvent *event, void *userdata);
void queue_set_listener(Source *source, queue_listener_t listener, void *userdata);

/* A consistent copy in the new file path (-EEXIST if there is one), made a few pages at a time
 * between other work; complete and synced when done. size: of the file. */
typedef void (*queue_progress_t)(uint64_t pages_done, uint64_t pages_total, void *userdata);
typedef void (*queue_backup_t)(int error, uint64_t size, void *userdata);
int queue_backup(Source *source, const char *path, queue_progress_t progress, queue_backup_t done,
                 void *userdata, QueueCall **ret);
