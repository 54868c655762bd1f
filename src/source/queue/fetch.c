/* SPDX-License-Identifier: Apache-2.0 */

/* Claims: a subscription has one under way, for all its free credit. The task objects that handlers
 * get are built on the storage thread. */

#include "source/queue/internal.h"

/* Tasks and bytes of one claim: a pool with more credit gets the rest with the next one. */
#define CLAIM_TASKS_MAX 256
#define CLAIM_BYTES_MAX (32 * 1024 * 1024)
/* Memory kept for the next task object; a bigger one's is given back. */
#define CLAIM_BUFFER_KEEP ((size_t)64 * 1024)

/* With the storage stuck for this long nothing more is fetched. */
#define STALL_MAX_USEC (5 * USEC_PER_SEC)

typedef struct Claimed {
        Task *task;
        int64_t type;
        unsigned attempts_max;
        unsigned flags;
} Claimed;

typedef struct ClaimRow {
        int64_t row, scheduled_msec, priority, attempts_max;
        unsigned attempts, polls, flags;
} ClaimRow;

typedef struct ClaimJob {
        QueueJob job;
        QueueSubscription *subscription; /* its pool and types' names are read by the thread */
        unsigned wanted;
        int64_t now_msec;
        const QueueType **types; /* in the order of their turn */
        size_t n_types;
        size_t bytes;
        size_t n_claimed;
        Claimed claimed[]; /* room for wanted */
} ClaimJob;

/* The storage thread */

static void claim_forget(ClaimJob *claim)
{
        for (size_t i = 0; i < claim->n_claimed; i++)
                (void)task_unref(claim->claimed[i].task);
        claim->n_claimed = 0;
        claim->bytes = 0;
}

/* A body goes into the object as it is, but on one line. */
static int append_body(Buffer *json, const char *name, Slice body)
{
        bool lines = memchr(body.data, '\n', body.size) || memchr(body.data, '\r', body.size);
        int r = buffer_append_string(json, name);

        if (r < 0)
                return r;
        return lines ? json_append_compact(json, body) : buffer_append_slice(json, body);
}

static int append_input(QueueStore *store, int64_t row)
{
        sqlite3_stmt *get;
        int r = db_prepare(store->db, SQL_INPUT_GET, &get);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(get, 1, row);
        r = db_step(store->db, get);
        if (r < 0)
                return r;
        r = append_body(&store->json,
                        ",\"inputData\":", r > 0 ? db_column_slice(get, 0) : SLICE_LITERAL("{}"));
        (void)sqlite3_reset(get);
        return r;
}

/* What an earlier execution left with IN_PROGRESS; too big beside the input: left out. */
static int append_kept_output(QueueStore *store, int64_t row)
{
        size_t before = store->json.size;
        sqlite3_stmt *get;
        int r = db_prepare(store->db, SQL_RESULT_OUTPUT, &get);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(get, 1, row);
        r = db_step(store->db, get);
        if (r <= 0)
                return r;
        r = 0;
        if (sqlite3_column_type(get, 0) == SQLITE_TEXT)
                r = append_body(&store->json, ",\"outputData\":", db_column_slice(get, 0));
        (void)sqlite3_reset(get);
        if (r < 0 || store->json.size > QUEUE_INPUT_MAX) {
                buffer_truncate(&store->json, before);
                r = r == -ENOMEM ? r : 0;
        }
        return r;
}

static int append_member(Buffer *json, const char *name, int64_t value)
{
        int r = buffer_append_string(json, name);

        return r < 0 ? r : buffer_append_int(json, value);
}

