/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "config/override.h"
#include "config/resolve.h"
#include "config/text.h"

static int override_row(Findings *findings, ConfigSource *source, const SchemaRow *row,
                        ConfigOrigin at)
{
        const char *text = getenv(row->variable);
        _cleanup_free_ char *message = NULL;
        char path[CONFIG_NAME_MAX + 64];
        size_t n;

        if (!text || !text[0])
                return 0;
        int r = text_is_utf8(text) ? resolve_and_set(row, source, text, &message)
                                   : value_refuse(&message, "the text is not UTF-8");
        if (r < 0)
                return r;
        source->origins->at[row - schema_rows(SCHEMA_SOURCE, &n)] =
                (ConfigOrigin){ .kind = ORIGIN_ENVIRONMENT };
        if (r > 0) {
                (void)snprintf(path, sizeof(path), "sources.%s.%s", source->name, row->key);
                findings_add(findings, FINDING_ERROR, at, path, "environment %s: %s", row->variable,
                             message);
        }
        return 0;
}

int override_source(Findings *findings, ConfigSource *source, ConfigOrigin at)
{
        size_t n;
        const SchemaRow *rows = schema_rows(SCHEMA_SOURCE, &n);

        for (size_t i = 0; i < n; i++) {
                if (!rows[i].variable || !(rows[i].sources & 1u << source->type) ||
                    source->origins->at[i].kind == ORIGIN_SET)
                        continue;
                int r = override_row(findings, source, &rows[i], at);
                if (r < 0)
                        return r;
        }
        return 0;
}
