/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json.h"
#include "stub/model.h"
#include "stub/poll.h"
#include "stub/task-text.h"

#define BLOCK_TASKS    4096
#define BLOCKS_MAX     4096 /* 16 million tasks: more than memory holds */
#define REASON_MAX     500  /* the server's own cut */
#define SPANS_MAX      1000000
#define WITHOUT_DOMAIN "\x01" /* cannot come in a request */

StubModel model;

static StubTask *blocks[BLOCKS_MAX];

static const char *const status_names[] = {
        [STUB_SCHEDULED] = "SCHEDULED",
        [STUB_IN_PROGRESS] = "IN_PROGRESS",
        [STUB_COMPLETED] = "COMPLETED",
        [STUB_FAILED] = "FAILED",
        [STUB_FAILED_TERMINAL] = "FAILED_WITH_TERMINAL_ERROR",
        [STUB_CANCELED] = "CANCELED",
        [STUB_TIMED_OUT] = "TIMED_OUT",
};

const char *stub_status_to_string(StubStatus status)
{
        return status_names[status];
}

StubStatus stub_status_from(Slice text)
{
        for (int i = 0; i < _STUB_STATUS_MAX; i++)
                if (slice_is(text, status_names[i]))
                        return (StubStatus)i;
        return _STUB_STATUS_INVALID;
}

void model_init(void)
{
        list_init(&model.all_queues);
        list_init(&model.all_types);
}

StubType *model_find_type(Slice name)
{
        uint64_t hash = text_hash(name);

        for (TableLink *link = table_find(&model.types, hash); link; link = table_next(link)) {
                StubType *type = container_of(link, StubType, link);

                if (slice_is(name, type->name))
                        return type;
        }
        return NULL;
}

StubType *model_type(Slice name)
{
        StubType *type = model_find_type(name);

        if (type)
                return type;
        type = must_alloc(calloc(1, sizeof(*type)));
        type->name = text_intern(name);
        type->response_timeout_seconds = model.response_timeout_seconds;
        list_append(&model.all_types, &type->all);
        must(table_insert(&model.types, &type->link, text_hash(name)));
        return type;
}

static int64_t number_of(Slice object, const char *key, int64_t otherwise)
{
        Slice value = json_member(object, key);
        int64_t number;

        return value.data && json_to_int64(value, &number) >= 0 ? number : otherwise;
}

void model_define(StubType *type, Slice definition)
{
        free(type->definition);
        type->definition = must_alloc(strndup(definition.data, definition.size));
        type->retry_count = number_of(definition, "retryCount", 3);
        type->retry_delay = (usec_t)number_of(definition, "retryDelaySeconds", 60) * USEC_PER_SEC;
        type->response_timeout_seconds = number_of(definition, "responseTimeoutSeconds", 3600);
        type->poll_timeout_seconds = number_of(definition, "pollTimeoutSeconds", 0);
}

StubQueue *model_queue(Slice type, Slice domain)
{
        uint64_t hash = text_hash(type) * 31 +
                        text_hash(domain.data ? domain : SLICE_LITERAL(WITHOUT_DOMAIN));
        StubQueue *queue;

        for (TableLink *link = table_find(&model.queues, hash); link; link = table_next(link)) {
                queue = container_of(link, StubQueue, link);
                if (slice_is(type, queue->type->name) && !queue->domain == !domain.data &&
                    (!queue->domain || slice_is(domain, queue->domain)))
                        return queue;
        }
        queue = must_alloc(calloc(1, sizeof(*queue)));
        queue->type = model_type(type);
        queue->domain = text_intern(domain);
        list_init(&queue->ready);
        list_init(&queue->polls);
        list_append(&model.all_queues, &queue->all);
        must(table_insert(&model.queues, &queue->link, hash));
        return queue;
}

StubBatch *model_batch(Slice input, Slice expect, bool is_full)
{
        StubBatch *batch = must_alloc(calloc(1, sizeof(*batch)));

        batch->input = must_alloc(strndup(input.data, input.size));
        if (expect.data) {
                Buffer compact = BUFFER_NULL(SIZE_MAX);

                must(json_append_compact(&compact, expect));
                batch->expect = must_alloc(buffer_steal_string(&compact));
        }
        batch->is_full = is_full;
        batch->next = model.batches;
        model.batches = batch;
        return batch;
}

StubTask *model_task(uint32_t index)
{
        return index > 0 && index <= model.n_tasks
                       ? &blocks[index / BLOCK_TASKS][index % BLOCK_TASKS]
                       : NULL;
}

StubTask *model_find_task(Slice id)
{
        uint32_t index;

        return text_parse_id(id, 'a', &index) < 0 ? NULL : model_task(index);
}

