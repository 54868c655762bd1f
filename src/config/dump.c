/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "base/json.h"
#include "base/strv.h"
#include "config/group.h"
#include "config/object.h"
#include "config/value.h"

/* Largest value as JSON: a handler's config. */
#define VALUE_JSON_MAX ((size_t)8 * 1024 * 1024)

/* Goes over everything that a configuration sets, in the order of the schema and the files. */
typedef struct Dump {
        Buffer *buffer;
        Buffer value; /* of the row at hand, as JSON */
        bool first;   /* JSON: no comma yet */
} Dump;

/* An object of the configuration; name is empty for the top level. */
typedef struct DumpObject {
        SchemaScope scope;
        const char *name;
        const void *members;
        const ConfigOrigins *origins;
        unsigned handlers; /* SCHEMA_FOR_* of a pool; rows for others are left out */
        unsigned sources;  /* SCHEMA_ON_*, likewise; 0: the top level */
} DumpObject;

static const char *place_of(const ConfigOrigins *origins, ConfigOrigin at)
{
        return origins && origins->files ? origins->files->paths[at.file] : "";
}

static int append_origin(const DumpObject *object, size_t row, Buffer *buffer)
{
        ConfigOrigin at = object->origins ? object->origins->at[row] : (ConfigOrigin){ 0 };

        switch (at.kind) {
        case ORIGIN_FILE:
                return buffer_appendf(buffer, "%s:%u", place_of(object->origins, at), at.line);
        case ORIGIN_DEFAULTS:
                return buffer_appendf(buffer, "defaults (%s:%u)", place_of(object->origins, at),
                                      at.line);
        case ORIGIN_SET:
                return buffer_append_string(buffer, "set");
        case ORIGIN_ENVIRONMENT: {
                size_t n;
                return buffer_appendf(buffer, "environment %s",
                                      schema_rows(object->scope, &n)[row].variable);
        }
        default:
                return buffer_append_string(buffer, "default");
        }
}

static bool applies(const DumpObject *object, const SchemaRow *row)
{
        return row->type != SCHEMA_GROUP &&
               (row->handlers == 0 || object->handlers == 0 ||
                (row->handlers & object->handlers)) &&
               (row->sources == 0 || (row->sources & object->sources));
}

static int make_value(Dump *dump, const DumpObject *object, const SchemaRow *row)
{
        buffer_clear(&dump->value);
        if ((row->flags & SCHEMA_HIDDEN) &&
            *(char *const *)value_member_const(row, object->members))
                return buffer_append_string(&dump->value, "\"(not shown)\"");
        return value_append_json(row, object->members, &dump->value);
}

static const char *const prefixes[] = {
        [SCHEMA_TOP] = "",
        [SCHEMA_SOURCE] = "sources.",
        [SCHEMA_POOL] = "pools.",
};

static int dump_rows_json(Dump *dump, const DumpObject *object)
{
        size_t n;
        const SchemaRow *rows = schema_rows(object->scope, &n);

        for (size_t i = 0; i < n; i++) {
                Buffer origin = BUFFER_NULL(SIZE_MAX);

                if (!applies(object, &rows[i]))
                        continue;
                int r = make_value(dump, object, &rows[i]);
                if (r >= 0)
                        r = buffer_appendf(dump->buffer, "%s{\"path\":\"%s%s%s%s\",\"value\":",
                                           dump->first ? "" : ",", prefixes[object->scope],
                                           object->name, object->name[0] ? "." : "", rows[i].key);
                if (r >= 0)
                        r = buffer_append_slice(dump->buffer, buffer_slice(&dump->value));
                if (r >= 0)
                        r = buffer_append_string(dump->buffer, ",\"origin\":");
                if (r >= 0)
                        r = append_origin(object, i, &origin);
                if (r >= 0)
                        r = json_append_string(dump->buffer, buffer_slice(&origin));
                if (r >= 0)
                        r = buffer_appendf(dump->buffer, ",\"live\":%s}",
                                           rows[i].change == SCHEMA_LIVE ? "true" : "false");
                buffer_deinit(&origin);
                if (r < 0)
                        return r;
                dump->first = false;
        }
        return 0;
}

static DumpObject top_object(const Config *config)
{
        return (DumpObject){ SCHEMA_TOP, "", config, config->origins, 0, 0 };
}

static DumpObject source_object(const ConfigSource *source)
{
        return (DumpObject){ SCHEMA_SOURCE,     source->name, source, source->origins, 0,
                             1u << source->type };
}

static DumpObject pool_object(const ConfigPool *pool)
{
        return (DumpObject){ SCHEMA_POOL,
                             pool->name,
                             pool,
                             pool->origins,
                             1u << pool->handler.mode,
                             1u << pool->source_type };
}

/* Shows each source and pool to `show`, top level first. */
static int dump_objects(Dump *dump, const Config *config, SchemaScope scope,
                        int (*show)(Dump *dump, const DumpObject *object))
{
        size_t n = scope == SCHEMA_SOURCE ? config->n_sources : config->n_pools;

        for (size_t i = 0; i < n; i++) {
                DumpObject object = scope == SCHEMA_SOURCE ? source_object(config->sources[i])
                                                           : pool_object(config->pools[i]);
                int r = show(dump, &object);
                if (r < 0)
                        return r;
        }
        return 0;
}

