/* SPDX-License-Identifier: Apache-2.0 */

#include "task/task.h"
#include "unit.h"

START_TEST(test_status_names)
{
        for (TaskStatus i = 0; i < _TASK_STATUS_MAX; i++)
                ck_assert_int_eq(
                        task_status_from_slice(slice_from_string(task_status_to_string(i))), i);
        ck_assert_ptr_null(task_status_to_string(_TASK_STATUS_MAX));
        ck_assert_ptr_null(task_status_to_string(_TASK_STATUS_INVALID));
        ck_assert_int_eq(task_status_from_slice(SLICE_LITERAL("completed")), -EINVAL);
        ck_assert_int_eq(task_status_from_slice(SLICE_LITERAL("COMPLETE")), -EINVAL);
        ck_assert_int_eq(task_status_from_slice(SLICE_NULL), -EINVAL);
}
END_TEST

START_TEST(test_status_final)
{
        ck_assert(!task_status_is_final(TASK_SCHEDULED));
        ck_assert(!task_status_is_final(TASK_IN_PROGRESS));
        ck_assert(task_status_is_final(TASK_COMPLETED));
        ck_assert(task_status_is_final(TASK_FAILED));
        ck_assert(task_status_is_final(TASK_FAILED_WITH_TERMINAL_ERROR));
        ck_assert(task_status_is_final(TASK_CANCELED));
        ck_assert(task_status_is_final(TASK_TIMED_OUT));
}
END_TEST

START_TEST(test_new)
{
        _cleanup_(task_unrefp) Task *task = NULL;
        char id[] = "id-1", type[] = "hash", json[] = "{\"taskId\":\"id-1\"}";

        ck_assert_int_eq(task_new(&task, id, type, slice_from_string(json)), 0);
        id[0] = type[0] = json[0] = 'X';
        ck_assert_str_eq(task->id, "id-1");
        ck_assert_str_eq(task->type, "hash");
        ck_assert_slice(task->json, "{\"taskId\":\"id-1\"}");
        ck_assert_uint_eq(task->id_hash, task_id_hash(SLICE_LITERAL("id-1")));
        ck_assert_uint_eq(task->n_ref, 1);
        ck_assert(!list_is_linked(&task->link));
}
END_TEST

START_TEST(test_new_bound)
{
        Task *task = NULL;

        ck_assert_int_eq(task_new(&task, "a", "b", (Slice){ "", TASK_MESSAGE_MAX + 1 }), -EMSGSIZE);
        ck_assert_ptr_null(task);
}
END_TEST

START_TEST(test_ref)
{
        Task *task = NULL, *second;

        ck_assert_int_eq(task_new(&task, "a", "b", SLICE_LITERAL("{}")), 0);
        second = task_ref(task);
        ck_assert_ptr_eq(second, task);
        ck_assert_ptr_null(task_unref(task));
        ck_assert_str_eq(second->id, "a");
        ck_assert_ptr_null(task_unref(second));
        ck_assert_ptr_null(task_ref(NULL));
        ck_assert_ptr_null(task_unref(NULL));
}
END_TEST

/* Ids that differ in one byte anywhere, or in length only, hash apart. */
START_TEST(test_id_hash)
{
        char id[] = "018f6d5e-7c3a-7b21-9d4e-0123456789ab";
        uint64_t hash = task_id_hash(slice_from_string(id));

        for (size_t i = 0; i < strlen(id); i++) {
                id[i] ^= 1;
                ck_assert_uint_ne(task_id_hash(slice_from_string(id)), hash);
                id[i] ^= 1;
        }
        ck_assert_uint_eq(task_id_hash(slice_from_string(id)), hash);
        ck_assert_uint_ne(task_id_hash((Slice){ "\0", 1 }), task_id_hash((Slice){ "\0\0", 2 }));
}
END_TEST

UNIT_MAIN("task", test_status_names, test_status_final, test_new, test_new_bound, test_ref,
          test_id_hash);