StubTask *model_task_new(StubQueue *queue, StubBatch *batch)
{
        uint32_t index = ++model.n_tasks;
        StubTask *task;

        if (index / BLOCK_TASKS >= BLOCKS_MAX)
                errx(1, "more than %u tasks", BLOCKS_MAX * BLOCK_TASKS);
        if (!blocks[index / BLOCK_TASKS])
                blocks[index / BLOCK_TASKS] = must_alloc(calloc(BLOCK_TASKS, sizeof(StubTask)));
        task = model_task(index);
        task->index = task->root = index;
        task->queue = queue;
        task->batch = batch;
        task->number = ++batch->n_tasks;
        task->scheduled_msec = task->update_msec = clock_epoch_msec();
        task->status = STUB_SCHEDULED;
        model.n_status[STUB_SCHEDULED]++;
        return task;
}

static void set_status(StubTask *task, StubStatus status)
{
        if (task->status == STUB_IN_PROGRESS)
                task->queue->n_in_progress--;
        if (status == STUB_IN_PROGRESS) {
                task->queue->n_in_progress++;
                task->queue->n_in_progress_max =
                        MAX(task->queue->n_in_progress_max, task->queue->n_in_progress);
        }
        model.n_status[task->status]--;
        model.n_status[status]++;
        task->status = (uint8_t)status;
}

void model_ready(StubTask *task)
{
        task->ready_usec = clock_monotonic_usec();
        task->is_ready = true;
        list_append(&task->queue->ready, &task->link);
        task->queue->n_ready++;
}

static void on_ready(StubTimer *timer)
{
        StubTask *task = container_of(timer, StubTask, timer);

        model_ready(task);
        poll_serve(task->queue);
}

void model_ready_at(StubTask *task, usec_t due)
{
        stub_timer_set(&task->timer, due, on_ready);
}

static void unready(StubTask *task)
{
        if (!task->is_ready)
                return;
        task->is_ready = false;
        list_remove(&task->link);
        task->queue->n_ready--;
}

/* The next try of a task that failed or fell silent. */
static void retry(StubTask *task)
{
        StubTask *next;

        if ((int64_t)task->retry_count >= task->queue->type->retry_count)
                return;
        next = model_task_new(task->queue, task->batch);
        next->number = task->number;
        task->batch->n_tasks--;
        next->root = task->root;
        next->retry_of = task->index;
        next->retry_count = task->retry_count + 1;
        next->reason = task->reason ? must_alloc(strdup(task->reason)) : NULL;
        task->retried_by = next->index;
        model_ready_at(next, clock_monotonic_usec() + task->queue->type->retry_delay);
}

/* Its workflow takes notice of its end. */
static void proceed(StubTask *task)
{
        if (task->undecided) {
                task->undecided = false;
                model.n_undecided--;
        }
        if (task->status == STUB_FAILED || task->status == STUB_TIMED_OUT)
                retry(task);
}

static void end(StubTask *task, StubStatus status)
{
        stub_timer_clear(&task->timer);
        unready(task);
        set_status(task, status);
        task->end_msec = task->update_msec = clock_epoch_msec();
}

static void time_out(StubTask *task)
{
        end(task, STUB_TIMED_OUT);
        proceed(task);
}

static void on_response_timeout(StubTimer *timer)
{
        time_out(container_of(timer, StubTask, timer));
}

static void start_response_timeout(StubTask *task)
{
        int64_t seconds = task->queue->type->response_timeout_seconds;

        if (seconds > 0)
                stub_timer_set(&task->timer,
                               clock_monotonic_usec() + (usec_t)seconds * USEC_PER_SEC,
                               on_response_timeout);
}

StubTask *model_take(StubQueue *queue, const char *worker)
{
        StubTask *task = LIST_FIRST(&queue->ready, StubTask, link);

        if (!task)
                return NULL;
        unready(task);
        set_status(task, STUB_IN_PROGRESS);
        task->worker = worker;
        task->poll_count++;
        task->update_msec = clock_epoch_msec();
        if (task->start_msec == 0)
                task->start_msec = task->update_msec;
        task->given_usec = clock_monotonic_usec();
        spans_add(&model.spans[SPAN_HANDOUT], task->given_usec - task->ready_usec);
        start_response_timeout(task);
        return task;
}

static uint64_t hash_of(const StubResult *result)
{
        return text_hash(result->output) * 31 + text_hash(result->reason) * 7 +
               (uint64_t)result->status;
}

static void keep_output(StubTask *task, const StubResult *result)
{
        free(task->output);
        free(task->reason);
        task->output = task->reason = NULL;
        task->output_size = result->output.size;
        if (result->output.data)
                task->output = must_alloc(strndup(result->output.data, result->output.size));
        if (result->reason.data && json_decode_string(result->reason, &task->reason) >= 0 &&
            strlen(task->reason) > REASON_MAX)
                task->reason[REASON_MAX] = '\0';
        if (result->worker.data)
                task->worker = text_intern(result->worker);
        task->n_logs += result->n_logs;
}

/* The workflow is decided in the same request, and so the poll timeout with the trap of
 * scheduledTime, which a hand-back does not move. */
