#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The queue's database: its schema, its statements by name, and what jobs note about what they
 * changed. Belongs to the storage thread once it is open.
 *
 * Rows of table task never change size on their way from submission to the end of a first
 * execution: states are numbers above 1 (SQLite stores 0 and 1 in no byte at all), times that are
 * not known yet hold the scheduled time. So they are overwritten in place and pages filled in
 * order are never split. What is big stands in tables of its own: input, result. */

#include <stdbool.h>
#include "base/buffer.h"
#include "base/db.h"
#include "task/task.h"

/* As stored; the texts in store.c say the same numbers. */
typedef enum TaskState {
        STATE_NONE = 0, /* there is no such row (yet, or any more) */
        STATE_READY = 2,
        STATE_DELAYED = 3,
        STATE_RUNNING = 4,
        STATE_ENDED = 5, /* the first final one: COMPLETED; the others follow as in TaskStatus */
} TaskState;

static inline TaskState state_from_status(TaskStatus final)
{
        return (TaskState)(STATE_ENDED + (final - TASK_COMPLETED));
}
TaskStatus state_to_status(TaskState state);

/* Bits of column flags. */
#define TASK_FLAG_OUTPUT_KEPT                                               \
        1 /* the last execution answered IN_PROGRESS: its output goes along \
           */

/* How an execution in table attempt ended: a status, or one of these. */
#define ATTEMPT_HANDED_BACK    "HANDED_BACK"
#define ATTEMPT_DAEMON_CRASHED "DAEMON_CRASHED"

typedef enum QueueStatement {
        SQL_META_GET,
        SQL_META_SET,
        SQL_TYPE_ALL,
        SQL_TYPE_COUNT,
        SQL_TYPE_FORGET,
        SQL_TYPE_INSERT,
        SQL_LAST_ROW,
        SQL_COUNT_READY,
        SQL_COUNT_DELAYED,
        SQL_COUNT_ENDED,
        SQL_FIRST_ENDED,
        SQL_FIRST_DUE,
        SQL_FIRST_DEADLINE,
        SQL_FIRST_READY,
        SQL_SELECT_RUNNING,
        SQL_CRASHED,
        SQL_UNIQUE_FIND,
        SQL_TASK_INSERT,
        SQL_TASK_REPLACE,
        SQL_INPUT_SET,
        SQL_INPUT_GET,
        SQL_CLAIM_SELECT,
        SQL_CLAIM,
        SQL_END,
        SQL_RETRY_LATER,
        SQL_RELEASE,
        SQL_RESULT_SET,
        SQL_RESULT_REASON,
        SQL_RESULT_PROGRESS,
        SQL_RESULT_OUTPUT,
        SQL_RESULT_DELETE,
        SQL_ATTEMPT_INSERT,
        SQL_ATTEMPT_TRIM,
        SQL_ATTEMPT_DELETE,
        SQL_MAKE_READY,
        SQL_FORCE_END,
        SQL_TASK_DELETE,
        SQL_INPUT_DELETE,
        SQL_DUE_SELECT,
        SQL_DEADLINE_SELECT,
        SQL_PURGE_SELECT,
        SQL_TASK_ROW,
        SQL_TASK_BODIES,
        SQL_TASK_HISTORY,
        SQL_SCAN,
        SQL_SCAN_RUNNING,
        SQL_CHANGE_LOOK,
        SQL_RESTART,
        SQL_RESTART_HISTORY,
        SQL_OUTPUT_SET,
        _QUEUE_STATEMENT_MAX,
} QueueStatement;

typedef struct QueueStore {
        Db *db;
        uint64_t tag;     /* of this database's ids */
        int64_t last_row; /* the highest ever given out */
        Buffer json;      /* for the task object at hand */
} QueueStore;

int queue_store_open(QueueStore *store, const char *path, char **ret_error);
void queue_store_close(QueueStore *store);
/* A new row's number: never one that was used before. */
int64_t queue_store_next_row(QueueStore *store, int64_t now_msec);
/* Keeps the highest row in mind, that it is not given out again. */
int queue_store_save_last_row(QueueStore *store);
/* After rows were deleted; 1: there are more pages to give back. */
int queue_store_tidy(QueueStore *store);
/* Adds to the history of a task, whose oldest entries make room. */
typedef struct AttemptRow {
        int64_t row;
        unsigned poll_count; /* identifies the execution */
        unsigned attempt;    /* counts from 1 */
        const char *status;
        Slice worker;
        Slice reason;
        int64_t started_msec;
        int64_t ended_msec;
} AttemptRow;
int queue_store_add_attempt(QueueStore *store, const AttemptRow *attempt);

/* What a job changed, for the counts that the loop keeps. */
typedef struct TypeTally {
        int64_t type;
        int64_t n_ready, n_delayed, n_running; /* differences */
        int64_t head_msec;                     /* since when the next in line waits; 0: none */
} TypeTally;

/* A task that ended otherwise than by its pool's settlement. */
typedef struct Ending {
        int64_t row;
        int64_t type;
        TaskStatus status;
        bool was_running;
} Ending;

/* What time alone does to a task. */
typedef enum Alarm {
        ALARM_DUE,      /* scheduled of a delayed one */
        ALARM_DEADLINE, /* deadline of an unfinished one */
        ALARM_PURGE,    /* ended: plus the retention */
        _ALARM_MAX,
} Alarm;

typedef struct Tally {
        TypeTally *types;
        size_t n_types, types_capacity, last;
        int64_t n_ended;
        Ending *endings;
        size_t n_endings, endings_capacity;
        int64_t alarm_msec[_ALARM_MAX]; /* epoch: earliest of the new ones; INT64_MAX: none */
        uint64_t bytes;                 /* in use; 0: not measured */
} Tally;

void tally_deinit(Tally *tally);
void tally_clear(Tally *tally);
/* n more in a state. */
int tally_add(Tally *tally, int64_t type, TaskState state, int64_t n);
/* One task went from one state to another. */
int tally_move(Tally *tally, int64_t type, TaskState from, TaskState to);
void tally_alarm(Tally *tally, Alarm alarm, int64_t epoch_msec);
int tally_end(Tally *tally, int64_t row, int64_t type, TaskStatus status, TaskState from);
/* Last step of a job: reads the head of each type whose ready tasks changed, and the size. */
int tally_finish(Tally *tally, QueueStore *store);

/* Ends a task from outside its pool; reason SLICE_NULL: as it is. */
int store_end_task(QueueStore *store, Tally *tally, int64_t row, int64_t type, TaskState from,
                   TaskStatus status, Slice reason);
/* With its bodies and history. */
int store_delete_task(QueueStore *store, Tally *tally, int64_t row, int64_t type, TaskState from);
/* A statement whose only parameter is the row. */
int store_run_row(QueueStore *store, QueueStatement statement, int64_t row);
