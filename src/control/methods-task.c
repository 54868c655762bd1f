/* SPDX-License-Identifier: Apache-2.0 */

/* Methods that look at tasks. */

#include "control/task-filter.h"
#include "control/task-lookup.h"

/* GetTask */

typedef struct GetTaskCall {
        ControlCall *call;
        TaskLookup lookup;
} GetTaskCall;

static void on_get_gone(ControlCall *call, void *userdata)
{
        GetTaskCall *get = userdata;

        task_lookup_cancel(&get->lookup);
        free(get);
}

static int answer_task(ControlCall *call, Slice task, const Source *source)
{
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(WIRE_MESSAGE_MAX);
        int r;

        r = buffer_append_string(&buffer, "{\"task\":");
        if (r >= 0)
                r = append_task(&buffer, task, source_name(source), true);
        if (r >= 0)
                r = buffer_append_byte(&buffer, '}');
        if (r == -ENOBUFS)
                return control_call_refused(call,
                                            "the task with its input, output and history is larger "
                                            "than 16 MiB, the most an answer can hold");
        return r < 0 ? r : control_call_reply_raw(call, buffer_slice(&buffer));
}

static int answer_no_such_task(ControlCall *call, const char *id)
{
        return control_call_error_strings(call, "NoSuchTask", "taskId", id, NULL);
}

static void on_get_done(TaskLookup *lookup, int error, Slice task, Source *source)
{
        _cleanup_free_ GetTaskCall *get = container_of(lookup, GetTaskCall, lookup);
        int r;

        if (error == -ENOENT)
                r = answer_no_such_task(get->call, lookup->id);
        else if (error < 0)
                r = error;
        else
                r = answer_task(get->call, task, source);
        if (r < 0)
                (void)control_call_refused(get->call, "cannot read the task: %s", strerror(-r));
}

int method_get_task(ControlCall *call, void *userdata)
{
        static const ControlCallbacks callbacks = { .on_gone = on_get_gone };
        struct {
                const char *id;
        } params = { 0 };
        static const ParamField fields[] = { { "taskId", PARAM_STRING, true, 0 } };
        GetTaskCall *get;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return MIN(r, 0);
        get = calloc(1, sizeof(GetTaskCall));
        if (!get)
                return -ENOMEM;
        get->call = call;
        r = task_lookup_start(&get->lookup, userdata, params.id, on_get_done);
        if (r < 0) {
                free(get);
                return r == -ENOENT ? answer_no_such_task(call, params.id) : r;
        }
        control_call_keep(call, &callbacks, get);
        return 0;
}

/* ListTasks: page by page, queue by queue. With "more" a page is a reply, and the next one is read
 * when the client has taken it; without, one reply of one page. */

typedef struct ListCall {
        ControlCall *call;
        const Manager *manager;
        QueueCall *queue_call; /* NULL: none under way */
        TaskFilter filter;
        size_t at;        /* the place of the source that is listed */
        Source *source;   /* that source */
        uint64_t left;    /* of the limit */
        size_t page_size; /* halved while a page does not fit into a message */
        char after[QUEUE_ID_LENGTH + 1];
        bool more;
        Buffer reply; /* {"tasks":[ … */
        bool empty;   /* nothing in reply yet */
} ListCall;

static ListCall *list_call_free(ListCall *list)
{
        if (!list)
                return NULL;
        if (list->queue_call)
                queue_call_abandon(list->queue_call);
        buffer_deinit(&list->reply);
        free(list);
        return NULL;
}
DEFINE_CLEANUP(ListCall *, list_call_free);

static void list_step(ListCall *list);

static void on_list_gone(ControlCall *call, void *userdata)
{
        list_call_free(userdata);
}

static void on_list_writable(ControlCall *call, void *userdata)
{
        ListCall *list = userdata;

        if (!list->queue_call)
                list_step(list);
}

static int begin_reply(ListCall *list)
{
        buffer_clear(&list->reply);
        list->empty = true;
        return buffer_append_string(&list->reply, "{\"tasks\":[");
}

static int append_page(ListCall *list, Slice tasks)
{
        const char *source = source_name(list->source);
        _cleanup_(buffer_deinit) Buffer array = BUFFER_NULL(WIRE_MESSAGE_MAX);
        Slice task;
        int r;

        r = buffer_append_byte(&array, '[');
        if (r >= 0)
                r = buffer_append_slice(&array, tasks);
        if (r >= 0)
                r = buffer_append_byte(&array, ']');
        if (r < 0)
                return r;
        JSON_FOREACH_ELEMENT (task, buffer_slice(&array)) {
                if (!list->empty)
                        r = buffer_append_byte(&list->reply, ',');
                if (r >= 0)
                        r = append_task(&list->reply, task, source, false);
                if (r < 0)
                        return r;
                list->empty = false;
        }
        return 0;
}

