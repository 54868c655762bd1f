/* SPDX-License-Identifier: Apache-2.0 */

/* Submissions: a batch is one job. What can be judged without the database is judged on the loop
 * (bounds, room); the rest, unique keys, on the storage thread. */

#include <stdio.h>
#include "source/queue/internal.h"

/* What a task takes in the database beside its input and key, about. */
#define TASK_OVERHEAD_BYTES 150

typedef struct SubmitItem {
        bool refused; /* on the loop: the receipt says why */
        bool type_is_new;
        const QueueType *type;
        Slice input, unique_key;
        int64_t scheduled_msec, rank;
        int64_t deadline_msec;
        int priority;
        unsigned attempts_max;
        QueueConflict conflict;
} SubmitItem;

typedef struct SubmitJob {
        QueueCall call;
        queue_receipts_t done;
        int64_t now_msec;
        size_t n_items, n_tried;
        uint64_t bytes;
        QueueReceipt *receipts;
        char text[QUEUE_TEXT_MAX]; /* of refusals for want of room */
        SubmitItem items[];        /* and their bytes */
} SubmitJob;

QueueConflict queue_conflict_from_slice(Slice s)
{
        static const char *const names[_QUEUE_CONFLICT_MAX] = {
                [QUEUE_CONFLICT_ERROR] = "error",
                [QUEUE_CONFLICT_RETURN_EXISTING] = "return_existing",
                [QUEUE_CONFLICT_REPLACE] = "replace",
        };

        for (QueueConflict i = 0; i < _QUEUE_CONFLICT_MAX; i++) {
                if (slice_is(s, names[i]))
                        return i;
        }
        return _QUEUE_CONFLICT_INVALID;
}

/* The storage thread */

static int store_type(QueueStore *store, const QueueType *type)
{
        sqlite3_stmt *insert;
        int r = db_prepare(store->db, SQL_TYPE_INSERT, &insert);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(insert, 1, type->id);
        (void)db_bind_slice(insert, 2, slice_from_string(type->name));
        return db_run(store->db, insert);
}

static int store_input(QueueStore *store, int64_t row, Slice input)
{
        sqlite3_stmt *set;
        int r = db_prepare(store->db, SQL_INPUT_SET, &set);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(set, 1, row);
        (void)db_bind_slice(set, 2, input);
        return db_run(store->db, set);
}

/* Insert or replace: both statements number their parameters alike. */
static int store_task(SubmitJob *submit, QueueStore *store, QueueStatement statement,
                      const SubmitItem *item, int64_t row, TaskState from)
{
        TaskState state = item->scheduled_msec > submit->now_msec ? STATE_DELAYED : STATE_READY;
        Tally *tally = &submit->call.job.tally;
        sqlite3_stmt *set;
        int r = db_prepare(store->db, statement, &set);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(set, 1, row);
        (void)sqlite3_bind_int64(set, 2, item->type->id);
        (void)sqlite3_bind_int64(set, 3, state);
        (void)sqlite3_bind_int64(set, 4, item->scheduled_msec);
        (void)sqlite3_bind_int64(set, 5, item->rank);
        (void)sqlite3_bind_int64(set, 6, item->priority);
        (void)sqlite3_bind_int64(set, 7, item->attempts_max);
        (void)(item->deadline_msec > 0 ? sqlite3_bind_int64(set, 8, item->deadline_msec)
                                       : sqlite3_bind_null(set, 8));
        (void)db_bind_slice(set, 9, item->unique_key);
        r = db_run(store->db, set);
        if (r >= 0)
                r = store_input(store, row, item->input);
        if (state == STATE_DELAYED)
                tally_alarm(tally, ALARM_DUE, item->scheduled_msec);
        if (item->deadline_msec > 0)
                tally_alarm(tally, ALARM_DEADLINE, item->deadline_msec);
        return r < 0 ? r : tally_move(tally, item->type->id, from, state);
}

/* The unfinished task that has the key, if any. */
static int find_unique(QueueStore *store, const SubmitItem *item, int64_t *ret_row,
                       TaskState *ret_state)
{
        sqlite3_stmt *find;
        int r;

        *ret_state = STATE_NONE;
        if (!item->unique_key.data)
                return 0;
        r = db_prepare(store->db, SQL_UNIQUE_FIND, &find);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(find, 1, item->type->id);
        (void)db_bind_slice(find, 2, item->unique_key);
        r = db_step(store->db, find);
        if (r <= 0)
                return r;
        *ret_row = sqlite3_column_int64(find, 0);
        *ret_state = (TaskState)sqlite3_column_int(find, 1);
        (void)sqlite3_reset(find);
        return 0;
}

