/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdio.h>
#include "base/parse.h"
#include "base/strv.h"
#include "config/check.h"
#include "config/object.h"
#include "config/secret.h"
#include "config/suggest.h"
#include "config/value.h"

static ConfigOrigin *origin_of(const ConfigPool *pool, const char *key)
{
        size_t n;
        return &pool->origins->at[schema_find(SCHEMA_POOL, key) - schema_rows(SCHEMA_POOL, &n)];
}

static bool own(const ConfigPool *pool, const char *key)
{
        return origin_of(pool, key)->kind == ORIGIN_FILE;
}

static bool is_set(const ConfigPool *pool, const char *key)
{
        return origin_of(pool, key)->kind != ORIGIN_DEFAULT;
}

ConfigOrigin check_place(const ConfigPool *pool, const char *key)
{
        ConfigOrigin origin = object_origin(SCHEMA_POOL, pool->origins, key);

        if (origin.kind == ORIGIN_DEFAULTS || origin.kind == ORIGIN_FILE)
                return origin;
        return origins_place(pool->origins, pool->file, pool->line);
}

static void _printf_(5, 6) add(Findings *findings, FindingKind kind, const ConfigPool *pool,
                               const char *key, const char *format, ...)
{
        _cleanup_free_ char *path = NULL, *what = NULL;
        va_list ap;

        va_start(ap, format);
        int r = vasprintf(&what, format, ap);
        va_end(ap);
        if (r < 0)
                what = NULL;
        if (asprintf(&path, "pools.%s.%s", pool->name, key) < 0)
                path = NULL;
        if (!what || !path)
                findings->error = -ENOMEM;
        else
                findings_add(findings, kind, check_place(pool, key), path, "%s", what);
}

#define error(findings, pool, key, ...) add(findings, FINDING_ERROR, pool, key, __VA_ARGS__)

/* Back to the built-in default. */
static int reset(ConfigPool *pool, const char *key)
{
        const SchemaRow *row = schema_find(SCHEMA_POOL, key);
        _cleanup_free_ char *message = NULL;

        value_clear(row, pool);
        *origin_of(pool, key) = (ConfigOrigin){ .kind = ORIGIN_DEFAULT };
        return row->fallback ? value_set_text(row, pool, row->fallback, &message) : 0;
}

/* Which of command and library it is; -errno. */
static int settle_handler(Findings *findings, ConfigPool *pool)
{
        bool command = own(pool, "handler.command"), library = own(pool, "handler.library");
        int r = 0;

        if (command && library) {
                error(findings, pool, "handler.library",
                      "the handler has a command already: remove one of them");
                return 0;
        }
        if (command)
                r = reset(pool, "handler.library");
        else if (library)
                r = reset(pool, "handler.command");
        else if (is_set(pool, "handler.command"))
                r = reset(pool, "handler.library");
        else if (!is_set(pool, "handler.library"))
                error(findings, pool, "handler", "needs a command or a library");
        if (r < 0)
                return r;

        library = is_set(pool, "handler.library");
        if (own(pool, "handler.mode") && library != (pool->handler.mode == HANDLER_LIBRARY))
                error(findings, pool, "handler.mode",
                      library ? "a library has no such mode"
                              : "a command is \"per-task\" or \"persistent\"");
        if (library) {
                if (!own(pool, "handler.mode"))
                        r = reset(pool, "handler.mode");
                pool->handler.mode = HANDLER_LIBRARY;
        }
        return r;
}

static const char *handler_noun(HandlerMode mode)
{
        static const char *const nouns[] = {
                [HANDLER_PER_TASK] = "a per-task command",
                [HANDLER_PERSISTENT] = "a persistent command",
                [HANDLER_LIBRARY] = "a library",
        };
        return nouns[mode];
}

/* Keys that mean nothing for this handler: from defaults they were meant for others; the pool's own
 * contradict the handler or are of no use. */
static int settle_applicable(Findings *findings, ConfigPool *pool)
{
        size_t n;
        const SchemaRow *rows = schema_rows(SCHEMA_POOL, &n);
        HandlerMode mode = pool->handler.mode;

        for (size_t i = 0; i < n; i++) {
                const char *key = rows[i].key;

                if (rows[i].handlers == 0 || (rows[i].handlers & 1u << mode))
                        continue;
                if (!own(pool, key)) {
                        int r = reset(pool, key);
                        if (r < 0)
                                return r;
                } else if (streq(key, "handler.command") || streq(key, "handler.library")) {
                        continue;
                } else if (streq(key, "concurrency") && mode == HANDLER_LIBRARY) {
                        error(findings, pool, key, "a library has handler.threads instead");
                } else if (streq(key, "concurrency")) {
                        if (pool->concurrency != 1)
                                error(findings, pool, key,
                                      "a per-task command does one task at a "
                                      "time: set workers instead");
                } else if (strncmp(key, "handler.", 8) == 0) {
                        error(findings, pool, key, "means nothing for %s", handler_noun(mode));
                } else {
                        add(findings, FINDING_WARNING, pool, key, "has no effect for %s",
                            handler_noun(mode));
                }
        }
        if (mode == HANDLER_LIBRARY) {
                pool->concurrency = pool->handler.threads;
                *origin_of(pool, "concurrency") = *origin_of(pool, "handler.threads");
        }
        return 0;
}

