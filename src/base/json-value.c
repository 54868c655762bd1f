/* SPDX-License-Identifier: Apache-2.0 */

#include <locale.h>
#include <math.h>
#include "base/json.h"
#include "base/json-scan.h"

#define REPLACEMENT UINT32_C(0xFFFD)

static size_t encode_utf8(uint32_t c, char *to)
{
        if (c < 0x80) {
                to[0] = (char)c;
                return 1;
        }
        if (c < 0x800) {
                to[0] = (char)(0xC0 | c >> 6);
                to[1] = (char)(0x80 | (c & 0x3F));
                return 2;
        }
        if (c < 0x10000) {
                to[0] = (char)(0xE0 | c >> 12);
                to[1] = (char)(0x80 | (c >> 6 & 0x3F));
                to[2] = (char)(0x80 | (c & 0x3F));
                return 3;
        }
        to[0] = (char)(0xF0 | c >> 18);
        to[1] = (char)(0x80 | (c >> 12 & 0x3F));
        to[2] = (char)(0x80 | (c >> 6 & 0x3F));
        to[3] = (char)(0x80 | (c & 0x3F));
        return 4;
}

/* The value of a \uXXXX escape at p, or -1 if there is none. */
static int32_t read_unicode_escape(const char *p, const char *end)
{
        int32_t c = 0;

        if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
                return -1;
        for (unsigned i = 2; i < 6; i++) {
                int digit = json_hex_digit(p[i]);

                if (digit < 0)
                        return -1;
                c = c << 4 | digit;
        }
        return c;
}

static size_t decode_unicode(const char **p, const char *end, char *decoded)
{
        int32_t c = read_unicode_escape(*p, end), low;

        *p += MIN(end - *p, 6);
        if (c >= 0xD800 && c <= 0xDBFF) {
                low = read_unicode_escape(*p, end);
                if (low >= 0xDC00 && low <= 0xDFFF) {
                        *p += 6;
                        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
                }
        }
        if (c <= 0 || (c >= 0xD800 && c <= 0xDFFF))
                c = REPLACEMENT;
        return encode_utf8((uint32_t)c, decoded);
}

size_t json_decode_next(const char **p, const char *end, char decoded[JSON_DECODED_MAX])
{
        if (**p != '\\' || end - *p < 2) {
                decoded[0] = *(*p)++;
                return 1;
        }
        switch ((*p)[1]) {
        case 'b':
                decoded[0] = '\b';
                break;
        case 'f':
                decoded[0] = '\f';
                break;
        case 'n':
                decoded[0] = '\n';
                break;
        case 'r':
                decoded[0] = '\r';
                break;
        case 't':
                decoded[0] = '\t';
                break;
        case 'u':
                return decode_unicode(p, end, decoded);
        default:
                decoded[0] = (*p)[1];
        }
        *p += 2;
        return 1;
}

/* What stands between the quotes; false if value is no string. */
static bool string_content(Slice value, Slice *ret)
{
        const char *p, *end;

        if (json_type_of(value) != JSON_STRING)
                return false;
        p = memchr(value.data, '"', value.size);
        end = memrchr(value.data, '"', value.size);
        if (end == p)
                return false;
        *ret = (Slice){ p + 1, (size_t)(end - p) - 1 };
        return true;
}

/* No escape is shorter than what it stands for, so the raw size is enough. */
int json_decode_string(Slice value, char **ret)
{
        const char *p, *end, *escape;
        char *string, *to;
        Slice raw;

        if (!string_content(value, &raw))
                return -EINVAL;
        string = to = malloc(raw.size + 1);
        if (!string)
                return -ENOMEM;
        for (p = raw.data, end = p + raw.size; p < end;) {
                escape = memchr(p, '\\', (size_t)(end - p));
                to = mempcpy(to, p, (size_t)((escape ?: end) - p));
                p = escape ?: end;
                if (escape)
                        to += json_decode_next(&p, end, to);
        }
        *to = '\0';
        *ret = string;
        return 0;
}

