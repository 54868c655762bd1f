/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <stdio.h>
#include "source/queue/internal.h"

/* A job this long at the disk is called a stall. */
#define STALL_USEC USEC_PER_SEC

/* Jobs */

static int on_run(StorageJob *storage, Db *db)
{
        QueueJob *job = container_of(storage, QueueJob, storage);
        sqlite3_int64 before = sqlite3_total_changes64(db_handle(db));
        int r;

        tally_clear(&job->tally);
        r = job->run(job, &job->queue->store);
        job->wrote = sqlite3_total_changes64(db_handle(db)) != before;
        return r < 0 || !storage->write ? r : tally_finish(&job->tally, &job->queue->store);
}

static CancelCause cause_of(TaskStatus status)
{
        switch (status) {
        case TASK_CANCELED:
                return CANCEL_ASKED;
        case TASK_TIMED_OUT:
                return CANCEL_DEADLINE;
        default:
                return CANCEL_SETTLED;
        }
}

static void tell_ending(Queue *queue, const Ending *ending)
{
        const QueueType *type = queue_type_by_id(queue, ending->type);
        char id[QUEUE_ID_LENGTH + 1];

        if (ending->was_running)
                holding_cancel(queue, ending->row, cause_of(ending->status));
        if (!queue->listener)
                return;
        queue_id_format(ending->row, queue->store.tag, id);
        queue->listener(&queue->source,
                        &(QueueEvent){
                                .kind = QUEUE_EVENT_ENDED,
                                .id = id,
                                .type = type ? type->name : "",
                                .status = ending->status,
                        },
                        queue->listener_userdata);
}

/* A claim that found nothing has not met the disk. */
static void note_written(Queue *queue, const QueueJob *job, int error)
{
        if (error < 0) {
                queue->trouble = error;
                queue_retry_arm(queue);
                return;
        }
        if (!job->wrote)
                return;
        if (!job->probe)
                queue->n_troubles = 0;
        queue->trouble = 0;
}

static void on_done(StorageJob *storage, int error)
{
        QueueJob *job = container_of(storage, QueueJob, storage);
        Queue *queue = job->queue;
        Tally tally = job->tally;

        job->tally = (Tally){ 0 };
        if (storage->write) {
                note_written(queue, job, error);
                if (error >= 0)
                        queue_apply_tally(queue, &tally);
        }
        job->done(job, error);
        for (size_t i = 0; error >= 0 && i < tally.n_endings; i++)
                tell_ending(queue, &tally.endings[i]);
        tally_deinit(&tally);
        queue_clock_arm(queue);
        queue_wake(queue);
}

void queue_post(Queue *queue, QueueJob *job)
{
        job->queue = queue;
        job->storage.db = queue->store.db;
        job->storage.run = on_run;
        job->storage.done = on_done;
        list_append(&queue->outgoing, &job->storage.link);
        queue_wake(queue);
}

void queue_job_deinit(QueueJob *job)
{
        tally_deinit(&job->tally);
}

void queue_wake(Queue *queue)
{
        (void)sd_event_source_set_enabled(queue->flush, SD_EVENT_ONESHOT);
}

/* What a pass of the loop has collected goes to the storage thread at once, so that a submission
 * and the claim that it makes possible are one group. */
static void queue_flush(Queue *queue)
{
        if (!queue->retry_armed || queue->closing)
                queue_post_settling(queue);
        queue_post_progress(queue);
        queue_fetch(queue);
        (void)sd_event_source_set_enabled(queue->flush, SD_EVENT_OFF);
        storage_post_all(queue->storage, &queue->outgoing);
}

static int on_flush(sd_event_source *source, void *userdata)
{
        queue_flush(userdata);
        return 0;
}

void queue_call_abandon(QueueCall *call)
{
        if (call)
                call->abandoned = true;
}

/* Limits and troubles */

static uint64_t n_unfinished(const Queue *queue)
{
        return (uint64_t)(queue->n_ready + queue->n_delayed + queue->n_running);
}

bool queue_has_room(const Queue *queue, uint64_t n, uint64_t bytes)
{
        uint64_t n_submitting = (uint64_t)queue->n_submitting;

        if (n_unfinished(queue) + n_submitting + n > queue->max_tasks)
                return false;
        return queue->max_bytes == 0 ||
               queue->bytes + queue->bytes_submitting + bytes <= queue->max_bytes;
}

