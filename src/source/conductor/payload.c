/* SPDX-License-Identifier: Apache-2.0 */

/* Inputs and outputs in the server's external storage.
 *
 * A server puts inputs over 3072 KB there by itself, even where it has no storage that anyone else
 * could read (the default: a folder of its own). Outputs are sent inline up to the server's limit;
 * it puts those over 3072 KB away by itself, too. */

#include <stdio.h>
#include "base/log.h"
#include "source/conductor/transfer.h"

/* Tries to get an input before the task goes back: perhaps another host can. About ten seconds. */
#define FETCH_TRIES_MAX 5

#define NO_STORAGE                                                                      \
        "the server has no external payload storage that could be used from here: set " \
        "conductor.external-payload-storage.type there"

struct PayloadFetch {
        ConductorTask *holding;
        Transfer *transfer;
};

struct PayloadUpload {
        Transfer *transfer;
        payload_done_t done;
        void *userdata;
        size_t size;
};

int payload_splice_input(Buffer *buffer, Slice object, Slice input)
{
        bool first = true, spliced = false;
        Slice key, value;
        int r;

        if ((r = buffer_append_byte(buffer, '{')) < 0)
                return r;
        JSON_FOREACH_MEMBER (key, value, object) {
                bool is_input = json_key_is(key, "inputData");

                if (json_key_is(key, "externalInputPayloadStoragePath") || (is_input && spliced))
                        continue;
                if ((r = buffer_append_string(buffer, first ? "\"" : ",\"")) < 0 ||
                    (r = buffer_append_slice(buffer, key)) < 0 ||
                    (r = buffer_append_string(buffer, "\":")) < 0 ||
                    (r = buffer_append_slice(buffer, is_input ? input : value)) < 0)
                        return r;
                first = false;
                spliced = spliced || is_input;
        }
        if (!spliced &&
            ((r = buffer_append_string(buffer, first ? "\"inputData\":" : ",\"inputData\":")) < 0 ||
             (r = buffer_append_slice(buffer, input)) < 0))
                return r;
        return buffer_append_byte(buffer, '}');
}

/* Inputs */

/* The pool knows nothing of it, and will not ask for more because of it. */
static void free_place(ConductorSubscription *subscription)
{
        subscription_unreserve(subscription, 1);
        subscription_poll(subscription);
}

void payload_fetch_abandon(ConductorTask *holding)
{
        struct PayloadFetch *fetch = TAKE_PTR(holding->fetch);

        if (!fetch)
                return;
        (void)transfer_free(fetch->transfer);
        free(fetch);
        free_place(holding->subscription);
}

static LogFields fields_of(const ConductorTask *holding)
{
        return (LogFields){ .source = holding->subscription->conductor->source.name,
                            .pool = holding->subscription->pool,
                            .task_id = holding->task->id,
                            .task_type = holding->task->type };
}

/* Neither handler nor pool has seen it. */
static void fail_task(ConductorTask *holding, TaskStatus status, const char *why)
{
        LogFields fields = fields_of(holding);
        int64_t now = clock_epoch_msec();
        Settlement settlement = { .started_msec = now, .ended_msec = now };
        Outcome *outcome;

        log_event(LOG_ERR, &fields, "task %s (%s) fails: %s", holding->task->id,
                  holding->task->type, why);
        if (outcome_new(&outcome, status, why) >= 0)
                conductor_settle(&holding->subscription->subscription, holding->task, outcome,
                                 &settlement);
        else
                conductor_release(&holding->subscription->subscription, holding->task,
                                  "out of memory");
}

static void give_back(ConductorTask *holding, const char *why)
{
        LogFields fields = fields_of(holding);

        log_event(LOG_WARNING, &fields, "task %s (%s) handed back: its input cannot be fetched: %s",
                  holding->task->id, holding->task->type, why);
        conductor_release(&holding->subscription->subscription, holding->task, why);
}

static void take_input(ConductorTask *holding, Slice input)
{
        Buffer json = BUFFER_NULL(TASK_MESSAGE_MAX);
        JsonError error = { 0 };
        char text[256] = "";
        int r = 0;

        if (input.size > TASK_MESSAGE_MAX) {
                r = -ENOBUFS;
        } else if (json_check(input, &error) < 0) {
                (void)snprintf(text, sizeof(text),
                               "its input in external storage is no JSON: %s at byte %zu",
                               error.message, error.offset);
        } else if (json_type_of(input) != JSON_OBJECT) {
                (void)snprintf(text, sizeof(text),
                               "its input in external storage is no JSON object");
        } else {
                r = payload_splice_input(&json, holding->task->json, input);
                if (r >= 0 && json_check(buffer_slice(&json), NULL) < 0)
                        (void)snprintf(text, sizeof(text),
                                       "its input is nested more deeply than %d levels",
                                       JSON_DEPTH_MAX);
        }
        if (r == -ENOBUFS)
                (void)snprintf(text, sizeof(text),
                               "its input in external storage has %zu bytes, and a task may have "
                               "%zu at most",
                               input.size, TASK_MESSAGE_MAX);
        if (r >= 0 && !text[0])
                r = conductor_task_set_json(holding, buffer_slice(&json));
        buffer_deinit(&json);
        if (text[0])
                fail_task(holding, TASK_FAILED_WITH_TERMINAL_ERROR, text);
        else if (r < 0)
                give_back(holding, "out of memory");
        else
                conductor_deliver(holding);
}