int json_raw_string(Slice value, Slice *ret)
{
        Slice raw;

        if (!string_content(value, &raw) || memchr(raw.data, '\\', raw.size))
                return -EINVAL;
        *ret = raw;
        return 0;
}

/* A number as its text says it: the digits between the first and the last that is not zero, and
 * the power of ten that the last of them counts. */
typedef struct Decimal {
        const char *first; /* NULL: the number is zero */
        const char *last;
        int64_t exponent;
        bool negative;
} Decimal;

/* Exponents beyond this are as good as infinite; adding to them cannot overflow. */
#define EXPONENT_MAX (INT64_C(1) << 48)

static int64_t read_exponent(const char *p, const char *end)
{
        int64_t exponent = 0;
        bool negative = p < end && *p == '-';

        for (; p < end; p++) {
                if (*p >= '0' && *p <= '9' && exponent < EXPONENT_MAX)
                        exponent = exponent * 10 + (*p - '0');
        }
        return negative ? -exponent : exponent;
}

static Decimal read_decimal(const char *p, const char *end)
{
        const char *digits_end = p, *point = NULL;
        Decimal d = { .negative = *p == '-' };

        for (; digits_end < end && *digits_end != 'e' && *digits_end != 'E'; digits_end++) {
                if (*digits_end == '.')
                        point = digits_end;
                if (*digits_end >= '1' && *digits_end <= '9') {
                        d.first = d.first ?: digits_end;
                        d.last = digits_end;
                }
        }
        if (!d.first)
                return d;
        if (digits_end < end)
                d.exponent = read_exponent(digits_end + 1, end);
        if (point && d.last > point)
                d.exponent -= d.last - point;
        else
                d.exponent += (point ?: digits_end) - d.last - 1;
        return d;
}

static bool add_digit(uint64_t *magnitude, unsigned digit, uint64_t limit)
{
        if (*magnitude > (limit - digit) / 10)
                return false;
        *magnitude = *magnitude * 10 + digit;
        return true;
}

int json_to_int64(Slice value, int64_t *ret)
{
        uint64_t magnitude = 0, limit;
        const char *p, *end;
        Decimal d;

        if (json_type_of(value) != JSON_NUMBER)
                return -EINVAL;
        end = value.data + value.size;
        p = json_skip_white(value.data, end);
        while (json_is_white(end[-1]))
                end--;
        d = read_decimal(p, end);
        if (!d.first) {
                *ret = 0;
                return 0;
        }
        if (d.exponent < 0)
                return -EINVAL;

        limit = d.negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
        for (p = d.first; p <= d.last; p++) {
                if (*p != '.' && !add_digit(&magnitude, (unsigned)(*p - '0'), limit))
                        return -ERANGE;
        }
        for (; d.exponent > 0; d.exponent--) {
                if (!add_digit(&magnitude, 0, limit))
                        return -ERANGE;
        }
        *ret = d.negative ? (int64_t)-magnitude : (int64_t)magnitude;
        return 0;
}

/* The locale of the program must not decide what a decimal point is. */
int json_to_double(Slice value, double *ret)
{
        _cleanup_free_ char *text = NULL;
        locale_t c_locale;
        double number;

        if (json_type_of(value) != JSON_NUMBER)
                return -EINVAL;
        text = strndup(value.data, value.size);
        if (!text)
                return -ENOMEM;
        c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        if (!c_locale)
                return -errno;
        number = strtod_l(text, NULL, c_locale);
        freelocale(c_locale);
        if (!isfinite(number))
                return -ERANGE;
        *ret = number;
        return 0;
}

int json_to_bool(Slice value, bool *ret)
{
        const char *p;

        if (json_type_of(value) != JSON_BOOLEAN)
                return -EINVAL;
        p = json_skip_white(value.data, value.data + value.size);
        *ret = *p == 't';
        return 0;
}
