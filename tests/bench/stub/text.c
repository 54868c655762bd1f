/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <stdio.h>
#include "base/json-scan.h"
#include "base/table.h"
#include "stub/text.h"

#define NUMBER_DIGITS_MAX 18

typedef struct Interned {
        TableLink link;
        size_t size;
        char text[];
} Interned;

static Table interned;
static char salt_text[9];

uint64_t text_hash(Slice text)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < text.size; i++)
                hash = (hash ^ (unsigned char)text.data[i]) * UINT64_C(0x100000001b3);
        return hash;
}

const char *text_intern(Slice text)
{
        uint64_t hash = text_hash(text);
        Interned *made;

        if (!text.data)
                return NULL;
        for (TableLink *link = table_find(&interned, hash); link; link = table_next(link)) {
                made = container_of(link, Interned, link);
                if (slice_equal((Slice){ made->text, made->size }, text))
                        return made->text;
        }
        made = must_alloc(malloc(sizeof(*made) + text.size + 1));
        made->size = text.size;
        memcpy(made->text, text.data, text.size);
        made->text[text.size] = '\0';
        must(table_insert(&interned, &made->link, hash));
        return made->text;
}

void text_deinit(void)
{
        for (size_t i = 0; i < interned.n_buckets; i++) {
                for (TableLink *link = interned.buckets[i], *next; link; link = next) {
                        next = link->next;
                        free(container_of(link, Interned, link));
                }
        }
        table_deinit(&interned);
}

void text_ids_init(uint32_t salt)
{
        (void)snprintf(salt_text, sizeof(salt_text), "%08x", salt);
}

static void put_hex(char *end, uint32_t number, unsigned digits)
{
        static const char hex[] = "0123456789abcdef";

        for (unsigned i = 0; i < digits; i++, number >>= 4)
                *--end = hex[number & 15];
}

void text_put_id(Buffer *buffer, char kind, uint32_t number)
{
        char id[STUB_ID_SIZE + 1] = "xxxxxxxx-0000-7000-a000-000000000000";

        memcpy(id, salt_text, 8);
        id[19] = kind;
        put_hex(id + STUB_ID_SIZE, number, 8);
        put_slice(buffer, (Slice){ id, STUB_ID_SIZE });
}

int text_parse_id(Slice id, char kind, uint32_t *ret_number)
{
        uint32_t number = 0;

        if (id.size != STUB_ID_SIZE || memcmp(id.data, salt_text, 8) != 0 || id.data[19] != kind)
                return -ENOENT;
        for (size_t i = STUB_ID_SIZE - 8; i < STUB_ID_SIZE; i++) {
                int digit = json_hex_digit(id.data[i]);

                if (digit < 0)
                        return -ENOENT;
                number = number << 4 | (uint32_t)digit;
        }
        *ret_number = number;
        return 0;
}

Slice text_percent_decode(Slice text, bool in_query, Buffer *scratch)
{
        size_t start = scratch->size;

        if (!memchr(text.data, '%', text.size) && !(in_query && memchr(text.data, '+', text.size)))
                return text;
        for (size_t i = 0; i < text.size; i++) {
                char c = text.data[i];

                if (c == '%' && text.size - i > 2 && json_hex_digit(text.data[i + 1]) >= 0 &&
                    json_hex_digit(text.data[i + 2]) >= 0) {
                        c = (char)(json_hex_digit(text.data[i + 1]) << 4 |
                                   json_hex_digit(text.data[i + 2]));
                        i += 2;
                } else if (c == '+' && in_query) {
                        c = ' ';
                }
                must(buffer_append_byte(scratch, c));
        }
        return (Slice){ buffer_slice(scratch).data + start, scratch->size - start };
}

static Slice query_raw(Slice query, const char *name)
{
        size_t length = strlen(name);
        const char *p = query.data, *end = query.data + query.size;

        while (p < end) {
                const char *next = memchr(p, '&', (size_t)(end - p)) ?: end;

                if ((size_t)(next - p) >= length && memcmp(p, name, length) == 0) {
                        if (p + length == next)
                                return (Slice){ next, 0 };
                        if (p[length] == '=')
                                return (Slice){ p + length + 1, (size_t)(next - p) - length - 1 };
                }
                p = next + 1;
        }
        return SLICE_NULL;
}

Slice text_query(Slice query, const char *name, Buffer *scratch)
{
        Slice raw = query_raw(query, name);

        return raw.data ? text_percent_decode(raw, true, scratch) : raw;
}

int text_number(Slice text, int64_t *ret)
{
        int64_t number = 0;
        bool negative = text.size > 0 && text.data[0] == '-';
        size_t i = negative;

        if (text.size <= i || text.size > NUMBER_DIGITS_MAX)
                return -EINVAL;
        for (; i < text.size; i++) {
                if (!isdigit((unsigned char)text.data[i]))
                        return -EINVAL;
                number = number * 10 + (text.data[i] - '0');
        }
        *ret = negative ? -number : number;
        return 0;
}

int64_t text_query_number(Slice query, const char *name, int64_t otherwise)
{
        int64_t number;

        return text_number(query_raw(query, name), &number) < 0 ? otherwise : number;
}
