/* SPDX-License-Identifier: Apache-2.0 */

/* The tasks that a worker has in hand, and the three ways they leave it. */

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/json.h"
#include "base/parse.h"
#include "worker/worker-internal.h"

/* More often nobody looks, and each report is a write for a source that keeps it. */
#define PROGRESS_INTERVAL_USEC USEC_PER_SEC

/* A record on the spare list keeps buffers no larger than this. */
#define SPARE_BUFFER_KEEP ((size_t)4096)

static HeldTask *held_task_free(HeldTask *held)
{
        (void)task_unref(held->task);
        buffer_deinit(&held->progress);
        buffer_deinit(&held->logs);
        free(held);
        return NULL;
}

static int held_task_take_spare(Worker *worker, HeldTask **ret)
{
        ListLink *link = list_pop_first(&worker->spare);
        HeldTask *held;

        if (link) {
                *ret = LIST_ENTRY(link, HeldTask, link);
                return 0;
        }
        held = calloc(1, sizeof(*held));
        if (!held)
                return -ENOMEM;
        *ret = held;
        return 0;
}

int held_task_new(Worker *worker, Task *task, HeldTask **ret)
{
        usec_t now_usec = clock_monotonic_usec();
        Buffer progress, logs;
        HeldTask *held;
        int r;

        r = held_task_take_spare(worker, &held);
        if (r < 0)
                return r;
        progress = held->progress;
        logs = held->logs;
        progress.maximum = WORKER_PROGRESS_MAX;
        logs.maximum = TASK_MESSAGE_MAX;
        *held = (HeldTask){
                .task = task_ref(task),
                .started_usec = now_usec,
                .answer_usec = USEC_INFINITY,
                .progress = progress,
                .logs = logs,
        };
        list_append(&worker->tasks, &held->link);
        if (worker->n_tasks++ == 0)
                worker->held_usec = now_usec;
        *ret = held;
        return 0;
}

usec_t held_task_timeout_usec(const Worker *worker, const HeldTask *held)
{
        return usec_add(held->started_usec + held->forgiven_usec,
                        worker->config->task_timeout_usec);
}

void held_task_release(Worker *worker, HeldTask *held)
{
        output_log_set_task(&worker->log, NULL);
        held->task = task_unref(held->task);
        buffer_clear(&held->progress);
        buffer_trim(&held->progress, SPARE_BUFFER_KEEP);
        buffer_clear(&held->logs);
        buffer_trim(&held->logs, SPARE_BUFFER_KEEP);
        list_remove(&held->link);
        list_prepend(&worker->spare, &held->link);
        worker->n_tasks--;
}

void held_tasks_free(Worker *worker)
{
        ListLink *link;

        output_log_set_task(&worker->log, NULL);
        while ((link = list_pop_first(&worker->tasks)))
                (void)held_task_free(LIST_ENTRY(link, HeldTask, link));
        while ((link = list_pop_first(&worker->spare)))
                (void)held_task_free(LIST_ENTRY(link, HeldTask, link));
        worker->n_tasks = 0;
}

HeldTask *worker_find_task(Worker *worker, Slice id)
{
        uint64_t hash;

        if (!id.data)
                return worker->n_tasks == 1 ? LIST_FIRST(&worker->tasks, HeldTask, link) : NULL;
        hash = task_id_hash(id);
        LIST_FOREACH (i, &worker->tasks) {
                HeldTask *held = LIST_ENTRY(i, HeldTask, link);

                if (held->task->id_hash == hash && slice_is(id, held->task->id))
                        return held;
        }
        return NULL;
}

/* Takes the task out of hand, lets the mode go on, and reports last. */
static void worker_task_end(Worker *worker, HeldTask *held, WorkerReport *report)
{
        Task *task = task_ref(held->task);

        report->task = task;
        if (worker->exit_untold)
                report->exit = &worker->last_exit;
        worker->exit_untold = false;
        report->run_usec = clock_monotonic_usec() - held->started_usec;
        held_task_release(worker, held);
        worker->mode->advance(worker);
        worker_report(worker, report);
        (void)task_unref(task);
}

