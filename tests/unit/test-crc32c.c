/* SPDX-License-Identifier: Apache-2.0 */

#include "base/crc32c.h"
#include "unit.h"

/* RFC 3720, B.4, and the check value that catalogues of CRCs give. */
START_TEST(known_sums)
{
        unsigned char bytes[32];

        ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xE3069283);
        ck_assert_uint_eq(crc32c_portable(0, "123456789", 9), 0xE3069283);
        memset(bytes, 0, sizeof(bytes));
        ck_assert_uint_eq(crc32c(0, bytes, sizeof(bytes)), 0x8A9136AA);
        memset(bytes, 0xff, sizeof(bytes));
        ck_assert_uint_eq(crc32c_portable(0, bytes, sizeof(bytes)), 0x62A8AB43);
        ck_assert_uint_eq(crc32c(0, "", 0), 0);
}
END_TEST

START_TEST(in_pieces_and_both_ways)
{
        char bytes[100];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (char)unit_random();
        for (size_t from = 0; from < 9; from++) {
                for (size_t size = 0; size <= sizeof(bytes) - from; size++) {
                        uint32_t whole = crc32c(7, bytes + from, size);

                        ck_assert_uint_eq(whole, crc32c_portable(7, bytes + from, size));
                        ck_assert_uint_eq(whole, crc32c(crc32c(7, bytes + from, size / 3),
                                                        bytes + from + size / 3, size - size / 3));
                }
        }
}
END_TEST

UNIT_MAIN("crc32c", known_sums, in_pieces_and_both_ways);
