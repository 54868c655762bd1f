/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json.h"
#include "runner/job.h"

struct JobText {
        JobText *next;
        char *text;
};

/* The members of a task object that its handler is told of one by one, raw. */
typedef struct Members {
        Slice id;
        Slice type;
        Slice input;
        Slice retry_count;
} Members;

static Members read_members(Slice object)
{
        Members members = { .input = SLICE_LITERAL("{}") };
        Slice key, value;

        JSON_FOREACH_MEMBER (key, value, object) {
                if (json_key_is(key, "taskId"))
                        members.id = value;
                else if (json_key_is(key, "taskType"))
                        members.type = value;
                else if (json_key_is(key, "retryCount"))
                        members.retry_count = value;
                else if (json_key_is(key, "inputData") && json_type_of(value) == JSON_OBJECT)
                        members.input = value;
        }
        return members;
}

static char *put(char **position, Slice text)
{
        char *start = *position;

        memcpy(start, text.data, text.size);
        start[text.size] = '\0';
        *position = start + text.size + 1;
        return start;
}

/* A raw string in place where it has no escapes, else decoded into *storage. */
static int read_text(Slice value, char **storage, Slice *ret)
{
        int r;

        *ret = SLICE_LITERAL("");
        if (value.size == 0 || json_type_of(value) != JSON_STRING ||
            json_raw_string(value, ret) >= 0)
                return 0;
        r = json_decode_string(value, storage);
        if (r >= 0)
                *ret = slice_from_string(*storage);
        return r;
}

int job_new(Job **ret, Slice object, const struct yardmaster_host *host, Output *output,
            int64_t deadline_msec)
{
        _cleanup_free_ char *id_storage = NULL, *type_storage = NULL;
        Members members = read_members(object);
        int64_t retry_count = 0;
        Slice id, type;
        size_t size;
        char *position;
        Job *job;
        int r;

        r = read_text(members.id, &id_storage, &id);
        if (r < 0)
                return r;
        r = read_text(members.type, &type_storage, &type);
        if (r < 0)
                return r;
        if (members.retry_count.size == 0 || json_to_int64(members.retry_count, &retry_count) < 0)
                retry_count = 0;

        size = sizeof(Job) + object.size + members.input.size + id.size + type.size + 4;
        job = malloc(size);
        if (!job)
                return -ENOMEM;
        position = (char *)(job + 1);
        *job = (Job){
                .task = {
                        .struct_size = sizeof(job->task),
                        .host = host,
                        .json = put(&position, object),
                        .json_size = object.size,
                        .input = put(&position, members.input),
                        .input_size = members.input.size,
                        .id = put(&position, id),
                        .type = put(&position, type),
                        .deadline_msec = deadline_msec,
                        .retry_count = (unsigned)CLAMP(retry_count, 0, INT32_MAX),
                },
                .size = size,
                .output = output,
        };
        if (members.id.size > 0)
                job->id_json = (Slice){ job->task.json + (members.id.data - object.data),
                                        members.id.size };
        *ret = job;
        return 0;
}

Job *job_free(Job *job)
{
        if (!job)
                return NULL;
        while (job->texts) {
                JobText *text = job->texts;

                job->texts = text->next;
                free(text->text);
                free(text);
        }
        free(job);
        return NULL;
}

static Slice job_input(const Job *job)
{
        return (Slice){ job->task.input, job->task.input_size };
}

const char *job_input_string(Job *job, const char *name)
{
        Slice value = json_member(job_input(job), name);
        JobText *text;

        if (value.size == 0)
                return NULL;
        text = malloc(sizeof(*text));
        if (!text)
                return NULL;
        if (json_decode_string(value, &text->text) < 0) {
                free(text);
                return NULL;
        }
        text->next = job->texts;
        job->texts = text;
        return text->text;
}

int job_input_int64(const Job *job, const char *name, int64_t *ret)
{
        Slice value = json_member(job_input(job), name);

        return value.size == 0 ? -ENOENT : json_to_int64(value, ret);
}
