/* SPDX-License-Identifier: Apache-2.0 */

/* Cancel, retry, delete, update: of tasks by their ids (one job, a receipt for each), or of all
 * that match a filter (a job of a bounded number of rows, posted again until there are no more). */

#include "source/queue/scan.h"

/* What a verb needs and does; text is how it is done to a task that may be changed. */
typedef struct Change {
        QueueVerb verb;
        TaskStatus status;
        Slice output, reason; /* bytes follow the job */
        bool dry_run;
        int64_t now_msec, step_msec;
        uint64_t n_room; /* for tasks that become unfinished again */
} Change;

typedef struct ChangeIdsJob {
        QueueCall call;
        queue_receipts_t done;
        Change change;
        QueueReceipt *receipts;
        size_t n_rows;
        char text[QUEUE_TEXT_MAX];
        int64_t rows[]; /* 0: no id of ours; then the bytes */
} ChangeIdsJob;

typedef struct ChangeMatchingJob {
        QueueCall call;
        queue_count_t done;
        Change change;
        Scan scan;
        int64_t after; /* where this step got to */
        bool ended;
        uint64_t n, n_step; /* changed before, and in this step */
        char bytes[];
} ChangeMatchingJob;

/* The storage thread */

typedef struct Look {
        int64_t row, type;
        TaskState state;
        bool key_taken; /* another unfinished task has the unique key */
} Look;

static int look_at(QueueStore *store, int64_t row, Look *ret)
{
        sqlite3_stmt *look;
        int r = db_prepare(store->db, SQL_CHANGE_LOOK, &look);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(look, 1, row);
        r = db_step(store->db, look);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        *ret = (Look){
                .row = row,
                .type = sqlite3_column_int64(look, 0),
                .state = (TaskState)sqlite3_column_int(look, 1),
                .key_taken = sqlite3_column_type(look, 2) != SQLITE_NULL &&
                             sqlite3_column_int64(look, 2) != row,
        };
        (void)sqlite3_reset(look);
        return 0;
}

static QueueVerdict refuse(QueueReceipt *receipt, QueueVerdict verdict, const char *message)
{
        receipt->verdict = verdict;
        receipt->message = message;
        return verdict;
}

static QueueVerdict judge(const Change *change, const Look *look, QueueReceipt *receipt)
{
        bool ended = look->state >= STATE_ENDED;

        receipt->verdict = QUEUE_ACCEPTED;
        switch (change->verb) {
        case QUEUE_CANCEL:
                return ended ? refuse(receipt, QUEUE_WRONG_STATE, "the task has already ended")
                             : QUEUE_ACCEPTED;
        case QUEUE_UPDATE:
                return ended ? refuse(receipt, QUEUE_WRONG_STATE,
                                      "the task has already ended; only an unfinished one can be "
                                      "settled")
                             : QUEUE_ACCEPTED;
        case QUEUE_DELETE:
                return ended ? QUEUE_ACCEPTED
                             : refuse(receipt, QUEUE_WRONG_STATE,
                                      "the task has not ended yet; cancel it first");
        case QUEUE_RETRY:
                if (!ended)
                        return refuse(receipt, QUEUE_WRONG_STATE, "the task has not ended yet");
                if (look->state == STATE_ENDED)
                        return refuse(receipt, QUEUE_WRONG_STATE,
                                      "the task has COMPLETED; submit another one instead");
                if (look->key_taken)
                        return refuse(receipt, QUEUE_DUPLICATE,
                                      "another unfinished task has its unique key");
                if (change->n_room == 0)
                        return refuse(receipt, QUEUE_FULL,
                                      "the queue is full: it has max_tasks unfinished tasks");
                return QUEUE_ACCEPTED;
        }
        return refuse(receipt, QUEUE_INVALID, "no such change");
}

static int store_output(QueueStore *store, int64_t row, Slice output)
{
        sqlite3_stmt *set;
        int r;

        if (!output.data)
                return 0;
        r = db_prepare(store->db, SQL_OUTPUT_SET, &set);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(set, 1, row);
        (void)db_bind_slice(set, 2, output);
        return db_run(store->db, set);
}

/* The execution that ended the task goes into its history. */
static int keep_history(QueueStore *store, const Look *look)
{
        sqlite3_stmt *keep;
        int r = db_prepare(store->db, SQL_RESTART_HISTORY, &keep);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(keep, 1, look->row);
        (void)db_bind_slice(keep, 2,
                            slice_from_string(task_status_to_string(state_to_status(look->state))));
        r = db_run(store->db, keep);
        return r < 0 ? r : store_run_row(store, SQL_RESULT_DELETE, look->row);
}

