#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One record of the journal, in memory and as bytes. Pure.
 *
 * On disk a record is RECORD_HEADER_SIZE bytes of little-endian numbers, then id, head and body:
 *
 *   0 u32 check sum (CRC-32C, begun with the salt) of all that follows
 *   4 u32 size of the whole record
 *   8 u16 mark, u16 type
 *  12 u32 value
 *  16 u64 number
 *  24 u64 turn
 *  32 i64 msec
 *  40 u32 size of the id
 *  44 u32 size of the head
 *
 * The last record about a number is what holds of it. The salt is a segment's: without it, bytes
 * that a task's body happens to contain could be taken for records when a damaged file is read. */

#include "base/buffer.h"

#define RECORD_HEADER_SIZE 48

/* Greater than any message: more is damage. */
#define RECORD_SIZE_MAX ((size_t)256 * 1024 * 1024)

typedef enum RecordType {
        RECORD_HELD = 1, /* id, head, value: n_crashes */
        RECORD_WAITING,  /* id, head, body, turn, value: kind; all there is to know */
        RECORD_GONE,
        RECORD_DEAD,    /* body: the reason */
        RECORD_REVIVED, /* DEAD → WAITING, with a new turn */
        RECORD_CRASHED, /* id, value: how many daemons in a row died with it HELD */
        RECORD_NUMBER,  /* number: all below are used; says nothing of an entry */
        RECORD_CLOSED,  /* the daemon ended in order: what is HELD was held by nobody since */
        _RECORD_TYPE_MAX,
} RecordType;

typedef struct Record {
        RecordType type;
        uint32_t value;
        uint64_t number;
        uint64_t turn;
        int64_t msec;
        Slice id, head, body;
} Record;

static inline size_t record_size(const Record *record)
{
        return RECORD_HEADER_SIZE + record->id.size + record->head.size + record->body.size;
}

/* 0; -EMSGSIZE: longer than RECORD_SIZE_MAX; -ENOMEM, -ENOBUFS: the buffer's. */
int record_append(Buffer *buffer, const Record *record, uint32_t salt);

/* The record that bytes begin with; its slices point into them. *ret_size: how long it is; on
 * -ENODATA how many bytes are needed to tell. -EBADMSG: this is none, and *ret_size bytes were
 * summed to find out. */
int record_parse(Slice bytes, uint32_t salt, Record *ret, size_t *ret_size);
