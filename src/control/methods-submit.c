/* SPDX-License-Identifier: Apache-2.0 */

/* Submit and SubmitMany: the tasks' inputs go from the client's message to the queue as they came.
 */

#include "config/suggest.h"
#include "control/new-task.h"

/* One task */

typedef struct SubmitParams {
        Slice task;
        bool force;
} SubmitParams;

typedef struct SubmitCall {
        ControlCall *call;
        QueueCall *queue_call;
        char *source;
        char *unique;
} SubmitCall;

static SubmitCall *submit_call_free(SubmitCall *submit)
{
        if (!submit)
                return NULL;
        free(submit->source);
        free(submit->unique);
        free(submit);
        return NULL;
}
DEFINE_CLEANUP(SubmitCall *, submit_call_free);

static void on_submit_gone(ControlCall *call, void *userdata)
{
        SubmitCall *submit = userdata;

        queue_call_abandon(submit->queue_call);
        submit_call_free(submit);
}

static int answer_receipt(const SubmitCall *submit, const QueueReceipt *receipt)
{
        OBJECT_CLEANUP Object object = object_new();

        if (queue_verdict_is_good(receipt->verdict)) {
                object_add_string(&object, "taskId", receipt->id);
                object_add_bool(&object, "existing", receipt->verdict != QUEUE_ACCEPTED);
                return reply_object(submit->call, &object);
        }
        switch (receipt->verdict) {
        case QUEUE_DUPLICATE:
                return control_call_error_strings(submit->call, "DuplicateTask", "taskId",
                                                  receipt->id, "unique", submit->unique, NULL);
        case QUEUE_FULL:
        case QUEUE_DISK_FULL:
                return control_call_error_strings(submit->call, "QueueFull", "source",
                                                  submit->source, "message", receipt->message,
                                                  NULL);
        default:
                return control_call_error_strings(submit->call, error_of_verdict(receipt->verdict),
                                                  "message", receipt->message, NULL);
        }
}

static void on_submitted(const QueueReceipt *receipts, size_t n, void *userdata)
{
        _cleanup_(submit_call_freep) SubmitCall *submit = userdata;

        (void)answer_receipt(submit, &receipts[0]);
}

static int answer_objection(ControlCall *call, const Manager *manager, const Objection *objection)
{
        _cleanup_free_ const char **names = NULL;

        if (streq(objection->error, "NoSuchSource"))
                return control_call_error_strings(call, objection->error, "source",
                                                  objection->wrong, NULL);
        if (!streq(objection->error, "TypeNotServed"))
                return control_call_error_strings(call, objection->error, "message",
                                                  objection->message, NULL);
        names = type_names(manager);
        if (!names)
                return -ENOMEM;
        return control_call_error_strings(call, objection->error, "type", objection->wrong,
                                          "suggestion", suggest_word(names, objection->wrong),
                                          NULL);
}

int method_submit(ControlCall *call, void *userdata)
{
        static const ControlCallbacks callbacks = { .on_gone = on_submit_gone };
        static const ParamField fields[] = {
                { "task", PARAM_OBJECT, true, offsetof(SubmitParams, task) },
                { "force", PARAM_BOOLEAN, false, offsetof(SubmitParams, force) },
        };
        _cleanup_(submit_call_freep) SubmitCall *submit = NULL;
        SubmitParams params = { 0 };
        Objection objection;
        NewTask task;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return MIN(r, 0);
        r = new_task_read(call, userdata, params.task, params.force, &task, &objection);
        if (r > 0)
                return answer_objection(call, userdata, &objection);
        if (r < 0)
                return r;
        submit = calloc(1, sizeof(SubmitCall));
        if (!submit)
                return -ENOMEM;
        submit->call = call;
        submit->source = strdup(source_name(task.source));
        submit->unique = strndup(task.task.unique_key.size > 0 ? task.task.unique_key.data : "",
                                 task.task.unique_key.size);
        if (!submit->source || !submit->unique)
                return -ENOMEM;
        r = queue_submit(task.source, &task.task, 1, on_submitted, submit, &submit->queue_call);
        if (r < 0)
                return r;
        control_call_keep(call, &callbacks, TAKE_PTR(submit));
        return 0;
}