static int settle_task_type(ConfigPool *pool)
{
        if (pool->task_type || is_set(pool, "task_type"))
                return 0;
        return strv_append(&pool->task_type, pool->name);
}

static void check_required(Findings *findings, const ConfigPool *pool)
{
        size_t n;
        const SchemaRow *rows = schema_rows(SCHEMA_POOL, &n);

        for (size_t i = 0; i < n; i++)
                if ((rows[i].flags & SCHEMA_REQUIRED) && !is_set(pool, rows[i].key))
                        error(findings, pool, rows[i].key, "is missing");
}

/* The daemon keeps a task's lease while it believes that the handler works. */
static int check_lease(const ConfigPool *pool, const char **ret_key, char **ret_message)
{
        if (pool->source_type != SOURCE_CONDUCTOR || pool->task_timeout_usec != USEC_INFINITY ||
            pool->watchdog_usec > 0)
                return 0;
        *ret_key = "task_timeout";
        return value_refuse(ret_message,
                            "infinity needs watchdog, else a task that hangs is kept from other "
                            "workers for ever: set watchdog, or a task_timeout");
}

static int check_limits(const ConfigPool *pool, const char **ret_key, char **ret_message)
{
        char high[FORMAT_MAX], most[FORMAT_MAX];

        if (pool->limits.memory == 0 || pool->limits.memory_high < pool->limits.memory)
                return 0;
        *ret_key = "limits.memory_high";
        return value_refuse(ret_message, "%s has no effect: limits.memory is %s, and reached first",
                            format_size(high, pool->limits.memory_high),
                            format_size(most, pool->limits.memory));
}

int check_values(const ConfigPool *pool, const char **ret_key, char **ret_message)
{
        const struct {
                const char *base, *max;
                const Backoff *backoff;
        } pairs[] = {
                { "retry.backoff", "retry.backoff_max", &pool->retry.backoff },
                { "restart.backoff", "restart.backoff_max", &pool->restart.backoff },
                { "error_backoff.delay", "error_backoff.max", &pool->error_backoff.backoff },
        };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                char base[FORMAT_MAX], max[FORMAT_MAX];

                if (pairs[i].backoff->base_usec <= pairs[i].backoff->max_usec)
                        continue;
                *ret_key = pairs[i].base;
                return value_refuse(ret_message, "%s is longer than %s, which is %s",
                                    format_duration(base, pairs[i].backoff->base_usec),
                                    pairs[i].max, format_duration(max, pairs[i].backoff->max_usec));
        }
        if (pool->handler.mode == HANDLER_PER_TASK && pool->concurrency != 1) {
                *ret_key = "concurrency";
                return value_refuse(ret_message, "a per-task command does one task at a time: set "
                                                 "workers instead");
        }
        r = check_limits(pool, ret_key, ret_message);
        return r != 0 ? r : check_lease(pool, ret_key, ret_message);
}

int check_pool(Findings *findings, ConfigPool *pool)
{
        _cleanup_free_ char *message = NULL;
        const char *key;

        int r = settle_handler(findings, pool);
        if (r < 0)
                return r;
        r = settle_applicable(findings, pool);
        if (r < 0)
                return r;
        r = settle_task_type(pool);
        if (r < 0)
                return r;
        check_required(findings, pool);

        r = check_values(pool, &key, &message);
        if (r > 0 && !streq(key, "concurrency"))
                error(findings, pool, key, "%s", message);
        return MIN(r, 0);
}

