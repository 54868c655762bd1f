#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What the stub server says of a task: the body that a worker gets, and the record that a test
 * reads. */

#include "stub/model.h"

/* As Conductor writes it: 1 KB, or for a full batch the members of a real server's, 3.6 KB. */
void task_text_put(Buffer *buffer, const StubTask *task);
/* An element of what GET /tasks/search answers. */
void task_text_put_summary(Buffer *buffer, const StubTask *task);
/* Ids, state and everything that was counted. */
void task_text_put_record(Buffer *buffer, const StubTask *task);
/* Whether its output is what its batch expects, white space aside. */
bool task_text_expected(const StubTask *task);
