#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A line of a file of tasks → a NewTask of the interface. Pure, and fast: raw values are copied, no
 * tree is built.
 *
 * A line is an object with the names of submit's options: type, input, priority, delay ("10s", or
 * seconds), run_at and deadline (a time, a span from now, or epoch milliseconds), unique, conflict,
 * attempts, source. The interface's own names (delayMsec, runTime, deadlineTime) are taken too. */

#include "base/buffer.h"

/* Appends the task to *ret, all or nothing. default_type: for lines without one; NULL: required. 0;
 * -EINVAL with *ret_problem (fresh text, or NULL) saying what is wrong; -ENOMEM; -ENOBUFS. */
int task_from_line(Slice line, const char *default_type, Buffer *ret, char **ret_problem);
