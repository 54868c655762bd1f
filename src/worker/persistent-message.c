/* SPDX-License-Identifier: Apache-2.0 */

/* What a persistent worker says. Nothing it can send hurts anybody but its own tasks: what does not
 * fit is logged, counted and ignored. */

#include <inttypes.h>
#include <stdio.h>
#include "base/json.h"
#include "base/parse.h"
#include "worker/persistent.h"
#include "worker/protocol.h"

/* How much of an id or a line is shown in a complaint. */
#define SHOWN_MAX 64

static int shown(Slice s)
{
        return (int)MIN(s.size, (size_t)SHOWN_MAX);
}

/* The task that a message is about, or NULL after a complaint. */
static HeldTask *worker_addressee(Worker *worker, const Message *message)
{
        const char *type = message_type_to_string(message->type);
        HeldTask *held;

        held = worker_find_task(worker, message->task_id);
        if (held)
                return held;
        if (message->task_id.data)
                worker_complain(worker, "%s for task \"%.*s\", which it does not hold: ignored",
                                type, shown(message->task_id), message->task_id.data);
        else if (worker->n_tasks > 0)
                worker_complain(worker,
                                "%s without taskId while it holds %u tasks: ignored (taskId may be "
                                "left out with one task in flight only)",
                                type, worker->n_tasks);
        else
                worker_complain(worker, "%s while it holds no task: ignored", type);
        return NULL;
}

/* After cancel any answer ends the task and none counts; but to a worker that was merely stopped a
 * task completed in time is work done. */
static bool worker_answer_counts(const HeldTask *held, const Outcome *outcome)
{
        return held->fate == FATE_NONE ||
               (held->fate == FATE_RETURN && outcome->status == TASK_COMPLETED);
}

static void worker_on_outcome(Worker *worker, HeldTask *held, Outcome *outcome)
{
        if (worker_answer_counts(held, outcome)) {
                worker_task_done(worker, held, outcome);
                return;
        }
        (void)outcome_free(outcome);
        worker_task_fated(worker, held);
}

/* A result that cannot be taken as it is. */
static void worker_refuse_result(Worker *worker, HeldTask *held, const char *what,
                                 const char *reason)
{
        if (held->fate == FATE_NONE)
                worker_task_failed(worker, held, "%s%s", what, reason);
        else
                worker_task_fated(worker, held);
}

static void worker_on_result(Worker *worker, const Message *message)
{
        HeldTask *held = worker_addressee(worker, message);
        uint64_t limit = worker->config->limits.output;
        _cleanup_free_ char *error = NULL;
        char text[128], size[FORMAT_MAX];
        Outcome *outcome;
        int r;

        if (!held)
                return;
        if (message->object.size > limit) {
                (void)snprintf(text, sizeof(text),
                               "result of %zu bytes is larger than limits.output (%s)",
                               message->object.size, format_size(size, limit));
                worker_refuse_result(worker, held, "", text);
                return;
        }
        r = outcome_parse(message->object, &outcome, &error);
        if (r >= 0) {
                worker_on_outcome(worker, held, outcome);
        } else if (r == -EBADMSG) {
                worker_refuse_result(worker, held, "invalid result: ", error);
        } else {
                worker_task_returned(worker, held, "out of memory");
        }
}

static int append_member(Buffer *buffer, const char *name, Slice value)
{
        int r;

        r = buffer_appendf(buffer, "%c\"%s\":", buffer->size == 0 ? '{' : ',', name);
        return r < 0 ? r : json_append_compact(buffer, value);
}

static int write_progress(Buffer *buffer, Slice object)
{
        static const char *const names[] = { "percent", "stage", "message", "data" };
        Slice key, value;
        int r;

        buffer_clear(buffer);
        JSON_FOREACH_MEMBER (key, value, object) {
                for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                        if (!slice_is(key, names[i]))
                                continue;
                        r = append_member(buffer, names[i], value);
                        if (r < 0)
                                return r;
                }
        }
        return buffer_append_string(buffer, buffer->size == 0 ? "{}" : "}");
}

static void worker_on_progress(Worker *worker, const Message *message)
{
        HeldTask *held = worker_addressee(worker, message);

        if (!held)
                return;
        if (message->object.size > WORKER_PROGRESS_MAX ||
            write_progress(&held->progress, message->object) < 0) {
                worker_complain(worker, "progress of %zu bytes is too large (at most %zu): ignored",
                                message->object.size, WORKER_PROGRESS_MAX);
                return;
        }
        worker_progressed(worker, held);
}

