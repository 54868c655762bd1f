/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdio.h>
#include "config/read-value.h"
#include "config/suggest.h"

int read_beside(const char *file, const char *name, char **ret)
{
        const char *slash = strrchr(file, '/');

        if (name[0] == '/' || !slash)
                *ret = strdup(name);
        else if (asprintf(ret, "%.*s%s", (int)(slash - file + 1), file, name) < 0)
                *ret = NULL;
        return *ret ? 0 : -ENOMEM;
}

ConfigOrigin read_origin(const Reader *reader, const config_setting_t *setting)
{
        ConfigOrigin origin = { .kind = reader->kind, .line = config_setting_source_line(setting) };
        const char *included = config_setting_source_file(setting);
        _cleanup_free_ char *path = NULL;
        int r = 0;

        if (included)
                r = read_beside(reader->file, included, &path);
        if (r == 0)
                r = config_files_add(reader->findings->files, path ?: reader->file, &origin.file);
        if (r < 0)
                reader->findings->error = r;
        return origin;
}

static int append_path(const config_setting_t *setting, Buffer *buffer)
{
        const config_setting_t *parent = config_setting_parent(setting);
        const char *name = config_setting_name(setting);
        int r;

        if (!parent)
                return 0;
        r = append_path(parent, buffer);
        if (r < 0)
                return r;
        if (!name)
                return buffer_appendf(buffer, "[%d]", config_setting_index(setting));
        return buffer_appendf(buffer, "%s%s", buffer->size > 0 ? "." : "", name);
}

char *read_path(const config_setting_t *setting)
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);
        char *path = NULL;

        if (append_path(setting, &buffer) >= 0)
                path = buffer_steal_string(&buffer);
        buffer_deinit(&buffer);
        return path;
}

void read_error(Reader *reader, const config_setting_t *setting, const char *format, ...)
{
        _cleanup_free_ char *path = read_path(setting);
        _cleanup_free_ char *what = NULL;
        va_list ap;

        va_start(ap, format);
        int r = vasprintf(&what, format, ap);
        va_end(ap);
        if (r < 0 || !path) {
                if (r < 0)
                        what = NULL;
                reader->findings->error = -ENOMEM;
                return;
        }
        findings_add(reader->findings, FINDING_ERROR, read_origin(reader, setting), path, "%s",
                     what);
}

static void unknown_key(Reader *reader, SchemaScope scope, const config_setting_t *setting,
                        const char *key)
{
        char near[128];

        if (suggest_key(scope, key, near, sizeof(near)))
                read_error(reader, setting, "unknown key, did you mean '%s'?", near);
        else
                read_error(reader, setting, "unknown key");
}

static int read_row(Reader *reader, SchemaScope scope, const SchemaRow *row,
                    const config_setting_t *setting, void *object, ConfigOrigins *origins)
{
        size_t n;
        ConfigOrigin *origin = &origins->at[row - schema_rows(scope, &n)];
        ConfigOrigin at = read_origin(reader, setting);
        char place[512];

        if (reader->findings->error < 0)
                return reader->findings->error;
        if (origin->kind == reader->kind) {
                read_error(reader, setting, "set twice: first at %s",
                           findings_place(reader->findings, *origin, place, sizeof(place)));
                return 0;
        }
        *origin = at;

        ReadTarget target = { reader,  row, object,
                              setting, at,  reader->findings->files->paths[at.file] };
        int r = read_value(&target);
        return r < 0 ? r : 0;
}

static int read_members(Reader *reader, SchemaScope scope, const config_setting_t *group,
                        const char *prefix, void *object, ConfigOrigins *origins)
{
        for (int i = 0; i < config_setting_length(group); i++) {
                const config_setting_t *setting = config_setting_get_elem(group, i);
                _cleanup_free_ char *key = NULL;
                int r = 0;

                if (asprintf(&key, "%s%s%s", prefix, prefix[0] ? "." : "",
                             config_setting_name(setting)) < 0) {
                        key = NULL;
                        return -ENOMEM;
                }
                const SchemaRow *row = schema_find(scope, key);
                if (row && row->type == SCHEMA_GROUP)
                        continue;
                if (row)
                        r = read_row(reader, scope, row, setting, object, origins);
                else if (!schema_is_group(scope, key))
                        unknown_key(reader, scope, setting, key);
                else if (!config_setting_is_group(setting))
                        read_error(reader, setting, "expected a group { … }, found %s",
                                   read_found(setting));
                else
                        r = read_members(reader, scope, setting, key, object, origins);
                if (r < 0)
                        return r;
        }
        return 0;
}

int read_group(Reader *reader, SchemaScope scope, const config_setting_t *group, void *object,
               ConfigOrigins *origins)
{
        return read_members(reader, scope, group, "", object, origins);
}
