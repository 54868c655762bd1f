#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of a worker share: worker.c (interface), worker-task.c (tasks in hand),
 * worker-clock.c (deadlines), worker-end.c (how a process is ended and what is said of it),
 * persistent.c and per-task.c (the two modes).
 *
 * Pins: whoever calls the owner back in the middle of something pins the worker first, looks at
 * `freed` after each report, and unpins last; worker_free meanwhile only marks it. */

#include "base/stream.h"
#include "worker/child.h"
#include "worker/notify-socket.h"
#include "worker/output-log.h"
#include "worker/worker-cgroup.h"
#include "worker/worker.h"

/* Longest reason that we write ourselves; the tail of stderr is in it. */
#define WORKER_REASON_MAX 4096
/* Largest progress message: what a person or a screen takes in, not a second way for output. */
#define WORKER_PROGRESS_MAX ((size_t)64 * 1024)

/* What becomes of a task in hand when it ends, if that is decided already. */
typedef enum TaskFate {
        FATE_NONE,      /* its result, or what the exit of its process means */
        FATE_CANCELLED, /* dropped */
        FATE_TIMED_OUT, /* failed */
        FATE_RETURN,    /* handed back, unless it is completed first */
} TaskFate;

/* A task in hand. Kept on the worker's spare list afterwards: no allocation per task. */
typedef struct HeldTask {
        ListLink link;
        Task *task; /* counted */
        TaskFate fate;
        usec_t started_usec;
        usec_t forgiven_usec; /* does not count: the loop stood still meanwhile */
        usec_t answer_usec;   /* when the answer to cancel is due; USEC_INFINITY: not asked */
        bool overdue;         /* it was due */
        uint64_t sent_end;    /* persistent: where its message ends in all that was sent */

        Buffer progress; /* the last one */
        bool progress_pending;
        usec_t progress_usec; /* last report; 0: none yet */
        Buffer logs;          /* elements of a JSON array, each with a comma behind it */
        unsigned n_logs;
        unsigned n_logs_dropped;
} HeldTask;

/* How far the end of the process has come; nothing new is dispatched but at END_NONE. */
typedef enum EndStage {
        END_NONE,
        END_GRACE,  /* a task did not answer cancel: its neighbours may finish until the deadline */
        END_TASKS,  /* as soon as it holds none */
        END_CANCEL, /* its tasks were told to end; SIGTERM at the deadline */
        END_INPUT,  /* its input is closed; SIGTERM at the deadline */
        END_TERM,   /* SIGKILL at the deadline */
        END_KILL,
        END_GONE, /* reaped, its tasks are being settled */
} EndStage;

typedef struct PerTask PerTask;
typedef struct WorkerMode WorkerMode;

struct Worker {
        WorkerContext *context;
        ConfigPool *config; /* counted */
        const WorkerMode *mode;
        worker_callback_t callback;
        void *userdata;
        unsigned index;
        char *name; /* "pool/n" */
        WorkerState state;
        unsigned n_pins;
        bool freed;

        ListLink tasks; /* HeldTask, oldest first */
        ListLink spare;
        unsigned n_tasks;
        usec_t held_usec; /* since when it holds any */

        Child *child;
        WorkerCgroup *cgroup;   /* NULL: none */
        usec_t forks_told_usec; /* when refused forks were logged last; 0: never */
        NotifySocket *notify;   /* of the slot, made at its first process */
        OutputLog log;

        /* the process */
        usec_t process_usec; /* started; 0: none */
        usec_t heartbeat_usec;
        usec_t watchdog_extended_usec; /* EXTEND_TIMEOUT_USEC; 0: none */
        usec_t start_deadline_usec;
        EndStage end;
        usec_t end_deadline_usec;
        bool leaving;               /* it said STOPPING=1 */
        WorkerExitCause kill_cause; /* _INVALID: not killed for a fault */
        char why[160];              /* with kill_cause */
        char doing[96];             /* what it held when its end began */
        char doing_task[64];
        usec_t memory_usec; /* next sample */
        char *status_text;

        sd_event_source *timer;
        usec_t timer_usec; /* USEC_INFINITY: off */

        /* persistent and library */
        Stream *stream;
        uint64_t sent; /* bytes given to stream */
        Buffer message;
        int stderr_fd;
        sd_event_source *stderr_source;

        PerTask *per_task;

        uint64_t n_done;
        uint64_t n_done_total;
        uint64_t n_ignored;
        unsigned n_starts;
        WorkerExit last_exit;
        int64_t last_exit_msec;
        bool exit_untold; /* per-task: last_exit goes with the report of its task */
};

