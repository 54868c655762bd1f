/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include "base/macro.h"
#include "base/parse.h"

typedef struct Unit {
        const char *name;
        uint64_t value;
} Unit;

/* Largest first: the formatter takes the first that divides. The shortest name of a unit is its
 * first row. */
static const Unit duration_units[] = {
        { "d", USEC_PER_DAY },    { "h", USEC_PER_HOUR },
        { "m", USEC_PER_MINUTE }, { "min", USEC_PER_MINUTE },
        { "s", USEC_PER_SEC },    { "sec", USEC_PER_SEC },
        { "ms", USEC_PER_MSEC },  { "us", 1 },
};

static const Unit size_units[] = {
        { "T", UINT64_C(1) << 40 },
        { "G", UINT64_C(1) << 30 },
        { "M", UINT64_C(1) << 20 },
        { "K", UINT64_C(1) << 10 },
        { "B", 1 },
};

static const Unit *find_unit(const Unit *units, size_t n_units, const char *name, size_t size)
{
        for (size_t i = 0; i < n_units; i++) {
                if (strlen(units[i].name) == size && memcmp(units[i].name, name, size) == 0)
                        return &units[i];
        }
        return NULL;
}

static const char *skip_digits(const char *p)
{
        while (isdigit((unsigned char)*p))
                p++;
        return p;
}

static const char *skip_blanks(const char *p)
{
        while (*p == ' ' || *p == '\t')
                p++;
        return p;
}

static int digits_to_uint64(const char *p, const char *end, uint64_t *ret)
{
        uint64_t value = 0;

        if (p == end)
                return -EINVAL;
        for (; p < end; p++) {
                uint64_t digit = (uint64_t)(*p - '0');

                if (value > (UINT64_MAX - digit) / 10)
                        return -ERANGE;
                value = value * 10 + digit;
        }
        *ret = value;
        return 0;
}

/* unit × 0.digits, rounded down, exactly: from the last digit to the first, since rounding each
 * step down gives the same as rounding the whole. */
static uint64_t scale_fraction(const char *digits, const char *end, uint64_t unit)
{
        uint64_t value = 0;

        while (end > digits)
                value = (value + (uint64_t)(*--end - '0') * unit) / 10;
        return value;
}

/* "12", "1.5", "1.5K" at *p; moves *p behind it. bare: the unit of a number without one; 0: a unit
 * is needed. */
static int parse_quantity(const char **p, const Unit *units, size_t n_units, uint64_t bare,
                          uint64_t *ret)
{
        const char *whole = *p, *point = skip_digits(whole), *end = point, *name;
        uint64_t count, unit = bare, fraction;
        const Unit *found;
        int r;

        if (*point == '.') {
                end = skip_digits(point + 1);
                if (end == point + 1)
                        return -EINVAL;
        }
        r = digits_to_uint64(whole, point, &count);
        if (r < 0)
                return r;

        name = end;
        while (isalpha((unsigned char)*end))
                end++;
        if (end > name) {
                found = find_unit(units, n_units, name, (size_t)(end - name));
                if (!found)
                        return -EINVAL;
                unit = found->value;
        }
        if (unit == 0)
                return -EINVAL;
        if (count > UINT64_MAX / unit)
                return -ERANGE;
        fraction = *point == '.' ? scale_fraction(point + 1, name, unit) : 0;
        if (count * unit > UINT64_MAX - fraction)
                return -ERANGE;
        *p = end;
        *ret = count * unit + fraction;
        return 0;
}

int parse_duration(const char *s, usec_t *ret)
{
        const char *p = skip_blanks(s);
        usec_t sum = 0, part, bare;
        int r;

        if (streq(p, "infinity")) {
                *ret = USEC_INFINITY;
                return 0;
        }
        /* Only a number that stands alone may lack its unit. */
        bare = *skip_blanks(p + strspn(p, "0123456789.")) ? 0 : USEC_PER_SEC;
        do {
                r = parse_quantity(&p, duration_units, ELEMENTSOF(duration_units), bare, &part);
                if (r < 0)
                        return r;
                if (part >= USEC_INFINITY - sum)
                        return -ERANGE;
                sum += part;
                p = skip_blanks(p);
        } while (*p);
        *ret = sum;
        return 0;
}

