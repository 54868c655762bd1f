/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include "config/schema-pool.h"
#include "config/schema-source.h"

/* In the order of LOG_*, as base/log.h names them. */
static const char *const log_level_names[] = { "emerg",  "alert", "crit",  "error", "warning",
                                               "notice", "info",  "debug", NULL };
static const char *const event_names[] = {
        "task_started",
        "task_completed",
        "task_failed",
        "task_retried",
        "task_canceled",
        "task_handed_back",
        "worker_started",
        "worker_stopped",
        "worker_crashed",
        "worker_killed",
        "pool_failed",
        "pool_recovered",
        "pool_paused",
        "pool_resumed",
        "queue_full",
        "config_reloaded",
        "config_rejected",
        "drain_begun",
        NULL,
};

#define TOP(member) offsetof(Config, member)

static const SchemaRow top_rows[] = {
        { .key = "socket",
          .type = SCHEMA_STRING,
          .role = SCHEMA_SOCKET,
          .change = SCHEMA_DAEMON,
          .flags = SCHEMA_NOT_EMPTY,
          .offset = TOP(socket),
          .fallback_text = "*$RUNTIME_DIRECTORY/control* where systemd sets it, else "
                           "*/run/yardmaster/control* for root and "
                           "*$XDG_RUNTIME_DIR/yardmaster/control* for others",
          .help = "The control socket, which yardctl(1) talks to. At most 107 bytes. Of the "
                  "service "
                  "it is best left as it is: *ExecReload=* of the unit names it, too." },
        { .key = "state_dir",
          .type = SCHEMA_STRING,
          .role = SCHEMA_PATH,
          .change = SCHEMA_DAEMON,
          .flags = SCHEMA_NOT_EMPTY,
          .offset = TOP(state_dir),
          .fallback_text = "*$STATE_DIRECTORY* where systemd sets it, else "
                           "*/var/lib/yardmaster* for root, and *$XDG_STATE_HOME/yardmaster* or "
                           "*~/.local/state/yardmaster* for others",
          .help = "The folder of queues and undelivered results. Made if it is missing; one daemon "
                  "at a time holds it." },
        { .key = "log_level",
          .type = SCHEMA_ENUM,
          .change = SCHEMA_LIVE,
          .offset = TOP(log_level),
          .fallback = "info",
          .names = log_level_names,
          .help = "What is logged: this level and all more serious ones." },
        { .key = "admin_group",
          .type = SCHEMA_STRING,
          .role = SCHEMA_UNIX_GROUP,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_NOT_EMPTY,
          .offset = TOP(admin_group),
          .fallback_text = "none",
          .help = "Members of this group may change things through the control socket, beside root "
                  "and the daemon's own user." },
        { .key = "drain_timeout",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_INFINITY,
          .offset = TOP(drain_timeout_usec),
          .maximum = 30 * USEC_PER_DAY,
          .fallback = "60s",
          .help = "How long running tasks may go on once the daemon was told to stop. Then they "
                  "are ended and given back to their source, which uses up no attempt. systemd "
                  "waits "
                  "for it, whatever *TimeoutStopSec=* says." },
        { .key = "on_event.command",
          .type = SCHEMA_STRINGS,
          .role = SCHEMA_PROGRAM,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_NOT_EMPTY,
          .offset = TOP(on_event.command),
          .fallback_text = "none",
          .help = "Program and arguments to run for each event, with the event as one JSON object "
                  "on standard input. One at a time, 10 seconds each." },
        { .key = "on_event.events",
          .type = SCHEMA_STRINGS,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_NOT_EMPTY,
          .offset = TOP(on_event.events),
          .names = event_names,
          .fallback_text = "all but *task_started*, *task_completed*, *task_canceled* and "
                           "*task_handed_back*",
          .help = "Which events the command is run for." },
        { .key = "defaults",
          .type = SCHEMA_GROUP,
          .help = "Takes every key of a pool, and holds for all pools that do not set it." },
        { .key = "sources", .type = SCHEMA_GROUP, .help = "Where tasks come from, by name." },
        { .key = "pools", .type = SCHEMA_GROUP, .help = "What executes them, by name." },
};

static const struct {
        const SchemaRow *rows;
        size_t n;
} scopes[] = {
        [SCHEMA_TOP] = { top_rows, ELEMENTSOF(top_rows) },
        [SCHEMA_SOURCE] = { schema_source_rows, SCHEMA_SOURCE_ROWS },
        [SCHEMA_POOL] = { schema_pool_rows, SCHEMA_POOL_ROWS },
};
static_assert(ELEMENTSOF(scopes) == _SCHEMA_SCOPE_MAX, "a table per scope");

const SchemaRow *schema_rows(SchemaScope scope, size_t *ret_n)
{
        *ret_n = scopes[scope].n;
        return scopes[scope].rows;
}

const SchemaRow *schema_find(SchemaScope scope, const char *key)
{
        for (size_t i = 0; i < scopes[scope].n; i++)
                if (streq(scopes[scope].rows[i].key, key))
                        return &scopes[scope].rows[i];
        return NULL;
}

bool schema_is_group(SchemaScope scope, const char *key)
{
        size_t length = strlen(key);

        for (size_t i = 0; i < scopes[scope].n; i++) {
                const char *candidate = scopes[scope].rows[i].key;
                if (strncmp(candidate, key, length) == 0 && candidate[length] == '.')
                        return true;
        }
        return false;
}

const char *schema_type_to_string(SchemaType type)
{
        static const char *const names[] = {
                [SCHEMA_STRING] = "text",
                [SCHEMA_STRINGS] = "list of texts",
                [SCHEMA_UINT] = "number",
                [SCHEMA_UINT64] = "number",
                [SCHEMA_INT] = "number",
                [SCHEMA_BOOL] = "true or false",
                [SCHEMA_DURATION] = "duration",
                [SCHEMA_SIZE] = "size",
                [SCHEMA_PERCENT] = "percentage",
                [SCHEMA_RATE] = "rate",
                [SCHEMA_ENUM] = "word",
                [SCHEMA_INTS] = "list of numbers",
                [SCHEMA_ENVIRONMENT] = "group or list",
                [SCHEMA_JSON] = "group",
                [SCHEMA_GROUP] = "group",
        };
        static_assert(ELEMENTSOF(names) == _SCHEMA_TYPE_MAX, "a name per type");
        return names[type];
}

const char *schema_change_to_string(SchemaChange change)
{
        static const char *const names[] = {
                [SCHEMA_LIVE] = "live",
                [SCHEMA_RESTART] = "restart",
                [SCHEMA_REPLACE] = "replace",
                [SCHEMA_DAEMON] = "daemon",
        };
        static_assert(ELEMENTSOF(names) == _SCHEMA_CHANGE_MAX, "a name per change");
        return names[change];
}

const char *schema_source_type_to_string(SourceType type)
{
        return schema_find(SCHEMA_SOURCE, "type")->names[type];
}
