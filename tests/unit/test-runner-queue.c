/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "runner/queue.h"
#include "unit.h"

static Job *make_job(unsigned n)
{
        char text[64];
        Job *job;
        int size;

        size = snprintf(text, sizeof(text), "{\"taskId\":\"%u\",\"retryCount\":%u}", n, n);
        ck_assert_int_eq(job_new(&job, (Slice){ text, (size_t)size }, NULL, NULL, 0), 0);
        return job;
}

static void post(Queue *queue, unsigned first, unsigned n)
{
        ListLink jobs = LIST_INIT(jobs);

        for (unsigned i = 0; i < n; i++)
                list_append(&jobs, &make_job(first + i)->link);
        queue_post(queue, &jobs);
        ck_assert(list_is_empty(&jobs));
}

static void take(Queue *queue, QueueSlot *slot, const char *id)
{
        Job *job = queue_take(queue, slot);

        ck_assert_str_eq(job->task.id, id);
        ck_assert_ptr_eq(slot->job, job);
}

static void finish(Queue *queue, QueueSlot *slot)
{
        queue_finish(queue, slot);
        (void)job_free(slot->job);
}

START_TEST(test_order)
{
        Queue queue;

        ck_assert_int_eq(queue_init(&queue, 2), 0);
        post(&queue, 1, 3);
        take(&queue, &queue.slots[0], "1");
        take(&queue, &queue.slots[1], "2");
        finish(&queue, &queue.slots[0]);
        take(&queue, &queue.slots[0], "3");
        ck_assert_uint_eq(queue.n_jobs, 0);
        ck_assert_uint_eq(queue.bytes, 0);
        finish(&queue, &queue.slots[0]);
        finish(&queue, &queue.slots[1]);
        post(&queue, 4, 2);
        queue_close(&queue);
        take(&queue, &queue.slots[0], "4");
        finish(&queue, &queue.slots[0]);
        take(&queue, &queue.slots[0], "5");
        finish(&queue, &queue.slots[0]);
        ck_assert_ptr_null(queue_take(&queue, &queue.slots[0]));
        post(&queue, 6, 1); /* freed with the queue */
        queue_deinit(&queue);
}
END_TEST

static void count_cancel(const Job *job, void *userdata)
{
        ck_assert(atomic_load(&job->cancelled));
        (*(unsigned *)userdata)++;
}

START_TEST(test_cancel)
{
        unsigned n_called = 0;
        Queue queue;
        Job *job;

        ck_assert_int_eq(queue_init(&queue, 2), 0);
        post(&queue, 1, 4);
        take(&queue, &queue.slots[0], "1");
        take(&queue, &queue.slots[1], "2");

        /* running: called, not returned, and the others are left alone */
        ck_assert_ptr_null(queue_cancel(&queue, SLICE_LITERAL("2"), count_cancel, &n_called));
        ck_assert_uint_eq(n_called, 1);
        ck_assert(!atomic_load(&queue.slots[0].job->cancelled));
        ck_assert_int_eq(queue.slots[0].state, SLOT_RUNNING);
        ck_assert_int_eq(queue.slots[1].state, SLOT_RUNNING);

        /* waiting: returned, not called */
        job = queue_cancel(&queue, SLICE_LITERAL("3"), count_cancel, &n_called);
        ck_assert_str_eq(job->task.id, "3");
        (void)job_free(job);

        /* finished, or never heard of */
        finish(&queue, &queue.slots[1]);
        ck_assert_ptr_null(queue_cancel(&queue, SLICE_LITERAL("2"), count_cancel, &n_called));
        ck_assert_ptr_null(queue_cancel(&queue, SLICE_LITERAL("x"), count_cancel, &n_called));
        ck_assert_uint_eq(n_called, 1);

        take(&queue, &queue.slots[1], "4");
        finish(&queue, &queue.slots[0]);
        finish(&queue, &queue.slots[1]);
        queue_deinit(&queue);
}
END_TEST

typedef struct Finisher {
        Queue *queue;
        pthread_t thread;
        pthread_barrier_t started;
        atomic_bool finished;
} Finisher;

static void *finish_in_thread(void *userdata)
{
        Finisher *finisher = userdata;

        (void)pthread_barrier_wait(&finisher->started);
        queue_finish(finisher->queue, &finisher->queue->slots[0]);
        atomic_store(&finisher->finished, true);
        return NULL;
}

/* The thread is on its way out of execute while cancel is being called: it must wait. */
static void start_finisher(const Job *job, void *userdata)
{
        Finisher *finisher = userdata;

        ck_assert_int_eq(pthread_create(&finisher->thread, NULL, finish_in_thread, finisher), 0);
        (void)pthread_barrier_wait(&finisher->started);
        for (unsigned i = 0; i < 1000; i++) {
                ck_assert(!atomic_load(&finisher->finished));
                (void)sched_yield();
        }
}

