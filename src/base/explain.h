#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A result with a text for people: "return explain(-EINVAL, ret_problem, …)". */

#include "base/macro.h"

/* Returns result with *ret_text, fresh; or -ENOMEM, and *ret_text is NULL. */
int explain(int result, char **ret_text, const char *format, ...) _printf_(3, 4);
