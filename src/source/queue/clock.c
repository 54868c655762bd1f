/* SPDX-License-Identifier: Apache-2.0 */

/* What happens to tasks by time alone: delayed ones become due, deadlines pass, ended ones are
 * purged after the retention. One wall clock timer stands at the earliest of them, and at nothing
 * when there is nothing to wait for. Each kind is one job at a time, in chunks. */

#include "source/queue/internal.h"

/* A purge may be late by an eighth of the retention, at most this, so that many go in one job. */
#define PURGE_SLACK_MAX_MSEC INT64_C(60000)

/* Between tries while the database cannot be written. */
static const Backoff retry_backoff = { .base_usec = 200 * USEC_PER_MSEC,
                                       .max_usec = 10 * USEC_PER_SEC };

typedef struct ClockJob {
        QueueJob job;
        Alarm alarm;
        int64_t until_msec;
        size_t n_rows; /* that were done */
        int more;      /* purge: pages to give back */
} ClockJob;

typedef struct ClockRow {
        int64_t row, type;
        TaskState state;
} ClockRow;

/* The storage thread */

static int make_ready(QueueStore *store, Tally *tally, const ClockRow *row)
{
        int r = store_run_row(store, SQL_MAKE_READY, row->row);

        return r < 0 ? r : tally_move(tally, row->type, STATE_DELAYED, STATE_READY);
}

static int time_out(QueueStore *store, Tally *tally, const ClockRow *row)
{
        return store_end_task(store, tally, row->row, row->type, row->state, TASK_TIMED_OUT,
                              SLICE_LITERAL("not finished by its deadline"));
}

static int purge(QueueStore *store, Tally *tally, const ClockRow *row)
{
        return store_delete_task(store, tally, row->row, row->type, row->state);
}

/* select: id, type, state of those up to a time, the earliest first; first: the time of the
 * earliest that is left. */
static const struct {
        QueueStatement select, first;
        int (*apply)(QueueStore *store, Tally *tally, const ClockRow *row);
} kinds[] = {
        [ALARM_DUE] = { SQL_DUE_SELECT, SQL_FIRST_DUE, make_ready },
        [ALARM_DEADLINE] = { SQL_DEADLINE_SELECT, SQL_FIRST_DEADLINE, time_out },
        [ALARM_PURGE] = { SQL_PURGE_SELECT, SQL_FIRST_ENDED, purge },
};

/* All rows are read before the first is changed: the index that is walked is the one that changes.
 */
static int select_rows(QueueStore *store, const ClockJob *clock, ClockRow *rows, size_t *ret_n)
{
        sqlite3_stmt *select;
        size_t n = 0;
        int r = db_prepare(store->db, kinds[clock->alarm].select, &select);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(select, 1, clock->until_msec);
        (void)sqlite3_bind_int64(select, 2, QUEUE_CHUNK_ROWS);
        while ((r = db_step(store->db, select)) > 0)
                rows[n++] = (ClockRow){
                        .row = sqlite3_column_int64(select, 0),
                        .type = sqlite3_column_int64(select, 1),
                        .state = (TaskState)sqlite3_column_int(select, 2),
                };
        *ret_n = n;
        return r;
}

static int clock_run(QueueJob *job, QueueStore *store)
{
        ClockJob *clock = container_of(job, ClockJob, job);
        ClockRow rows[QUEUE_CHUNK_ROWS];
        sqlite3_stmt *first;
        int r = select_rows(store, clock, rows, &clock->n_rows);

        for (size_t i = 0; r >= 0 && i < clock->n_rows; i++)
                r = kinds[clock->alarm].apply(store, &job->tally, &rows[i]);
        if (r >= 0 && clock->alarm == ALARM_PURGE)
                r = clock->more = queue_store_tidy(store);
        if (r >= 0)
                r = db_prepare(store->db, kinds[clock->alarm].first, &first);
        return r < 0 ? r
                     : db_run_int64(store->db, first, INT64_MAX,
                                    &job->tally.alarm_msec[clock->alarm]);
}

/* The loop */

static void clock_done(QueueJob *job, int error)
{
        ClockJob *clock = container_of(job, ClockJob, job);
        Queue *queue = job->queue;

        queue->alarm_posted[clock->alarm] = false;
        if (error < 0)
                queue->alarm_msec[clock->alarm] = 0; /* again, once the trouble is over */
        else if (clock->alarm == ALARM_PURGE &&
                 (clock->n_rows == QUEUE_CHUNK_ROWS || clock->more > 0))
                queue->alarm_msec[ALARM_PURGE] = 0; /* at once, without the slack */
        queue_clock_arm(queue);
        queue_job_deinit(job);
        free(clock);
}

static int post_alarm(Queue *queue, Alarm alarm, int64_t now_msec)
{
        ClockJob *clock = malloc(sizeof(*clock));

        if (!clock)
                return -ENOMEM;
        *clock = (ClockJob){
                .job = { .storage.write = true, .run = clock_run, .done = clock_done },
                .alarm = alarm,
                .until_msec = alarm == ALARM_PURGE ? now_msec - queue->retention_msec : now_msec,
        };
        /* That a task timed out is told to those who wait for it. */
        clock->job.storage.sync = alarm == ALARM_DEADLINE && queue->sync;
        queue->alarm_posted[alarm] = true;
        queue->alarm_msec[alarm] = INT64_MAX; /* what comes meanwhile lowers it again */
        queue_post(queue, &clock->job);
        return 0;
}

