/* SPDX-License-Identifier: Apache-2.0 */

/* How a worker's process is brought to its end, and what is made of the end. */

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/parse.h"
#include "worker/exit-text.h"
#include "worker/worker-internal.h"

void worker_set_end(Worker *worker, EndStage end, usec_t delay_usec)
{
        worker->end = end;
        worker->end_deadline_usec = usec_add(clock_monotonic_usec(), delay_usec);
        worker_arm(worker, worker->end_deadline_usec);
}

/* "held task ID for 12.4s and 3 more": kept when the end begins, since afterwards they are gone. */
static void worker_note_doing(Worker *worker)
{
        HeldTask *oldest = LIST_FIRST(&worker->tasks, HeldTask, link);
        char age[FORMAT_MAX], more[32] = "";

        if (!oldest || worker->doing[0] != '\0')
                return;
        if (worker->n_tasks > 1)
                (void)snprintf(more, sizeof(more), " and %u more", worker->n_tasks - 1);
        (void)snprintf(worker->doing, sizeof(worker->doing), "held task %.48s for %s%s",
                       oldest->task->id,
                       format_span(age, clock_monotonic_usec() - oldest->started_usec), more);
        (void)snprintf(worker->doing_task, sizeof(worker->doing_task), "%s", oldest->task->id);
}

void worker_terminate(Worker *worker, WorkerExitCause cause, const char *format, ...)
{
        va_list args;

        if (worker->end >= END_TERM)
                return;
        if (format && worker->kill_cause < 0) {
                worker->kill_cause = cause;
                va_start(args, format);
                (void)vsnprintf(worker->why, sizeof(worker->why), format, args);
                va_end(args);
        }
        worker_note_doing(worker);
        if (worker->child)
                child_signal(worker->child, SIGTERM);
        worker_set_end(worker, END_TERM, worker->config->stop_timeout_usec);
}

/* The worker was to end by itself within half of stop_timeout; the other half is for SIGTERM. */
static void worker_end_overrun(Worker *worker)
{
        if (worker->state == WORKER_STATE_STOPPING)
                worker_terminate(worker, WORKER_EXIT_ASKED, NULL);
        else
                worker_terminate(worker, WORKER_EXIT_PROTOCOL, "%s and went on",
                                 worker->leaving ? "said STOPPING=1"
                                                 : "closed its end of the connection");
        worker_set_end(worker, END_TERM, worker->config->stop_timeout_usec / 2);
}

void worker_escalate(Worker *worker)
{
        switch (worker->end) {
        case END_GRACE:
                worker_terminate(worker, WORKER_EXIT_TIMEOUT,
                                 "a task did not end when it was told to");
                break;
        case END_CANCEL:
                worker_terminate(worker, WORKER_EXIT_ASKED, NULL);
                break;
        case END_INPUT:
                worker_end_overrun(worker);
                break;
        case END_TERM:
                child_signal(worker->child, SIGKILL);
                worker_set_end(worker, END_KILL, USEC_INFINITY);
                break;
        case END_NONE:
        case END_TASKS:
        case END_KILL:
        case END_GONE:
                break;
        }
}

static bool worker_has_neighbours(const Worker *worker)
{
        LIST_FOREACH (i, (ListLink *)&worker->tasks) {
                if (!LIST_ENTRY(i, HeldTask, link)->overdue)
                        return true;
        }
        return false;
}

void worker_end_grace(Worker *worker)
{
        if (worker->end >= END_CANCEL)
                return;
        if (worker_has_neighbours(worker) && worker->end != END_GRACE)
                worker_set_end(worker, END_GRACE, worker->config->stop_timeout_usec);
        if (!worker_has_neighbours(worker))
                worker_terminate(worker, WORKER_EXIT_TIMEOUT,
                                 "a task did not end when it was told to");
}

/* It announced its end, and had done something: one that goes at once would be started again and
 * again without a pause. */
static bool worker_has_left(const Worker *worker)
{
        return worker->leaving && worker->n_done > 0 && worker->child->code == CLD_EXITED &&
               worker->child->value == 0;
}

WorkerExitCause worker_exit_cause(const Worker *worker)
{
        if (worker->kill_cause >= 0)
                return worker->kill_cause;
        if (worker->state != WORKER_STATE_STOPPING && !worker_has_left(worker))
                return WORKER_EXIT_CRASHED;
        /* A drain lets its tasks finish: to die over one is a crash all the same. */
        LIST_FOREACH (i, (ListLink *)&worker->tasks) {
                if (LIST_ENTRY(i, HeldTask, link)->fate == FATE_NONE)
                        return WORKER_EXIT_CRASHED;
        }
        return WORKER_EXIT_ASKED;
}

static void worker_describe_exit(const Worker *worker, char *buffer, size_t size)
{
        const Child *child = worker->child;
        char name[EXIT_TEXT_MAX];

        if (child->code == CLD_EXITED)
                (void)snprintf(buffer, size, "exited with status %d", child->value);
        else
                (void)snprintf(buffer, size, "killed by signal %d (%s)%s", child->value,
                               signal_to_string(child->value, name),
                               child->code == CLD_DUMPED ? ", core dumped" : "");
}