/* Many tasks: those that are in order go to their queues, one batch each; the answer is made when
 * every batch has its receipts. */

typedef struct ManyResult {
        const char *error; /* static; NULL: accepted, or not known yet */
        char *message;
        char id[QUEUE_ID_LENGTH + 1];
        bool existing;
} ManyResult;

typedef struct Batch {
        struct ManyCall *many;
        QueueCall *queue_call;
        Source *source;
        QueueTask *tasks;
        uint32_t *places; /* of each task among the results */
        size_t n;
} Batch;

typedef struct ManyCall {
        ControlCall *call;
        ManyResult *results;
        size_t n_results;
        Batch *batches;
        size_t n_batches;
        size_t n_pending; /* batches without receipts */
} ManyCall;

static ManyCall *many_call_free(ManyCall *many)
{
        if (!many)
                return NULL;
        for (size_t i = 0; i < many->n_results; i++)
                free(many->results[i].message);
        for (size_t i = 0; i < many->n_batches; i++) {
                free(many->batches[i].tasks);
                free(many->batches[i].places);
        }
        free(many->results);
        free(many->batches);
        free(many);
        return NULL;
}
DEFINE_CLEANUP(ManyCall *, many_call_free);

static void on_many_gone(ControlCall *call, void *userdata)
{
        ManyCall *many = userdata;

        for (size_t i = 0; i < many->n_batches; i++)
                if (many->batches[i].queue_call)
                        queue_call_abandon(many->batches[i].queue_call);
        many_call_free(many);
}

static int append_result(Buffer *buffer, const ManyResult *result)
{
        int r;

        if (!result->error)
                return buffer_appendf(buffer, "{\"taskId\":\"%s\"%s}", result->id,
                                      result->existing ? ",\"existing\":true" : "");
        r = buffer_append_string(buffer, "{");
        if (r >= 0 && result->id[0])
                r = buffer_appendf(buffer, "\"taskId\":\"%s\",", result->id);
        if (r >= 0)
                r = buffer_appendf(buffer, "\"error\":\"%s\",\"message\":", result->error);
        if (r >= 0)
                r = json_append_string(buffer,
                                       slice_from_string(result->message ? result->message : ""));
        return r < 0 ? r : buffer_append_byte(buffer, '}');
}

static int answer_many(const ManyCall *many)
{
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(WIRE_MESSAGE_MAX);
        int r;

        r = buffer_append_string(&buffer, "{\"results\":[");
        for (size_t i = 0; i < many->n_results && r >= 0; i++) {
                if (i > 0)
                        r = buffer_append_byte(&buffer, ',');
                if (r >= 0)
                        r = append_result(&buffer, &many->results[i]);
        }
        if (r >= 0)
                r = buffer_append_string(&buffer, "]}");
        return r < 0 ? r : control_call_reply_raw(many->call, buffer_slice(&buffer));
}

static void finish_many(ManyCall *many)
{
        int r = answer_many(many);

        if (r < 0)
                (void)control_call_refused(many->call, "the answer is too large: %s", strerror(-r));
        many_call_free(many);
}

static void on_many_submitted(const QueueReceipt *receipts, size_t n, void *userdata)
{
        Batch *batch = userdata;
        ManyCall *many = batch->many;

        for (size_t i = 0; i < n; i++) {
                ManyResult *result = &many->results[batch->places[i]];
                const QueueReceipt *receipt = &receipts[i];

                memcpy(result->id, receipt->id, sizeof(result->id));
                result->existing =
                        receipt->verdict == QUEUE_EXISTING || receipt->verdict == QUEUE_REPLACED;
                if (queue_verdict_is_good(receipt->verdict))
                        continue;
                result->error = error_of_verdict(receipt->verdict);
                result->message = receipt->message ? strdup(receipt->message) : NULL;
        }
        batch->queue_call = NULL;
        if (--many->n_pending == 0)
                finish_many(many);
}

