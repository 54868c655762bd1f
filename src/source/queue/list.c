/* SPDX-License-Identifier: Apache-2.0 */

/* Looking at tasks: one, or a page. Reads only, in steps that are posted again. */

#include "source/queue/json.h"
#include "source/queue/scan.h"

/* A page is closed when it has grown to this, whatever its limit: it is one message. */
#define PAGE_BYTES ((size_t)1024 * 1024)
/* One task with all its bodies: input, output and logs are bounded each. */
#define OBJECT_BYTES_MAX (4 * TASK_MESSAGE_MAX)

typedef struct GetJob {
        QueueCall call;
        queue_task_t done;
        int64_t row;
        Buffer json;
} GetJob;

typedef struct ListJob {
        QueueCall call;
        queue_page_t done;
        Scan scan;
        size_t limit;
        Buffer json;
        size_t n_items;
        int64_t last; /* the last row in the page */
        bool ended;
} ListJob;

/* The storage thread */

static int get_run(QueueJob *job, QueueStore *store)
{
        GetJob *get = container_of(job, GetJob, call.job);
        int r = task_append_json(store, get->row, true, &get->json);

        return r == 0 ? -ENOENT : MIN(r, 0);
}

static bool page_is_full(const ListJob *list)
{
        return list->n_items >= list->limit || list->json.size >= PAGE_BYTES;
}

static int append_item(ListJob *list, QueueStore *store, int64_t row)
{
        size_t before = list->json.size;
        int r = list->n_items > 0 ? buffer_append_byte(&list->json, ',') : 0;

        if (r >= 0)
                r = task_append_json(store, row, false, &list->json);
        if (r <= 0) {
                buffer_truncate(&list->json, before);
                return r;
        }
        list->n_items++;
        list->last = row;
        return 0;
}

static int list_run(QueueJob *job, QueueStore *store)
{
        ListJob *list = container_of(job, ListJob, call.job);
        ScanRow rows[QUEUE_CHUNK_ROWS];
        size_t n_wanted = MIN(list->limit - list->n_items, ELEMENTSOF(rows)), n_rows = 0;
        int r = scan_step(&list->scan, store, &list->scan.after, rows, n_wanted, &n_rows,
                          &list->ended);

        for (size_t i = 0; r >= 0 && i < n_rows; i++) {
                r = append_item(list, store, rows[i].row);
                if (page_is_full(list)) {
                        list->ended = list->ended && i + 1 == n_rows;
                        break;
                }
        }
        return r;
}

/* The loop */

static void get_done(QueueJob *job, int error)
{
        GetJob *get = container_of(job, GetJob, call.job);

        if (!get->call.abandoned)
                get->done(error, error < 0 ? SLICE_NULL : buffer_slice(&get->json),
                          get->call.userdata);
        queue_job_deinit(job);
        buffer_deinit(&get->json);
        free(get);
}

int queue_get(Source *source, const char *id, queue_task_t done, void *userdata, QueueCall **ret)
{
        Queue *queue = queue_of(source);
        GetJob *get = malloc(sizeof(*get));

        if (!get)
                return -ENOMEM;
        *get = (GetJob){
                .call = { .job = { .run = get_run, .done = get_done }, .userdata = userdata },
                .done = done,
                .json = BUFFER_NULL(OBJECT_BYTES_MAX),
        };
        /* Row 0 does not exist: an id that is none is answered like one that is not there. */
        if (queue_id_parse(slice_from_string(id), queue->store.tag, &get->row) < 0)
                get->row = 0;
        if (ret)
                *ret = &get->call;
        queue_post(queue, &get->call.job);
        return 0;
}

static void answer_list(ListJob *list, const Queue *queue, int error)
{
        char next[QUEUE_ID_LENGTH + 1];
        bool more = error >= 0 && !list->ended;

        if (more)
                queue_id_format(list->last, queue->store.tag, next);
        list->done(error, error < 0 ? SLICE_NULL : buffer_slice(&list->json),
                   error < 0 ? 0 : list->n_items, more ? next : NULL, list->call.userdata);
}

static void list_done(QueueJob *job, int error)
{
        ListJob *list = container_of(job, ListJob, call.job);
        Queue *queue = job->queue;
        bool unfinished = error >= 0 && !list->ended && !page_is_full(list);

        if (unfinished && queue->closing)
                error = -ESHUTDOWN;
        else if (unfinished && !list->call.abandoned) {
                queue_post(queue, job);
                return;
        }
        if (!list->call.abandoned)
                answer_list(list, queue, error);
        queue_job_deinit(job);
        scan_deinit(&list->scan);
        buffer_deinit(&list->json);
        free(list);
}

static int list_new(Queue *queue, const QueueFilter *filter, void *userdata, ListJob **ret)
{
        ListJob *list = malloc(sizeof(*list));
        int r;

        if (!list)
                return -ENOMEM;
        *list = (ListJob){
                .call = { .job = { .run = list_run, .done = list_done }, .userdata = userdata },
                .json = BUFFER_NULL(OBJECT_BYTES_MAX),
        };
        r = scan_init(&list->scan, queue, filter);
        if (r < 0) {
                free(list);
                return r;
        }
        *ret = list;
        return 0;
}

int queue_list(Source *source, const QueueFilter *filter, const char *after, size_t limit,
               queue_page_t done, void *userdata, QueueCall **ret)
{
        Queue *queue = queue_of(source);
        int64_t after_row = 0;
        ListJob *list;
        int r;

        if (after) {
                r = queue_id_parse(slice_from_string(after), queue->store.tag, &after_row);
                if (r < 0)
                        return r;
        }
        r = list_new(queue, filter, userdata, &list);
        if (r < 0)
                return r;
        list->done = done;
        list->limit = CLAMP(limit, (size_t)1, (size_t)QUEUE_PAGE_MAX);
        list->scan.after = MAX(list->scan.after, after_row);
        if (ret)
                *ret = &list->call;
        queue_post(queue, &list->call.job);
        return 0;
}