static int worker_append_dropped_logs(HeldTask *held)
{
        if (held->n_logs_dropped == 0)
                return 0;
        return buffer_appendf(&held->logs,
                              "{\"log\":\"%u more lines dropped\",\"createdTime\":%lld},",
                              held->n_logs_dropped, (long long)clock_epoch_msec());
}

/* Lines that came while the task ran stand before those of its result. Without memory for them the
 * result goes without. */
static void worker_join_logs(HeldTask *held, Outcome **outcome)
{
        Slice logs;

        (void)worker_append_dropped_logs(held);
        logs = buffer_slice(&held->logs);
        if (logs.size > 0)
                (void)outcome_prepend_logs(outcome, (Slice){ logs.data, logs.size - 1 });
}

void worker_task_done(Worker *worker, HeldTask *held, Outcome *outcome)
{
        worker_join_logs(held, &outcome);
        if (held->progress_pending)
                worker_report_progress(worker, held, clock_monotonic_usec());
        if (worker->freed) {
                (void)outcome_free(outcome);
                return;
        }
        worker->n_done++;
        worker->n_done_total++;
        worker_task_end(worker, held,
                        &(WorkerReport){ .event = WORKER_TASK_DONE, .outcome = outcome });
}

void worker_task_failed(Worker *worker, HeldTask *held, const char *format, ...)
{
        char reason[WORKER_REASON_MAX];
        Outcome *outcome;
        va_list args;

        va_start(args, format);
        (void)vsnprintf(reason, sizeof(reason), format, args);
        va_end(args);
        if (outcome_new(&outcome, TASK_FAILED, reason) < 0)
                worker_task_returned(worker, held, "out of memory");
        else
                worker_task_done(worker, held, outcome);
}

void worker_task_returned(Worker *worker, HeldTask *held, const char *reason)
{
        worker_task_end(worker, held,
                        &(WorkerReport){ .event = WORKER_TASK_RETURNED, .reason = reason });
}

void worker_task_fated(Worker *worker, HeldTask *held)
{
        char duration[FORMAT_MAX];

        switch (held->fate) {
        case FATE_CANCELLED:
                worker_task_end(worker, held, &(WorkerReport){ .event = WORKER_TASK_DROPPED });
                break;
        case FATE_TIMED_OUT:
                worker_task_failed(worker, held, "timed out after %s",
                                   format_duration(duration, worker->config->task_timeout_usec));
                break;
        case FATE_RETURN:
                worker_task_returned(worker, held, "its worker was stopped");
                break;
        case FATE_NONE:
                assert(false);
        }
}

void worker_add_log(HeldTask *held, Slice json_string, uint64_t bytes_max)
{
        size_t size = held->logs.size;
        int r;

        if (json_string.size <= strlen("\"\""))
                return;
        if (held->n_logs == OUTCOME_LOGS_MAX || size + json_string.size > bytes_max) {
                held->n_logs_dropped++;
                return;
        }
        r = buffer_append_string(&held->logs, "{\"log\":");
        if (r >= 0)
                r = buffer_append_slice(&held->logs, json_string);
        if (r >= 0)
                r = buffer_appendf(&held->logs, ",\"createdTime\":%lld},",
                                   (long long)clock_epoch_msec());
        if (r < 0) {
                buffer_truncate(&held->logs, size);
                held->n_logs_dropped++;
                return;
        }
        held->n_logs++;
}

void worker_report_progress(Worker *worker, HeldTask *held, usec_t now_usec)
{
        held->progress_pending = false;
        held->progress_usec = now_usec;
        worker_report(worker, &(WorkerReport){
                                      .event = WORKER_PROGRESS,
                                      .task = held->task,
                                      .data = buffer_slice(&held->progress),
                                      .run_usec = now_usec - held->started_usec,
                              });
}

usec_t held_task_progress_usec(const HeldTask *held)
{
        if (!held->progress_pending)
                return USEC_INFINITY;
        return held->progress_usec > 0 ? held->progress_usec + PROGRESS_INTERVAL_USEC : 0;
}

void worker_progressed(Worker *worker, HeldTask *held)
{
        usec_t now_usec = clock_monotonic_usec();

        held->progress_pending = true;
        if (held_task_progress_usec(held) <= now_usec)
                worker_report_progress(worker, held, now_usec);
        else
                worker_arm(worker, held_task_progress_usec(held));
}