static void on_fetched(Transfer *transfer, TransferResult result, Slice data, const char *path,
                       const char *text, void *userdata)
{
        struct PayloadFetch *fetch = userdata;
        ConductorTask *holding = fetch->holding;
        ConductorSubscription *subscription = conductor_subscription_ref(holding->subscription);
        char why[512];

        /* data lies in the transfer: it goes when that is done. */
        holding->fetch = NULL;
        subscription_unreserve(subscription, 1);
        switch (result) {
        case TRANSFER_DONE:
                take_input(holding, data);
                break;
        case TRANSFER_NO_STORAGE:
                /* The next try would find the same. */
                fail_task(holding, TASK_FAILED_WITH_TERMINAL_ERROR,
                          "the input is over 3072 KB, so the server keeps it elsewhere, "
                          "but " NO_STORAGE ", or pass less");
                break;
        case TRANSFER_REFUSED:
                /* The next try's input is stored anew. */
                (void)snprintf(why, sizeof(why), "its input cannot be fetched: %s", text);
                fail_task(holding, TASK_FAILED, why);
                break;
        case TRANSFER_LATER:
                give_back(holding, text);
                break;
        }
        (void)transfer_free(fetch->transfer);
        free(fetch);
        subscription_poll(subscription);
        (void)conductor_subscription_unref(subscription);
}

void payload_fetch_input(ConductorTask *holding)
{
        _cleanup_free_ struct PayloadFetch *fetch = calloc(1, sizeof(*fetch));
        _cleanup_free_ char *path = NULL;
        TransferOptions options = { .n_tries = FETCH_TRIES_MAX,
                                    .done = on_fetched,
                                    .userdata = fetch };

        if (!fetch ||
            json_decode_string(json_member(holding->task->json, "externalInputPayloadStoragePath"),
                               &path) < 0) {
                give_back(holding, "out of memory");
                return;
        }
        options.path = path;
        fetch->holding = holding;
        if (transfer_new(&fetch->transfer, holding->subscription->conductor, &options) < 0) {
                give_back(holding, "out of memory");
                return;
        }
        holding->subscription->n_reserved++;
        holding->fetch = TAKE_PTR(fetch);
}

/* Outputs */

void payload_upload_abandon(PayloadUpload *upload)
{
        if (!upload)
                return;
        (void)transfer_free(upload->transfer);
        free(upload);
}

static void on_uploaded(Transfer *transfer, TransferResult result, Slice data, const char *path,
                        const char *text, void *userdata)
{
        PayloadUpload *upload = userdata;
        char why[512];

        switch (result) {
        case TRANSFER_DONE:
                upload->done(0, path, upload->userdata);
                break;
        case TRANSFER_NO_STORAGE:
                (void)snprintf(why, sizeof(why),
                               "it has %zu KB, and " NO_STORAGE ", or return less",
                               upload->size / 1024);
                upload->done(-ENOENT, why, upload->userdata);
                break;
        case TRANSFER_REFUSED:
                (void)snprintf(why, sizeof(why),
                               "it has %zu KB, and external storage did not take it: %s",
                               upload->size / 1024, text);
                upload->done(-EIO, why, upload->userdata);
                break;
        case TRANSFER_LATER:
                upload->done(-EAGAIN, text, upload->userdata);
                break;
        }
        payload_upload_abandon(upload);
}

int payload_upload_output(Conductor *conductor, const MessageHead *head, const char *task_id,
                          Slice output, payload_done_t done, void *userdata, PayloadUpload **ret)
{
        _cleanup_free_ PayloadUpload *upload = calloc(1, sizeof(*upload));
        int r;

        if (!upload)
                return -ENOMEM;
        upload->done = done;
        upload->userdata = userdata;
        upload->size = output.size;
        r = transfer_new(
                &upload->transfer, conductor,
                &(TransferOptions){
                        .body = output, .n_tries = 1, .done = on_uploaded, .userdata = upload });
        if (r < 0)
                return r;
        *ret = TAKE_PTR(upload);
        return 0;
}