/* Keys that mean nothing for its source: taken back if they come from defaults. */
static int settle_source_keys(Findings *findings, ConfigPool *pool)
{
        size_t n;
        const SchemaRow *rows = schema_rows(SCHEMA_POOL, &n);

        for (size_t i = 0; i < n; i++) {
                if (rows[i].sources == 0 || (rows[i].sources & 1u << pool->source_type))
                        continue;
                if (own(pool, rows[i].key)) {
                        error(findings, pool, rows[i].key, "%s",
                              pool->source_type == SOURCE_QUEUE
                                      ? "means nothing for a queue, only for a source of type "
                                        "\"conductor\": remove it"
                                      : "means nothing for a Conductor server, whose task "
                                        "definition says how a task is retried: remove it");
                        continue;
                }
                int r = reset(pool, rows[i].key);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What a task type must not have because it becomes part of an URL's path: servers refuse these
 * even in their encoded form. */
static void check_type_names(Findings *findings, const ConfigPool *pool)
{
        STRV_FOREACH (type, pool->task_type) {
                if (strpbrk(*type, "/\\"))
                        error(findings, pool, "task_type",
                              "'%s' has a %s, and tasks of such a type cannot be polled from a "
                              "Conductor server: rename the type there",
                              *type, strchr(*type, '/') ? "/" : "\\");
                else if (streq(*type, ".") || streq(*type, ".."))
                        error(findings, pool, "task_type",
                              "tasks of type '%s' cannot be polled from a Conductor server: "
                              "rename the type there",
                              *type);
        }
}

static int check_credentials(Findings *findings, const ConfigPool *pool, bool elsewhere)
{
        STRV_FOREACH (name, pool->credentials) {
                _cleanup_free_ char *message = NULL;
                bool warn = elsewhere && !secret_folder();

                int r = secret_check_credential(*name, &message);
                if (r < 0)
                        return r;
                if (r > 0)
                        add(findings, warn ? FINDING_WARNING : FINDING_ERROR, pool, "credentials",
                            "%s", message);
        }
        return 0;
}

/* A file system that is read-only for this process: as a rule ProtectSystem= of the service. */
static void check_working_directory(Findings *findings, ConfigPool *pool)
{
        const char *path = pool->working_directory;

        pool->working_directory_is_read_only = path && access(path, W_OK) < 0 && errno == EROFS;
        if (pool->working_directory_is_read_only)
                add(findings, FINDING_WARNING, pool, "working_directory",
                    "handlers cannot write to %s: if they have to, the service needs "
                    "ReadWritePaths=%s (systemctl edit, section [Service])",
                    path, path);
}

static int settle_source(Findings *findings, ConfigPool *pool, const ConfigSource *source)
{
        _cleanup_free_ char *message = NULL;
        const char *key;

        pool->source_type = source->type;
        int r = settle_source_keys(findings, pool);
        if (r < 0 || source->type != SOURCE_CONDUCTOR)
                return r;
        check_type_names(findings, pool);
        if (pool->pass_credentials && !source->conductor.auth.key_id)
                add(findings, FINDING_WARNING, pool, "pass_credentials",
                    "has no effect: source '%s' has no auth", source->name);
        r = check_lease(pool, &key, &message);
        if (r > 0)
                error(findings, pool, key, "%s", message);
        return MIN(r, 0);
}

/* A type on a source, and who serves it. */
typedef struct Service {
        const ConfigPool *pool;
        const char *type;
        size_t sequence;
} Service;

static int compare_services(const void *left, const void *right)
{
        const Service *a = left, *b = right;
        int c = strcmp(a->pool->source, b->pool->source);

        if (c == 0)
                c = strcmp(a->type, b->type);
        if (c == 0)
                c = strcmp(a->pool->domain ?: "", b->pool->domain ?: "");
        if (c == 0)
                c = a->sequence < b->sequence ? -1 : 1;
        return c;
}

static size_t collect_services(const Config *config, Service *services)
{
        size_t n = 0;

        for (size_t i = 0; i < config->n_pools; i++) {
                const ConfigPool *pool = config->pools[i];
                if (!pool->source)
                        continue;
                STRV_FOREACH (type, pool->task_type) {
                        if (services)
                                services[n] = (Service){ pool, *type, n };
                        n++;
                }
        }
        return n;
}

static int check_types(Findings *findings, const Config *config)
{
        size_t n = collect_services(config, NULL);
        _cleanup_free_ Service *services = calloc(MAX(n, (size_t)1), sizeof(*services));

        if (!services)
                return -ENOMEM;
        (void)collect_services(config, services);
        qsort(services, n, sizeof(*services), compare_services);
        for (size_t i = 1; i < n; i++) {
                const Service *first = &services[i - 1], *second = &services[i];
                char place[512];

                if (!streq(first->pool->source, second->pool->source) ||
                    !streq(first->type, second->type) ||
                    !streq(first->pool->domain ?: "", second->pool->domain ?: ""))
                        continue;
                error(findings, second->pool, "task_type",
                      "'%s' of source '%s' is served by pool '%s' already (%s)", second->type,
                      second->pool->source, first->pool->name,
                      findings_place(findings, check_place(first->pool, "task_type"), place,
                                     sizeof(place)));
        }
        return 0;
}

static const char *nearest_source(const Config *config, const char *name)
{
        const char *names[CONFIG_SOURCES_MAX + 1] = { NULL };

        for (size_t i = 0; i < config->n_sources && i < CONFIG_SOURCES_MAX; i++)
                names[i] = config->sources[i]->name;
        return suggest_word(names, name);
}

int check_pools(Findings *findings, const Config *config, bool complete, bool elsewhere)
{
        for (size_t i = 0; i < config->n_pools; i++) {
                ConfigPool *pool = config->pools[i];
                const ConfigSource *source =
                        pool->source ? config_find_source(config, pool->source) : NULL;

                check_working_directory(findings, pool);
                int r = check_credentials(findings, pool, elsewhere);
                if (r >= 0 && source)
                        r = settle_source(findings, pool, source);
                if (r < 0)
                        return r;
                if (!pool->source || source || !complete)
                        continue;
                const char *near = nearest_source(config, pool->source);
                error(findings, pool, "source", "no source '%s'%s%s%s", pool->source,
                      near ? ", did you mean '" : "", near ?: "", near ? "'?" : "");
        }
        return check_types(findings, config);
}
