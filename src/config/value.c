/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include "base/json.h"
#include "base/parse.h"
#include "base/strv.h"
#include "config/suggest.h"
#include "config/value.h"

typedef struct Rate {
        uint64_t count;
        usec_t interval_usec;
} Rate;

typedef struct Ints {
        int *values;
        size_t n;
} Ints;

static const char *format_limit(char *buffer, uint64_t bytes)
{
        return bytes == UINT64_MAX ? strcpy(buffer, "infinity") : format_size(buffer, bytes);
}

/* 0 is no percentage: it stands for none. */
static const char *format_percent(char *buffer, unsigned value)
{
        (void)snprintf(buffer, FORMAT_MAX, value == 0 ? "%u" : "%u%%", value);
        return buffer;
}

/* "50%", or the number alone. */
static int parse_percent(const char *text, uint64_t *ret)
{
        size_t length = strlen(text);
        char number[24];

        if (length > 0 && text[length - 1] == '%')
                length--;
        if (length >= sizeof(number))
                return -ERANGE;
        memcpy(number, text, length);
        number[length] = '\0';
        return parse_uint64(number, ret);
}

static void format_bound(const SchemaRow *row, uint64_t value, char *buffer)
{
        if (row->type == SCHEMA_DURATION)
                (void)format_duration(buffer, value);
        else if (row->type == SCHEMA_SIZE)
                (void)format_limit(buffer, value);
        else if (row->type == SCHEMA_PERCENT)
                (void)format_percent(buffer, (unsigned)value);
        else
                (void)snprintf(buffer, FORMAT_MAX, "%" PRId64, (int64_t)value);
}

static const char *join_words(const char *const *names, char *buffer, size_t size)
{
        size_t used = 0;

        buffer[0] = 0;
        for (const char *const *name = names; *name && used < size; name++)
                used += snprintf(buffer + used, size - used, "%s%s", used > 0 ? ", " : "", *name);
        return buffer;
}

const char *value_format_range(const SchemaRow *row, char *buffer)
{
        char low[FORMAT_MAX], high[FORMAT_MAX];

        if (row->names)
                return join_words(row->names, buffer, VALUE_RANGE_MAX);
        if (row->maximum == 0) {
                buffer[0] = 0;
                return buffer;
        }
        format_bound(row, row->minimum, low);
        format_bound(row, row->maximum, high);
        (void)snprintf(buffer, VALUE_RANGE_MAX, "%s to %s%s%s", low, high,
                       row->flags & SCHEMA_ZERO ? ", or 0" : "",
                       row->flags & SCHEMA_INFINITY ? ", or infinity" : "");
        return buffer;
}

static int refuse_range(const SchemaRow *row, const char *text, char **ret_message)
{
        char range[VALUE_RANGE_MAX];
        return value_refuse(ret_message, "%s is out of range: %s", text,
                            value_format_range(row, range));
}

static bool in_range(const SchemaRow *row, uint64_t value)
{
        if (value == 0 && (row->flags & SCHEMA_ZERO))
                return true;
        return value >= (uint64_t)row->minimum && value <= row->maximum;
}

int value_check_number(const SchemaRow *row, int64_t value, char **ret_message)
{
        if (value >= row->minimum && (value < 0 || (uint64_t)value <= row->maximum))
                return 0;

        char text[FORMAT_MAX];
        (void)snprintf(text, sizeof(text), "%" PRId64, value);
        return refuse_range(row, text, ret_message);
}

int value_check_word(const SchemaRow *row, const char *word, char **ret_message)
{
        if (!row->names)
                return 0;
        for (const char *const *name = row->names; *name; name++)
                if (streq(*name, word))
                        return 0;

        const char *near = suggest_word(row->names, word);
        char known[VALUE_RANGE_MAX];
        if (near)
                return value_refuse(ret_message, "unknown word '%s', did you mean '%s'?", word,
                                    near);
        return value_refuse(ret_message, "unknown word '%s': one of %s", word,
                            join_words(row->names, known, sizeof(known)));
}

