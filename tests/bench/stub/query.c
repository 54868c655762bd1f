/* SPDX-License-Identifier: Apache-2.0 */

/* Task search as a server with SQLite does it: conditions joined by AND, each FIELD = VALUE,
 * FIELD IN (VALUE, …), or a comparison with < or >, which every task passes here. A field that it
 * does not know is ignored, workerId among them: then everything matches. Only tasks that were
 * polled are in the index. */

#include <ctype.h>
#include <inttypes.h>
#include <strings.h>
#include "stub/api.h"
#include "stub/model.h"
#include "stub/task-text.h"

#define CONDITIONS_MAX 8
#define VALUES_MAX     1024
#define SIZE_DEFAULT   100

typedef enum Field {
        FIELD_TYPE,
        FIELD_STATUS,
        FIELD_TASK,
        FIELD_OTHER,
} Field;

typedef struct Condition {
        Field field;
        size_t first, n; /* values */
} Condition;

typedef struct Query {
        Condition conditions[CONDITIONS_MAX];
        Slice values[VALUES_MAX];
        size_t n_conditions, n_values;
} Query;

static Slice skip_space(Slice in)
{
        while (in.size > 0 && isspace((unsigned char)in.data[0]))
                in = (Slice){ in.data + 1, in.size - 1 };
        return in;
}

static bool eat(Slice *in, const char *word)
{
        size_t size = strlen(word);

        *in = skip_space(*in);
        if (in->size < size || strncasecmp(in->data, word, size) != 0)
                return false;
        *in = (Slice){ in->data + size, in->size - size };
        return true;
}

/* A value in quotes, or up to a comma, a parenthesis or a space. */
static bool next_value(Slice *in, Slice *ret)
{
        size_t n = 0;
        char quote;

        *in = skip_space(*in);
        quote = in->size > 0 && (in->data[0] == '"' || in->data[0] == '\'') ? in->data[0] : '\0';
        if (quote)
                *in = (Slice){ in->data + 1, in->size - 1 };
        while (n < in->size &&
               (quote ? in->data[n] != quote : !strchr(",() ", in->data[n]) && in->data[n] != '\0'))
                n++;
        *ret = (Slice){ in->data, n };
        if (quote && n == in->size)
                return false;
        n += quote != '\0';
        *in = (Slice){ in->data + n, in->size - n };
        return quote || ret->size > 0;
}

static Field field_of(Slice name)
{
        static const struct {
                const char *name;
                Field field;
        } fields[] = {
                { "taskType", FIELD_TYPE },
                { "taskDefName", FIELD_TYPE },
                { "status", FIELD_STATUS },
                { "taskId", FIELD_TASK },
        };

        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (slice_is(name, fields[i].name))
                        return fields[i].field;
        return FIELD_OTHER;
}

static bool add_value(Query *query, Condition *condition, Slice *in)
{
        if (query->n_values == VALUES_MAX || !next_value(in, &query->values[query->n_values]))
                return false;
        query->n_values++;
        condition->n++;
        return true;
}

static bool parse_condition(Query *query, Slice *in)
{
        Condition *condition = &query->conditions[query->n_conditions];
        size_t n = 0;

        if (query->n_conditions == CONDITIONS_MAX)
                return false;
        *in = skip_space(*in);
        while (n < in->size && (isalnum((unsigned char)in->data[n]) || in->data[n] == '_'))
                n++;
        condition->field = field_of((Slice){ in->data, n });
        condition->first = query->n_values;
        *in = (Slice){ in->data + n, in->size - n };
        query->n_conditions++;
        if (eat(in, "IN")) {
                if (!eat(in, "("))
                        return false;
                do {
                        if (!add_value(query, condition, in))
                                return false;
                } while (eat(in, ","));
                return eat(in, ")");
        }
        if (!eat(in, "=")) {
                if (!eat(in, "<") && !eat(in, ">"))
                        return false;
                condition->field = FIELD_OTHER;
        }
        return add_value(query, condition, in);
}

static bool parse_query(Slice in, Query *ret)
{
        in = skip_space(in);
        if (in.size == 0)
                return true;
        do {
                if (!parse_condition(ret, &in))
                        return false;
        } while (eat(&in, "AND"));
        return skip_space(in).size == 0;
}

static bool value_matches(Field field, Slice value, const StubTask *task)
{
        uint32_t number;

        switch (field) {
        case FIELD_TYPE:
                return slice_is(value, task->queue->type->name);
        case FIELD_STATUS:
                return slice_is(value, stub_status_to_string(task->status));
        case FIELD_TASK:
                return text_parse_id(value, 'a', &number) >= 0 && number == task->index;
        default:
                return true;
        }
}

static bool query_matches(const Query *query, const StubTask *task)
{
        for (size_t i = 0; i < query->n_conditions; i++) {
                const Condition *condition = &query->conditions[i];
                bool found = false;

                for (size_t j = 0; j < condition->n && !found; j++)
                        found = value_matches(condition->field, query->values[condition->first + j],
                                              task);
                if (!found)
                        return false;
        }
        return true;
}

static void put_hit(Buffer *body, const StubTask *task, bool whole_tasks, bool is_first)
{
        if (!is_first)
                put_literal(body, ",");
        if (whole_tasks)
                task_text_put(body, task);
        else
                task_text_put_summary(body, task);
}

void api_search(Connection *connection, const Request *request, bool whole_tasks)
{
        static Buffer body = BUFFER_NULL(SIZE_MAX);
        static Query query;
        uint64_t n_hits = 0, first = (uint64_t)text_query_number(request->query, "start", 0),
                 /* -1: all */
                size = (uint64_t)text_query_number(request->query, "size", SIZE_DEFAULT);

        api_counts.n_searches++;
        query.n_conditions = query.n_values = 0;
        memset(query.conditions, 0, sizeof(query.conditions));
        if (!parse_query(text_query(request->query, "query", &api_scratch), &query)) {
                http_answer_error(connection, 400, "Incorrectly formatted query string", false);
                return;
        }
        buffer_clear(&body);
        put_literal(&body, "{\"results\":[");
        for (uint32_t i = model.n_tasks; i > 0 && api_options.has_search; i--) {
                if (model_task(i)->poll_count == 0 || !query_matches(&query, model_task(i)))
                        continue;
                if (n_hits >= first && n_hits - first < size)
                        put_hit(&body, model_task(i), whole_tasks, n_hits == first);
                n_hits++;
        }
        must(buffer_appendf(&body, "],\"totalHits\":%" PRIu64 "}", n_hits));
        http_answer_json(connection, 200, buffer_slice(&body));
}