static int restart(Change *change, QueueStore *store, Tally *tally, const Look *look)
{
        sqlite3_stmt *again;
        int r = keep_history(store, look);

        if (r >= 0)
                r = db_prepare(store->db, SQL_RESTART, &again);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(again, 1, look->row);
        (void)sqlite3_bind_int64(again, 2, change->now_msec);
        (void)sqlite3_bind_int64(again, 3, change->step_msec);
        r = db_run(store->db, again);
        if (r < 0)
                return r;
        change->n_room--;
        tally_alarm(tally, ALARM_DEADLINE, change->now_msec); /* it may have one */
        return tally_move(tally, look->type, look->state, STATE_READY);
}

static int apply(Change *change, QueueStore *store, Tally *tally, const Look *look)
{
        int r;

        switch (change->verb) {
        case QUEUE_CANCEL:
                return store_end_task(store, tally, look->row, look->type, look->state,
                                      TASK_CANCELED, change->reason);
        case QUEUE_UPDATE:
                r = store_output(store, look->row, change->output);
                return r < 0 ? r
                             : store_end_task(store, tally, look->row, look->type, look->state,
                                              change->status, change->reason);
        case QUEUE_DELETE:
                return store_delete_task(store, tally, look->row, look->type, look->state);
        case QUEUE_RETRY:
                return restart(change, store, tally, look);
        }
        return -EINVAL;
}

static int change_row(Change *change, QueueStore *store, Tally *tally, int64_t row,
                      QueueReceipt *receipt)
{
        Look look;
        int r = look_at(store, row, &look);

        *receipt = (QueueReceipt){ 0 };
        if (row > 0)
                queue_id_format(row, store->tag, receipt->id);
        if (r == -ENOENT) {
                (void)refuse(receipt, QUEUE_NO_SUCH_TASK, "there is no such task");
                return 0;
        }
        if (r < 0 || judge(change, &look, receipt) != QUEUE_ACCEPTED || change->dry_run)
                return r;
        return apply(change, store, tally, &look);
}

static int finish_run(const Change *change, QueueStore *store)
{
        return change->verb == QUEUE_DELETE && !change->dry_run ? MIN(queue_store_tidy(store), 0)
                                                                : 0;
}

static int change_ids_run(QueueJob *job, QueueStore *store)
{
        ChangeIdsJob *ids = container_of(job, ChangeIdsJob, call.job);
        Change change = ids->change;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ids->n_rows; i++)
                r = change_row(&change, store, &job->tally, ids->rows[i], &ids->receipts[i]);
        return r < 0 ? r : finish_run(&change, store);
}

/* Starts from where the last step got to, also when it is run again. */
static int change_matching_run(QueueJob *job, QueueStore *store)
{
        ChangeMatchingJob *matching = container_of(job, ChangeMatchingJob, call.job);
        Change change = matching->change;
        ScanRow rows[QUEUE_CHUNK_ROWS];
        QueueReceipt receipt;
        size_t n_rows = 0;
        int r;

        if (matching->scan.until == INT64_MAX)
                matching->scan.until = store->last_row;
        matching->after = matching->scan.after;
        matching->n_step = 0;
        r = scan_step(&matching->scan, store, &matching->after, rows, ELEMENTSOF(rows), &n_rows,
                      &matching->ended);
        for (size_t i = 0; r >= 0 && i < n_rows; i++) {
                r = change_row(&change, store, &job->tally, rows[i].row, &receipt);
                matching->n_step += receipt.verdict == QUEUE_ACCEPTED;
        }
        return r < 0 ? r : finish_run(&change, store);
}

/* The loop */

static uint64_t room_of(const Queue *queue)
{
        uint64_t n_taken = (uint64_t)(queue->n_ready + queue->n_delayed + queue->n_running +
                                      queue->n_submitting);

        return n_taken >= queue->max_tasks ? 0 : queue->max_tasks - n_taken;
}

static int check_change(const QueueChange *change)
{
        if (change->verb == QUEUE_UPDATE && !task_status_is_final(change->status))
                return -EINVAL;
        if (change->output.size > QUEUE_INPUT_MAX || change->reason.size > OUTCOME_REASON_MAX)
                return -E2BIG;
        return 0;
}

static size_t bytes_of(const QueueChange *change)
{
        return change->output.size + change->reason.size;
}

