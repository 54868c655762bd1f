#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One worker of a pool: a slot "pool/n" and the process in it. Owned by its pool.
 *
 *   STOPPED ──start──▶ STARTING ──ready──▶ READY ──drain or stop──▶ STOPPING ──exit──▶ STOPPED
 *                          └───── exec failed, exit, start_timeout ─────────────────────▲
 *
 * Persistent commands and libraries: the slot has one process that takes many tasks. Per-task
 * commands: READY needs no process; each task gets one of its own, and STOPPING waits for it; what
 * its exit means is in the task's outcome, and only one that cannot be executed stops the slot. The
 * worker decides when its process is killed (task timeout, watchdog, output over its bound, no
 * answer to cancel, stop_timeout); the pool decides whether and when it is started again.
 *
 * Everything goes upward through one callback, which is the last act of the function that calls it:
 * the worker may be freed in it. Every task that was dispatched comes back in exactly one
 * WORKER_TASK_* report, before the WORKER_STOPPED of the process that held it. */

#include <systemd/sd-event.h>
#include "config/config.h"
#include "task/task.h"
#include "worker/cgroups.h"
#include "worker/reaper.h"
#include "worker/spawn.h"

typedef struct Worker Worker;

typedef enum WorkerState {
        WORKER_STATE_STOPPED,
        WORKER_STATE_STARTING,
        WORKER_STATE_READY,
        WORKER_STATE_STOPPING,
        _WORKER_STATE_MAX,
        _WORKER_STATE_INVALID = -EINVAL,
} WorkerState;

const char *worker_state_to_string(WorkerState state);

typedef enum WorkerEvent {
        WORKER_READY,         /* takes tasks now */
        WORKER_TASK_DONE,     /* task, outcome: executed; outcome is the receiver's */
        WORKER_TASK_RETURNED, /* task, reason: not executed to an end through no fault of its own;
                                 no attempt used */
        WORKER_TASK_DROPPED,  /* task: cancelled, and now ended; nothing to settle */
        WORKER_PROGRESS, /* task, data: {"percent","stage","message","data"}; coalesced to one a
                            second */
        WORKER_ROOM,     /* its queue had been full: takes tasks again */
        WORKER_LOG_LOST, /* its stream to the journal broke: its process should be replaced */
        WORKER_STOPPED,  /* exit: the process is gone and reaped */
} WorkerEvent;

typedef enum WorkerExitCause {
        WORKER_EXIT_ASKED,       /* drain or stop, or its own STOPPING=1 after some task */
        WORKER_EXIT_CRASHED,     /* by itself: exit code or signal, while it should have gone on */
        WORKER_EXIT_CANNOT_EXEC, /* never ran: error, step */
        WORKER_EXIT_START_TIMEOUT,
        WORKER_EXIT_WATCHDOG,
        WORKER_EXIT_TIMEOUT,  /* killed because a task did not end */
        WORKER_EXIT_MEMORY,   /* limits.memory, without cgroups */
        WORKER_EXIT_OOM,      /* killed by the kernel, for want of memory */
        WORKER_EXIT_PROTOCOL, /* output over its bound, no reader */
        _WORKER_EXIT_CAUSE_MAX,
        _WORKER_EXIT_CAUSE_INVALID = -EINVAL,
} WorkerExitCause;

const char *worker_exit_cause_to_string(WorkerExitCause cause);

typedef struct WorkerExit {
        WorkerExitCause cause;
        int code;         /* CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: no process */
        int value;        /* exit status or signal */
        pid_t pid;        /* 0: no process */
        char task_id[64]; /* the oldest task it held; "": none */
        char text[384]; /* for people: "killed by signal 11 (SIGSEGV) after 3.2s, held task …" */
} WorkerExit;

typedef struct WorkerReport {
        WorkerEvent event;
        Task *task;       /* borrowed; the worker's reference ends after the callback */
        Outcome *outcome; /* TASK_DONE: now the receiver's */
        const char *reason;
        Slice data;
        const WorkerExit *exit; /* STOPPED; TASK_*: its own process ended so, and not well */
        usec_t run_usec;        /* TASK_*: time since dispatch */
} WorkerReport;