/* When to act, epoch; INT64_MAX: never. */
static int64_t alarm_time(const Queue *queue, Alarm alarm)
{
        int64_t first = queue->alarm_msec[alarm];

        if (queue->alarm_posted[alarm] || first == INT64_MAX)
                return INT64_MAX;
        if (alarm != ALARM_PURGE || first == 0)
                return first;
        if (queue->retention_msec > INT64_MAX / 2 - first)
                return INT64_MAX;
        return first + queue->retention_msec + MIN(queue->retention_msec / 8, PURGE_SLACK_MAX_MSEC);
}

static int on_clock(sd_event_source *source, uint64_t usec, void *userdata)
{
        Queue *queue = userdata;
        int64_t now_msec = clock_epoch_msec();

        queue->clock_msec = INT64_MAX;
        for (Alarm i = 0; i < _ALARM_MAX; i++) {
                if (alarm_time(queue, i) <= now_msec && post_alarm(queue, i, now_msec) < 0) {
                        queue_retry_arm(queue);
                        return 0;
                }
        }
        queue_clock_arm(queue);
        queue_wake(queue); /* what becomes due can be claimed in the same group */
        return 0;
}

void queue_clock_arm(Queue *queue)
{
        int64_t first = INT64_MAX;

        for (Alarm i = 0; i < _ALARM_MAX; i++)
                first = MIN(first, alarm_time(queue, i));
        if (queue->retry_armed || queue->closing)
                first = INT64_MAX;
        first = first == INT64_MAX ? first : MIN(first, INT64_MAX / 2000);
        if (first == queue->clock_msec)
                return;
        queue->clock_msec = first;
        if (first == INT64_MAX) {
                (void)sd_event_source_set_enabled(queue->clock, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(queue->clock, (uint64_t)first * USEC_PER_MSEC);
        (void)sd_event_source_set_enabled(queue->clock, SD_EVENT_ONESHOT);
}

static void arm_in(sd_event_source *source, usec_t delay_usec)
{
        (void)sd_event_source_set_time(source, clock_monotonic_usec() + delay_usec);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int probe_run(QueueJob *job, QueueStore *store)
{
        return queue_store_save_last_row(store);
}

static void probe_done(QueueJob *job, int error)
{
        queue_job_deinit(job);
        free(job);
}

/* A small write, to see whether the trouble is over. */
static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
        Queue *queue = userdata;
        QueueJob *probe = malloc(sizeof(*probe));

        queue->retry_armed = false;
        if (!probe) {
                queue_retry_arm(queue);
                return 0;
        }
        *probe = (QueueJob){
                .storage = { .write = true, .sync = queue->sync },
                .probe = true,
                .run = probe_run,
                .done = probe_done,
        };
        queue_post(queue, probe);
        return 0;
}

void queue_retry_arm(Queue *queue)
{
        if (queue->retry_armed || queue->closing)
                return;
        queue->retry_armed = true;
        queue->n_troubles++;
        arm_in(queue->retry, backoff_delay(&retry_backoff, queue->n_troubles, random_u64()));
}

static int on_reporter(sd_event_source *source, uint64_t usec, void *userdata)
{
        Queue *queue = userdata;

        queue->reporter_armed = false;
        if (!list_is_empty(&queue->reporting))
                queue_wake(queue);
        return 0;
}

void queue_reporter_arm(Queue *queue, usec_t interval_usec)
{
        queue->reporter_armed = true;
        arm_in(queue->reporter, interval_usec);
}

int queue_clock_start(Queue *queue)
{
        const uint64_t accuracy_usec = USEC_PER_MSEC;
        int r;

        if ((r = sd_event_add_time(queue->event, &queue->clock, CLOCK_REALTIME, 0, accuracy_usec,
                                   on_clock, queue)) < 0 ||
            (r = sd_event_source_set_enabled(queue->clock, SD_EVENT_OFF)) < 0 ||
            (r = sd_event_add_time(queue->event, &queue->retry, CLOCK_MONOTONIC, 0, accuracy_usec,
                                   on_retry, queue)) < 0 ||
            (r = sd_event_source_set_enabled(queue->retry, SD_EVENT_OFF)) < 0 ||
            (r = sd_event_add_time(queue->event, &queue->reporter, CLOCK_MONOTONIC, 0,
                                   accuracy_usec, on_reporter, queue)) < 0 ||
            (r = sd_event_source_set_enabled(queue->reporter, SD_EVENT_OFF)) < 0)
                return r;
        return 0;
}

void queue_clock_stop(Queue *queue)
{
        queue->clock = sd_event_source_disable_unref(queue->clock);
        queue->retry = sd_event_source_disable_unref(queue->retry);
        queue->reporter = sd_event_source_disable_unref(queue->reporter);
}
