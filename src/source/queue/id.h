#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Ids of a queue's tasks: rowid ↔ text, so that no index on ids is needed. Pure.
 *
 * A row is 48 bits of epoch milliseconds and a 15-bit number within the millisecond, and only ever
 * grows, also when the clock is set back. Its text has the form of a UUIDv7: the milliseconds, 7,
 * 12 bits of the number, the variant's two bits, 3 bits of the number, and 59 bits that are the
 * same in all ids of one database, random, and different in another. */

#include "base/slice.h"
#include "source/queue/queue.h"

#define QUEUE_ROW_SHIFT 15

/* The 59 bits; others of random are ignored. */
uint64_t queue_id_tag(uint64_t random);
/* The row after last, of that time if possible. */
int64_t queue_row_next(int64_t last, int64_t epoch_msec);
/* When the row was made, and the first row of a time. */
int64_t queue_row_msec(int64_t row);
int64_t queue_row_from_msec(int64_t epoch_msec);

void queue_id_format(int64_t row, uint64_t tag, char ret[static QUEUE_ID_LENGTH + 1]);
/* -EINVAL: no id at all; -ENOENT: an id of another database. Either letter case. */
int queue_id_parse(Slice text, uint64_t tag, int64_t *ret_row);