/* *ret in the unit of the member. */
static int parse_quantity(const SchemaRow *row, const char *text, uint64_t *ret, char **ret_message)
{
        static const char *const shapes[_SCHEMA_TYPE_MAX] = {
                [SCHEMA_UINT] = "a whole number, like 4",
                [SCHEMA_UINT64] = "a whole number, like 4",
                [SCHEMA_DURATION] = "a duration, like \"500ms\", \"30s\", \"5m\", \"1h\" or \"1d\"",
                [SCHEMA_SIZE] = "a size, like \"64K\", \"512M\" or \"1G\"",
                [SCHEMA_PERCENT] = "a percentage, like \"50%\"",
        };
        uint64_t value = 0;
        int r = 0;

        if (row->type == SCHEMA_DURATION)
                r = parse_duration(text, &value);
        else if (row->type == SCHEMA_SIZE && streq(text, "infinity"))
                value = UINT64_MAX;
        else if (row->type == SCHEMA_SIZE)
                r = parse_size(text, &value);
        else if (row->type == SCHEMA_PERCENT)
                r = parse_percent(text, &value);
        else
                r = parse_uint64(text, &value);

        bool negative = text[0] == '-' && text[1] && !text[1 + strspn(text + 1, "0123456789")];
        bool infinite = (row->type == SCHEMA_DURATION && value == USEC_INFINITY) ||
                        (row->type == SCHEMA_SIZE && value == UINT64_MAX);
        if (r == -ERANGE || (r < 0 && negative))
                return refuse_range(row, text, ret_message);
        if (r < 0)
                return value_refuse(ret_message, "'%s' is not %s", text, shapes[row->type]);
        if (infinite ? !(row->flags & SCHEMA_INFINITY) : !in_range(row, value))
                return refuse_range(row, text, ret_message);
        *ret = value;
        return 0;
}

static int set_rate(const SchemaRow *row, Rate *rate, const char *text, char **ret_message)
{
        Rate parsed = { 0 };
        int r = 0;

        if (!streq(text, "none"))
                r = parse_rate(text, &parsed.count, &parsed.interval_usec);
        if (r == -ERANGE || (r == 0 && parsed.interval_usec > 0 && !in_range(row, parsed.count)))
                return value_refuse(ret_message,
                                    "%s is out of range: 1 to %" PRIu64
                                    " in an interval, or \"none\"",
                                    text, row->maximum);
        if (r < 0)
                return value_refuse(ret_message,
                                    "'%s' is not a rate, like \"10/s\", \"600/m\" or \"1/5s\"",
                                    text);
        *rate = parsed;
        return 0;
}

static int set_enum(const SchemaRow *row, int *member, const char *text, char **ret_message)
{
        int r = value_check_word(row, text, ret_message);
        if (r != 0)
                return r;
        for (int i = 0; row->names[i]; i++)
                if (streq(row->names[i], text))
                        *member = i;
        return 0;
}

static int set_bool(bool *member, const char *text, char **ret_message)
{
        if (!streq(text, "true") && !streq(text, "false"))
                return value_refuse(ret_message, "'%s' is neither true nor false", text);
        *member = streq(text, "true");
        return 0;
}

static int set_int(const SchemaRow *row, int *member, const char *text, char **ret_message)
{
        char *end;

        errno = 0;
        long value = strtol(text, &end, 10);
        if (end == text || *end)
                return value_refuse(ret_message, "'%s' is not a whole number, like 4", text);
        if (errno == ERANGE)
                return refuse_range(row, text, ret_message);
        int r = value_check_number(row, value, ret_message);
        if (r == 0)
                *member = value;
        return r;
}

/* "3, 4": as commands write a list of numbers. */
static int set_ints(const SchemaRow *row, void *object, const char *text, char **ret_message)
{
        _cleanup_free_ int *values = NULL;
        _cleanup_free_ char *copy = strdup(text);
        size_t n = 0;

        if (!copy)
                return -ENOMEM;
        values = calloc(CONFIG_LIST_MAX, sizeof(*values));
        if (!values)
                return -ENOMEM;

        char *state;
        for (char *word = strtok_r(copy, ", ", &state); word; word = strtok_r(NULL, ", ", &state)) {
                if (n >= CONFIG_LIST_MAX)
                        return value_refuse(ret_message, "more than %d entries", CONFIG_LIST_MAX);
                int r = set_int(row, &values[n++], word, ret_message);
                if (r != 0)
                        return r;
        }
        value_take_ints(row, object, TAKE_PTR(values), n);
        return 0;
}

static int set_string(const SchemaRow *row, void *object, const char *text, char **ret_message)
{
        if (!text[0] && (row->flags & SCHEMA_NOT_EMPTY))
                return value_refuse(ret_message, "must not be empty");

        char *copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        value_take_string(row, object, copy);
        return 0;
}

