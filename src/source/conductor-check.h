#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What a check has found, and the pure part of it: a pool beside the definition of its task type.
 */

#include "source/conductor-internal.h"

typedef struct FindingList {
        Finding *entries; /* their strings are owned */
        size_t n;
} FindingList;

void finding_list_deinit(FindingList *list);
/* subject, pool, remedy are copied; without memory it is left out. */
void finding_add(FindingList *list, FindingLevel level, const char *subject, const char *pool,
                 const char *remedy, const char *format, ...) _printf_(6, 7);

/* definition: the object of GET /metadata/taskdefs/TYPE; SLICE_NULL: there is none. */
void check_definition(FindingList *list, const ConfigPool *pool, const char *type,
                      Slice definition);
/* difference: the server's clock less ours. */
void check_clock(FindingList *list, int64_t difference_msec);
