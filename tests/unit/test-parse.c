/* SPDX-License-Identifier: Apache-2.0 */

#include <time.h>
#include "base/parse.h"
#include "unit.h"

#define NOW INT64_C(1772366400000) /* 2026-03-01T12:00:00Z */

START_TEST(test_durations)
{
        static const struct {
                const char *text;
                usec_t usec;
        } good[] = {
                { "0", 0 },
                { "10", 10 * USEC_PER_SEC },
                { "1.5", 1500 * USEC_PER_MSEC },
                { "200ms", 200 * USEC_PER_MSEC },
                { "1.5s", 1500 * USEC_PER_MSEC },
                { "10m", 10 * USEC_PER_MINUTE },
                { "10min", 10 * USEC_PER_MINUTE },
                { "3sec", 3 * USEC_PER_SEC },
                { "1h 30m", 90 * USEC_PER_MINUTE },
                { "1h30m", 90 * USEC_PER_MINUTE },
                { " 1d  2h ", 26 * USEC_PER_HOUR },
                { "1d", USEC_PER_DAY },
                { "7us", 7 },
                { "0.1s", 100000 },
                { "0.000001s", 1 },
                { "0.0000019s", 1 },
                { "0.333333333333333333333333333333d", 28800 * USEC_PER_SEC - 1 },
                { "infinity", USEC_INFINITY },
                { "18446744073709551614us", USEC_INFINITY - 1 },
        };
        usec_t usec;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                ck_assert_msg(parse_duration(good[i].text, &usec) == 0, "%s", good[i].text);
                ck_assert_msg(usec == good[i].usec, "%s is %ju", good[i].text, (uintmax_t)usec);
        }
}
END_TEST

START_TEST(test_bad_durations)
{
        static const char *const bad[] = { "",     " ",    "s",        "-5s",   "+5s",  "5x",
                                           "1h30", "1 2",  "1h 30",    "1.s",   ".5s",  "1..5s",
                                           "5S",   "1e3s", "Infinity", "1s,2s", "0x10", "1 s" };
        static const char *const too_large[] = { "18446744073709551615us", "18446744073709551616us",
                                                 "213503983d", "213503982d 213503982d",
                                                 "99999999999999999999999999" };
        usec_t usec = 42;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ck_assert_msg(parse_duration(bad[i], &usec) == -EINVAL, "%s", bad[i]);
        for (size_t i = 0; i < ELEMENTSOF(too_large); i++)
                ck_assert_msg(parse_duration(too_large[i], &usec) == -ERANGE, "%s", too_large[i]);
        ck_assert_uint_eq(usec, 42);
}
END_TEST

START_TEST(test_sizes)
{
        static const struct {
                const char *text;
                uint64_t bytes;
        } good[] = {
                { "0", 0 },
                { "512", 512 },
                { "64K", 65536 },
                { "512M", UINT64_C(512) << 20 },
                { "1.5G", UINT64_C(1536) << 20 },
                { "1T", UINT64_C(1) << 40 },
                { "10B", 10 },
                { "0.1K", 102 },
                { "18446744073709551615", UINT64_MAX },
                { " 1K ", 1024 },
        };
        static const char *const bad[] = { "", "K", "-1", "1k", "1KB", "1K 1K", "1 K", "infinity" };
        uint64_t bytes;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                ck_assert_msg(parse_size(good[i].text, &bytes) == 0, "%s", good[i].text);
                ck_assert_msg(bytes == good[i].bytes, "%s is %ju", good[i].text, (uintmax_t)bytes);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ck_assert_msg(parse_size(bad[i], &bytes) == -EINVAL, "%s", bad[i]);
        ck_assert_int_eq(parse_size("16777216T", &bytes), -ERANGE);
        ck_assert_int_eq(parse_size("18446744073709551616", &bytes), -ERANGE);
        ck_assert_int_eq(parse_size("18014398509481983.9999K", &bytes), 0);
        ck_assert_uint_eq(bytes, UINT64_MAX);
}
END_TEST