START_TEST(test_finish_waits_for_cancel)
{
        Finisher finisher = {};
        Queue queue;

        ck_assert_int_eq(queue_init(&queue, 1), 0);
        ck_assert_int_eq(pthread_barrier_init(&finisher.started, NULL, 2), 0);
        finisher.queue = &queue;
        post(&queue, 1, 1);
        take(&queue, &queue.slots[0], "1");
        ck_assert_ptr_null(queue_cancel(&queue, SLICE_LITERAL("1"), start_finisher, &finisher));
        ck_assert_int_eq(pthread_join(finisher.thread, NULL), 0);
        ck_assert(atomic_load(&finisher.finished));
        ck_assert_int_eq(queue.slots[0].state, SLOT_IDLE);
        (void)job_free(queue.slots[0].job);
        (void)pthread_barrier_destroy(&finisher.started);
        queue_deinit(&queue);
}
END_TEST

#define N_THREADS 8
#define N_JOBS    20000

typedef struct Consumer {
        Queue *queue;
        QueueSlot *slot;
        pthread_t thread;
        uint64_t sum;
} Consumer;

static void *consume(void *userdata)
{
        Consumer *consumer = userdata;
        Job *job;

        while ((job = queue_take(consumer->queue, consumer->slot))) {
                consumer->sum += job->task.retry_count;
                queue_finish(consumer->queue, consumer->slot);
                (void)job_free(job);
        }
        return NULL;
}

/* No wake-up is lost, none is taken twice, and the reader waits for room. */
START_TEST(test_threads)
{
        Consumer consumers[N_THREADS] = {};
        uint64_t sum = 0;
        Queue queue;

        ck_assert_int_eq(queue_init(&queue, N_THREADS), 0);
        for (unsigned i = 0; i < N_THREADS; i++) {
                consumers[i].queue = &queue;
                consumers[i].slot = &queue.slots[i];
                ck_assert_int_eq(pthread_create(&consumers[i].thread, NULL, consume, &consumers[i]),
                                 0);
        }
        post(&queue, 0, QUEUE_JOBS_MAX + 1000);
        for (unsigned n = QUEUE_JOBS_MAX + 1000; n < N_JOBS; n++)
                post(&queue, n, 1);
        queue_close(&queue);
        for (unsigned i = 0; i < N_THREADS; i++) {
                ck_assert_int_eq(pthread_join(consumers[i].thread, NULL), 0);
                sum += consumers[i].sum;
        }
        ck_assert_uint_eq(sum, (uint64_t)N_JOBS * (N_JOBS - 1) / 2);
        queue_deinit(&queue);
}
END_TEST

START_TEST(test_job)
{
        static const char text[] = "{\"taskId\":\"a\\u00e9\",\"taskType\":\"t\",\"retryCount\":2,"
                                   "\"inputData\": {\"s\":\"x\\ny\",\"n\":7,\"f\":1.5}}";
        int64_t n;
        Job *job;

        ck_assert_int_eq(job_new(&job, SLICE_LITERAL(text), NULL, NULL, 99), 0);
        ck_assert_str_eq(job->task.id, "aé");
        ck_assert_slice(job->id_json, "\"a\\u00e9\"");
        ck_assert_str_eq(job->task.type, "t");
        ck_assert_str_eq(job->task.json, text);
        ck_assert_str_eq(job->task.input, "{\"s\":\"x\\ny\",\"n\":7,\"f\":1.5}");
        ck_assert_uint_eq(job->task.input_size, strlen(job->task.input));
        ck_assert_uint_eq(job->task.retry_count, 2);
        ck_assert_int_eq(job->task.deadline_msec, 99);
        ck_assert_str_eq(job_input_string(job, "s"), "x\ny");
        ck_assert_ptr_null(job_input_string(job, "n"));
        ck_assert_ptr_null(job_input_string(job, "none"));
        ck_assert_int_eq(job_input_int64(job, "n", &n), 0);
        ck_assert_int_eq(n, 7);
        ck_assert_int_eq(job_input_int64(job, "f", &n), -EINVAL);
        ck_assert_int_eq(job_input_int64(job, "none", &n), -ENOENT);
        (void)job_free(job);

        ck_assert_int_eq(job_new(&job, SLICE_LITERAL("{\"inputData\":null,\"retryCount\":-1}"),
                                 NULL, NULL, 0),
                         0);
        ck_assert_str_eq(job->task.id, "");
        ck_assert_uint_eq(job->id_json.size, 0);
        ck_assert_str_eq(job->task.input, "{}");
        ck_assert_uint_eq(job->task.retry_count, 0);
        (void)job_free(job);
}
END_TEST

UNIT_MAIN("runner-queue", test_order, test_cancel, test_finish_waits_for_cancel, test_threads,
          test_job);
