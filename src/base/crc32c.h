#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* CRC-32C (Castagnoli, as in RFC 3720): the check sum of what is on disk. By the processor's own
 * instruction where it has one. */

#include <stddef.h>
#include <stdint.h>

/* Of crc's bytes followed by these; start with 0. Any thread. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);
/* The same by tables alone, for processors without the instruction. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);