START_TEST(test_rates)
{
        static const struct {
                const char *text;
                uint64_t count;
                usec_t interval;
        } good[] = {
                { "10/s", 10, USEC_PER_SEC },
                { "600/m", 600, USEC_PER_MINUTE },
                { "1000/h", 1000, USEC_PER_HOUR },
                { "1/5s", 1, 5 * USEC_PER_SEC },
                { "1/1h 30m", 1, 90 * USEC_PER_MINUTE },
                { "3/ms", 3, USEC_PER_MSEC },
        };
        static const char *const bad[] = { "",      "10",    "/s",   "10/",  "0/s",
                                           "10/0s", "1.5/s", "-1/s", "10/x", "10/infinity" };
        uint64_t count;
        usec_t interval;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                ck_assert_msg(parse_rate(good[i].text, &count, &interval) == 0, "%s", good[i].text);
                ck_assert_uint_eq(count, good[i].count);
                ck_assert_uint_eq(interval, good[i].interval);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ck_assert_msg(parse_rate(bad[i], &count, &interval) == -EINVAL, "%s", bad[i]);
        ck_assert_int_eq(parse_rate("18446744073709551616/s", &count, &interval), -ERANGE);
}
END_TEST

START_TEST(test_uint64)
{
        uint64_t value;

        ck_assert_int_eq(parse_uint64("0", &value), 0);
        ck_assert_uint_eq(value, 0);
        ck_assert_int_eq(parse_uint64("18446744073709551615", &value), 0);
        ck_assert_uint_eq(value, UINT64_MAX);
        ck_assert_int_eq(parse_uint64("18446744073709551616", &value), -ERANGE);
        ck_assert_int_eq(parse_uint64("", &value), -EINVAL);
        ck_assert_int_eq(parse_uint64("-1", &value), -EINVAL);
        ck_assert_int_eq(parse_uint64("+1", &value), -EINVAL);
        ck_assert_int_eq(parse_uint64("1 ", &value), -EINVAL);
        ck_assert_int_eq(parse_uint64("0x1", &value), -EINVAL);
}
END_TEST

/* What is formatted is read back as the same, for small, round and random values. */
START_TEST(test_round_trip)
{
        static const uint64_t units[] = { 1,          1000,         1024,       1000000,
                                          60000000,   1048576,      3600000000, 86400000000,
                                          1073741824, 1099511627776 };
        char text[FORMAT_MAX];

        for (unsigned i = 0; i < 20000; i++) {
                uint64_t value = unit_random() >> (unit_random() % 64), back, count;
                usec_t interval;

                if (i % 2 == 0)
                        value = value % 1000 * units[i % ELEMENTSOF(units)];
                ck_assert_int_eq(parse_duration(format_duration(text, value), &back), 0);
                ck_assert_uint_eq(back, value);
                ck_assert_int_eq(parse_size(format_size(text, value), &back), 0);
                ck_assert_uint_eq(back, value);
                if (value == 0 || value == USEC_INFINITY)
                        continue;
                ck_assert_int_eq(parse_rate(format_rate(text, i + 1, value), &count, &interval), 0);
                ck_assert_uint_eq(count, i + 1);
                ck_assert_uint_eq(interval, value);
        }
}
END_TEST

START_TEST(test_formats)
{
        char text[FORMAT_MAX];

        ck_assert_str_eq(format_duration(text, 0), "0s");
        ck_assert_str_eq(format_duration(text, 1500 * USEC_PER_MSEC), "1500ms");
        ck_assert_str_eq(format_duration(text, 90 * USEC_PER_MINUTE), "90m");
        ck_assert_str_eq(format_duration(text, 48 * USEC_PER_HOUR), "2d");
        ck_assert_str_eq(format_duration(text, USEC_INFINITY), "infinity");
        ck_assert_str_eq(format_size(text, 0), "0");
        ck_assert_str_eq(format_size(text, 1000), "1000");
        ck_assert_str_eq(format_size(text, UINT64_C(1536) << 20), "1536M");
        ck_assert_str_eq(format_rate(text, 10, USEC_PER_SEC), "10/s");
        ck_assert_str_eq(format_rate(text, 1, 5 * USEC_PER_SEC), "1/5s");
}
END_TEST

START_TEST(test_spans)
{
        static const struct {
                usec_t usec;
                const char *text;
        } spans[] = {
                { 0, "0us" },
                { 999, "999us" },
                { 830 * USEC_PER_MSEC + 999, "830ms" },
                { USEC_PER_SEC, "1s" },
                { 12400 * USEC_PER_MSEC, "12.4s" },
                { 59999 * USEC_PER_MSEC, "59.9s" },
                { USEC_PER_MINUTE, "1m" },
                { 5 * USEC_PER_MINUTE + 3 * USEC_PER_SEC, "5m 3s" },
                { 76 * USEC_PER_HOUR + 59 * USEC_PER_MINUTE, "3d 4h" },
                { USEC_PER_HOUR + 59 * USEC_PER_SEC, "1h" },
                { USEC_INFINITY, "infinity" },
        };
        char text[FORMAT_MAX];

        for (size_t i = 0; i < ELEMENTSOF(spans); i++)
                ck_assert_str_eq(format_span(text, spans[i].usec), spans[i].text);
}
END_TEST