/* Conductor's member names, in the order in which its own client writes them. */
static int build_object(ClaimJob *claim, QueueStore *store, const QueueType *type,
                        const ClaimRow *row, const char *id)
{
        Buffer *json = &store->json;
        int r;

        buffer_clear(json);
        if ((r = buffer_append_string(json, "{\"taskType\":")) < 0 ||
            (r = buffer_append_string(json, type->json)) < 0 ||
            (r = buffer_append_string(json, ",\"status\":\"IN_PROGRESS\"")) < 0 ||
            (r = append_input(store, row->row)) < 0 ||
            (row->flags & TASK_FLAG_OUTPUT_KEPT && (r = append_kept_output(store, row->row)) < 0) ||
            (r = buffer_append_string(json, ",\"referenceTaskName\":")) < 0 ||
            (r = buffer_append_string(json, type->json)) < 0 ||
            (r = append_member(json, ",\"retryCount\":", row->attempts)) < 0 ||
            (r = append_member(json, ",\"seq\":1,\"pollCount\":", row->polls + 1)) < 0 ||
            (r = buffer_append_string(json, ",\"taskDefName\":")) < 0 ||
            (r = buffer_append_string(json, type->json)) < 0 ||
            (r = append_member(json, ",\"scheduledTime\":", row->scheduled_msec)) < 0 ||
            (r = append_member(json, ",\"startTime\":", claim->now_msec)) < 0 ||
            (r = append_member(json, ",\"updateTime\":", claim->now_msec)) < 0 ||
            (r = buffer_append_string(
                     json, ",\"callbackFromWorker\":true,\"workflowInstanceId\":\"")) < 0 ||
            (r = buffer_append_string(json, id)) < 0 ||
            (r = buffer_append_string(json, "\",\"workflowType\":")) < 0 ||
            (r = buffer_append_string(json, type->json)) < 0 ||
            (r = buffer_append_string(json, ",\"taskId\":\"")) < 0 ||
            (r = buffer_append_string(json, id)) < 0 ||
            (r = buffer_append_string(json, "\",\"workerId\":")) < 0 ||
            (r = buffer_append_string(json, claim->subscription->pool_json)) < 0 ||
            (r = append_member(json, ",\"workflowPriority\":", row->priority)) < 0 ||
            (r = append_member(json, ",\"queueWaitTime\":",
                               MAX(claim->now_msec - row->scheduled_msec, INT64_C(0)))) < 0 ||
            (r = buffer_append_byte(json, '}')) < 0)
                return r;
        return 0;
}

static int claim_row(ClaimJob *claim, QueueStore *store, const QueueType *type, const ClaimRow *row)
{
        char id[QUEUE_ID_LENGTH + 1];
        sqlite3_stmt *update;
        Task *task;
        int r;

        queue_id_format(row->row, store->tag, id);
        if ((r = build_object(claim, store, type, row, id)) < 0 ||
            (r = db_prepare(store->db, SQL_CLAIM, &update)) < 0)
                return r;
        (void)sqlite3_bind_int64(update, 1, row->row);
        (void)sqlite3_bind_int64(update, 2, claim->now_msec);
        if ((r = db_run(store->db, update)) < 0 ||
            (r = tally_move(&claim->job.tally, type->id, STATE_READY, STATE_RUNNING)) < 0 ||
            (r = task_new(&task, id, type->name, buffer_slice(&store->json))) < 0)
                return r;
        task->retry_count = row->attempts;
        task->poll_count = row->polls + 1;
        task->scheduled_msec = row->scheduled_msec;
        task->row = row->row;
        claim->claimed[claim->n_claimed++] = (Claimed){
                .task = task,
                .type = type->id,
                .attempts_max = (unsigned)row->attempts_max,
                .flags = row->flags,
        };
        claim->bytes += store->json.size;
        return 0;
}