static int set_strings(const SchemaRow *row, void *object, const char *text, char **ret_message)
{
        _cleanup_(strv_freep) char **list = NULL;

        if (!text[0] && (row->flags & SCHEMA_NOT_EMPTY))
                return value_refuse(ret_message, "must not be empty");
        int r = value_check_word(row, text, ret_message);
        if (r != 0)
                return r;
        r = strv_append(&list, text);
        if (r < 0)
                return r;
        value_take_strings(row, object, TAKE_PTR(list));
        return 0;
}

int value_set_text(const SchemaRow *row, void *object, const char *text, char **ret_message)
{
        void *member = value_member(row, object);
        uint64_t quantity;
        int r;

        switch (row->type) {
        case SCHEMA_STRING:
                return set_string(row, object, text, ret_message);
        case SCHEMA_STRINGS:
                return set_strings(row, object, text, ret_message);
        case SCHEMA_UINT:
        case SCHEMA_PERCENT:
                r = parse_quantity(row, text, &quantity, ret_message);
                if (r == 0)
                        *(unsigned *)member = quantity;
                return r;
        case SCHEMA_UINT64:
        case SCHEMA_DURATION:
        case SCHEMA_SIZE:
                r = parse_quantity(row, text, &quantity, ret_message);
                if (r == 0)
                        *(uint64_t *)member = quantity;
                return r;
        case SCHEMA_INT:
                return set_int(row, member, text, ret_message);
        case SCHEMA_BOOL:
                return set_bool(member, text, ret_message);
        case SCHEMA_RATE:
                return set_rate(row, member, text, ret_message);
        case SCHEMA_ENUM:
                return set_enum(row, member, text, ret_message);
        case SCHEMA_INTS:
                return set_ints(row, object, text, ret_message);
        case SCHEMA_JSON:
                value_clear(row, object);
                *(char **)member = strdup(text);
                return *(char **)member ? 0 : -ENOMEM;
        default:
                return -EINVAL;
        }
}

void value_clear(const SchemaRow *row, void *object)
{
        void *member = value_member(row, object);

        switch (row->type) {
        case SCHEMA_STRING:
        case SCHEMA_JSON:
                if ((row->flags & SCHEMA_HIDDEN) && *(char **)member)
                        explicit_bzero(*(char **)member, strlen(*(char **)member));
                free(*(char **)member);
                *(char **)member = NULL;
                break;
        case SCHEMA_STRINGS:
        case SCHEMA_ENVIRONMENT:
                *(char ***)member = strv_free(*(char ***)member);
                break;
        case SCHEMA_INTS:
                free(((Ints *)member)->values);
                *(Ints *)member = (Ints){ 0 };
                break;
        default:
                break;
        }
}

void value_take_string(const SchemaRow *row, void *object, char *value)
{
        value_clear(row, object);
        *(char **)value_member(row, object) = value;
}

void value_take_strings(const SchemaRow *row, void *object, char **value)
{
        value_clear(row, object);
        *(char ***)value_member(row, object) = value;
}

void value_take_ints(const SchemaRow *row, void *object, int *values, size_t n)
{
        value_clear(row, object);
        if (n == 0) {
                free(values);
                return;
        }
        *(Ints *)value_member(row, object) = (Ints){ values, n };
}

static size_t plain_size(SchemaType type)
{
        switch (type) {
        case SCHEMA_UINT:
        case SCHEMA_PERCENT:
        case SCHEMA_INT:
        case SCHEMA_ENUM:
                return sizeof(int);
        case SCHEMA_BOOL:
                return sizeof(bool);
        case SCHEMA_UINT64:
        case SCHEMA_DURATION:
        case SCHEMA_SIZE:
                return sizeof(uint64_t);
        case SCHEMA_RATE:
                return sizeof(Rate);
        default:
                return 0;
        }
}

static int copy_ints(const SchemaRow *row, const Ints *from, void *to)
{
        if (from->n == 0) {
                value_clear(row, to);
                return 0;
        }
        int *values = reallocarray(NULL, from->n, sizeof(*values));
        if (!values)
                return -ENOMEM;
        memcpy(values, from->values, from->n * sizeof(*values));
        value_take_ints(row, to, values, from->n);
        return 0;
}

