/* SPDX-License-Identifier: Apache-2.0 */

#include "base/explain.h"
#include "base/json.h"
#include "base/parse.h"
#include "ctl/task-line.h"

typedef enum LineKind {
        LINE_STRING,
        LINE_INTEGER,
        LINE_OBJECT,
        LINE_SPAN, /* → milliseconds */
        LINE_WHEN, /* → epoch milliseconds */
} LineKind;

typedef struct LineField {
        Slice name;
        LineKind kind;
        const char *target; /* with what stands around it */
} LineField;

static const LineField fields[] = {
        { { "type", 4 }, LINE_STRING, "\"type\":" },
        { { "input", 5 }, LINE_OBJECT, "\"input\":" },
        { { "priority", 8 }, LINE_INTEGER, "\"priority\":" },
        { { "unique", 6 }, LINE_STRING, "\"unique\":" },
        { { "conflict", 8 }, LINE_STRING, "\"conflict\":" },
        { { "attempts", 8 }, LINE_INTEGER, "\"attempts\":" },
        { { "source", 6 }, LINE_STRING, "\"source\":" },
        { { "delay", 5 }, LINE_SPAN, "\"delayMsec\":" },
        { { "run_at", 6 }, LINE_WHEN, "\"runTime\":" },
        { { "deadline", 8 }, LINE_WHEN, "\"deadlineTime\":" },
        { { "delayMsec", 9 }, LINE_INTEGER, "\"delayMsec\":" },
        { { "runTime", 7 }, LINE_INTEGER, "\"runTime\":" },
        { { "deadlineTime", 12 }, LINE_INTEGER, "\"deadlineTime\":" },
};

static const LineField *find_field(Slice key)
{
        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                if (slice_equal(fields[i].name, key))
                        return &fields[i];
        }
        return NULL;
}

/* A string of ours as C text: none of these is long. */
static bool short_text(Slice value, char *text, size_t size)
{
        Slice raw;

        if (json_raw_string(value, &raw) < 0 || raw.size >= size)
                return false;
        memcpy(text, raw.data, raw.size);
        text[raw.size] = '\0';
        return true;
}

static int append_span(Slice value, Buffer *ret, char **ret_problem)
{
        double seconds;
        char text[64];
        usec_t usec;

        if (json_to_double(value, &seconds) >= 0 && seconds >= 0 && seconds < 1e12)
                return buffer_append_int(ret, (int64_t)(seconds * 1000));
        if (!short_text(value, text, sizeof(text)) || parse_duration(text, &usec) < 0 ||
            usec == USEC_INFINITY)
                return explain(-EINVAL, ret_problem,
                               "delay is a span (\"500ms\", \"10s\") or seconds");
        return buffer_append_int(ret, (int64_t)(usec / USEC_PER_MSEC));
}

static int append_when(Slice name, Slice value, Buffer *ret, char **ret_problem)
{
        int64_t epoch_msec;
        char text[64];
        usec_t usec;

        if (json_to_int64(value, &epoch_msec) >= 0)
                return buffer_append_int(ret, epoch_msec);
        if (short_text(value, text, sizeof(text))) {
                if (parse_duration(text, &usec) >= 0 && usec != USEC_INFINITY)
                        return buffer_append_int(ret, clock_epoch_msec() +
                                                              (int64_t)(usec / USEC_PER_MSEC));
                if (parse_timestamp(text, &epoch_msec) >= 0)
                        return buffer_append_int(ret, epoch_msec);
        }
        return explain(-EINVAL, ret_problem,
                       "%.*s is a time, a span from now, or epoch milliseconds", (int)name.size,
                       name.data);
}

static int append_value(const LineField *field, Slice value, Buffer *ret, char **ret_problem)
{
        JsonType type = json_type_of(value);
        int64_t number;

        switch (field->kind) {
        case LINE_STRING:
                if (type != JSON_STRING)
                        return explain(-EINVAL, ret_problem, "%s is a string", field->name.data);
                break;
        case LINE_OBJECT:
                if (type != JSON_OBJECT)
                        return explain(-EINVAL, ret_problem, "%s is an object", field->name.data);
                break;
        case LINE_INTEGER:
                if (json_to_int64(value, &number) < 0)
                        return explain(-EINVAL, ret_problem, "%s is a whole number",
                                       field->name.data);
                break;
        case LINE_SPAN:
                return append_span(value, ret, ret_problem);
        case LINE_WHEN:
                return append_when(field->name, value, ret, ret_problem);
        }
        return buffer_append_slice(ret, value);
}

static int append_members(Slice line, Buffer *ret, bool *ret_typed, char **ret_problem)
{
        size_t start = ret->size;
        const LineField *field;
        uint64_t seen = 0;
        Slice key, value;
        int r;

        JSON_FOREACH_MEMBER (key, value, line) {
                field = find_field(key);
                if (!field)
                        return explain(-EINVAL, ret_problem, "unknown member %.*s",
                                       (int)MIN(key.size, (size_t)40), key.data);
                if (seen & UINT64_C(1) << (field - fields))
                        return explain(-EINVAL, ret_problem, "%s stands there twice",
                                       field->name.data);
                seen |= UINT64_C(1) << (field - fields);
                if (json_type_of(value) == JSON_NULL)
                        continue;
                *ret_typed |= field == fields;
                r = ret->size > start ? buffer_append_byte(ret, ',') : 0;
                if (r >= 0)
                        r = buffer_append_string(ret, field->target);
                if (r >= 0)
                        r = append_value(field, value, ret, ret_problem);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int append_task(Slice line, const char *default_type, Buffer *ret, char **ret_problem)
{
        size_t start = ret->size + 1;
        bool typed = false;
        int r;

        r = buffer_append_byte(ret, '{');
        if (r >= 0)
                r = append_members(line, ret, &typed, ret_problem);
        if (r >= 0 && !typed && !default_type)
                return explain(-EINVAL, ret_problem, "type is missing");
        if (r >= 0 && !typed) {
                r = buffer_append_string(ret, ret->size > start ? ",\"type\":" : "\"type\":");
                if (r >= 0)
                        r = json_append_string(ret, slice_from_string(default_type));
        }
        if (r >= 0)
                r = buffer_append_byte(ret, '}');
        return r;
}

int task_from_line(Slice line, const char *default_type, Buffer *ret, char **ret_problem)
{
        size_t size = ret->size;
        JsonError error;
        int r;

        *ret_problem = NULL;
        if (json_check(line, &error) < 0)
                return explain(-EINVAL, ret_problem, "no JSON: at byte %zu: %s", error.offset,
                               error.message);
        if (json_type_of(line) != JSON_OBJECT)
                return explain(-EINVAL, ret_problem, "an object is expected, not %s",
                               json_type_to_string(json_type_of(line)));
        r = append_task(line, default_type, ret, ret_problem);
        if (r < 0)
                buffer_truncate(ret, size);
        return r;
}
