#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The innermost steps of reading JSON text, shared by the checker and the walks. All stop at end.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BYTES(c) (UINT64_C(0x0101010101010101) * (c))

/* High bit of each byte of x that is zero; bits above the first such byte may be wrong, so the
 * result says whether there is one and, by its lowest bit, where the first is. */
static inline uint64_t bytes_zero(uint64_t x)
{
        return (x - BYTES(0x01)) & ~x & BYTES(0x80);
}

/* Index of the byte that is first in memory among those marked by their high bit. */
static inline unsigned bytes_first(uint64_t marks)
{
        return (unsigned)__builtin_ctzll(marks) / 8;
}

static inline uint64_t bytes_load(const char *p)
{
        uint64_t x;

        memcpy(&x, p, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        x = __builtin_bswap64(x);
#endif
        return x;
}

#ifdef __SSE2__
/* Sixteen bytes at a time: a bit for each, first byte lowest. Every x86-64 has this; elsewhere, and
 * at the end of a text, eight at a time have to do. */
#define JSON_WIDE 16

static inline __m128i wide_load(const char *p)
{
        return _mm_loadu_si128((const __m128i *)p);
}

static inline __m128i wide_is(__m128i x, char c)
{
        return _mm_cmpeq_epi8(x, _mm_set1_epi8(c));
}

static inline unsigned wide_bits(__m128i marks)
{
        return (unsigned)_mm_movemask_epi8(marks);
}

static inline __m128i wide_is_quote(__m128i x)
{
        return _mm_or_si128(wide_is(x, '"'), wide_is(x, '\\'));
}
#endif

static inline bool json_is_white(char c)
{
        return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static inline const char *json_skip_white(const char *p, const char *end)
{
        while (p < end && (unsigned char)*p <= ' ' && json_is_white(*p))
                p++;
        return p;
}

/* ASCII that stands for itself in a string: all but quote, backslash, control characters. */
static inline const char *json_skip_plain(const char *p, const char *end)
{
#ifdef __SSE2__
        for (; end - p >= JSON_WIDE; p += JSON_WIDE) {
                __m128i x = wide_load(p);
                /* As signed bytes, what is no ASCII is below the space, too. */
                unsigned special = wide_bits(
                        _mm_or_si128(wide_is_quote(x), _mm_cmplt_epi8(x, _mm_set1_epi8(' '))));

                if (special)
                        return p + __builtin_ctz(special);
        }
#endif
        while (end - p >= 8) {
                uint64_t x = bytes_load(p), special;

                special = bytes_zero(x ^ BYTES('"')) | bytes_zero(x ^ BYTES('\\')) |
                          ((x - BYTES(0x20)) & ~x & BYTES(0x80)) | (x & BYTES(0x80));
                if (special)
                        return p + bytes_first(special);
                p += 8;
        }
        while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
               *p != '\\')
                p++;
        return p;
}

/* To the next quote or backslash. */
static inline const char *json_skip_to_quote(const char *p, const char *end)
{
#ifdef __SSE2__
        for (; end - p >= JSON_WIDE; p += JSON_WIDE) {
                unsigned special = wide_bits(wide_is_quote(wide_load(p)));

                if (special)
                        return p + __builtin_ctz(special);
        }
#endif
        while (end - p >= 8) {
                uint64_t x = bytes_load(p), special;

                special = bytes_zero(x ^ BYTES('"')) | bytes_zero(x ^ BYTES('\\'));
                if (special)
                        return p + bytes_first(special);
                p += 8;
        }
        while (p < end && *p != '"' && *p != '\\')
                p++;
        return p;
}

/* Over bytes that are neither quotes nor brackets of any kind; may stop before the first of those.
 */
static inline const char *json_skip_to_structure(const char *p, const char *end)
{
#ifdef __SSE2__
        for (; end - p >= JSON_WIDE; p += JSON_WIDE) {
                __m128i x = wide_load(p), folded = _mm_or_si128(x, _mm_set1_epi8('{' ^ '['));
                unsigned special = wide_bits(_mm_or_si128(
                        wide_is(x, '"'), _mm_or_si128(wide_is(folded, '{'), wide_is(folded, '}'))));

                if (special)
                        return p + __builtin_ctz(special);
        }
#endif
        return p;
}

/* From behind an opening quote to behind the closing one. */
static inline const char *json_skip_string(const char *p, const char *end)
{
        for (;;) {
                p = json_skip_to_quote(p, end);
                if (p >= end)
                        return end;
                if (*p == '"')
                        return p + 1;
                if (end - p < 2)
                        return end;
                p += 2;
        }
}

static inline int json_hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* Length of the UTF-8 sequence at p: 1 to 4, or 0 if it is none (cut off, overlong, a surrogate,
 * over U+10FFFF). */
unsigned json_utf8_length(const char *p, const char *end);

/* Most bytes of UTF-8 that one step of json_decode_next makes. */
#define JSON_DECODED_MAX 4

/* Decodes the character or escape at *p (p < end) inside a checked string; moves *p behind it and
 * returns the number of bytes made. U+0000 and lone surrogates become U+FFFD. */
size_t json_decode_next(const char **p, const char *end, char decoded[JSON_DECODED_MAX]);