static void worker_on_log(Worker *worker, const Message *message)
{
        Slice text = json_member(message->object, "message");
        HeldTask *held;

        if (text.size == 0 || json_type_of(text) != JSON_STRING) {
                worker_complain(worker, "log without a string \"message\": ignored");
                return;
        }
        held = worker_addressee(worker, message);
        if (held)
                worker_add_log(held, text, worker->config->limits.output);
}

/* A line that was meant as a message. A broken result would otherwise leave its task waiting for
 * its timeout. */
static void worker_on_invalid(Worker *worker, const Message *message, const JsonError *error)
{
        char reason[128], where[40] = "";
        HeldTask *held = NULL;

        if (message->type == MESSAGE_RESULT)
                held = worker_find_task(worker, message->task_id);
        if (error->offset > 0)
                (void)snprintf(where, sizeof(where), " at byte %zu", error->offset);
        (void)snprintf(reason, sizeof(reason), "%s%s", error->message, where);
        if (held)
                worker_refuse_result(worker, held, "invalid result: ", reason);
        else
                worker_complain(worker, "%s: ignored: %.*s", reason, shown(message->object),
                                message->object.data);
}

static void worker_on_line(Worker *worker, Slice line)
{
        JsonError error;
        Message message;

        switch (message_parse(line, &message, &error)) {
        case MESSAGE_STRAY:
                worker_note_printer(worker);
                output_log_line(&worker->log, line);
                return;
        case MESSAGE_INVALID:
                worker_on_invalid(worker, &message, &error);
                return;
        case MESSAGE_OK:
                break;
        }

        worker_alive(worker, clock_monotonic_usec());
        switch (message.type) {
        case MESSAGE_RESULT:
                worker_on_result(worker, &message);
                break;
        case MESSAGE_PROGRESS:
                worker_on_progress(worker, &message);
                break;
        case MESSAGE_LOG:
                worker_on_log(worker, &message);
                break;
        default:
                worker_complain(worker, "a worker does not send \"%s\": ignored",
                                message_type_to_string(message.type));
        }
}

/* Which task the line was about cannot be told unless there is only one. */
static void worker_on_oversized(Worker *worker, Slice start)
{
        HeldTask *held = worker_find_task(worker, SLICE_NULL);
        char reason[96];

        (void)snprintf(reason, sizeof(reason), "wrote a line of more than %zu bytes",
                       TASK_LINE_MAX);
        if (worker->n_tasks == 0)
                worker_complain(worker, "%s: dropped: %.*s", reason, shown(start), start.data);
        else if (held)
                worker_refuse_result(worker, held, "", reason);
        else
                worker_terminate(worker, WORKER_EXIT_PROTOCOL, "%s with %u task%s in flight",
                                 reason, worker->n_tasks, PLURAL(worker->n_tasks));
}

void worker_lost_input(Worker *worker)
{
        if (worker->end < END_TASKS)
                worker_set_end(worker, END_TASKS, USEC_INFINITY);
}

/* Usually its exit follows at once. If not, it can never answer again. */
static void worker_lost_output(Worker *worker)
{
        if (worker->end < END_INPUT)
                worker_set_end(worker, END_INPUT, worker->config->stop_timeout_usec / 2);
}

void worker_on_stream(Stream *stream, StreamEvent event, Slice frame, int error, void *userdata)
{
        Worker *worker = userdata;

        worker_pin(worker);
        switch (event) {
        case STREAM_FRAME:
                worker_on_line(worker, frame);
                break;
        case STREAM_OVERSIZED:
                worker_on_oversized(worker, frame);
                break;
        case STREAM_DRAINED:
                if (worker_free_slots(worker) > 0)
                        worker_report(worker, &(WorkerReport){ .event = WORKER_ROOM });
                break;
        case STREAM_WRITE_END:
                worker_lost_input(worker);
                worker->mode->advance(worker);
                break;
        case STREAM_END:
                if (frame.size > 0)
                        worker_on_line(worker, frame);
                if (!worker->freed)
                        worker_lost_output(worker);
                break;
        case STREAM_ERROR:
                worker_complain(worker, "cannot talk to it: %s", strerror(-error));
                worker_lost_output(worker);
                break;
        case STREAM_WRITTEN:
                break;
        }
        worker_unpin(worker);
}
