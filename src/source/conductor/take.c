/* SPDX-License-Identifier: Apache-2.0 */

/* An answer with tasks → tasks in hand. This is the hot path: one pass to check the answer, one to
 * cut the few members that matter; the rest reaches the handler as the server sent it. */

#include "source/conductor/internal.h"

#include "base/log.h"

/* Tasks handed to the pool in one call. */
#define TAKE_GROUP 64

/* The members of a task object that matter here, raw. */
typedef struct TaskFields {
        Slice id, type, definition_name, workflow_id, retry_count, poll_count, scheduled_time;
        Slice response_timeout, output, definition, external_input;
} TaskFields;

/* By length first: most members of a task are none of these, and this is done for each. */
static Slice *field_of(TaskFields *fields, Slice key)
{
#define IS(name) (memcmp(key.data, (name), sizeof(name) - 1) == 0)
        switch (key.size) {
        case sizeof("taskId") - 1:
                return IS("taskId") ? &fields->id : NULL;
        case sizeof("taskType") - 1:
                return IS("taskType") ? &fields->type : NULL;
        case sizeof("pollCount") - 1:
                return IS("pollCount") ? &fields->poll_count : NULL;
        case sizeof("retryCount") - 1: /* and outputData */
                return IS("retryCount")   ? &fields->retry_count
                       : IS("outputData") ? &fields->output
                                          : NULL;
        case sizeof("taskDefName") - 1:
                return IS("taskDefName") ? &fields->definition_name : NULL;
        case sizeof("scheduledTime") - 1:
                return IS("scheduledTime") ? &fields->scheduled_time : NULL;
        case sizeof("taskDefinition") - 1:
                return IS("taskDefinition") ? &fields->definition : NULL;
        case sizeof("workflowInstanceId") - 1:
                return IS("workflowInstanceId") ? &fields->workflow_id : NULL;
        case sizeof("responseTimeoutSeconds") - 1:
                return IS("responseTimeoutSeconds") ? &fields->response_timeout : NULL;
        case sizeof("externalInputPayloadStoragePath") - 1:
                return IS("externalInputPayloadStoragePath") ? &fields->external_input : NULL;
        default:
                return NULL;
        }
#undef IS
}

/* Keys with escapes are nobody's: the server writes its own names plainly. */
static void on_member(Slice key, Slice value, void *userdata)
{
        Slice *field = field_of(userdata, key);

        if (field)
                *field = value;
}

static void cut_fields(Slice object, TaskFields *ret)
{
        Slice key, value;

        *ret = (TaskFields){ 0 };
        JSON_FOREACH_MEMBER (key, value, object)
                on_member(key, value, ret);
}

static void move_slice(Slice *slice, const char *from, const char *to)
{
        if (slice->data)
                slice->data = to + (slice->data - from);
}

/* The same members of a copy. What names the task is not looked at any more. */
static void move_fields(TaskFields *fields, const char *from, const char *to)
{
        move_slice(&fields->workflow_id, from, to);
        move_slice(&fields->retry_count, from, to);
        move_slice(&fields->poll_count, from, to);
        move_slice(&fields->scheduled_time, from, to);
        move_slice(&fields->response_timeout, from, to);
        move_slice(&fields->output, from, to);
        move_slice(&fields->definition, from, to);
        move_slice(&fields->external_input, from, to);
}

/* An id or a type: -EBADMSG where it is none. */
static int copy_name(Slice value, char **ret)
{
        int r = value.data ? json_decode_string(value, ret) : -EINVAL;

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return -EBADMSG;
        if (**ret == '\0') {
                free(TAKE_PTR(*ret));
                return -EBADMSG;
        }
        return 0;
}

/* The object as one line, as workers want it: servers send it so, proxies may not. fields are those
 * of the object, afterwards those of the task's own text. */
static int make_task(Slice object, TaskFields *fields, Task **ret)
{
        _cleanup_free_ char *id = NULL, *type = NULL;
        Buffer line = BUFFER_NULL(HTTP_ANSWER_MAX);
        bool plain = !memchr(object.data, '\n', object.size);
        Task *task;
        int r;

        if ((r = copy_name(fields->id, &id)) < 0)
                return r;
        r = copy_name(fields->type.data ? fields->type : fields->definition_name, &type);
        if (r >= 0 && !plain)
                r = json_append_compact(&line, object);
        if (r >= 0)
                r = task_new(&task, id, type, plain ? object : buffer_slice(&line));
        buffer_deinit(&line);
        if (r < 0)
                return r;
        if (plain)
                move_fields(fields, object.data, task->json.data);
        else
                cut_fields(task->json, fields);
        *ret = task;
        return 0;
}

