/* SPDX-License-Identifier: Apache-2.0 */

#include "source/queue/id.h"

#define TAG_BITS    59
#define TAG_MASK    ((UINT64_C(1) << TAG_BITS) - 1)
#define NUMBER_MASK ((INT64_C(1) << QUEUE_ROW_SHIFT) - 1)
#define MSEC_MASK   ((UINT64_C(1) << 48) - 1)
#define VERSION     UINT64_C(7)
#define VARIANT     UINT64_C(2)

uint64_t queue_id_tag(uint64_t random)
{
        return random & TAG_MASK;
}

int64_t queue_row_from_msec(int64_t epoch_msec)
{
        if (epoch_msec <= 0)
                return 0;
        return (int64_t)MIN((uint64_t)epoch_msec, MSEC_MASK) << QUEUE_ROW_SHIFT;
}

int64_t queue_row_msec(int64_t row)
{
        return row >> QUEUE_ROW_SHIFT;
}

int64_t queue_row_next(int64_t last, int64_t epoch_msec)
{
        return MAX(last + 1, queue_row_from_msec(epoch_msec));
}

static void write_hex(char *to, uint64_t value, unsigned n_digits)
{
        for (unsigned i = n_digits; i > 0; i--, value >>= 4)
                to[i - 1] = "0123456789abcdef"[value & 15];
}

void queue_id_format(int64_t row, uint64_t tag, char ret[static QUEUE_ID_LENGTH + 1])
{
        uint64_t number = (uint64_t)(row & NUMBER_MASK);
        uint64_t high = (uint64_t)queue_row_msec(row) << 16 | VERSION << 12 | number >> 3;
        uint64_t low = VARIANT << 62 | (number & 7) << TAG_BITS | tag;

        write_hex(ret, high >> 32, 8);
        write_hex(ret + 9, high >> 16, 4);
        write_hex(ret + 14, high, 4);
        write_hex(ret + 19, low >> 48, 4);
        write_hex(ret + 24, low, 12);
        ret[8] = ret[13] = ret[18] = ret[23] = '-';
        ret[QUEUE_ID_LENGTH] = '\0';
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -EINVAL;
}

static int read_hex(Slice text, uint64_t ret_words[static 2])
{
        unsigned n = 0;

        for (size_t i = 0; i < text.size; i++) {
                int digit;

                if (i == 8 || i == 13 || i == 18 || i == 23) {
                        if (text.data[i] != '-')
                                return -EINVAL;
                        continue;
                }
                digit = hex_digit(text.data[i]);
                if (digit < 0)
                        return -EINVAL;
                ret_words[n / 16] = ret_words[n / 16] << 4 | (uint64_t)digit;
                n++;
        }
        return 0;
}

int queue_id_parse(Slice text, uint64_t tag, int64_t *ret_row)
{
        uint64_t words[2] = { 0, 0 }, number;

        if (text.size != QUEUE_ID_LENGTH || read_hex(text, words) < 0)
                return -EINVAL;
        if ((words[0] >> 12 & 15) != VERSION || words[1] >> 62 != VARIANT ||
            (words[1] & TAG_MASK) != tag)
                return -ENOENT;
        number = (words[0] & 0xfff) << 3 | (words[1] >> TAG_BITS & 7);
        *ret_row = (int64_t)((words[0] >> 16) << QUEUE_ROW_SHIFT | number);
        return 0;
}