static void set_zone(const char *zone)
{
        ck_assert_int_eq(setenv("TZ", zone, 1), 0);
        tzset();
        clock_freeze(1, NOW);
}

START_TEST(test_timestamps)
{
        static const struct {
                const char *text;
                int64_t epoch_msec;
        } good[] = {
                { "2026-03-01T12:00:00Z", NOW },
                { "2026-03-01T12:00Z", NOW },
                { "2026-03-01 12:00:00.123Z", NOW + 123 },
                { "2026-03-01T12:00:00.1239Z", NOW + 123 },
                { "2026-03-01T13:30:00+01:30", NOW },
                { "2026-03-01T07:00:00-0500", NOW },
                { "2026-03-01T14:00:00", NOW },
                { "2026-03-01 14:00:00.5", NOW + 500 },
                { "2026-03-01", NOW - 14 * 3600 * 1000 },
                { "2028-02-29T00:00:00Z", INT64_C(1835395200000) },
                { "1970-01-01T00:00:00Z", 0 },
                { "9999-12-31T23:59:59Z", INT64_C(253402300799000) },
                { "@1795211450", INT64_C(1795211450000) },
                { "@0.25", 250 },
                { "+5m", NOW + 300000 },
                { "-2h", NOW - 7200000 },
                { "+1h 30m", NOW + 5400000 },
        };
        int64_t msec;

        set_zone("EET-2"); /* two hours east, no summer time */
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                ck_assert_msg(parse_timestamp(good[i].text, &msec) == 0, "%s", good[i].text);
                ck_assert_msg(msec == good[i].epoch_msec, "%s is %jd", good[i].text,
                              (intmax_t)msec);
        }
}
END_TEST

START_TEST(test_bad_timestamps)
{
        static const char *const bad[] = {
                "",
                "now",
                "2026",
                "2026-3-1",
                "2026-13-01",
                "2026-00-01",
                "2026-02-29",
                "2100-02-29",
                "2026-04-31",
                "2026-03-00",
                "1969-12-31",
                "2026-03-01T",
                "2026-03-01T12",
                "2026-03-01T24:00:00Z",
                "2026-03-01T12:60:00Z",
                "2026-03-01T12:00:60Z",
                "2026-03-01T12:00:00.Z",
                "2026-03-01T12:00:00z",
                "2026-03-01T12:00:00Zx",
                "2026-03-01T12:00:00+1",
                "2026-03-01T12:00:00+15:00",
                "2026-03-01T12:00:00+01:60",
                "2026-03-01Z",
                " 2026-03-01",
                "@",
                "@-1",
                "@1x",
                "@1.",
                "+",
                "+ 5m",
                "--5m",
                "-infinity",
                "5m",
        };
        static const char *const out_of_range[] = {
                "@99999999999999999999",
                "-99999999d",
                "1970-01-01T00:00:00+01:00",
        };
        int64_t msec = 42;

        set_zone("UTC");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ck_assert_msg(parse_timestamp(bad[i], &msec) == -EINVAL, "%s", bad[i]);
        for (size_t i = 0; i < ELEMENTSOF(out_of_range); i++)
                ck_assert_msg(parse_timestamp(out_of_range[i], &msec) == -ERANGE, "%s",
                              out_of_range[i]);
        ck_assert_int_eq(msec, 42);
}
END_TEST

START_TEST(test_format_timestamp)
{
        char text[FORMAT_MAX];
        int64_t back;

        ck_assert_str_eq(format_timestamp(text, NOW + 7), "2026-03-01T12:00:00.007Z");
        ck_assert_str_eq(format_timestamp(text, 0), "1970-01-01T00:00:00.000Z");
        ck_assert_str_eq(format_timestamp(text, -1), "1969-12-31T23:59:59.999Z");
        for (unsigned i = 0; i < 2000; i++) {
                int64_t msec = (int64_t)(unit_random() % UINT64_C(253402300799999));

                ck_assert_int_eq(parse_timestamp(format_timestamp(text, msec), &back), 0);
                ck_assert_int_eq(back, msec);
        }
        (void)format_timestamp(text, INT64_MAX);
        (void)format_timestamp(text, INT64_MIN);
}
END_TEST

UNIT_MAIN("parse", test_durations, test_bad_durations, test_sizes, test_rates, test_uint64,
          test_round_trip, test_formats, test_spans, test_timestamps, test_bad_timestamps,
          test_format_timestamp);
