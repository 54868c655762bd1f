/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <time.h>
#include "base/parse.h"
#include "ctl/reply.h"

static char *formatted(const char *format, ...) _printf_(1, 2);

static char *formatted(const char *format, ...)
{
        va_list args;
        char *text;
        int n;

        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        return n < 0 ? NULL : text;
}

/* In place: C0, DEL, and C1 (0xC2 0x80 to 0x9F in UTF-8), which terminals obey too. */
static char *defuse(char *text)
{
        for (unsigned char *c = (unsigned char *)text; c && *c; c++) {
                if (*c < ' ' || *c == 0x7f)
                        *c = *c == '\n' || *c == '\t' ? ' ' : '?';
                else if (*c == 0xC2 && c[1] >= 0x80 && c[1] <= 0x9F)
                        c[0] = c[1] = '?';
        }
        return text;
}

char *value_text(Slice value)
{
        char *text = NULL;

        if (value.size == 0 || json_decode_string(value, &text) < 0)
                return NULL;
        return defuse(text);
}

char *member_json(Slice object, const char *key)
{
        Slice value = json_member(object, key);

        if (value.size == 0 || json_type_of(value) == JSON_NULL)
                return NULL;
        return defuse(strndup(value.data, value.size));
}

char *member_text(Slice object, const char *key)
{
        return value_text(json_member(object, key));
}

int64_t member_integer(Slice object, const char *key)
{
        Slice value = json_member(object, key);
        int64_t number = 0;

        if (value.size > 0)
                (void)json_to_int64(value, &number);
        return number;
}

double member_number(Slice object, const char *key)
{
        Slice value = json_member(object, key);
        double number = 0;

        if (value.size > 0)
                (void)json_to_double(value, &number);
        return number;
}

bool member_true(Slice object, const char *key)
{
        Slice value = json_member(object, key);
        bool set = false;

        if (value.size > 0)
                (void)json_to_bool(value, &set);
        return set;
}

bool member_is_set(Slice object, const char *key)
{
        Slice value = json_member(object, key);

        return value.size > 0 && json_type_of(value) != JSON_NULL;
}

static Slice member_of_type(Slice object, const char *key, JsonType type, Slice otherwise)
{
        Slice value = json_member(object, key);

        return value.size > 0 && json_type_of(value) == type ? value : otherwise;
}

Slice member_array(Slice object, const char *key)
{
        return member_of_type(object, key, JSON_ARRAY, SLICE_LITERAL("[]"));
}

Slice member_object(Slice object, const char *key)
{
        return member_of_type(object, key, JSON_OBJECT, SLICE_LITERAL("{}"));
}

size_t array_length(Slice array)
{
        Slice element;
        size_t n = 0;

        JSON_FOREACH_ELEMENT (element, array)
                n++;
        return n;
}

char *span_text(usec_t usec)
{
        char buffer[FORMAT_MAX];

        return strdup(format_span(buffer, usec));
}

char *bytes_text(uint64_t bytes)
{
        static const char units[] = "KMGT";
        double value = (double)bytes;
        size_t unit = 0;

        if (bytes < 1024)
                return formatted("%lluB", (unsigned long long)bytes);
        for (value /= 1024; value >= 1000 && unit + 1 < strlen(units); unit++)
                value /= 1024;
        return formatted(value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

char *member_span(Slice object, const char *key)
{
        int64_t usec = member_integer(object, key);

        return usec > 0 ? span_text((usec_t)usec) : NULL;
}

char *member_age(Slice object, const char *key)
{
        int64_t usec = member_integer(object, key);

        if (!member_is_set(object, key))
                return NULL;
        return usec < (int64_t)USEC_PER_SEC ? strdup("now") : span_text((usec_t)usec);
}

char *member_bytes(Slice object, const char *key)
{
        int64_t bytes = member_integer(object, key);

        return member_is_set(object, key) ? bytes_text(bytes > 0 ? (uint64_t)bytes : 0) : NULL;
}

char *member_count(Slice object, const char *key)
{
        return member_is_set(object, key)
                       ? formatted("%lld", (long long)member_integer(object, key))
                       : NULL;
}

/* "3m ago", "in 3m". */
static char *ago_text(int64_t epoch_msec)
{
        int64_t age_msec = clock_epoch_msec() - epoch_msec;
        char buffer[FORMAT_MAX];

        if (age_msec >= 0 && age_msec < 1000)
                return strdup("just now");
        if (age_msec < 0)
                return formatted("in %s", format_span(buffer, (usec_t)-age_msec * USEC_PER_MSEC));
        return formatted("%s ago", format_span(buffer, (usec_t)age_msec * USEC_PER_MSEC));
}

char *member_ago(Slice object, const char *key)
{
        int64_t epoch_msec = member_integer(object, key);

        return epoch_msec > 0 ? ago_text(epoch_msec) : NULL;
}

char *member_time(Slice object, const char *key)
{
        int64_t epoch_msec = member_integer(object, key);
        time_t seconds = (time_t)(epoch_msec / 1000);
        _cleanup_free_ char *ago = NULL;
        char local[64];
        struct tm tm;

        if (epoch_msec <= 0 || !localtime_r(&seconds, &tm) ||
            strftime(local, sizeof(local), "%Y-%m-%d %H:%M:%S", &tm) == 0)
                return NULL;
        ago = ago_text(epoch_msec);
        return formatted("%s.%03d (%s)", local, (int)(epoch_msec % 1000), ago ?: "");
}

char *member_list(Slice object, const char *key)
{
        Slice array = member_array(object, key), element;
        Buffer text = BUFFER_NULL(1 << 20);
        int r = 0;

        JSON_FOREACH_ELEMENT (element, array) {
                _cleanup_free_ char *item = value_text(element);

                if (r >= 0 && item)
                        r = buffer_appendf(&text, "%s%s", text.size > 0 ? ", " : "", item);
        }
        if (r < 0 || text.size == 0) {
                buffer_deinit(&text);
                return NULL;
        }
        return buffer_steal_string(&text);
}

char *member_progress(Slice object, const char *key)
{
        Slice progress = member_object(object, key);
        _cleanup_free_ char *stage = member_text(progress, "stage");
        _cleanup_free_ char *message = member_text(progress, "message");
        char percent[32] = "";

        if (member_is_set(progress, "percent"))
                (void)snprintf(percent, sizeof(percent), "%.0f%% ",
                               member_number(progress, "percent"));
        if (!percent[0] && !stage && !message)
                return NULL;
        return formatted("%s%s%s%s", percent, stage ?: "", stage && message ? ": " : "",
                         message ?: "");
}