static int find_batch(ManyCall *many, Source *source, size_t capacity, Batch **ret)
{
        Batch *batch;

        for (size_t i = 0; i < many->n_batches; i++)
                if (many->batches[i].source == source) {
                        *ret = &many->batches[i];
                        return 0;
                }
        batch = &many->batches[many->n_batches];
        batch->tasks = reallocarray(NULL, capacity, sizeof(QueueTask));
        batch->places = reallocarray(NULL, capacity, sizeof(uint32_t));
        many->n_batches++;
        if (!batch->tasks || !batch->places)
                return -ENOMEM;
        batch->many = many;
        batch->source = source;
        *ret = batch;
        return 0;
}

static int read_many(ManyCall *many, const Manager *manager, Slice tasks, bool force, size_t n)
{
        size_t at = 0;
        Slice element;

        JSON_FOREACH_ELEMENT (element, tasks) {
                ManyResult *result = &many->results[at];
                Objection objection;
                NewTask task;
                Batch *batch;
                int r;

                r = new_task_read(many->call, manager, element, force, &task, &objection);
                if (r < 0)
                        return r;
                if (r > 0) {
                        result->error = objection.error;
                        result->message = strdup(objection.message);
                } else {
                        r = find_batch(many, task.source, n - at, &batch);
                        if (r < 0)
                                return r;
                        batch->places[batch->n] = (uint32_t)at;
                        batch->tasks[batch->n++] = task.task;
                }
                at++;
        }
        return 0;
}

static size_t count_elements(Slice array)
{
        Slice element;
        size_t n = 0;

        JSON_FOREACH_ELEMENT (element, array)
                n++;
        return n;
}

static int submit_batches(ManyCall *many)
{
        for (size_t i = 0; i < many->n_batches; i++) {
                Batch *batch = &many->batches[i];
                int r;

                r = queue_submit(batch->source, batch->tasks, batch->n, on_many_submitted, batch,
                                 &batch->queue_call);
                if (r < 0) {
                        /* what went before is submitted; its receipts find nobody */
                        for (size_t k = 0; k < i; k++)
                                queue_call_abandon(many->batches[k].queue_call);
                        return r;
                }
                many->n_pending++;
        }
        return 0;
}

typedef struct SubmitManyParams {
        Slice tasks;
        bool force;
} SubmitManyParams;

int method_submit_many(ControlCall *call, void *userdata)
{
        static const ControlCallbacks callbacks = { .on_gone = on_many_gone };
        static const ParamField fields[] = {
                { "tasks", PARAM_ARRAY, true, offsetof(SubmitManyParams, tasks) },
                { "force", PARAM_BOOLEAN, false, offsetof(SubmitManyParams, force) },
        };
        _cleanup_(many_call_freep) ManyCall *many = NULL;
        SubmitManyParams params = { 0 };
        size_t n;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return MIN(r, 0);
        n = count_elements(params.tasks);
        if (n > QUEUE_SUBMIT_MAX)
                return control_call_refused(call, "at most %d tasks in one call, these are %zu",
                                            QUEUE_SUBMIT_MAX, n);
        many = calloc(1, sizeof(ManyCall));
        if (!many)
                return -ENOMEM;
        many->call = call;
        many->n_results = n;
        many->results = calloc(n + 1, sizeof(ManyResult));
        many->batches = calloc(manager_n_sources(userdata) + 1, sizeof(Batch));
        if (!many->results || !many->batches)
                return -ENOMEM;
        r = read_many(many, userdata, params.tasks, params.force, n);
        if (r >= 0)
                r = submit_batches(many);
        if (r < 0)
                return r;
        if (many->n_pending == 0)
                return answer_many(many);
        control_call_keep(call, &callbacks, TAKE_PTR(many));
        return 0;
}