static int meet_existing(SubmitJob *submit, QueueStore *store, const SubmitItem *item, int64_t row,
                         TaskState state, QueueReceipt *receipt)
{
        int r;

        switch (item->conflict) {
        case QUEUE_CONFLICT_RETURN_EXISTING:
                receipt->verdict = QUEUE_EXISTING;
                return 0;
        case QUEUE_CONFLICT_REPLACE:
                if (state == STATE_RUNNING) {
                        receipt->verdict = QUEUE_DUPLICATE;
                        receipt->message = "the task that has this unique key is in progress and "
                                           "cannot be replaced; cancel it, or wait for its end";
                        return 0;
                }
                receipt->verdict = QUEUE_REPLACED;
                if ((r = store_task(submit, store, SQL_TASK_REPLACE, item, row, state)) < 0 ||
                    (r = store_run_row(store, SQL_RESULT_DELETE, row)) < 0 ||
                    (r = store_run_row(store, SQL_ATTEMPT_DELETE, row)) < 0)
                        return r;
                return 0;
        default:
                receipt->verdict = QUEUE_DUPLICATE;
                receipt->message = "an unfinished task of this type has this unique key";
                return 0;
        }
}

static int submit_one(SubmitJob *submit, QueueStore *store, const SubmitItem *item,
                      QueueReceipt *receipt)
{
        TaskState state;
        int64_t row;
        int r = 0;

        if (item->type_is_new)
                r = store_type(store, item->type);
        if (r >= 0)
                r = find_unique(store, item, &row, &state);
        if (r < 0)
                return r;
        if (state != STATE_NONE) {
                r = meet_existing(submit, store, item, row, state, receipt);
        } else {
                receipt->verdict = QUEUE_ACCEPTED;
                row = queue_store_next_row(store, submit->now_msec);
                r = store_task(submit, store, SQL_TASK_INSERT, item, row, STATE_NONE);
        }
        queue_id_format(row, store->tag, receipt->id);
        return r;
}