void queue_room_text(const Queue *queue, char *text, size_t size)
{
        if (n_unfinished(queue) + (uint64_t)queue->n_submitting >= queue->max_tasks)
                (void)snprintf(text, size,
                               "queue '%s' is full: it has max_tasks = %" PRIu64
                               " unfinished tasks; wait, cancel some, or raise the limit",
                               queue->source.name, queue->max_tasks);
        else
                (void)snprintf(text, size,
                               "queue '%s' is full: its database would pass max_bytes = %" PRIu64
                               "; wait, delete finished tasks, or raise the limit",
                               queue->source.name, queue->max_bytes);
}

void queue_trouble_text(const Queue *queue, int error, char *text, size_t size)
{
        const char *remedy;

        switch (error) {
        case -ENOSPC:
                remedy = "no space left on its device: free some; the queue then goes on by itself";
                break;
        case -EBUSY:
                remedy = "another process keeps it locked: end that process; the queue then goes "
                         "on by itself";
                break;
        case -EBADMSG:
                remedy = "the file is damaged: stop the daemon, move the file away or put a backup "
                         "in its place";
                break;
        case -ESTALE:
                remedy = "it was removed or replaced while the daemon ran: put it back, or start "
                         "the daemon again with what is there";
                break;
        case -EROFS:
                remedy = "it is read-only: make file and folder writable; the queue then goes on "
                         "by itself";
                break;
        case -EIO:
                remedy = "its device reports an error: see the log of the kernel; the queue goes "
                         "on by itself once it can be written";
                break;
        default:
                remedy = strerror(-error);
        }
        (void)snprintf(text, size, "queue '%s' cannot write %s: %s", queue->source.name,
                       queue->path, remedy);
}

/* Source */

static bool wants_something(const Queue *queue)
{
        LIST_FOREACH (i, &queue->subscriptions) {
                if (LIST_ENTRY(i, QueueSubscription, link)->claiming)
                        return true;
        }
        return false;
}

static const char *state_text(Queue *queue, usec_t stall_usec)
{
        if (queue->trouble < 0) {
                queue_trouble_text(queue, queue->trouble, queue->problem, sizeof(queue->problem));
                return queue->trouble == -ENOSPC ? "full" : "failing";
        }
        if (stall_usec > STALL_USEC) {
                (void)snprintf(queue->problem, sizeof(queue->problem),
                               "queue '%s' has waited %" PRIu64 " s for the disk of %s: find out "
                               "what keeps it busy",
                               queue->source.name, stall_usec / USEC_PER_SEC, queue->path);
                return "stalled";
        }
        if (!queue_has_room(queue, 1, 1)) {
                queue_room_text(queue, queue->problem, sizeof(queue->problem));
                return "full";
        }
        return "ok";
}

static void queue_get_status(Source *source, SourceStatus *ret)
{
        Queue *queue = queue_of(source);
        usec_t stall_usec = storage_stall_usec(queue->storage);
        const char *state = state_text(queue, stall_usec);
        bool ok = streq(state, "ok");

        /* Nothing is asked of an idle queue, yet it would answer: that is no old fetch. */
        if (queue->trouble == 0 && stall_usec <= STALL_USEC && !wants_something(queue))
                queue->last_fetch_usec = clock_monotonic_usec();
        *ret = (SourceStatus){
                .state = state,
                .problem = ok ? NULL : queue->problem,
                .n_scheduled = (uint64_t)(queue->n_ready + queue->n_delayed),
                .n_delayed = (uint64_t)queue->n_delayed,
                .n_in_progress = (uint64_t)queue->n_running,
                .n_finished = (uint64_t)queue->n_ended,
                .n_submitted = queue->n_submitted,
                .n_settled = queue->n_settled,
                .bytes = queue->bytes,
                .last_fetch_usec = queue->last_fetch_usec,
                .last_sync_usec = storage_last_commit_usec(queue->storage),
                .stall_usec = stall_usec,
        };
}

static void queue_visit_types(Source *source, type_visitor_t visitor, void *userdata)
{
        Queue *queue = queue_of(source);

        for (size_t i = 0; i < queue->n_types; i++) {
                const QueueType *type = queue->types[i];

                if (!type)
                        continue;
                visitor(
                        &(TypeStatus){
                                .type = type->name,
                                .n_scheduled = (uint64_t)type->n_ready,
                                .n_delayed = (uint64_t)type->n_delayed,
                                .n_in_progress = (uint64_t)type->n_running,
                                .oldest_msec = type->n_ready > 0 ? type->head_msec : 0,
                                .served = type->n_subscriptions > 0,
                        },
                        userdata);
        }
}

