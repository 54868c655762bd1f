/* SPDX-License-Identifier: Apache-2.0 */

#include "runner/queue.h"

int queue_init(Queue *queue, unsigned n_slots)
{
        pthread_cond_t *conditions[] = { &queue->work, &queue->room, &queue->through };
        unsigned n = 0;
        int r;

        *queue = (Queue){ .n_slots = n_slots };
        queue->slots = calloc(n_slots, sizeof(*queue->slots));
        if (!queue->slots)
                return -ENOMEM;
        r = pthread_mutex_init(&queue->lock, NULL);
        if (r != 0)
                goto fail_mutex;
        for (; n < ELEMENTSOF(conditions); n++) {
                r = pthread_cond_init(conditions[n], NULL);
                if (r != 0)
                        goto fail_conditions;
        }
        list_init(&queue->jobs);
        return 0;

fail_conditions:
        while (n > 0)
                (void)pthread_cond_destroy(conditions[--n]);
        (void)pthread_mutex_destroy(&queue->lock);
fail_mutex:
        free(queue->slots);
        return -r;
}

static Job *pop(Queue *queue)
{
        Job *job = LIST_FIRST(&queue->jobs, Job, link);

        if (!job)
                return NULL;
        list_remove(&job->link);
        queue->n_jobs--;
        queue->bytes -= job->size;
        return job;
}

void queue_deinit(Queue *queue)
{
        Job *job;

        while ((job = pop(queue)))
                (void)job_free(job);
        (void)pthread_cond_destroy(&queue->through);
        (void)pthread_cond_destroy(&queue->room);
        (void)pthread_cond_destroy(&queue->work);
        (void)pthread_mutex_destroy(&queue->lock);
        free(queue->slots);
}

static bool is_full(const Queue *queue)
{
        return queue->n_jobs >= QUEUE_JOBS_MAX || queue->bytes >= QUEUE_BYTES_MAX;
}

static void wake_one(Queue *queue)
{
        if (queue->n_idle == 0 || queue->waking || list_is_empty(&queue->jobs))
                return;
        queue->waking = true;
        (void)pthread_cond_signal(&queue->work);
}

void queue_post(Queue *queue, ListLink *from)
{
        ListLink *link;

        (void)pthread_mutex_lock(&queue->lock);
        while ((link = list_pop_first(from))) {
                Job *job = LIST_ENTRY(link, Job, link);

                while (is_full(queue)) {
                        wake_one(queue);
                        (void)pthread_cond_wait(&queue->room, &queue->lock);
                }
                list_append(&queue->jobs, &job->link);
                queue->n_jobs++;
                queue->bytes += job->size;
        }
        wake_one(queue);
        (void)pthread_mutex_unlock(&queue->lock);
}

void queue_close(Queue *queue)
{
        (void)pthread_mutex_lock(&queue->lock);
        queue->closed = true;
        (void)pthread_cond_broadcast(&queue->work);
        (void)pthread_mutex_unlock(&queue->lock);
}

Job *queue_take(Queue *queue, QueueSlot *slot)
{
        bool was_full;
        Job *job;

        (void)pthread_mutex_lock(&queue->lock);
        while (list_is_empty(&queue->jobs) && !queue->closed) {
                queue->n_idle++;
                (void)pthread_cond_wait(&queue->work, &queue->lock);
                queue->n_idle--;
                queue->waking = false;
        }
        was_full = is_full(queue);
        job = pop(queue);
        if (job) {
                slot->job = job;
                atomic_store(&slot->state, SLOT_RUNNING);
        }
        wake_one(queue);
        if (was_full && !is_full(queue))
                (void)pthread_cond_signal(&queue->room);
        (void)pthread_mutex_unlock(&queue->lock);
        return job;
}

void queue_finish(Queue *queue, QueueSlot *slot)
{
        SlotState expected = SLOT_RUNNING;

        if (atomic_compare_exchange_strong(&slot->state, &expected, SLOT_IDLE))
                return;
        (void)pthread_mutex_lock(&queue->lock);
        while (atomic_load(&slot->state) == SLOT_CANCELLING)
                (void)pthread_cond_wait(&queue->through, &queue->lock);
        atomic_store(&slot->state, SLOT_IDLE);
        (void)pthread_mutex_unlock(&queue->lock);
}

/* With the lock. */
static void release(Queue *queue, QueueSlot *slot)
{
        atomic_store(&slot->state, SLOT_RUNNING);
        (void)pthread_cond_broadcast(&queue->through);
}

static Job *take_waiting(Queue *queue, Slice id)
{
        LIST_FOREACH (i, &queue->jobs) {
                Job *job = LIST_ENTRY(i, Job, link);

                if (!slice_is(id, job->task.id))
                        continue;
                list_remove(&job->link);
                queue->n_jobs--;
                queue->bytes -= job->size;
                return job;
        }
        return NULL;
}

/* The slot that runs this task, held in CANCELLING. Each is held before its job is looked at: a
 * finished one is freed by its thread without the lock. */
static QueueSlot *hold_running(Queue *queue, Slice id)
{
        for (unsigned i = 0; i < queue->n_slots; i++) {
                QueueSlot *slot = &queue->slots[i];
                SlotState expected = SLOT_RUNNING;

                if (!atomic_compare_exchange_strong(&slot->state, &expected, SLOT_CANCELLING))
                        continue;
                if (slice_is(id, slot->job->task.id))
                        return slot;
                release(queue, slot);
        }
        return NULL;
}

Job *queue_cancel(Queue *queue, Slice id, queue_cancel_t callback, void *userdata)
{
        QueueSlot *slot;
        Job *waiting;

        (void)pthread_mutex_lock(&queue->lock);
        waiting = take_waiting(queue, id);
        slot = waiting ? NULL : hold_running(queue, id);
        (void)pthread_mutex_unlock(&queue->lock);
        if (!slot)
                return waiting;

        atomic_store(&slot->job->cancelled, true);
        callback(slot->job, userdata);

        (void)pthread_mutex_lock(&queue->lock);
        release(queue, slot);
        (void)pthread_mutex_unlock(&queue->lock);
        return NULL;
}
