/* SPDX-License-Identifier: Apache-2.0 */

#include "control/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/parse.h"
#include "control/describe.h"
#include "control/object.h"

static void add_finding(json_object **findings, const char *kind, const char *name,
                        const char *remedy, const char *format, ...) _printf_(5, 6);

static void add_finding(json_object **findings, const char *kind, const char *name,
                        const char *remedy, const char *format, ...)
{
        OBJECT_CLEANUP Object finding = object_new();
        char message[512], object[320];
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(message, sizeof(message), format, arguments);
        va_end(arguments);
        (void)snprintf(object, sizeof(object), "%s%s%s", kind, name ? " " : "", name ? name : "");
        object_add_string(&finding, "object", object);
        object_add_string(&finding, "message", message);
        object_add_string(&finding, "remedy", remedy);
        array_add(findings, object_take(&finding));
}

static void check_fetching(json_object **findings, const Pool *pool)
{
        char waited[FORMAT_MAX], fetched[FORMAT_MAX];
        PoolFigures figures;

        pool_figures(pool, &figures);
        if (!figures.status.fetching || figures.n_queued == 0 ||
            figures.status.n_busy >= figures.status.n_running ||
            figures.oldest_age_usec < HEALTH_FETCH_USEC ||
            figures.fetch_age_usec < HEALTH_FETCH_USEC)
                return;
        add_finding(findings, "pool", pool_name(pool),
                    "see the state of its source in 'yardctl list sources'",
                    "%" PRIu64 " tasks wait, the oldest for %s; last successful fetch %s",
                    figures.n_queued, format_span(waited, figures.oldest_age_usec),
                    figures.fetch_age_usec == USEC_INFINITY
                            ? "never"
                            : format_span(fetched, figures.fetch_age_usec));
}

static void check_pool(json_object **findings, const Pool *pool)
{
        const PoolStats *stats = pool_stats(pool);
        PoolStatus status;

        pool_get_status(pool, &status);
        switch (pool_state(pool)) {
        case POOL_STATE_FAILED:
                add_finding(findings, "pool", pool_name(pool), stats->error_remedy,
                            "cannot run: %s", stats->error);
                break;
        case POOL_STATE_STARTING:
                add_finding(findings, "pool", pool_name(pool), "wait for its start_timeout",
                            "no worker is ready yet");
                break;
        case POOL_STATE_DEGRADED:
                if (status.n_running == 0)
                        add_finding(findings, "pool", pool_name(pool), stats->error_remedy,
                                    "no worker is ready%s%s", stats->error[0] ? ": " : "",
                                    stats->error);
                break;
        default:
                check_fetching(findings, pool);
        }
}

static void check_source(json_object **findings, Source *source)
{
        SourceStatus status;

        source_get_status(source, &status);
        if (!streq(status.state, "ok"))
                add_finding(findings, "source", source_name(source), NULL, "%s%s%s", status.state,
                            status.problem ? ": " : "", status.problem ? status.problem : "");
}

static void add_unserved(const UnservedType *type, void *userdata)
{
        char span[FORMAT_MAX];

        add_finding(userdata, "type", type->type,
                    "configure a pool for it and reload, or cancel its tasks",
                    "%" PRIu64
                    " tasks wait at source %s and no pool serves them, the oldest for %s",
                    type->n_queued, source_name(type->source),
                    format_span(span, type->oldest_age_usec));
}

json_object *health_findings(const Manager *manager, bool ready)
{
        json_object *findings = json_object_new_array();
        usec_t stall = manager_stall_usec(manager);
        char span[FORMAT_MAX];

        if (stall >= HEALTH_STALL_USEC)
                add_finding(&findings, "storage", NULL, "check the disk that holds state_dir",
                            "at one write for %s", format_span(span, stall));
        if (!ready)
                return findings;
        if (manager_state(manager) == MANAGER_DRAINING)
                add_finding(&findings, "daemon", NULL, NULL, "it is draining");
        for (size_t i = 0; i < manager_n_sources(manager); i++)
                check_source(&findings, manager_source(manager, i));
        for (size_t i = 0; i < manager_n_pools(manager); i++)
                check_pool(&findings, manager_pool(manager, i));
        visit_unserved(manager, add_unserved, &findings);
        return findings;
}
