/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include "base/macro.h"
#include "base/parse.h"

/* Reads exactly n digits; false if there are not so many. */
static bool read_number(const char **p, unsigned n, int *ret)
{
        int value = 0;

        for (unsigned i = 0; i < n; i++, (*p)++) {
                if (!isdigit((unsigned char)**p))
                        return false;
                value = value * 10 + (**p - '0');
        }
        *ret = value;
        return true;
}

static bool read_char(const char **p, char c)
{
        if (**p != c)
                return false;
        (*p)++;
        return true;
}

static int month_days(int year, int month)
{
        static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        return days[month - 1] + (month == 2 && leap);
}

static bool read_date(const char **p, struct tm *tm)
{
        int year, month, day;

        if (!read_number(p, 4, &year) || !read_char(p, '-') || !read_number(p, 2, &month) ||
            !read_char(p, '-') || !read_number(p, 2, &day))
                return false;
        if (year < 1970 || month < 1 || month > 12 || day < 1 || day > month_days(year, month))
                return false;
        tm->tm_year = year - 1900;
        tm->tm_mon = month - 1;
        tm->tm_mday = day;
        return true;
}

/* ".5", ".123456": milliseconds, finer digits cut off. */
static bool read_fraction(const char **p, int *ret_msec)
{
        int msec = 0, weight = 100;

        if (!read_char(p, '.'))
                return true;
        if (!isdigit((unsigned char)**p))
                return false;
        for (; isdigit((unsigned char)**p); (*p)++, weight /= 10)
                msec += (**p - '0') * weight;
        *ret_msec = msec;
        return true;
}

static bool read_time(const char **p, struct tm *tm, int *ret_msec)
{
        if (!read_number(p, 2, &tm->tm_hour) || !read_char(p, ':') ||
            !read_number(p, 2, &tm->tm_min))
                return false;
        if (read_char(p, ':') && (!read_number(p, 2, &tm->tm_sec) || !read_fraction(p, ret_msec)))
                return false;
        return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 60;
}

/* "Z", "+01:00", "-0530" → seconds east of UTC; nothing at all → local. */
static bool read_zone(const char **p, bool *ret_local, int *ret_east)
{
        bool west = **p == '-';
        int hours, minutes;

        *ret_local = **p == '\0';
        if (*ret_local || read_char(p, 'Z'))
                return true;
        if (!read_char(p, '+') && !read_char(p, '-'))
                return false;
        if (!read_number(p, 2, &hours))
                return false;
        (void)read_char(p, ':');
        if (!read_number(p, 2, &minutes) || hours > 14 || minutes > 59)
                return false;
        *ret_east = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
        return true;
}

static int parse_calendar(const char *p, int64_t *ret_epoch_msec)
{
        struct tm tm = { .tm_isdst = -1 };
        int msec = 0, east = 0;
        bool local = true;
        time_t seconds;

        if (!read_date(&p, &tm))
                return -EINVAL;
        if (read_char(&p, 'T') || read_char(&p, ' ')) {
                if (!read_time(&p, &tm, &msec) || !read_zone(&p, &local, &east))
                        return -EINVAL;
        }
        if (*p)
                return -EINVAL;
        seconds = local ? mktime(&tm) : timegm(&tm) - east;
        if (seconds < 0)
                return -ERANGE;
        *ret_epoch_msec = (int64_t)seconds * 1000 + msec;
        return 0;
}

/* "@seconds", with a fraction or without. */
static int parse_epoch(const char *p, int64_t *ret_epoch_msec)
{
        int msec = 0;
        int64_t seconds = 0;

        if (!isdigit((unsigned char)*p))
                return -EINVAL;
        for (; isdigit((unsigned char)*p); p++) {
                if (seconds > (INT64_MAX / 1000 - 10) / 10)
                        return -ERANGE;
                seconds = seconds * 10 + (*p - '0');
        }
        if (!read_fraction(&p, &msec) || *p)
                return -EINVAL;
        *ret_epoch_msec = seconds * 1000 + msec;
        return 0;
}

static int parse_relative(const char *s, int64_t *ret_epoch_msec)
{
        int64_t now = clock_epoch_msec(), msec;
        usec_t duration;
        int r;

        if (!isdigit((unsigned char)s[1]))
                return -EINVAL;
        r = parse_duration(s + 1, &duration);
        if (r < 0)
                return r;
        msec = (int64_t)(duration / USEC_PER_MSEC);
        if (*s == '-' ? msec > now : msec > INT64_MAX - now)
                return -ERANGE;
        *ret_epoch_msec = *s == '-' ? now - msec : now + msec;
        return 0;
}

int parse_timestamp(const char *s, int64_t *ret_epoch_msec)
{
        switch (*s) {
        case '@':
                return parse_epoch(s + 1, ret_epoch_msec);
        case '+':
        case '-':
                return parse_relative(s, ret_epoch_msec);
        default:
                return parse_calendar(s, ret_epoch_msec);
        }
}

char *format_timestamp(char *buffer, int64_t epoch_msec)
{
        int msec = (int)(epoch_msec % 1000);
        struct tm tm;
        time_t seconds = epoch_msec / 1000;
        size_t n;

        if (msec < 0) {
                msec += 1000;
                seconds--;
        }
        (void)gmtime_r(&seconds, &tm);
        n = strftime(buffer, FORMAT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(buffer + n, FORMAT_MAX - n, ".%03dZ", msec);
        return buffer;
}