/* The call is over, and list with it. */
static void list_finish(ListCall *list)
{
        int r;

        r = buffer_append_string(&list->reply, "]}");
        if (r >= 0)
                r = control_call_reply_raw(list->call, buffer_slice(&list->reply));
        if (r < 0)
                (void)control_call_refused(list->call, "cannot list tasks: %s", strerror(-r));
        list_call_free(list);
}

static void list_fail(ListCall *list, int error)
{
        (void)control_call_refused(list->call, "cannot list tasks: %s", strerror(-error));
        list_call_free(list);
}

static int send_page(ListCall *list)
{
        int r;

        r = buffer_append_string(&list->reply, "]}");
        if (r >= 0)
                r = control_call_continue_raw(list->call, buffer_slice(&list->reply));
        return r < 0 ? r : begin_reply(list);
}

static void on_page(int error, Slice tasks, size_t n, const char *next, void *userdata)
{
        ListCall *list = userdata;
        size_t held = list->reply.size;
        bool was_empty = list->empty;
        int r = error;

        list->queue_call = NULL;
        if (r == 0 && n > 0)
                r = append_page(list, tasks);
        if (r == -ENOBUFS && list->page_size > 1) {
                buffer_truncate(&list->reply, held);
                list->empty = was_empty;
                list->page_size /= 2;
                list_step(list);
                return;
        }
        if (r < 0) {
                list_fail(list, r);
                return;
        }
        list->left -= MIN(list->left, (uint64_t)n);
        if (next)
                memcpy(list->after, next, sizeof(list->after));
        else {
                list->at++;
                list->after[0] = '\0';
        }
        list_step(list);
}

static bool list_is_over(ListCall *list)
{
        const Source *queue;

        while ((queue = next_queue(list->manager, &list->at)) && list->filter.source &&
               queue != list->filter.source)
                list->at++;
        return list->left == 0 || !queue;
}

static void list_step(ListCall *list)
{
        int r = 0;

        if (list_is_over(list)) {
                list_finish(list);
                return;
        }
        if (list->more && !list->empty)
                r = send_page(list);
        if (r == 0 && list->more && !control_call_writable(list->call))
                return; /* on_list_writable goes on */
        list->source = manager_source(list->manager, list->at);
        if (r == 0)
                r = queue_list(list->source, &list->filter.queue,
                               list->after[0] ? list->after : NULL,
                               (size_t)MIN(list->left, (uint64_t)list->page_size), on_page, list,
                               &list->queue_call);
        if (r < 0)
                list_fail(list, r);
}

typedef struct ListTasksParams {
        Slice filter;
        int64_t limit;
} ListTasksParams;

int method_list_tasks(ControlCall *call, void *userdata)
{
        static const ControlCallbacks callbacks = {
                .on_gone = on_list_gone,
                .on_writable = on_list_writable,
        };
        static const ParamField fields[] = {
                { "filter", PARAM_OBJECT, false, offsetof(ListTasksParams, filter) },
                { "limit", PARAM_INTEGER, false, offsetof(ListTasksParams, limit) },
        };
        _cleanup_(list_call_freep) ListCall *list = NULL;
        ListTasksParams params = { .limit = INT64_MAX };
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return MIN(r, 0);
        if (params.limit < 0)
                return control_call_invalid_parameter(call, "limit");
        list = calloc(1, sizeof(ListCall));
        if (!list)
                return -ENOMEM;
        list->reply = BUFFER_NULL(WIRE_MESSAGE_MAX);
        r = task_filter_read(call, userdata, params.filter, &list->filter);
        if (r != 0)
                return MIN(r, 0);
        if (list->filter.n_ids > 0)
                return control_call_invalid_parameter(call, "filter.ids");
        list->call = call;
        list->manager = userdata;
        list->more = control_call_wants_more(call);
        list->left = (uint64_t)(list->more ? params.limit : MIN(params.limit, QUEUE_PAGE_MAX));
        list->page_size = QUEUE_PAGE_MAX;
        r = begin_reply(list);
        if (r < 0)
                return r;
        control_call_keep(call, &callbacks, list);
        list_step(TAKE_PTR(list));
        return 0;
}