static void hand_back(StubTask *task, const StubResult *result)
{
        int64_t waited = (clock_epoch_msec() - task->scheduled_msec) / 1000,
                limit = task->queue->type->poll_timeout_seconds;

        keep_output(task, result);
        stub_timer_clear(&task->timer);
        unready(task);
        set_status(task, STUB_SCHEDULED);
        task->n_handed_back++;
        if (limit > 0 && waited >= limit + MAX(result->callback_seconds, (int64_t)0)) {
                time_out(task);
        } else if (result->callback_seconds > 0) {
                model_ready_at(task, clock_monotonic_usec() +
                                             (usec_t)result->callback_seconds * USEC_PER_SEC);
        } else if (result->callback_seconds == 0) {
                model_ready(task);
                poll_serve(task->queue);
        } /* negative: never again, as on SQLite */
}

static void extend_lease(StubTask *task)
{
        task->n_leases++;
        task->update_msec = clock_epoch_msec();
        if (task->status == STUB_IN_PROGRESS)
                start_response_timeout(task);
}

static void check_output(StubTask *task)
{
        int64_t start;

        task->wrong = !task_text_expected(task);
        if (task->output &&
            json_to_int64(json_member((Slice){ task->output, task->output_size }, "start"),
                          &start) >= 0)
                spans_add(&model.spans[SPAN_PICKUP],
                          (usec_t)start > task->ready_usec ? (usec_t)start - task->ready_usec : 0);
}

StubVerdict model_settle(StubTask *task, const StubResult *result, bool decide)
{
        if (task->status > STUB_IN_PROGRESS) {
                if (!result->extend_lease && result->status == task->status &&
                    hash_of(result) == task->result_hash)
                        task->n_ignored++;
                else if (!result->extend_lease)
                        task->n_conflicting++;
                return VERDICT_IGNORED;
        }
        if (result->extend_lease) {
                extend_lease(task);
                return VERDICT_RETURNED;
        }
        if (result->status == STUB_IN_PROGRESS) {
                hand_back(task, result);
                return VERDICT_RETURNED;
        }
        keep_output(task, result);
        task->result_hash = hash_of(result);
        spans_add(&model.spans[SPAN_SETTLE], clock_monotonic_usec() - task->given_usec);
        end(task, result->status);
        if (result->status == STUB_COMPLETED) {
                model.n_completed++;
                check_output(task);
        }
        if (decide) {
                proceed(task);
        } else {
                task->undecided = true;
                model.n_undecided++;
        }
        return VERDICT_ACCEPTED;
}

void model_cancel(StubTask *task)
{
        if (task->status <= STUB_IN_PROGRESS)
                end(task, STUB_CANCELED);
}

void model_decide(StubTask *task)
{
        for (task = model_task(task->root); task; task = model_task(task->retried_by))
                if (task->undecided)
                        proceed(task);
}

bool model_is_wrong(const StubTask *task)
{
        return task->status != STUB_COMPLETED || task->n_conflicting > 0 || task->wrong ||
               task->undecided;
}

void spans_add(StubSpans *spans, usec_t value)
{
        if (spans->n == SPANS_MAX)
                return;
        if (spans->n == spans->n_allocated) {
                spans->n_allocated = MAX(spans->n_allocated * 2, (size_t)4096);
                spans->values = must_alloc(
                        reallocarray(spans->values, spans->n_allocated, sizeof(*spans->values)));
        }
        spans->values[spans->n++] = (uint32_t)MIN(value, (usec_t)UINT32_MAX);
}

static int compare_spans(const void *a, const void *b)
{
        uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

        return (left > right) - (left < right);
}

void spans_put(Buffer *buffer, StubSpans *spans)
{
        static const unsigned percentages[] = { 50, 90, 99 };

        if (spans->n > 0)
                qsort(spans->values, spans->n, sizeof(*spans->values), compare_spans);
        must(buffer_appendf(buffer, "{\"n\":%zu", spans->n));
        for (size_t i = 0; i < ELEMENTSOF(percentages) && spans->n > 0; i++)
                must(buffer_appendf(buffer, ",\"p%u\":%u", percentages[i],
                                    spans->values[(spans->n - 1) * percentages[i] / 100]));
        if (spans->n > 0)
                must(buffer_appendf(buffer, ",\"max\":%u", spans->values[spans->n - 1]));
        put_literal(buffer, "}");
}

static void free_table(Table *table)
{
        for (size_t i = 0; i < table->n_buckets; i++) {
                for (TableLink *link = table->buckets[i], *next; link; link = next) {
                        next = link->next;
                        /* The link is the first member of both kinds. */
                        free(link);
                }
        }
        table_deinit(table);
}

void model_deinit(void)
{
        for (uint32_t i = 1; i <= model.n_tasks; i++) {
                free(model_task(i)->output);
                free(model_task(i)->reason);
        }
        for (size_t i = 0; i < BLOCKS_MAX; i++)
                free(blocks[i]);
        LIST_FOREACH (link, &model.all_types)
                free(LIST_ENTRY(link, StubType, all)->definition);
        free_table(&model.queues);
        free_table(&model.types);
        for (StubBatch *batch = model.batches, *next; batch; batch = next) {
                next = batch->next;
                free(batch->input);
                free(batch->expect);
                free(batch);
        }
        for (size_t i = 0; i < _STUB_SPAN_MAX; i++)
                free(model.spans[i].values);
}
