/* SPDX-License-Identifier: Apache-2.0 */

#include "control/task-lookup.h"

#include "base/json.h"
#include "control/answer.h"

static int ask_next(TaskLookup *lookup);

static void on_answer(int error, Slice task, void *userdata)
{
        TaskLookup *lookup = userdata;

        lookup->queue_call = NULL;
        if (error == -ENOENT) {
                lookup->at++;
                error = ask_next(lookup);
                if (error == 0)
                        return;
        }
        lookup->done(lookup, error, task, lookup->source);
}

static int ask_next(TaskLookup *lookup)
{
        lookup->source = next_queue(lookup->manager, &lookup->at);
        if (!lookup->source)
                return -ENOENT;
        return queue_get(lookup->source, lookup->id, on_answer, lookup, &lookup->queue_call);
}

int task_lookup_start(TaskLookup *lookup, const Manager *manager, const char *id,
                      task_lookup_done_t done)
{
        if (strlen(id) != QUEUE_ID_LENGTH)
                return -ENOENT;
        memmove(lookup->id, id, QUEUE_ID_LENGTH + 1);
        lookup->manager = manager;
        lookup->done = done;
        lookup->at = 0;
        return ask_next(lookup);
}

void task_lookup_cancel(TaskLookup *lookup)
{
        if (lookup->queue_call)
                queue_call_abandon(lookup->queue_call);
        lookup->queue_call = NULL;
}

static bool is_body(Slice key)
{
        return slice_is(key, "inputData") || slice_is(key, "output") || slice_is(key, "logs") ||
               slice_is(key, "history");
}

int append_task(Buffer *buffer, Slice task, const char *source, bool bodies)
{
        Slice key, value;
        int r;

        r = buffer_append_string(buffer, "{\"source\":");
        if (r >= 0)
                r = json_append_string(buffer, slice_from_string(source));
        JSON_FOREACH_MEMBER (key, value, task) {
                if (r < 0)
                        return r;
                if (!bodies && is_body(key))
                        continue;
                r = buffer_append_string(buffer, ",\"");
                if (r >= 0)
                        r = buffer_append_slice(buffer, key);
                if (r >= 0)
                        r = buffer_append_string(buffer, "\":");
                if (r >= 0)
                        r = buffer_append_slice(buffer, value);
        }
        return r < 0 ? r : buffer_append_byte(buffer, '}');
}
