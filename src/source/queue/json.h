#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A task as the control interface shows it: its type Task, without "source". On the storage thread.
 */

#include "source/queue/store.h"

/* Appends the object of a row; bodies: with input, output, logs and history. 1, or 0: no such row.
 */
int task_append_json(QueueStore *store, int64_t row, bool bodies, Buffer *json);