int config_dump_json(const Config *config, Buffer *buffer)
{
        Dump dump = { .buffer = buffer, .value = BUFFER_NULL(VALUE_JSON_MAX), .first = true };
        DumpObject top = top_object(config);

        int r = buffer_append_string(buffer, "{\"path\":");
        if (r >= 0)
                r = json_append_string(buffer, slice_from_string(config->path));
        if (r >= 0)
                r = buffer_append_string(buffer, ",\"settings\":[");
        if (r >= 0)
                r = dump_rows_json(&dump, &top);
        if (r >= 0)
                r = dump_objects(&dump, config, SCHEMA_SOURCE, dump_rows_json);
        if (r >= 0)
                r = dump_objects(&dump, config, SCHEMA_POOL, dump_rows_json);
        if (r >= 0)
                r = buffer_append_string(buffer, "]}");
        buffer_deinit(&dump.value);
        return r;
}

/* The value at hand as libconfig writes it. */
static int append_config_value(Dump *dump, const SchemaRow *row)
{
        size_t start = dump->buffer->size;
        int r = group_append_config(buffer_slice(&dump->value), dump->buffer);

        if (r < 0 || (row->type != SCHEMA_STRINGS && row->type != SCHEMA_INTS &&
                      row->type != SCHEMA_ENVIRONMENT))
                return r;
        char *text = dump->buffer->data + dump->buffer->start;
        text[start] = '[';
        text[dump->buffer->size - 1] = ']';
        return 0;
}

/* Origins are comments: a file's name must not end the line. */
static int append_comment(Dump *dump, const DumpObject *object, size_t row)
{
        int r = buffer_append_string(dump->buffer, "  # ");
        size_t start = dump->buffer->size;

        if (r >= 0)
                r = append_origin(object, row, dump->buffer);
        if (r < 0)
                return r;
        for (char *p = dump->buffer->data + dump->buffer->start + start,
                  *end = dump->buffer->data + dump->buffer->start + dump->buffer->size;
             p < end; p++)
                if ((unsigned char)*p < 0x20)
                        *p = '?';
        return buffer_append_byte(dump->buffer, '\n');
}

static int append_row_text(Dump *dump, const DumpObject *object, size_t row, int indent)
{
        size_t n;
        const SchemaRow *rows = schema_rows(object->scope, &n);
        const char *dot = strrchr(rows[row].key, '.');
        const char *name = dot ? dot + 1 : rows[row].key;

        int r = make_value(dump, object, &rows[row]);
        if (r < 0)
                return r;
        if (slice_is(buffer_slice(&dump->value), "null"))
                return buffer_appendf(dump->buffer, "%*s# %s is not set\n", indent, "", name);
        r = buffer_appendf(dump->buffer, "%*s%s%s = ", indent, "",
                           rows[row].flags & SCHEMA_HIDDEN ? "# " : "", name);
        if (r >= 0)
                r = append_config_value(dump, &rows[row]);
        if (r >= 0)
                r = buffer_append_byte(dump->buffer, ';');
        if (r >= 0)
                r = append_comment(dump, object, row);
        return r;
}

/* Rows of one group stand side by side in the schema. */
static int dump_rows_text(Dump *dump, const DumpObject *object, int indent)
{
        size_t n, open = 0;
        const SchemaRow *rows = schema_rows(object->scope, &n);
        const char *group = "";
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++) {
                const char *dot = strrchr(rows[i].key, '.');
                size_t size = dot ? dot - rows[i].key : 0;

                if (!applies(object, &rows[i]))
                        continue;
                if (open > 0 && (size != open || strncmp(rows[i].key, group, size) != 0)) {
                        r = buffer_appendf(dump->buffer, "%*s};\n", indent, "");
                        open = 0;
                }
                if (r >= 0 && size > 0 && open == 0)
                        r = buffer_appendf(dump->buffer, "%*s%.*s = {\n", indent, "", (int)size,
                                           rows[i].key);
                group = rows[i].key;
                open = size;
                if (r >= 0)
                        r = append_row_text(dump, object, i, indent + (open > 0 ? 8 : 0));
        }
        if (r >= 0 && open > 0)
                r = buffer_appendf(dump->buffer, "%*s};\n", indent, "");
        return r;
}

static int dump_object_text(Dump *dump, const DumpObject *object)
{
        int r = buffer_appendf(dump->buffer, "        %s = {\n", object->name);
        if (r >= 0)
                r = dump_rows_text(dump, object, 16);
        if (r >= 0)
                r = buffer_append_string(dump->buffer, "        };\n");
        return r;
}

int config_dump_text(const Config *config, Buffer *buffer)
{
        Dump dump = { .buffer = buffer, .value = BUFFER_NULL(VALUE_JSON_MAX) };
        DumpObject top = top_object(config);

        int r = dump_rows_text(&dump, &top, 0);
        if (r >= 0)
                r = buffer_append_string(buffer, "sources = {\n");
        if (r >= 0)
                r = dump_objects(&dump, config, SCHEMA_SOURCE, dump_object_text);
        if (r >= 0)
                r = buffer_append_string(buffer, "};\npools = {\n");
        if (r >= 0)
                r = dump_objects(&dump, config, SCHEMA_POOL, dump_object_text);
        if (r >= 0)
                r = buffer_append_string(buffer, "};\n");
        buffer_deinit(&dump.value);
        return r;
}
