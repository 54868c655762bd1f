/* SPDX-License-Identifier: Apache-2.0 */

/* Any line from a worker, and any stdout of a per-task command: what is accepted points into the
 * line, what a result holds can be sent on as one line of JSON, and a message encodes to a line
 * that decodes to the same. */

#include <string.h>
#include "base/json.h"
#include "task/task.h"
#include "worker/protocol.h"
#include "fuzz.h"

static void check_inside(Slice inner, Slice outer)
{
        if (inner.size == 0)
                return;
        fuzz_assert(inner.data >= outer.data);
        fuzz_assert(inner.data + inner.size <= outer.data + outer.size);
}

static void check_json_line(Slice value, JsonType type)
{
        if (!value.data)
                return;
        fuzz_assert(json_check(value, NULL) == 0);
        fuzz_assert(json_type_of(value) == type);
        fuzz_assert(!memchr(value.data, '\n', value.size));
}

static void check_outcome(Slice object)
{
        _cleanup_(outcome_freep) Outcome *outcome = NULL;
        _cleanup_free_ char *error = NULL;
        int r = outcome_parse(object, &outcome, &error);

        if (r < 0) {
                fuzz_assert(r == -EBADMSG && error && *error);
                return;
        }
        fuzz_assert(outcome->status == TASK_IN_PROGRESS || outcome->status == TASK_COMPLETED ||
                    outcome->status == TASK_FAILED ||
                    outcome->status == TASK_FAILED_WITH_TERMINAL_ERROR);
        fuzz_assert(outcome->reason.size <= OUTCOME_REASON_MAX);
        fuzz_assert(outcome->callback_after_msec >= -1 && outcome->retry_after_msec >= -1);
        check_json_line(outcome->output, JSON_OBJECT);
        check_json_line(outcome->logs, JSON_ARRAY);
}

static void check_encoded(Slice task_id)
{
        Buffer buffer = BUFFER_NULL(6 * task_id.size + 64);
        Message message;
        JsonError error;
        Slice line;

        fuzz_assert(message_append_cancel(&buffer, task_id) == 0);
        line = buffer_slice(&buffer);
        fuzz_assert(line.data[line.size - 1] == '\n');
        line.size--;
        fuzz_assert(!memchr(line.data, '\n', line.size));
        if (message_parse(line, &message, &error) == MESSAGE_OK)
                fuzz_assert(slice_equal(message.task_id, task_id));
        buffer_deinit(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *copy = malloc(size + 1);
        Slice line = { copy, size };
        Message message;
        JsonError error = { 0 };

        fuzz_assert(copy);
        memcpy(copy, data, size);
        copy[size] = '\0';
        if (message_parse(line, &message, &error) == MESSAGE_OK) {
                fuzz_assert(message.type >= 0 && message.type < _MESSAGE_TYPE_MAX);
                check_inside(message.object, line);
                check_inside(message.task, line);
                if (message.task_id.data != message.task_id_bytes)
                        check_inside(message.task_id, line);
                if (message.task_id.data)
                        check_encoded(message.task_id);
        }
        if (json_check(line, NULL) == 0 && json_type_of(line) == JSON_OBJECT)
                check_outcome(line);
        free(copy);
        return 0;
}