static int hold(ConductorTask *holding)
{
        const ConductorSubscription *subscription = holding->subscription;
        Conductor *conductor = subscription->conductor;
        MessageHead head = {
                .workflow_id = holding->workflow_id,
                .type = slice_from_string(holding->task->type),
                .domain = slice_from_string(subscription->domain),
                .worker_id = slice_from_string(subscription->worker_id),
                .poll_count = holding->task->poll_count,
        };
        int r;

        buffer_clear(&conductor->scratch);
        r = message_head_append(&conductor->scratch, &head);
        if (r >= 0)
                r = outbox_hold(conductor->outbox, holding->task->id,
                                buffer_slice(&conductor->scratch), &holding->entry);
        if (r >= 0)
                holding->entry->userdata = holding;
        return r;
}

static int add_to_tables(ConductorTask *holding)
{
        ConductorSubscription *subscription = holding->subscription;
        int r = table_insert(&subscription->conductor->tasks, &holding->by_id,
                             holding->task->id_hash);

        if (r < 0)
                return r;
        list_append(&subscription->tasks, &holding->link);
        subscription->n_tasks++;
        return 0;
}

/* fields: of task->json. */
static void fill_holding(ConductorTask *holding, const TaskFields *fields)
{
        Task *task = holding->task;

        task->retry_count = (unsigned)CLAMP(task_number(fields->retry_count), 0, INT32_MAX);
        task->poll_count = (unsigned)CLAMP(task_number(fields->poll_count), 0, INT32_MAX);
        task->scheduled_msec = task_number(fields->scheduled_time);
        holding->output = fields->output;
        holding->response_timeout_sec = task_number(fields->response_timeout);
        holding->poll_timeout_sec = task_poll_timeout_sec(fields->definition);
}

/* Takes over the task's reference. fields: of task->json. */
static int holding_new(ConductorTask **ret, ConductorSubscription *subscription, Task *task,
                       const TaskFields *fields)
{
        ConductorTask *holding = malloc(sizeof(*holding));
        int r;

        if (!holding) {
                task_unref(task);
                return -ENOMEM;
        }
        *holding = (ConductorTask){
                .subscription = conductor_subscription_ref(subscription),
                .task = task,
                .taken_usec = clock_monotonic_usec(),
                .lease_usec = USEC_INFINITY,
                .watch_usec = USEC_INFINITY,
        };
        task->holding = holding;
        fill_holding(holding, fields);
        r = json_raw_string(fields->workflow_id, &holding->workflow_id) < 0 ? -EBADMSG : 0;
        if (r >= 0)
                r = add_to_tables(holding);
        if (r >= 0)
                r = hold(holding);
        if (r < 0) {
                (void)conductor_task_free(holding);
                return r;
        }
        clock_add(holding);
        *ret = holding;
        return 0;
}

int conductor_task_set_json(ConductorTask *holding, Slice json)
{
        TaskFields fields;
        Task *task;
        int r;

        cut_fields(json, &fields);
        r = make_task(json, &fields, &task);
        if (r < 0)
                return r;
        clock_renew(holding);
        holding->task->holding = NULL;
        task_unref(holding->task);
        holding->task = task;
        task->holding = holding;
        fill_holding(holding, &fields);
        return json_raw_string(fields.workflow_id, &holding->workflow_id) < 0 ? -EBADMSG : 0;
}

/* To the pool */

typedef struct Delivery {
        ConductorSubscription *subscription;
        Task *tasks[TAKE_GROUP];
        size_t n;
} Delivery;

static void give_back(ConductorTask *holding)
{
        const Task *task = holding->task;

        log_event(LOG_INFO,
                  (&(LogFields){ .pool = holding->subscription->pool,
                                 .task_id = task->id,
                                 .task_type = task->type,
                                 .status = "HANDED_BACK" }),
                  "task %s (%s) handed back: the pool has no place for it", task->id, task->type);
        conductor_release(&holding->subscription->subscription, holding->task,
                          "the pool has no place for it");
}

static void flush(Delivery *delivery)
{
        ConductorSubscription *subscription = delivery->subscription;
        size_t n = delivery->n;

        if (n == 0)
                return;
        delivery->n = 0;
        subscription->credit -= (unsigned)n;
        subscription->callbacks.on_tasks(&subscription->subscription, delivery->tasks, n,
                                         subscription->userdata);
}

static void deliver(Delivery *delivery, ConductorTask *holding)
{
        /* What others keep does not count: a result that has just been settled keeps a place that
         * the pool has not given credit for yet. */
        if (delivery->subscription->credit <= delivery->n) {
                give_back(holding);
                return;
        }
        delivery->tasks[delivery->n++] = task_ref(holding->task);
        if (delivery->n == TAKE_GROUP)
                flush(delivery);
}

void conductor_deliver(ConductorTask *holding)
{
        Delivery delivery = { .subscription = holding->subscription };

        deliver(&delivery, holding);
        flush(&delivery);
}

/* Answers */