void queue_set_listener(Source *source, queue_listener_t listener, void *userdata)
{
        Queue *queue = queue_of(source);

        queue->listener = listener;
        queue->listener_userdata = userdata;
}

int queue_alter(Source *source, const ConfigSource *config)
{
        Queue *queue = queue_of(source);

        queue->sync = config->durability == DURABILITY_FULL;
        queue->max_tasks = config->max_tasks;
        queue->max_bytes = config->max_bytes;
        queue->retention_msec = config->retention_usec == USEC_INFINITY
                                        ? INT64_MAX
                                        : (int64_t)(config->retention_usec / USEC_PER_MSEC);
        queue->step_msec = (int64_t)(config->priority_step_usec / USEC_PER_MSEC);
        if (queue->clock)
                queue_clock_arm(queue);
        return 0;
}

/* All that is under way comes to its end first; what pools still hold goes back. */
static void queue_finish(Queue *queue)
{
        queue->closing = true;
        LIST_FOREACH_SAFE (i, &queue->subscriptions) {
                queue_unsubscribe(&LIST_ENTRY(i, QueueSubscription, link)->subscription);
        }
        do {
                queue_flush(queue);
                storage_drain(queue->storage);
        } while (!list_is_empty(&queue->outgoing) || !list_is_empty(&queue->settling));
}

static void queue_free(Source *source)
{
        Queue *queue = queue_of(source);

        if (queue->flush)
                queue_finish(queue);
        queue_clock_stop(queue);
        (void)sd_event_source_disable_unref(queue->flush);
        queue_store_close(&queue->store);
        queue_types_free(queue);
        table_deinit(&queue->holdings);
        (void)sd_event_unref(queue->event);
        free(queue->source.name);
        free(queue->path);
        free(queue);
}

static const SourceClass queue_class = {
        .type = SOURCE_QUEUE,
        .subscribe = queue_subscribe,
        .alter = queue_subscription_alter,
        .set_credit = queue_set_credit,
        .settle = queue_settle,
        .release = queue_release,
        .report_progress = queue_report_progress,
        .is_quiet = queue_is_quiet,
        .unsubscribe = queue_unsubscribe,
        .free = queue_free,
        .get_status = queue_get_status,
        .visit_types = queue_visit_types,
};

static int queue_open(Queue *queue, char **ret_error)
{
        int r = queue_store_open(&queue->store, queue->path, ret_error);

        if (r < 0)
                return r;
        r = queue_recover(queue);
        if (r < 0 && asprintf(ret_error, "queue database %s cannot be read: %s", queue->path,
                              db_error_text(queue->store.db)) < 0)
                *ret_error = NULL;
        return r;
}

static int queue_start(Queue *queue)
{
        int r;

        if ((r = queue_clock_start(queue)) < 0 ||
            (r = sd_event_add_defer(queue->event, &queue->flush, on_flush, queue)) < 0 ||
            (r = sd_event_source_set_enabled(queue->flush, SD_EVENT_OFF)) < 0)
                return r;
        (void)sd_event_source_set_description(queue->flush, "queue-flush");
        queue_clock_arm(queue);
        return 0;
}

int queue_new(Source **ret, Storage *storage, sd_event *event, const ConfigSource *config,
              const char *state_dir, char **ret_error)
{
        _cleanup_(source_freep) Source *source = NULL;
        Queue *queue = calloc(1, sizeof(*queue));
        int r;

        if (!queue)
                return -ENOMEM;
        source = &queue->source;
        source->class = &queue_class;
        queue->storage = storage;
        queue->event = sd_event_ref(event);
        list_init(&queue->subscriptions);
        list_init(&queue->settling);
        list_init(&queue->reporting);
        list_init(&queue->outgoing);
        queue->clock_msec = INT64_MAX;
        for (Alarm i = 0; i < _ALARM_MAX; i++)
                queue->alarm_msec[i] = INT64_MAX;
        (void)queue_alter(source, config);
        source->name = strdup(config->name);
        if (!source->name ||
            asprintf(&queue->path, "%s/queue-%s.db", state_dir, config->name) < 0) {
                queue->path = source->name ? NULL : queue->path;
                return -ENOMEM;
        }
        if ((r = queue_open(queue, ret_error)) < 0 || (r = queue_start(queue)) < 0)
                return r;
        queue->last_fetch_usec = clock_monotonic_usec();
        *ret = TAKE_PTR(source);
        return 0;
}