struct WorkerMode {
        int (*start)(Worker *worker);
        int (*dispatch)(Worker *worker, HeldTask *held);
        /* Tells the handler to end this task. */
        void (*cancel)(Worker *worker, HeldTask *held);
        /* It will get no more tasks. */
        void (*drain)(Worker *worker);
        /* A task has ended, or end has changed to END_TASKS: goes on with the end if it can. */
        void (*advance)(Worker *worker);
        void (*on_child)(Worker *worker, ChildEvent event);
        /* Gives back what the process used. */
        void (*release)(Worker *worker);
        bool (*has_room)(const Worker *worker);
};

extern const WorkerMode worker_mode_persistent; /* libraries too */
extern const WorkerMode worker_mode_per_task;

/* worker.c */
static inline void worker_pin(Worker *worker)
{
        worker->n_pins++;
}
void worker_unpin(Worker *worker);
void worker_report(Worker *worker, const WorkerReport *report);
void worker_set_state(Worker *worker, WorkerState state);
/* READY, and says so. */
void worker_become_ready(Worker *worker);
/* The slot's notify socket and an environment for the next process. */
int worker_prepare_child(Worker *worker);
/* The cgroup of the next process, if there are cgroups: made, and its limits written. */
int worker_enter_cgroup(Worker *worker);
void worker_note_launched(Worker *worker);
void worker_apply_cgroup(Worker *worker);
/* Its process is gone: what is left of its tree goes, too. */
void worker_end_tree(Worker *worker);
void worker_leave_cgroup(Worker *worker);
/* Whether the kernel killed its process for want of memory: then that is why it ended. */
void worker_check_oom(Worker *worker);
/* Logs what the worker did wrong at its interface, counted and thinned. */
void worker_complain(Worker *worker, const char *format, ...) _printf_(2, 3);

/* worker-task.c */
int held_task_new(Worker *worker, Task *task, HeldTask **ret);
void held_task_release(Worker *worker, HeldTask *held);
void held_tasks_free(Worker *worker);
usec_t held_task_timeout_usec(const Worker *worker, const HeldTask *held);
/* When its last progress may be reported; USEC_INFINITY: it was. */
usec_t held_task_progress_usec(const HeldTask *held);
/* SLICE_NULL: the only one. NULL: no such task. */
HeldTask *worker_find_task(Worker *worker, Slice id);
/* The three ends of a task, each with its report; the worker may be freed afterwards (pin it). */
void worker_task_done(Worker *worker, HeldTask *held, Outcome *outcome);
void worker_task_failed(Worker *worker, HeldTask *held, const char *format, ...) _printf_(3, 4);
void worker_task_returned(Worker *worker, HeldTask *held, const char *reason);
/* As fate says; not for FATE_NONE. */
void worker_task_fated(Worker *worker, HeldTask *held);
void worker_add_log(HeldTask *held, Slice json_string, uint64_t bytes_max);
/* held->progress is the new one. */
void worker_progressed(Worker *worker, HeldTask *held);
void worker_report_progress(Worker *worker, HeldTask *held, usec_t now_usec);

/* worker-clock.c */
int worker_clock_init(Worker *worker);
/* Makes sure that worker_judge runs then. */
void worker_arm(Worker *worker, usec_t usec);
void worker_alive(Worker *worker, usec_t now_usec);
/* A process has started: its memory is looked at from now on, if it has a limit. */
void worker_watch_memory(Worker *worker, usec_t now_usec);
uint64_t worker_read_memory(const Worker *worker);
void worker_on_notify(NotifySocket *socket, const NotifyMessage *message, void *userdata);

/* worker-end.c */
void worker_set_end(Worker *worker, EndStage end, usec_t delay_usec);
/* SIGTERM, stop_timeout, SIGKILL. format NULL: it was asked to stop, no fault. */
void worker_terminate(Worker *worker, WorkerExitCause cause, const char *format, ...)
        _printf_(3, 4);
void worker_escalate(Worker *worker);
/* A task did not answer cancel in time. */
void worker_end_grace(Worker *worker);
/* The process is gone: keeps and reports what its tasks mean by it (tasks that it never read go
 * back), then STOPPED. */
void worker_settle_exit(Worker *worker, bool (*was_read)(const Worker *, const HeldTask *));
/* The spawner could not start it: its tasks go back, then STOPPED. */
void worker_cannot_start(Worker *worker);
WorkerExitCause worker_exit_cause(const Worker *worker);
/* Fills last_exit. */
void worker_note_exit(Worker *worker, WorkerExitCause cause);
void worker_forget_process(Worker *worker);
void worker_stopped(Worker *worker, const WorkerExit *last);
