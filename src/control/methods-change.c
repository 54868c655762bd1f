/* SPDX-License-Identifier: Apache-2.0 */

/* Methods that change tasks: all four are one change, by ids or by filter, queue by queue. */

#include "control/task-filter.h"

typedef struct ChangeCall {
        ControlCall *call;
        const Manager *manager;
        QueueCall *queue_call; /* NULL: none under way */
        QueueChange change;
        TaskFilter filter;
        bool *found; /* which of the ids a queue knew */
        size_t at;   /* the source that is asked */
        uint64_t count;
        char *objection; /* why the first id that was found could not be changed */
} ChangeCall;

static ChangeCall *change_call_free(ChangeCall *change)
{
        if (!change)
                return NULL;
        if (change->queue_call)
                queue_call_abandon(change->queue_call);
        free(change->found);
        free(change->objection);
        free(change);
        return NULL;
}
DEFINE_CLEANUP(ChangeCall *, change_call_free);

static void change_step(ChangeCall *change);

static void on_change_gone(ControlCall *call, void *userdata)
{
        change_call_free(userdata);
}

static int answer_change(const ChangeCall *change)
{
        if (change->count == 0 && change->filter.n_ids > 0) {
                for (size_t i = 0; i < change->filter.n_ids; i++)
                        if (!change->found[i])
                                return control_call_error_strings(change->call, "NoSuchTask",
                                                                  "taskId", change->filter.ids[i],
                                                                  NULL);
                return control_call_refused(change->call, "%s",
                                            change->objection ? change->objection
                                                              : "nothing could be changed");
        }
        return reply_single(change->call, "count", json_object_new_int64((int64_t)change->count));
}

static void change_finish(ChangeCall *change, int error)
{
        int r = error < 0 ? error : answer_change(change);

        if (r < 0)
                (void)control_call_refused(change->call, "cannot change tasks: %s", strerror(-r));
        change_call_free(change);
}

static void on_receipts(const QueueReceipt *receipts, size_t n, void *userdata)
{
        ChangeCall *change = userdata;
        size_t at = 0;

        change->queue_call = NULL;
        for (size_t i = 0; i < change->filter.n_ids && at < n; i++) {
                const QueueReceipt *receipt;

                if (change->found[i])
                        continue;
                receipt = &receipts[at++];
                if (receipt->verdict == QUEUE_NO_SUCH_TASK)
                        continue;
                change->found[i] = true;
                if (queue_verdict_is_good(receipt->verdict))
                        change->count++;
                else if (!change->objection && receipt->message)
                        change->objection = strdup(receipt->message);
        }
        change->at++;
        change_step(change);
}

static void on_count(int error, uint64_t n, void *userdata)
{
        ChangeCall *change = userdata;

        change->queue_call = NULL;
        change->count += n;
        change->at++;
        if (error < 0)
                change_finish(change, error);
        else
                change_step(change);
}

/* Asks one queue for the ids that none before it knew. 1: there are none left. */
static int change_ids(ChangeCall *change, Source *source)
{
        _cleanup_free_ const char **ids = calloc(change->filter.n_ids + 1, sizeof(char *));
        size_t n = 0;

        if (!ids)
                return -ENOMEM;
        for (size_t i = 0; i < change->filter.n_ids; i++)
                if (!change->found[i])
                        ids[n++] = change->filter.ids[i];
        if (n == 0)
                return 1;
        return queue_change(source, &change->change, ids, n, on_receipts, change,
                            &change->queue_call);
}

static void change_step(ChangeCall *change)
{
        Source *source;
        int r;

        while ((source = next_queue(change->manager, &change->at)) && change->filter.source &&
               source != change->filter.source)
                change->at++;
        if (!source) {
                change_finish(change, 0);
                return;
        }
        if (change->filter.ids)
                r = change_ids(change, source);
        else
                r = queue_change_matching(source, &change->change, &change->filter.queue, on_count,
                                          change, &change->queue_call);
        if (r != 0)
                change_finish(change, r);
}

typedef struct ChangeParams {
        Slice filter;
        bool dry_run;
        const char *status;
        Slice output;
        Slice reason;
} ChangeParams;

/* The first two rows are all that the methods other than UpdateTasks have. */
static const ParamField change_fields[] = {
        { "filter", PARAM_OBJECT, true, offsetof(ChangeParams, filter) },
        { "dryRun", PARAM_BOOLEAN, false, offsetof(ChangeParams, dry_run) },
        { "status", PARAM_STRING, true, offsetof(ChangeParams, status) },
        { "output", PARAM_OBJECT, false, offsetof(ChangeParams, output) },
        { "reason", PARAM_TEXT, false, offsetof(ChangeParams, reason) },
};

static int start_change(ControlCall *call, Manager *manager, QueueVerb verb, TaskStatus status,
                        const ChangeParams *params)
{
        static const ControlCallbacks callbacks = { .on_gone = on_change_gone };
        _cleanup_(change_call_freep) ChangeCall *change = calloc(1, sizeof(ChangeCall));
        int r;

        if (!change)
                return -ENOMEM;
        r = task_filter_read(call, manager, params->filter, &change->filter);
        if (r != 0)
                return MIN(r, 0);
        change->found = calloc(change->filter.n_ids + 1, sizeof(bool));
        if (!change->found)
                return -ENOMEM;
        change->call = call;
        change->manager = manager;
        change->change = (QueueChange){
                .verb = verb,
                .status = status,
                .output = params->output,
                .reason = params->reason,
                .dry_run = params->dry_run,
        };
        control_call_keep(call, &callbacks, change);
        change_step(TAKE_PTR(change));
        return 0;
}

static int change_tasks(ControlCall *call, Manager *manager, QueueVerb verb)
{
        ChangeParams params = { 0 };
        int r;

        r = control_call_decode(call, change_fields, 2, &params);
        return r != 0 ? MIN(r, 0)
                      : start_change(call, manager, verb, _TASK_STATUS_INVALID, &params);
}

int method_cancel_tasks(ControlCall *call, void *userdata)
{
        return change_tasks(call, userdata, QUEUE_CANCEL);
}

int method_retry_tasks(ControlCall *call, void *userdata)
{
        return change_tasks(call, userdata, QUEUE_RETRY);
}

int method_delete_tasks(ControlCall *call, void *userdata)
{
        return change_tasks(call, userdata, QUEUE_DELETE);
}

int method_update_tasks(ControlCall *call, void *userdata)
{
        ChangeParams params = { 0 };
        TaskStatus status;
        int r;

        r = control_call_decode(call, change_fields, ELEMENTSOF(change_fields), &params);
        if (r != 0)
                return MIN(r, 0);
        status = task_status_from_slice(slice_from_string(params.status));
        if (status < 0)
                return control_call_invalid_parameter(call, "status");
        if (!task_status_is_final(status))
                return control_call_refused(
                        call,
                        "%s is no final status: a task is settled with COMPLETED, FAILED, "
                        "FAILED_WITH_TERMINAL_ERROR, CANCELED or TIMED_OUT",
                        params.status);
        return start_change(call, userdata, QUEUE_UPDATE, status, &params);
}