static int submit_run(QueueJob *job, QueueStore *store)
{
        SubmitJob *submit = container_of(job, SubmitJob, call.job);

        for (size_t i = 0; i < submit->n_items; i++) {
                int r;

                if (submit->items[i].refused)
                        continue;
                submit->receipts[i] = (QueueReceipt){ 0 };
                r = submit_one(submit, store, &submit->items[i], &submit->receipts[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The loop */

/* NULL: nothing wrong. */
static const char *find_fault(const QueueTask *task, QueueVerdict *ret_verdict)
{
        *ret_verdict = QUEUE_INVALID;
        if (task->type.size == 0 || task->type.size > QUEUE_TYPE_MAX)
                return "type must have 1 to 255 bytes";
        for (size_t i = 0; i < task->type.size; i++) {
                if ((unsigned char)task->type.data[i] < ' ' || task->type.data[i] == 0x7f)
                        return "type must not contain control characters";
        }
        if (task->input.data && (task->input.size == 0 || json_type_of(task->input) != JSON_OBJECT))
                return "input must be a JSON object";
        if (task->unique_key.data &&
            (task->unique_key.size == 0 || task->unique_key.size > QUEUE_KEY_MAX))
                return "unique must have 1 to 512 bytes";
        if (task->priority < -QUEUE_PRIORITY_MAX || task->priority > QUEUE_PRIORITY_MAX)
                return "priority must be between -100 and 100";
        if (task->attempts > QUEUE_ATTEMPTS_MAX)
                return "attempts must be at most 1000000";
        if (task->delay_msec < 0 || task->run_at_msec < 0 || task->deadline_msec < 0)
                return "delay, run_at and deadline must not be negative";
        if (task->delay_msec > QUEUE_TIME_MAX_MSEC || task->run_at_msec > QUEUE_TIME_MAX_MSEC ||
            task->deadline_msec > QUEUE_TIME_MAX_MSEC)
                return "delay, run_at and deadline must lie before the year 5000";
        if (task->conflict < 0 || task->conflict >= _QUEUE_CONFLICT_MAX)
                return "conflict must be error, return_existing or replace";
        *ret_verdict = QUEUE_TOO_BIG;
        if (task->input.size > QUEUE_INPUT_MAX)
                return "input is larger than 16769024 bytes; pass a reference to it instead";
        return NULL;
}

static void refuse(SubmitJob *submit, size_t i, QueueVerdict verdict, const char *message)
{
        submit->items[i].refused = true;
        submit->receipts[i] = (QueueReceipt){ .verdict = verdict, .message = message };
}

static Slice copy_slice(char **to, Slice slice)
{
        Slice copy = { *to, slice.size };

        if (!slice.data)
                return SLICE_NULL;
        if (slice.size > 0)
                memcpy(*to, slice.data, slice.size);
        *to += slice.size;
        return copy;
}

static void take_item(Queue *queue, SubmitJob *submit, size_t i, const QueueTask *task,
                      char **bytes)
{
        uint64_t size = task->input.size + task->unique_key.size + TASK_OVERHEAD_BYTES;
        SubmitItem *item = &submit->items[i];
        QueueVerdict verdict;
        const char *fault = find_fault(task, &verdict);
        QueueType *type;
        int r;

        if (fault) {
                refuse(submit, i, verdict, fault);
                return;
        }
        if (!queue_has_room(queue, 1, size)) {
                queue_room_text(queue, submit->text, sizeof(submit->text));
                refuse(submit, i, QUEUE_FULL, submit->text);
                return;
        }
        r = queue_type_get(queue, task->type, QUEUE_TYPES_MAX, &type);
        if (r < 0) {
                refuse(submit, i, QUEUE_FULL,
                       r == -ENOBUFS ? "there are 10000 different types already; those without "
                                       "tasks are forgotten at the daemon's next start"
                                     : "out of memory");
                return;
        }
        *item = (SubmitItem){
                .type_is_new = !type->stored,
                .type = type,
                .input = task->input.data ? copy_slice(bytes, task->input) : SLICE_LITERAL("{}"),
                .unique_key = copy_slice(bytes, task->unique_key),
                .scheduled_msec = MAX(submit->now_msec + task->delay_msec, task->run_at_msec),
                .deadline_msec = task->deadline_msec,
                .priority = task->priority,
                .attempts_max = task->attempts,
                .conflict = task->conflict,
        };
        item->rank = item->scheduled_msec - item->priority * queue->step_msec;
        type->n_submitting++;
        type->generation++;
        queue->n_submitting++;
        queue->bytes_submitting += size;
        submit->bytes += size;
        submit->n_tried++;
}

static void tell_refused(Queue *queue, const SubmitJob *submit)
{
        if (!queue->listener)
                return;
        for (size_t i = 0; i < submit->n_items; i++) {
                QueueVerdict verdict = submit->receipts[i].verdict;

                if (verdict != QUEUE_FULL && verdict != QUEUE_DISK_FULL)
                        continue;
                queue->listener(&queue->source,
                                &(QueueEvent){
                                        .kind = QUEUE_EVENT_REFUSED,
                                        .status = _TASK_STATUS_INVALID,
                                },
                                queue->listener_userdata);
                return; /* one word for the batch */
        }
}

static void count_submitted(Queue *queue, const SubmitJob *submit, int error)
{
        queue->n_submitting -= (int64_t)submit->n_tried;
        queue->bytes_submitting -= submit->bytes;
        for (size_t i = 0; i < submit->n_items; i++) {
                QueueType *type;

                if (submit->items[i].refused)
                        continue;
                type = queue_type_by_id(queue, submit->items[i].type->id);
                type->n_submitting--;
                if (error < 0)
                        continue;
                type->stored = true;
                if (submit->receipts[i].verdict == QUEUE_ACCEPTED)
                        queue->n_submitted++;
        }
}

static void submit_done(QueueJob *job, int error)
{
        SubmitJob *submit = container_of(job, SubmitJob, call.job);
        Queue *queue = job->queue;

        count_submitted(queue, submit, error);
        if (error < 0) {
                queue_trouble_text(queue, error, submit->text, sizeof(submit->text));
                for (size_t i = 0; i < submit->n_items; i++) {
                        if (!submit->items[i].refused)
                                refuse(submit, i, error == -ENOSPC ? QUEUE_DISK_FULL : QUEUE_FAILED,
                                       submit->text);
                }
        }
        tell_refused(queue, submit);
        if (!submit->call.abandoned)
                submit->done(submit->receipts, submit->n_items, submit->call.userdata);
        queue_job_deinit(job);
        free(submit->receipts);
        free(submit);
}

static size_t bytes_of(const QueueTask *tasks, size_t n)
{
        size_t bytes = 0;

        for (size_t i = 0; i < n; i++) {
                if (tasks[i].input.size <= QUEUE_INPUT_MAX &&
                    tasks[i].unique_key.size <= QUEUE_KEY_MAX)
                        bytes += tasks[i].input.size + tasks[i].unique_key.size;
        }
        return bytes;
}

int queue_submit(Source *source, const QueueTask *tasks, size_t n, queue_receipts_t done,
                 void *userdata, QueueCall **ret)
{
        Queue *queue = queue_of(source);
        SubmitJob *submit;
        char *bytes;

        if (n == 0 || n > QUEUE_SUBMIT_MAX)
                return -EINVAL;
        submit = malloc(sizeof(*submit) + n * sizeof(SubmitItem) + bytes_of(tasks, n));
        if (!submit)
                return -ENOMEM;
        *submit = (SubmitJob){
                .call = { .job = { .storage = { .write = true, .sync = queue->sync },
                                   .run = submit_run,
                                   .done = submit_done },
                          .userdata = userdata },
                .done = done,
                .now_msec = clock_epoch_msec(),
                .n_items = n,
                .receipts = calloc(n, sizeof(QueueReceipt)),
        };
        if (!submit->receipts) {
                free(submit);
                return -ENOMEM;
        }
        bytes = (char *)(submit->items + n);
        for (size_t i = 0; i < n; i++) {
                submit->items[i] = (SubmitItem){ 0 };
                take_item(queue, submit, i, &tasks[i], &bytes);
        }
        if (ret)
                *ret = &submit->call;
        queue_post(queue, &submit->call.job);
        return 0;
}