/* A task that no handler can be given: it would come again and again if it just went back. */
static int refuse_task(ConductorSubscription *subscription, Slice object, const TaskFields *fields,
                       const char *why)
{
        _cleanup_(outcome_freep) Outcome *outcome = NULL;
        Settlement settlement = { .started_msec = clock_epoch_msec() };
        Buffer stub = BUFFER_NULL(OUTBOX_HEAD_MAX);
        ConductorTask *holding;
        TaskFields of_stub;
        Task *task = NULL;
        int r;

        r = buffer_appendf(&stub, "{\"taskId\":%.*s,\"workflowInstanceId\":%.*s}",
                           (int)fields->id.size, fields->id.data, (int)fields->workflow_id.size,
                           fields->workflow_id.data);
        if (r < 0 || (r = json_check(buffer_slice(&stub), NULL)) < 0)
                goto finish;
        cut_fields(buffer_slice(&stub), &of_stub);
        of_stub.type = fields->type.data ? fields->type : fields->definition_name;
        r = make_task(buffer_slice(&stub), &of_stub, &task);
        if (r >= 0)
                r = holding_new(&holding, subscription, task, &of_stub);
        if (r < 0)
                goto finish;
        r = outcome_newf(&outcome, TASK_FAILED_WITH_TERMINAL_ERROR,
                         "the task (%zu bytes) cannot be given to a handler: %s", object.size, why);
        if (r < 0) {
                conductor_release(&subscription->subscription, task, "out of memory");
                goto finish;
        }
        settlement.ended_msec = settlement.started_msec;
        log_event(LOG_ERR,
                  (&(LogFields){ .pool = subscription->pool,
                                 .task_id = task->id,
                                 .task_type = task->type }),
                  "task %s (%s) fails: %.*s", task->id, task->type, (int)outcome->reason.size,
                  outcome->reason.data);
        conductor_settle(&subscription->subscription, task, TAKE_PTR(outcome), &settlement);
        r = 1;
finish:
        buffer_deinit(&stub);
        return r;
}

/* fields: of the object. 0: it is in hand already. */
static int take_one(Delivery *delivery, Slice object, TaskFields fields)
{
        ConductorSubscription *subscription = delivery->subscription;
        ConductorTask *holding;
        Slice id;
        Task *task;
        int r;

        if (json_type_of(object) != JSON_OBJECT)
                return -EBADMSG;
        /* a requeue gives tasks in progress out a second time (measured): it is being done */
        if (json_raw_string(fields.id, &id) >= 0 &&
            conductor_find_task(subscription->conductor, id))
                return 0;
        if (object.size > TASK_MESSAGE_MAX)
                return refuse_task(subscription, object, &fields, "it is over 16 MiB");
        r = make_task(object, &fields, &task);
        if (r < 0)
                return r;
        /* an id with escapes */
        if (conductor_find_task(subscription->conductor, slice_from_string(task->id))) {
                (void)task_unref(task);
                return 0;
        }
        r = holding_new(&holding, subscription, task, &fields);
        if (r < 0)
                return r;
        subscription->status.n_polled++;
        if (fields.external_input.data && json_type_of(fields.external_input) == JSON_STRING)
                payload_fetch_input(holding);
        else
                deliver(delivery, holding);
        return 1;
}

/* The answer is deeper than any handler is given: its tasks one by one, those that are not. */
static int take_deep(Delivery *delivery, Slice object)
{
        TaskFields fields;

        cut_fields(object, &fields);
        if (json_check(object, NULL) >= 0)
                return take_one(delivery, object, fields);
        return refuse_task(delivery->subscription, object, &fields,
                           "it is nested more deeply than 900 levels");
}

static int take_element(Delivery *delivery, Slice object, bool is_deep)
{
        TaskFields fields;

        if (is_deep)
                return take_deep(delivery, object);
        cut_fields(object, &fields);
        return take_one(delivery, object, fields);
}

int conductor_take(ConductorSubscription *subscription, Slice body, unsigned *ret_n)
{
        Delivery delivery = { .subscription = subscription };
        TaskFields fields = { 0 };
        JsonError error = { 0 };
        bool is_deep = false;
        int r = 0, failed = 0;
        unsigned n = 0;

        if (json_check_members(body, on_member, &fields, &error) < 0) {
                if (!json_error_is_depth(&error))
                        return -EBADMSG;
                is_deep = true;
        }
        if (json_type_of(body) == JSON_ARRAY) {
                Slice object;

                JSON_FOREACH_ELEMENT (object, body) {
                        r = take_element(&delivery, object, is_deep);
                        if (r < 0)
                                failed = r;
                        else
                                n += (unsigned)r;
                }
        } else {
                r = is_deep ? take_deep(&delivery, body) : take_one(&delivery, body, fields);
                if (r < 0)
                        failed = r;
                else
                        n = (unsigned)r;
        }
        flush(&delivery);
        if (failed < 0) {
                log_full(LOG_ERR, failed, &(LogFields){ .pool = subscription->pool },
                         "cannot take a task that the server gave out: %s",
                         failed == -EBADMSG ? "it lacks taskId, taskType or workflowInstanceId, or "
                                              "these are no plain texts"
                                            : strerror(-failed));
                conductor_suspect(subscription);
        }
        if (failed == -EBADMSG && n == 0)
                return failed;
        *ret_n = n;
        return 0;
}