typedef void (*worker_callback_t)(Worker *worker, const WorkerReport *report, void *userdata);

/* What all workers of a daemon share; outlives them. */
typedef struct WorkerContext {
        sd_event *event;
        Spawner *spawner;
        Reaper *reaper;
        const char *runtime_dir;   /* of the notify sockets */
        const char *instance;      /* first part of YARDMASTER_WORKER */
        char *const *environment;  /* the daemon's own, minus what systemd gave it */
        const char *runner_path;   /* yardmaster-runner */
        const char *launcher_path; /* yardmaster-launcher */
        Cgroups *cgroups;          /* NULL: none */
        uint64_t n_names;          /* 0 at first: makes names of sockets and tokens unique */
} WorkerContext;

/* index: n of "pool/n", from 1. Nothing is started. */
int worker_new(Worker **ret, WorkerContext *context, ConfigPool *config, unsigned index,
               worker_callback_t callback, void *userdata);
/* Kills the process group without ceremony if there is one; its exit is reaped silently. Tasks in
 * hand are dropped without a report. */
Worker *worker_free(Worker *worker);
DEFINE_CLEANUP(Worker *, worker_free);

/* 0, -EBUSY unless STOPPED, or -errno: then it is as before and nothing is reported. Per-task
 * commands report READY before this returns. */
int worker_start(Worker *worker);
/* Takes a reference. Only while worker_free_slots() > 0. -errno: not taken (-EMFILE: no pipes;
 * -EPIPE: its process is about to go). */
int worker_dispatch(Worker *worker, Task *task);
/* Asks the handler to stop this task: cancel message (or TERM), stop_timeout, TERM, KILL. Ends in
 * WORKER_TASK_DROPPED. */
void worker_cancel(Worker *worker, Task *task);
/* No new tasks; the process ends after those in hand: drain message at once, end of input once it
 * holds none, TERM after half of stop_timeout, KILL after the other half. */
void worker_drain(Worker *worker);
/* Tasks in hand get cancel, TERM, KILL, stop_timeout apart at most, and are RETURNED. */
void worker_stop(Worker *worker);
/* SIGKILL now; tasks in hand are RETURNED. */
void worker_kill(Worker *worker);
/* New values of live keys; same process. */
void worker_apply(Worker *worker, ConfigPool *config);

const char *worker_name(const Worker *worker); /* "pool/n" */
WorkerState worker_state(const Worker *worker);
/* Tasks it would take now: 0 unless READY. */
unsigned worker_free_slots(const Worker *worker);
unsigned worker_n_tasks(const Worker *worker);

/* For describe: what it is doing right now. */
typedef struct WorkerStatus {
        pid_t pid;               /* 0: none */
        usec_t started_usec;     /* monotonic; 0: not running */
        usec_t heartbeat_usec;   /* last sign of life: any message, progress, WATCHDOG=1 */
        uint64_t memory_bytes;   /* RSS of the tree, read now */
        const char *cgroup;      /* path of its group; NULL: none */
        const char *status_text; /* STATUS= */
        uint64_t n_done;         /* tasks of this process */
        uint64_t n_done_total;   /* tasks of this slot */
        uint64_t n_ignored;      /* messages that fitted no task, and others that were none */
        unsigned n_starts;       /* processes started in this slot (persistent and library) */
        WorkerExit last_exit;
        int64_t last_exit_msec; /* epoch; 0: none yet */
} WorkerStatus;
void worker_get_status(Worker *worker, WorkerStatus *ret);

/* The tasks in hand, oldest first, with what is known of each. */
typedef struct WorkerTaskStatus {
        Task *task;
        usec_t started_usec;
        Slice progress; /* JSON object or SLICE_NULL */
        bool cancelled;
        bool stuck; /* its process was killed and has not gone */
} WorkerTaskStatus;
typedef void (*worker_task_visitor_t)(const WorkerTaskStatus *status, void *userdata);
void worker_visit_tasks(Worker *worker, worker_task_visitor_t visitor, void *userdata);