static int select_rows(QueueStore *store, const QueueType *type, size_t n, ClaimRow *rows,
                       size_t *ret_n)
{
        sqlite3_stmt *select;
        size_t i = 0;
        int r = db_prepare(store->db, SQL_CLAIM_SELECT, &select);

        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(select, 1, type->id);
        (void)sqlite3_bind_int64(select, 2, (int64_t)n);
        while ((r = db_step(store->db, select)) > 0)
                rows[i++] = (ClaimRow){
                        .row = sqlite3_column_int64(select, 0),
                        .scheduled_msec = sqlite3_column_int64(select, 1),
                        .priority = sqlite3_column_int64(select, 2),
                        .attempts_max = sqlite3_column_int64(select, 3),
                        .attempts = (unsigned)sqlite3_column_int64(select, 4),
                        .polls = (unsigned)sqlite3_column_int64(select, 5),
                        .flags = (unsigned)sqlite3_column_int64(select, 6),
                };
        *ret_n = i;
        return r;
}

static bool claim_is_full(const ClaimJob *claim)
{
        return claim->n_claimed >= claim->wanted || claim->bytes >= CLAIM_BYTES_MAX;
}

/* Up to n of one type. The rows are read before the first is changed: the index that is walked is
 * the one that changes. */
static int claim_type(ClaimJob *claim, QueueStore *store, const QueueType *type, size_t n)
{
        ClaimRow rows[CLAIM_TASKS_MAX];
        size_t n_rows = 0;
        int r = select_rows(store, type, n, rows, &n_rows);

        for (size_t i = 0; r >= 0 && i < n_rows && !claim_is_full(claim); i++)
                r = claim_row(claim, store, type, &rows[i]);
        return r;
}

/* Each type in turn gets an equal share of what is left; a second pass takes what some left over.
 */
static int claim_run(QueueJob *job, QueueStore *store)
{
        ClaimJob *claim = container_of(job, ClaimJob, job);
        size_t n_passes = claim->n_types > 1 ? 2 : 1;
        int r = 0;

        claim_forget(claim);
        for (size_t pass = 0; pass < n_passes; pass++) {
                size_t n_sharing = pass == 0 ? claim->n_types : 1;

                for (size_t i = 0; r >= 0 && i < claim->n_types && !claim_is_full(claim); i++) {
                        size_t left = claim->wanted - claim->n_claimed;

                        r = claim_type(claim, store, claim->types[i],
                                       (left + n_sharing - 1) / n_sharing);
                        if (n_sharing > 1)
                                n_sharing--;
                }
        }
        buffer_clear(&store->json);
        buffer_trim(&store->json, CLAIM_BUFFER_KEEP);
        return r;
}

/* The loop */

static void give_back(QueueSubscription *subscription, Task **tasks, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                queue_release(&subscription->subscription, tasks[i], NULL);
                (void)task_unref(tasks[i]);
        }
}

/* Each becomes a holding; the references are in tasks. One without memory for it stays in progress
 * until the next start. */
static size_t take_claimed(Queue *queue, ClaimJob *claim, Task **tasks)
{
        QueueSubscription *subscription = claim->subscription;
        size_t n = 0;

        for (size_t i = 0; i < claim->n_claimed; i++) {
                Claimed *claimed = &claim->claimed[i];
                Holding *holding;

                if (holding_new(subscription, claimed->task, &holding) < 0) {
                        (void)task_unref(claimed->task);
                        continue;
                }
                holding->type = claimed->type;
                holding->attempts_max = claimed->attempts_max;
                holding->flags = claimed->flags;
                if (table_insert(&queue->holdings, &holding->by_row, (uint64_t)claimed->task->row) <
                    0) {
                        (void)holding_free(holding);
                        (void)task_unref(claimed->task);
                        continue;
                }
                list_append(&subscription->held, &holding->link);
                tasks[n++] = claimed->task;
        }
        claim->n_claimed = 0;
        return n;
}

