/* SPDX-License-Identifier: Apache-2.0 */

/* Progress of running tasks: the last word of each is written, at most one job a second. */

#include "source/queue/internal.h"

#define REPORT_INTERVAL_USEC USEC_PER_SEC

typedef struct Report {
        int64_t row;
        unsigned poll_count;
        char *progress;
} Report;

typedef struct ReportJob {
        QueueJob job;
        size_t n_reports;
        Report reports[];
} ReportJob;

static int report_run(QueueJob *job, QueueStore *store)
{
        ReportJob *report = container_of(job, ReportJob, job);
        sqlite3_stmt *set;
        int r = db_prepare(store->db, SQL_RESULT_PROGRESS, &set);

        for (size_t i = 0; r >= 0 && i < report->n_reports; i++) {
                (void)sqlite3_bind_int64(set, 1, report->reports[i].row);
                (void)sqlite3_bind_int64(set, 2, report->reports[i].poll_count);
                (void)db_bind_slice(set, 3, slice_from_string(report->reports[i].progress));
                r = db_run(store->db, set);
        }
        return r;
}

static void report_done(QueueJob *job, int error)
{
        ReportJob *report = container_of(job, ReportJob, job);

        for (size_t i = 0; i < report->n_reports; i++)
                free(report->reports[i].progress);
        queue_job_deinit(job);
        free(report);
}

static size_t count_reports(const Queue *queue)
{
        size_t n = 0;

        LIST_FOREACH (i, &queue->reporting) {
                n++;
        }
        return n;
}

void queue_post_progress(Queue *queue)
{
        ReportJob *report;
        size_t n;

        if (list_is_empty(&queue->reporting) || queue->reporter_armed)
                return;
        n = count_reports(queue);
        report = malloc(sizeof(*report) + n * sizeof(Report));
        if (!report)
                return; /* the next report tries again */
        *report = (ReportJob){
                .job = { .storage.write = true, .run = report_run, .done = report_done },
        };
        for (ListLink *i; (i = list_pop_first(&queue->reporting));) {
                Holding *holding = LIST_ENTRY(i, Holding, reporting);

                report->reports[report->n_reports++] = (Report){
                        .row = holding->task->row,
                        .poll_count = holding->task->poll_count,
                        .progress = TAKE_PTR(holding->progress),
                };
        }
        queue_post(queue, &report->job);
        queue_reporter_arm(queue, REPORT_INTERVAL_USEC);
}

void queue_report_progress(Subscription *base, Task *task, Slice progress)
{
        Queue *queue = queue_of(base->source);
        Holding *holding = holding_find(queue, task->row);
        char *copy;

        if (!holding || holding->task != task)
                return;
        copy = strndup(progress.data, progress.size);
        if (!copy)
                return;
        free(holding->progress);
        holding->progress = copy;
        if (!list_is_linked(&holding->reporting))
                list_append(&queue->reporting, &holding->reporting);
        if (!queue->reporter_armed)
                queue_wake(queue);
}
