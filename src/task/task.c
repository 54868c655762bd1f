/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include "task/task.h"

static const char *const status_names[] = {
        [TASK_SCHEDULED] = "SCHEDULED",
        [TASK_IN_PROGRESS] = "IN_PROGRESS",
        [TASK_COMPLETED] = "COMPLETED",
        [TASK_FAILED] = "FAILED",
        [TASK_FAILED_WITH_TERMINAL_ERROR] = "FAILED_WITH_TERMINAL_ERROR",
        [TASK_CANCELED] = "CANCELED",
        [TASK_TIMED_OUT] = "TIMED_OUT",
};
static_assert(ELEMENTSOF(status_names) == _TASK_STATUS_MAX, "a status has no name");

const char *task_status_to_string(TaskStatus status)
{
        if (status < 0 || status >= _TASK_STATUS_MAX)
                return NULL;
        return status_names[status];
}

TaskStatus task_status_from_slice(Slice s)
{
        for (TaskStatus i = 0; i < _TASK_STATUS_MAX; i++) {
                if (slice_is(s, status_names[i]))
                        return i;
        }
        return _TASK_STATUS_INVALID;
}

/* Odd and with its bits well spread: multiplying by it carries every input bit upward. */
#define HASH_FACTOR UINT64_C(0x9E3779B97F4A7C15)

static inline uint64_t hash_mix(uint64_t hash, uint64_t word)
{
        hash = (hash ^ word) * HASH_FACTOR;
        return hash ^ (hash >> 32);
}

uint64_t task_id_hash(Slice id)
{
        uint64_t hash = id.size, word;
        size_t i = 0;

        for (; id.size - i >= sizeof(word); i += sizeof(word)) {
                memcpy(&word, id.data + i, sizeof(word));
                hash = hash_mix(hash, word);
        }
        if (i < id.size) {
                word = 0;
                memcpy(&word, id.data + i, id.size - i);
                hash = hash_mix(hash, word);
        }
        return hash;
}

int task_new(Task **ret, const char *id, const char *type, Slice json)
{
        size_t id_size = strlen(id) + 1, type_size = strlen(type) + 1;
        Task *task;
        char *p;

        if (json.size > TASK_MESSAGE_MAX)
                return -EMSGSIZE;
        task = malloc(sizeof(*task) + id_size + type_size + json.size + 1);
        if (!task)
                return -ENOMEM;
        p = (char *)(task + 1);
        *task = (Task){
                .n_ref = 1,
                .id = memcpy(p, id, id_size),
                .type = memcpy(p + id_size, type, type_size),
                .id_hash = task_id_hash((Slice){ id, id_size - 1 }),
        };
        p += id_size + type_size;
        if (json.size > 0)
                memcpy(p, json.data, json.size);
        p[json.size] = '\0';
        task->json = (Slice){ p, json.size };
        *ret = task;
        return 0;
}

Task *task_ref(Task *task)
{
        if (task) {
                assert(task->n_ref > 0);
                task->n_ref++;
        }
        return task;
}

Task *task_unref(Task *task)
{
        if (!task)
                return NULL;
        assert(task->n_ref > 0);
        if (--task->n_ref == 0) {
                assert(!list_is_linked(&task->link));
                free(task);
        }
        return NULL;
}