/* bytes: room for output and reason. */
static Change take_change(const Queue *queue, const QueueChange *from, char *bytes)
{
        Change change = {
                .verb = from->verb,
                .status = from->status,
                .dry_run = from->dry_run,
                .now_msec = clock_epoch_msec(),
                .step_msec = queue->step_msec,
                .n_room = room_of(queue),
        };

        if (from->output.data)
                change.output = (Slice){ memcpy(bytes, from->output.data, from->output.size),
                                         from->output.size };
        if (from->reason.data)
                change.reason = (Slice){ memcpy(bytes + from->output.size, from->reason.data,
                                                from->reason.size),
                                         from->reason.size };
        return change;
}

static void change_ids_done(QueueJob *job, int error)
{
        ChangeIdsJob *ids = container_of(job, ChangeIdsJob, call.job);

        if (error < 0) {
                queue_trouble_text(job->queue, error, ids->text, sizeof(ids->text));
                for (size_t i = 0; i < ids->n_rows; i++)
                        (void)refuse(&ids->receipts[i],
                                     error == -ENOSPC ? QUEUE_DISK_FULL : QUEUE_FAILED, ids->text);
        }
        if (!ids->call.abandoned)
                ids->done(ids->receipts, ids->n_rows, ids->call.userdata);
        queue_job_deinit(job);
        free(ids->receipts);
        free(ids);
}

int queue_change(Source *source, const QueueChange *change, const char *const *ids, size_t n,
                 queue_receipts_t done, void *userdata, QueueCall **ret)
{
        Queue *queue = queue_of(source);
        ChangeIdsJob *job;
        int r = check_change(change);

        if (r < 0)
                return r;
        if (n == 0 || n > QUEUE_SUBMIT_MAX)
                return -EINVAL;
        job = malloc(sizeof(*job) + n * sizeof(int64_t) + bytes_of(change));
        if (!job)
                return -ENOMEM;
        *job = (ChangeIdsJob){
                .call = { .job = { .storage = { .write = !change->dry_run,
                                                .sync = !change->dry_run && queue->sync },
                                   .run = change_ids_run,
                                   .done = change_ids_done },
                          .userdata = userdata },
                .done = done,
                .receipts = calloc(n, sizeof(QueueReceipt)),
                .n_rows = n,
        };
        if (!job->receipts) {
                free(job);
                return -ENOMEM;
        }
        job->change = take_change(queue, change, (char *)(job->rows + n));
        for (size_t i = 0; i < n; i++) {
                if (queue_id_parse(slice_from_string(ids[i]), queue->store.tag, &job->rows[i]) < 0)
                        job->rows[i] = 0;
        }
        if (ret)
                *ret = &job->call;
        queue_post(queue, &job->call.job);
        return 0;
}

static void change_matching_done(QueueJob *job, int error)
{
        ChangeMatchingJob *matching = container_of(job, ChangeMatchingJob, call.job);
        Queue *queue = job->queue;

        if (error >= 0) {
                matching->n += matching->n_step;
                matching->scan.after = matching->after;
                matching->change.n_room = room_of(queue);
                if (!matching->ended && !queue->closing) {
                        queue_post(queue, job);
                        return;
                }
                if (!matching->ended)
                        error = -ESHUTDOWN;
        }
        if (!matching->call.abandoned)
                matching->done(error, matching->n, matching->call.userdata);
        queue_job_deinit(job);
        scan_deinit(&matching->scan);
        free(matching);
}

int queue_change_matching(Source *source, const QueueChange *change, const QueueFilter *filter,
                          queue_count_t done, void *userdata, QueueCall **ret)
{
        Queue *queue = queue_of(source);
        ChangeMatchingJob *job;
        int r = check_change(change);

        if (r < 0)
                return r;
        job = malloc(sizeof(*job) + bytes_of(change));
        if (!job)
                return -ENOMEM;
        *job = (ChangeMatchingJob){
                .call = { .job = { .storage = { .write = !change->dry_run,
                                                .sync = !change->dry_run && queue->sync },
                                   .run = change_matching_run,
                                   .done = change_matching_done },
                          .userdata = userdata },
                .done = done,
                .change = take_change(queue, change, job->bytes),
        };
        r = scan_init(&job->scan, queue, filter);
        if (r < 0) {
                free(job);
                return r;
        }
        if (ret)
                *ret = &job->call;
        queue_post(queue, &job->call.job);
        return 0;
}