/* In the words of the contract: "fork/exec PATH: no such file or directory". */
static void worker_describe_failure(Worker *worker)
{
        const SpawnRequest *request = &worker->child->request;
        bool launched = streq(request->step, "launch"); /* it is not about the worker's program */
        WorkerExit *last = &worker->last_exit;
        char error[96];

        (void)snprintf(error, sizeof(error), "%s", strerror(-request->error));
        error[0] = (char)tolower((unsigned char)error[0]);
        (void)snprintf(last->text, sizeof(last->text), "worker execution failed: %s %.100s: %s",
                       streq(request->step, "exec") ? "fork/exec" : request->step,
                       launched ? worker->context->launcher_path : request->path, error);
}

void worker_cannot_start(Worker *worker)
{
        HeldTask *held;

        worker->last_exit = (WorkerExit){ .cause = WORKER_EXIT_CANNOT_EXEC };
        worker->last_exit_msec = clock_epoch_msec();
        worker_describe_failure(worker);
        worker->end = END_GONE;
        while (!worker->freed && (held = LIST_FIRST(&worker->tasks, HeldTask, link))) {
                if (held->fate == FATE_CANCELLED)
                        worker_task_fated(worker, held);
                else
                        worker_task_returned(worker, held, worker->last_exit.text);
        }
        if (!worker->freed)
                worker_stopped(worker, &worker->last_exit);
}

void worker_note_exit(Worker *worker, WorkerExitCause cause)
{
        WorkerExit *last = &worker->last_exit;
        char how[EXIT_TEXT_MAX + 48] = "", age[FORMAT_MAX];

        *last = (WorkerExit){ .cause = cause };
        worker->last_exit_msec = clock_epoch_msec();
        last->code = worker->child->code;
        last->value = worker->child->value;
        last->pid = worker->child->request.pid;
        worker_note_doing(worker);
        (void)strcpy(last->task_id, worker->doing_task);
        worker_describe_exit(worker, how, sizeof(how));
        (void)snprintf(last->text, sizeof(last->text), "%s%s%s after %s%s%s", worker->why,
                       worker->why[0] != '\0' ? "; " : "", how,
                       format_span(age, clock_monotonic_usec() - worker->process_usec),
                       worker->doing[0] != '\0' ? ", " : "", worker->doing);
}

/* What the exit of its process means for a task that had no fate. */
static void worker_settle_task(Worker *worker, HeldTask *held, WorkerExitCause cause, bool was_read)
{
        char how[EXIT_TEXT_MAX];

        if (held->fate != FATE_NONE)
                worker_task_fated(worker, held);
        else if (!was_read)
                worker_task_returned(worker, held, "its worker ended before it read the task");
        else if (cause == WORKER_EXIT_CRASHED)
                worker_task_failed(
                        worker, held, "worker crashed: %s",
                        exit_to_contract_text(worker->child->code, worker->child->value, how));
        else if (cause == WORKER_EXIT_WATCHDOG)
                worker_task_failed(worker, held, "worker killed by watchdog: %s", worker->why);
        else if (cause == WORKER_EXIT_MEMORY || cause == WORKER_EXIT_OOM ||
                 cause == WORKER_EXIT_PROTOCOL)
                worker_task_failed(worker, held, "worker killed: %s", worker->why);
        else
                worker_task_returned(worker, held, worker->last_exit.text);
}

void worker_settle_exit(Worker *worker, bool (*was_read)(const Worker *, const HeldTask *))
{
        WorkerExitCause cause = worker_exit_cause(worker);
        HeldTask *held;
        /* A watchdog's kill uses an attempt of the oldest in any case: with a worker that never
         * reads it would be handed out for ever. */
        bool blamed = cause == WORKER_EXIT_WATCHDOG;

        worker_note_exit(worker, cause);
        worker->end = END_GONE;
        while (!worker->freed && (held = LIST_FIRST(&worker->tasks, HeldTask, link))) {
                worker_settle_task(worker, held, cause, blamed || was_read(worker, held));
                blamed = false;
        }
        if (!worker->freed)
                worker_stopped(worker, &worker->last_exit);
}

void worker_forget_process(Worker *worker)
{
        worker->process_usec = 0;
        worker->heartbeat_usec = 0;
        worker->watchdog_extended_usec = 0;
        worker->start_deadline_usec = USEC_INFINITY;
        worker->end = END_NONE;
        worker->end_deadline_usec = USEC_INFINITY;
        worker->leaving = false;
        worker->kill_cause = _WORKER_EXIT_CAUSE_INVALID;
        worker->why[0] = '\0';
        worker->doing[0] = worker->doing_task[0] = '\0';
        worker->memory_usec = USEC_INFINITY;
        free(worker->status_text);
        worker->status_text = NULL;
}

void worker_stopped(Worker *worker, const WorkerExit *last)
{
        worker->mode->release(worker);
        worker_leave_cgroup(worker);
        worker_forget_process(worker);
        worker_set_state(worker, WORKER_STATE_STOPPED);
        worker_report(worker, &(WorkerReport){ .event = WORKER_STOPPED, .exit = last });
}
