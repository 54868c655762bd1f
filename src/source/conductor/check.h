#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What a check has found, and the pure part of it: a pool beside the definition of its task type.
 */

#include "source/conductor/internal.h"

typedef struct CheckFindings {
        CheckFinding *entries; /* their strings are owned */
        size_t n;
} CheckFindings;

void check_findings_deinit(CheckFindings *list);
/* subject, pool, remedy are copied; without memory it is left out. */
void check_findings_add(CheckFindings *list, CheckLevel level, const char *subject,
                        const char *pool, const char *remedy, const char *format, ...)
        _printf_(6, 7);

/* definition: the object of GET /metadata/taskdefs/TYPE; SLICE_NULL: there is none. */
void check_definition(CheckFindings *list, const ConfigPool *pool, const char *type,
                      Slice definition);
/* difference: the server's clock less ours. */
void check_clock(CheckFindings *list, int64_t difference_msec);
