/* SPDX-License-Identifier: Apache-2.0 */

#include <pthread.h>
#include <string.h>
#include "base/crc32c.h"

#define POLYNOMIAL UINT32_C(0x82F63B78) /* reflected */

/* tables[k][b]: what byte b does to the sum when k more bytes follow it. */
static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
        for (uint32_t b = 0; b < 256; b++) {
                uint32_t crc = b;

                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
                tables[0][b] = crc;
        }
        for (uint32_t b = 0; b < 256; b++) {
                for (int k = 1; k < 8; k++)
                        tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 0xff];
        }
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size)
{
        const unsigned char *p = data;

        (void)pthread_once(&tables_once, make_tables);
        crc = ~crc;
        for (; size >= 8; size -= 8, p += 8) {
                crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                       (uint32_t)p[3] << 24;
                crc = tables[7][crc & 0xff] ^ tables[6][crc >> 8 & 0xff] ^
                      tables[5][crc >> 16 & 0xff] ^ tables[4][crc >> 24] ^ tables[3][p[4]] ^
                      tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
        }
        for (; size > 0; size--)
                crc = crc >> 8 ^ tables[0][(crc ^ *p++) & 0xff];
        return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data,
                                                               size_t size)
{
        const unsigned char *p = data;
        uint64_t sum = ~crc;

        for (; size >= 8; size -= 8, p += 8) {
                uint64_t word;

                memcpy(&word, p, sizeof(word));
                sum = __builtin_ia32_crc32di(sum, word);
        }
        for (; size > 0; size--)
                sum = __builtin_ia32_crc32qi((uint32_t)sum, *p++);
        return ~(uint32_t)sum;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
#ifdef __x86_64__
        if (__builtin_cpu_supports("sse4.2"))
                return crc32c_sse42(crc, data, size);
#endif
        return crc32c_portable(crc, data, size);
}
