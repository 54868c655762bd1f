#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Values as people write them, for configuration and command lines; and back. Pure. */

#include <stdint.h>
#include "base/clock.h"

/* "200ms", "1.5s", "10m", "1h 30m", "1d", "infinity" → microseconds (USEC_INFINITY). A bare number
 * is seconds. -EINVAL, -ERANGE. */
int parse_duration(const char *s, usec_t *ret);
/* "512M", "1.5G", "64K", "1T", plain bytes → bytes; units are powers of 1024. -EINVAL, -ERANGE. */
int parse_size(const char *s, uint64_t *ret);
/* "10/s", "600/m", "1000/h", "1/5s" → count per interval. -EINVAL, -ERANGE. */
int parse_rate(const char *s, uint64_t *ret_count, usec_t *ret_interval);
int parse_uint64(const char *s, uint64_t *ret);
/* "2026-03-01T12:00:00Z", "2026-03-01 12:00:00", "2026-03-01" (local time without Z or offset),
 * "@1795211450", "+5m", "-2h" (from now) → epoch milliseconds. */
int parse_timestamp(const char *s, int64_t *ret_epoch_msec);

/* Shortest exact form that the parser above reads back; buffer of FORMAT_MAX. Returns buffer. */
#define FORMAT_MAX 64
char *format_duration(char *buffer, usec_t usec);
char *format_size(char *buffer, uint64_t bytes);
char *format_rate(char *buffer, uint64_t count, usec_t interval);
/* ISO 8601 with milliseconds, UTC. */
char *format_timestamp(char *buffer, int64_t epoch_msec);
/* For people: two largest units, "3d 4h", "12.4s", "830ms". */
char *format_span(char *buffer, usec_t usec);