/* Credit may have been taken back meanwhile: what is over goes back at once. */
static void hand_over(Queue *queue, ClaimJob *claim)
{
        QueueSubscription *subscription = claim->subscription;
        Task *tasks[CLAIM_TASKS_MAX];
        size_t n = take_claimed(queue, claim, tasks);
        size_t n_wanted = list_is_linked(&subscription->link) ? MIN(n, subscription->credit) : 0;

        give_back(subscription, tasks + n_wanted, n - n_wanted);
        subscription->credit -= (unsigned)n_wanted;
        if (n_wanted > 0)
                subscription->callbacks.on_tasks(&subscription->subscription, tasks, n_wanted,
                                                 subscription->userdata);
}

static void claim_done(QueueJob *job, int error)
{
        ClaimJob *claim = container_of(job, ClaimJob, job);
        QueueSubscription *subscription = claim->subscription;
        Queue *queue = job->queue;

        subscription->claiming = false;
        if (error < 0)
                claim_forget(claim);
        else
                queue->last_fetch_usec = clock_monotonic_usec();
        subscription->last_claim_empty = error >= 0 && claim->n_claimed == 0;
        if (claim->n_claimed > 0)
                hand_over(queue, claim);
        subscription_unref(subscription);
        queue_job_deinit(job);
        free(claim->types);
        free(claim);
}

static uint64_t generation(const QueueSubscription *subscription)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < subscription->n_types; i++)
                sum += subscription->types[i]->generation;
        return sum;
}

static bool has_some(const QueueType *type)
{
        return type->n_ready > 0 || type->n_submitting > 0;
}

/* What is ready already can be had without waiting for the sync of what is submitted or settled in
 * this moment. */
static bool has_ready(const QueueSubscription *subscription)
{
        for (size_t i = 0; i < subscription->n_types; i++) {
                if (subscription->types[i]->n_ready > 0)
                        return true;
        }
        return false;
}

/* After a claim that found nothing only something new is a reason for another. */
static bool wants_claim(const QueueSubscription *subscription)
{
        if (subscription->credit == 0 || subscription->claiming)
                return false;
        if (subscription->last_claim_empty &&
            generation(subscription) == subscription->seen_generation)
                return false;
        for (size_t i = 0; i < subscription->n_types; i++) {
                if (has_some(subscription->types[i]))
                        return true;
        }
        return false;
}

static int claim_new(QueueSubscription *subscription, ClaimJob **ret)
{
        unsigned wanted = MIN(subscription->credit, (unsigned)CLAIM_TASKS_MAX);
        ClaimJob *claim = malloc(sizeof(*claim) + wanted * sizeof(Claimed));

        if (!claim)
                return -ENOMEM;
        *claim = (ClaimJob){
                .job = { .storage = { .write = true, .early = has_ready(subscription) },
                         .run = claim_run,
                         .done = claim_done },
                .wanted = wanted,
                .now_msec = clock_epoch_msec(),
        };
        claim->types = malloc(subscription->n_types * sizeof(QueueType *));
        if (!claim->types) {
                free(claim);
                return -ENOMEM;
        }
        for (size_t i = 0, begin = subscription->turn; i < subscription->n_types; i++) {
                size_t turn = (begin + i) % subscription->n_types;

                if (!has_some(subscription->types[turn]))
                        continue;
                if (claim->n_types == 0)
                        subscription->turn = (turn + 1) % subscription->n_types;
                claim->types[claim->n_types++] = subscription->types[turn];
        }
        claim->subscription = subscription_ref(subscription);
        *ret = claim;
        return 0;
}

void queue_fetch(Queue *queue)
{
        if (queue->trouble < 0 || queue->closing ||
            storage_stall_usec(queue->storage) > STALL_MAX_USEC)
                return;
        LIST_FOREACH (i, &queue->subscriptions) {
                QueueSubscription *subscription = LIST_ENTRY(i, QueueSubscription, link);
                ClaimJob *claim;

                if (!wants_claim(subscription))
                        continue;
                if (claim_new(subscription, &claim) < 0) {
                        queue_retry_arm(queue);
                        return;
                }
                subscription->seen_generation = generation(subscription);
                subscription->claiming = true;
                queue_post(queue, &claim->job);
        }
}
