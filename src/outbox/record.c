/* SPDX-License-Identifier: Apache-2.0 */

#include "base/crc32c.h"
#include "outbox/record.h"

#define RECORD_MARK 0x4d59 /* "YM" */

/* What the check sum covers begins behind it. */
#define CHECKED_FROM 4

static char *put_number(char *p, uint64_t value, size_t size)
{
        for (size_t i = 0; i < size; i++)
                *p++ = (char)(value >> 8 * i);
        return p;
}

static uint64_t get_number(const char *p, size_t size)
{
        uint64_t value = 0;

        for (size_t i = 0; i < size; i++)
                value |= (uint64_t)(unsigned char)p[i] << 8 * i;
        return value;
}

static char *put_slice(char *p, Slice slice)
{
        if (slice.size > 0)
                memcpy(p, slice.data, slice.size);
        return p + slice.size;
}

int record_append(Buffer *buffer, const Record *record, uint32_t salt)
{
        size_t size = record_size(record);
        char *start, *p;
        int r;

        if (size > RECORD_SIZE_MAX)
                return -EMSGSIZE;
        r = buffer_reserve(buffer, size, &start);
        if (r < 0)
                return r;
        p = put_number(start + CHECKED_FROM, size, 4);
        p = put_number(p, RECORD_MARK, 2);
        p = put_number(p, record->type, 2);
        p = put_number(p, record->value, 4);
        p = put_number(p, record->number, 8);
        p = put_number(p, record->turn, 8);
        p = put_number(p, (uint64_t)record->msec, 8);
        p = put_number(p, record->id.size, 4);
        p = put_number(p, record->head.size, 4);
        p = put_slice(p, record->id);
        p = put_slice(p, record->head);
        (void)put_slice(p, record->body);
        (void)put_number(start, crc32c(salt, start + CHECKED_FROM, size - CHECKED_FROM),
                         CHECKED_FROM);
        buffer_commit(buffer, size);
        return 0;
}

/* Whether these can be the first bytes of a record, before anything is known of its sum. */
static bool is_plausible(const char *p)
{
        size_t size = get_number(p + 4, 4), type = get_number(p + 10, 2);
        size_t id = get_number(p + 40, 4), head = get_number(p + 44, 4);

        return get_number(p + 8, 2) == RECORD_MARK && type > 0 && type < _RECORD_TYPE_MAX &&
               size >= RECORD_HEADER_SIZE && size <= RECORD_SIZE_MAX &&
               id <= size - RECORD_HEADER_SIZE && head <= size - RECORD_HEADER_SIZE - id;
}

int record_parse(Slice bytes, uint32_t salt, Record *ret, size_t *ret_size)
{
        const char *p = bytes.data;
        size_t size, id, head;

        *ret_size = RECORD_HEADER_SIZE;
        if (bytes.size < RECORD_HEADER_SIZE)
                return -ENODATA;
        if (!is_plausible(p)) {
                *ret_size = 0;
                return -EBADMSG;
        }
        size = get_number(p + 4, 4);
        *ret_size = size;
        if (bytes.size < size)
                return -ENODATA;
        if (crc32c(salt, p + CHECKED_FROM, size - CHECKED_FROM) != (uint32_t)get_number(p, 4))
                return -EBADMSG;
        id = get_number(p + 40, 4);
        head = get_number(p + 44, 4);
        *ret = (Record){
                .type = (RecordType)get_number(p + 10, 2),
                .value = (uint32_t)get_number(p + 12, 4),
                .number = get_number(p + 16, 8),
                .turn = get_number(p + 24, 8),
                .msec = (int64_t)get_number(p + 32, 8),
                .id = { p + RECORD_HEADER_SIZE, id },
                .head = { p + RECORD_HEADER_SIZE + id, head },
                .body = { p + RECORD_HEADER_SIZE + id + head,
                          size - RECORD_HEADER_SIZE - id - head },
        };
        return 0;
}