int value_copy(const SchemaRow *row, const void *from, void *to)
{
        const void *source = value_member_const(row, from);
        char *string = NULL;
        char **strings = NULL;

        switch (row->type) {
        case SCHEMA_STRING:
        case SCHEMA_JSON:
                if (*(char *const *)source) {
                        string = strdup(*(char *const *)source);
                        if (!string)
                                return -ENOMEM;
                }
                value_take_string(row, to, string);
                return 0;
        case SCHEMA_STRINGS:
        case SCHEMA_ENVIRONMENT: {
                char **from_strings = *(char **const *)source;
                int r = from_strings ? strv_copy(&strings, from_strings) : 0;
                if (r < 0)
                        return r;
                value_take_strings(row, to, strings);
                return 0;
        }
        case SCHEMA_INTS:
                return copy_ints(row, source, to);
        default:
                memcpy(value_member(row, to), source, plain_size(row->type));
                return 0;
        }
}

static bool strings_equal(char *const *a, char *const *b)
{
        size_t n = strv_length(a);

        if (n != strv_length(b))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!streq(a[i], b[i]))
                        return false;
        return true;
}

bool value_equal(const SchemaRow *row, const void *left, const void *right)
{
        const void *a = value_member_const(row, left);
        const void *b = value_member_const(row, right);

        switch (row->type) {
        case SCHEMA_STRING:
        case SCHEMA_JSON: {
                const char *x = *(char *const *)a, *y = *(char *const *)b;
                return x && y ? streq(x, y) : x == y;
        }
        case SCHEMA_STRINGS:
        case SCHEMA_ENVIRONMENT:
                return strings_equal(*(char **const *)a, *(char **const *)b);
        case SCHEMA_INTS: {
                const Ints *x = a, *y = b;
                return x->n == y->n &&
                       (x->n == 0 || memcmp(x->values, y->values, x->n * sizeof(int)) == 0);
        }
        default:
                return memcmp(a, b, plain_size(row->type)) == 0;
        }
}

static int append_text(Buffer *buffer, const char *text)
{
        return text ? json_append_string(buffer, slice_from_string(text))
                    : buffer_append_string(buffer, "null");
}

static int append_strings(Buffer *buffer, char *const *strings)
{
        const char *separator = "[";
        int r;

        if (!strings)
                return buffer_append_string(buffer, "null");
        STRV_FOREACH (s, strings) {
                r = buffer_append_string(buffer, separator);
                if (r < 0)
                        return r;
                r = append_text(buffer, *s);
                if (r < 0)
                        return r;
                separator = ",";
        }
        return buffer_append_string(buffer, strings[0] ? "]" : "[]");
}

static int append_ints(Buffer *buffer, const Ints *ints)
{
        int r;

        if (ints->n == 0)
                return buffer_append_string(buffer, "null");
        for (size_t i = 0; i < ints->n; i++) {
                r = buffer_appendf(buffer, "%c%d", i == 0 ? '[' : ',', ints->values[i]);
                if (r < 0)
                        return r;
        }
        return buffer_append_byte(buffer, ']');
}

int value_append_json(const SchemaRow *row, const void *object, Buffer *buffer)
{
        const void *member = value_member_const(row, object);
        char text[FORMAT_MAX];

        switch (row->type) {
        case SCHEMA_STRING:
                return append_text(buffer, *(char *const *)member);
        case SCHEMA_STRINGS:
        case SCHEMA_ENVIRONMENT:
                return append_strings(buffer, *(char **const *)member);
        case SCHEMA_UINT:
                return buffer_append_uint(buffer, *(const unsigned *)member);
        case SCHEMA_UINT64:
                return buffer_append_uint(buffer, *(const uint64_t *)member);
        case SCHEMA_INT:
                return buffer_append_int(buffer, *(const int *)member);
        case SCHEMA_BOOL:
                return buffer_append_string(buffer, *(const bool *)member ? "true" : "false");
        case SCHEMA_DURATION:
                return append_text(buffer, format_duration(text, *(const usec_t *)member));
        case SCHEMA_SIZE:
                return append_text(buffer, format_limit(text, *(const uint64_t *)member));
        case SCHEMA_PERCENT:
                return append_text(buffer, format_percent(text, *(const unsigned *)member));
        case SCHEMA_RATE: {
                const Rate *rate = member;
                return append_text(buffer, rate->count == 0 ? "none"
                                                            : format_rate(text, rate->count,
                                                                          rate->interval_usec));
        }
        case SCHEMA_ENUM:
                return append_text(buffer, row->names[*(const int *)member]);
        case SCHEMA_INTS:
                return append_ints(buffer, member);
        case SCHEMA_JSON:
                return buffer_append_string(buffer, *(char *const *)member);
        default:
                return -EINVAL;
        }
}