int parse_size(const char *s, uint64_t *ret)
{
        const char *p = skip_blanks(s);
        uint64_t size;
        int r;

        r = parse_quantity(&p, size_units, ELEMENTSOF(size_units), 1, &size);
        if (r < 0)
                return r;
        if (*skip_blanks(p))
                return -EINVAL;
        *ret = size;
        return 0;
}

int parse_uint64(const char *s, uint64_t *ret)
{
        const char *end = skip_digits(s);

        return *end ? -EINVAL : digits_to_uint64(s, end, ret);
}

int parse_rate(const char *s, uint64_t *ret_count, usec_t *ret_interval)
{
        const char *slash = skip_digits(s);
        uint64_t count;
        usec_t interval;
        const Unit *unit;
        int r;

        if (*slash != '/')
                return -EINVAL;
        r = digits_to_uint64(s, slash, &count);
        if (r < 0)
                return r;
        unit = find_unit(duration_units, ELEMENTSOF(duration_units), slash + 1, strlen(slash + 1));
        if (unit) {
                interval = unit->value;
        } else {
                r = parse_duration(slash + 1, &interval);
                if (r < 0)
                        return r;
        }
        if (count == 0 || interval == 0 || interval == USEC_INFINITY)
                return -EINVAL;
        *ret_count = count;
        *ret_interval = interval;
        return 0;
}

/* The largest unit that divides value: exact, and never longer than several units. */
static const Unit *dividing_unit(const Unit *units, uint64_t value)
{
        while (value % units->value != 0)
                units++;
        return units;
}

char *format_duration(char *buffer, usec_t usec)
{
        const Unit *unit = dividing_unit(duration_units, usec);

        if (usec == USEC_INFINITY)
                (void)strcpy(buffer, "infinity");
        else if (usec == 0)
                (void)strcpy(buffer, "0s");
        else
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "%s", usec / unit->value, unit->name);
        return buffer;
}

char *format_size(char *buffer, uint64_t bytes)
{
        const Unit *unit = dividing_unit(size_units, bytes);

        if (bytes == 0 || unit->value == 1)
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64, bytes);
        else
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "%s", bytes / unit->value,
                               unit->name);
        return buffer;
}

char *format_rate(char *buffer, uint64_t count, usec_t interval)
{
        const Unit *unit = dividing_unit(duration_units, interval);
        char duration[FORMAT_MAX];

        if (interval == unit->value)
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "/%s", count, unit->name);
        else
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "/%.40s", count,
                               format_duration(duration, interval));
        return buffer;
}

char *format_span(char *buffer, usec_t usec)
{
        static const struct {
                const char *name;
                usec_t usec;
                const char *next_name;
                usec_t next_usec;
        } steps[] = {
                { "d", USEC_PER_DAY, "h", USEC_PER_HOUR },
                { "h", USEC_PER_HOUR, "m", USEC_PER_MINUTE },
                { "m", USEC_PER_MINUTE, "s", USEC_PER_SEC },
        };

        if (usec == USEC_INFINITY)
                return strcpy(buffer, "infinity");
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                usec_t rest = usec % steps[i].usec / steps[i].next_usec;

                if (usec < steps[i].usec)
                        continue;
                if (rest == 0)
                        (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "%s", usec / steps[i].usec,
                                       steps[i].name);
                else
                        (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "%s %" PRIu64 "%s",
                                       usec / steps[i].usec, steps[i].name, rest,
                                       steps[i].next_name);
                return buffer;
        }
        if (usec >= USEC_PER_SEC && usec % USEC_PER_SEC < 100 * USEC_PER_MSEC)
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "s", usec / USEC_PER_SEC);
        else if (usec >= USEC_PER_SEC)
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 ".%" PRIu64 "s", usec / USEC_PER_SEC,
                               usec % USEC_PER_SEC / (100 * USEC_PER_MSEC));
        else if (usec >= USEC_PER_MSEC)
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "ms", usec / USEC_PER_MSEC);
        else
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "us", usec);
        return buffer;
}
