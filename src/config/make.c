/* SPDX-License-Identifier: Apache-2.0 */

#include "base/strv.h"
#include "config/check-source.h"
#include "config/check.h"
#include "config/make.h"
#include "config/object.h"
#include "config/pool-environment.h"
#include "config/resolve.h"

/* What stands for a file in messages. */
#define COMMAND_LINE "command line"

static int new_origins(ConfigFiles *files, SchemaScope scope, ConfigOrigins **ret)
{
        size_t n;
        (void)schema_rows(scope, &n);
        return config_origins_new(files, n, ret);
}

static int make_top(ConfigFiles *files, Config **ret)
{
        _cleanup_(config_unrefp) Config *config = calloc(1, sizeof(*config));

        if (!config)
                return -ENOMEM;
        config->n_ref = 1;
        config->fileless = true;
        config->path = strdup(COMMAND_LINE);
        config->sources = calloc(1, sizeof(*config->sources));
        config->pools = calloc(1, sizeof(*config->pools));
        if (!config->path || !config->sources || !config->pools)
                return -ENOMEM;
        int r = object_set_defaults(SCHEMA_TOP, config);
        if (r < 0)
                return r;
        r = new_origins(files, SCHEMA_TOP, &config->origins);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(config);
        return 0;
}

static int make_source(ConfigFiles *files, SourceType type, const char *name, ConfigSource **ret)
{
        _cleanup_(config_source_freep) ConfigSource *source = NULL;
        char *message = NULL;

        int r = source_new(name, &source);
        if (r < 0)
                return r;
        source->file = strdup(COMMAND_LINE);
        if (!source->file)
                return -ENOMEM;
        r = new_origins(files, SCHEMA_SOURCE, &source->origins);
        if (r < 0)
                return r;
        const SchemaRow *row = schema_find(SCHEMA_SOURCE, "type");
        size_t n;
        r = value_set_text(row, source, schema_source_type_to_string(type), &message);
        if (r < 0)
                return r;
        source->origins->at[row - schema_rows(SCHEMA_SOURCE, &n)].kind = ORIGIN_SET;
        *ret = TAKE_PTR(source);
        return 0;
}

static int make_pool(ConfigFiles *files, const char *name, const char *source, ConfigPool **ret)
{
        _cleanup_(config_pool_unrefp) ConfigPool *pool = NULL;

        int r = config_pool_make(name, &pool);
        if (r < 0)
                return r;
        pool->file = strdup(COMMAND_LINE);
        pool->source = strdup(source);
        if (!pool->file || !pool->source)
                return -ENOMEM;
        r = new_origins(files, SCHEMA_POOL, &pool->origins);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(pool);
        return 0;
}

int config_make(SourceType type, const char *source, const char *pool, Config **ret)
{
        _cleanup_(config_files_unrefp) ConfigFiles *files = NULL;
        _cleanup_(config_unrefp) Config *config = NULL;
        uint16_t index;

        int r = config_files_new(&files);
        if (r < 0)
                return r;
        r = config_files_add(files, COMMAND_LINE, &index);
        if (r < 0)
                return r;
        r = make_top(files, &config);
        if (r < 0)
                return r;
        r = make_source(files, type, source, &config->sources[0]);
        if (r < 0)
                return r;
        config->n_sources = 1;
        r = make_pool(files, pool, source, &config->pools[0]);
        if (r < 0)
                return r;
        config->n_pools = 1;
        *ret = TAKE_PTR(config);
        return 0;
}

int config_make_set(Config *config, SchemaScope scope, const char *key, const char *text,
                    char **ret_message)
{
        const SchemaRow *row = schema_find(scope, key);
        size_t n;
        void *objects[] = {
                [SCHEMA_TOP] = config,
                [SCHEMA_SOURCE] = config->sources[0],
                [SCHEMA_POOL] = config->pools[0],
        };
        ConfigOrigins *origins[] = {
                [SCHEMA_TOP] = config->origins,
                [SCHEMA_SOURCE] = config->sources[0]->origins,
                [SCHEMA_POOL] = config->pools[0]->origins,
        };

        int r = resolve_and_set(row, objects[scope], text, ret_message);
        if (r == 0)
                origins[scope]->at[row - schema_rows(scope, &n)].kind = ORIGIN_SET;
        return r > 0 ? CONFIG_E_INVALID : r;
}

static int finish(Findings *findings, Config *config)
{
        ConfigPool *pool = config->pools[0];

        int r = check_source(findings, config->sources[0], false);
        if (r >= 0 && !pool->task_type)
                r = strv_append(&pool->task_type, pool->name);
        if (r >= 0)
                r = check_pools(findings, config, true, false);
        if (r >= 0 && findings->n_errors == 0)
                r = pool_environment_fill(findings, config, pool);
        return r;
}

int config_make_finish(Config *config, ConfigDiagnostics **ret_diagnostics)
{
        Findings findings = { .files = config->origins->files };

        int r = finish(&findings, config);
        bool invalid = findings.n_errors > 0;
        if (r >= 0)
                r = findings_to_diagnostics(&findings, ret_diagnostics);
        findings_deinit(&findings);
        return r < 0 ? r : invalid ? CONFIG_E_INVALID : 0;
}
