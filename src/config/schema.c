/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include "config/schema.h"

/* In the order of LOG_*, as base/log.h names them. */
static const char *const log_level_names[] = { "emerg",  "alert", "crit",  "error", "warning",
                                               "notice", "info",  "debug", NULL };
static const char *const mode_names[] = { "per-task", "persistent", "library", NULL };
static const char *const source_type_names[] = { "queue", NULL };
static const char *const durability_names[] = { "full", "normal", NULL };
static const char *const event_names[] = {
        "task_failed",
        "task_retried",
        "worker_started",
        "worker_crashed",
        "worker_killed",
        "pool_failed",
        "pool_recovered",
        "pool_paused",
        "queue_full",
        "config_rejected",
        "config_reloaded",
        "drain_begun",
        NULL,
};

#define MIB ((uint64_t)1024 * 1024)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

/* What limits.output may not pass: the largest message anywhere is 16 MiB. */
#define OUTPUT_MAX (16 * MIB)

#define TOP(member)    offsetof(Config, member)
#define SOURCE(member) offsetof(ConfigSource, member)
#define POOL(member)   offsetof(ConfigPool, member)

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
          .help = "The control socket, which yardctl(1) talks to. At most 107 bytes." },
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
                  "are ended and given back to their source, which uses up no attempt." },
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
          .fallback_text = "all",
          .help = "Which events the command is run for." },
        { .key = "defaults",
          .type = SCHEMA_GROUP,
          .help = "Takes every key of a pool, and holds for all pools that do not set it." },
        { .key = "sources", .type = SCHEMA_GROUP, .help = "Where tasks come from, by name." },
        { .key = "pools", .type = SCHEMA_GROUP, .help = "What executes them, by name." },
};

static const SchemaRow source_rows[] = {
        { .key = "type",
          .type = SCHEMA_ENUM,
          .change = SCHEMA_DAEMON,
          .flags = SCHEMA_REQUIRED,
          .offset = SOURCE(type),
          .names = source_type_names,
          .help = "What kind of source it is. *queue* is the embedded queue, a database in "
                  "*state_dir*." },
        { .key = "durability",
          .type = SCHEMA_ENUM,
          .change = SCHEMA_LIVE,
          .offset = SOURCE(durability),
          .fallback = "full",
          .names = durability_names,
          .help = "*full*: a task counts as submitted, and a result as accepted, once it is "
                  "synced to the disk. *normal*: both survive a killed daemon, but a power cut may "
                  "lose the last moments." },
        { .key = "max_tasks",
          .type = SCHEMA_UINT64,
          .change = SCHEMA_LIVE,
          .offset = SOURCE(max_tasks),
          .minimum = 1,
          .maximum = 1000000000,
          .fallback = "2000000",
          .help = "How many unfinished tasks the queue holds. Beyond it, submitting is refused." },
        { .key = "max_bytes",
          .type = SCHEMA_SIZE,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_ZERO,
          .offset = SOURCE(max_bytes),
          .minimum = MIB,
          .maximum = 1024 * TIB,
          .fallback = "0",
          .help = "How large the queue's database may get. Beyond it, submitting is refused. 0: no "
                  "limit but the disk's." },
        { .key = "retention",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_INFINITY,
          .offset = SOURCE(retention_usec),
          .maximum = 3650 * USEC_PER_DAY,
          .fallback = "1d",
          .help = "How long finished tasks are kept for *yardctl task show*." },
        { .key = "priority_step",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .offset = SOURCE(priority_step_usec),
          .maximum = 365 * USEC_PER_DAY,
          .fallback = "1m",
          .help = "How much longer waiting makes up for one step of priority, so that nothing "
                  "waits for ever. 0: priority decides nothing." },
};

static const SchemaRow pool_rows[] = {
        { .key = "source",
          .type = SCHEMA_STRING,
          .role = SCHEMA_SOURCE_NAME,
          .change = SCHEMA_REPLACE,
          .flags = SCHEMA_REQUIRED | SCHEMA_NOT_EMPTY,
          .offset = POOL(source),
          .help = "The name of the source that tasks come from." },
        { .key = "task_type",
          .type = SCHEMA_STRINGS,
          .role = SCHEMA_TASK_TYPES,
          .change = SCHEMA_REPLACE,
          .flags = SCHEMA_NOT_EMPTY,
          .offset = POOL(task_type),
          .fallback_text = "the pool's name",
          .help = "The type of task it executes, or a list of types, which share its capacity "
                  "fairly. On one source, a type belongs to one pool." },
        { .key = "handler.mode",
          .type = SCHEMA_ENUM,
          .change = SCHEMA_RESTART,
          .offset = POOL(handler.mode),
          .fallback = "per-task",
          .names = mode_names,
          .help = "How *handler.command* is run. *per-task*: one process per task, the task on "
                  "its standard input. *persistent*: it stays, and takes one task after the other "
                  "as lines of JSON, see yardmaster-protocol(7)." },
        { .key = "handler.command",
          .type = SCHEMA_STRINGS,
          .role = SCHEMA_PROGRAM,
          .change = SCHEMA_RESTART,
          .flags = SCHEMA_NOT_EMPTY,
          .handlers = SCHEMA_FOR_COMMAND,
          .offset = POOL(handler.command),
          .fallback_text = "none",
          .help = "Program and arguments; no shell is involved. A name without a slash is looked "
                  "up in the daemon's *PATH*. Each pool has either this or *handler.library*." },
        { .key = "handler.library",
          .type = SCHEMA_STRING,
          .role = SCHEMA_LIBRARY,
          .change = SCHEMA_RESTART,
          .flags = SCHEMA_NOT_EMPTY,
          .handlers = SCHEMA_FOR_LIBRARY,
          .offset = POOL(handler.library),
          .fallback_text = "none",
          .help = "A shared object with a handler, see yardmaster-handler(3). A name without a "
                  "slash is looked up in the folders of *YARDMASTER_HANDLER_PATH*, separated by "
                  "colons, if that is set, then in the folder of installed handlers." },
        { .key = "handler.config",
          .type = SCHEMA_JSON,
          .change = SCHEMA_RESTART,
          .handlers = SCHEMA_FOR_LIBRARY,
          .offset = POOL(handler.config),
          .fallback = "{}",
          .help = "A group of anything, which the library's *init* gets as JSON." },
        { .key = "handler.threads",
          .type = SCHEMA_UINT,
          .change = SCHEMA_RESTART,
          .handlers = SCHEMA_FOR_LIBRARY,
          .offset = POOL(handler.threads),
          .minimum = 1,
          .maximum = 256,
          .fallback = "1",
          .help = "Threads in each process, and so tasks at a time." },
        { .key = "handler.notify",
          .type = SCHEMA_BOOL,
          .change = SCHEMA_RESTART,
          .handlers = SCHEMA_FOR_LASTING,
          .offset = POOL(handler.notify),
          .fallback = "false",
          .help = "Whether a worker says *READY=1* when it can take tasks, see sd_notify(3). "
                  "Else it can as soon as it was started." },
        { .key = "workers",
          .type = SCHEMA_UINT,
          .change = SCHEMA_LIVE,
          .offset = POOL(workers),
          .maximum = 1024,
          .fallback = "1",
          .help = "How many processes run at a time. 0: the pool fetches nothing." },
        { .key = "concurrency",
          .type = SCHEMA_UINT,
          .change = SCHEMA_LIVE,
          .handlers = SCHEMA_FOR_PERSISTENT,
          .offset = POOL(concurrency),
          .minimum = 1,
          .maximum = 4096,
          .fallback = "1",
          .help = "Tasks at a time in each process. 1 for per-task commands; a library has "
                  "*handler.threads* instead." },
        { .key = "rate",
          .type = SCHEMA_RATE,
          .change = SCHEMA_LIVE,
          .offset = POOL(rate_count),
          .minimum = 1,
          .maximum = 1000000000,
          .fallback = "none",
          .help = "How many tasks are started per time: *10/s*, *600/m*, *1/5s*. *none*: as many "
                  "as there are." },
        { .key = "task_timeout",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_INFINITY,
          .offset = POOL(task_timeout_usec),
          .minimum = 1000,
          .maximum = 3650 * USEC_PER_DAY,
          .fallback = "1h",
          .help = "How long one execution may take. Then the task has failed, and its process is "
                  "ended (TERM, and KILL after *stop_timeout*)." },
        { .key = "watchdog",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_RESTART,
          .flags = SCHEMA_ZERO,
          .offset = POOL(watchdog_usec),
          .minimum = 10 * 1000,
          .maximum = USEC_PER_DAY,
          .fallback = "0",
          .help = "A worker that holds a task and gives no sign of life for so long is killed and "
                  "replaced. It finds the value in *WATCHDOG_USEC*. 0: off." },
        { .key = "start_timeout",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .offset = POOL(start_timeout_usec),
          .minimum = 1000,
          .maximum = USEC_PER_DAY,
          .fallback = "10s",
          .help = "How long a worker may take until it is ready." },
        { .key = "stop_timeout",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .offset = POOL(stop_timeout_usec),
          .maximum = USEC_PER_DAY,
          .fallback = "10s",
          .help = "How long a worker may take for each step of being stopped: after a cancel, and "
                  "after SIGTERM, before SIGKILL." },
        { .key = "retry.attempts",
          .type = SCHEMA_UINT,
          .change = SCHEMA_LIVE,
          .offset = POOL(retry.attempts),
          .minimum = 1,
          .maximum = 1000,
          .fallback = "3",
          .help = "How many executions a task gets in all, where its submitter did not say." },
        { .key = "retry.backoff",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .offset = POOL(retry.backoff.base_usec),
          .maximum = 365 * USEC_PER_DAY,
          .fallback = "1s",
          .help = "Pause before the second execution; it doubles with each further one." },
        { .key = "retry.backoff_max",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .offset = POOL(retry.backoff.max_usec),
          .maximum = 365 * USEC_PER_DAY,
          .fallback = "1m",
          .help = "Longest such pause." },
        { .key = "restart.backoff",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .offset = POOL(restart.backoff.base_usec),
          .minimum = 1000,
          .maximum = USEC_PER_DAY,
          .fallback = "200ms",
          .help = "Pause before a crashed worker is started again; it doubles with each crash in a "
                  "row." },
        { .key = "restart.backoff_max",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .offset = POOL(restart.backoff.max_usec),
          .minimum = 1000,
          .maximum = USEC_PER_DAY,
          .fallback = "30s",
          .help = "Longest such pause." },
        { .key = "error_backoff.after",
          .type = SCHEMA_UINT,
          .change = SCHEMA_LIVE,
          .offset = POOL(error_backoff.after),
          .maximum = 1000000,
          .fallback = "0",
          .help = "After so many failed tasks in a row, the pool fetches no new one for the delay. "
                  "0: off." },
        { .key = "error_backoff.delay",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .offset = POOL(error_backoff.backoff.base_usec),
          .minimum = 1000,
          .maximum = USEC_PER_DAY,
          .fallback = "5s",
          .help = "That delay; it doubles while tasks go on failing." },
        { .key = "error_backoff.max",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .offset = POOL(error_backoff.backoff.max_usec),
          .minimum = 1000,
          .maximum = USEC_PER_DAY,
          .fallback = "1m",
          .help = "Longest such delay." },
        { .key = "recycle.tasks",
          .type = SCHEMA_UINT,
          .change = SCHEMA_LIVE,
          .handlers = SCHEMA_FOR_LASTING,
          .offset = POOL(recycle.tasks),
          .maximum = 1000000000,
          .fallback = "0",
          .help = "A worker is replaced after about so many tasks. 0: never." },
        { .key = "recycle.age",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_ZERO,
          .handlers = SCHEMA_FOR_LASTING,
          .offset = POOL(recycle.age_usec),
          .minimum = USEC_PER_SEC,
          .maximum = 3650 * USEC_PER_DAY,
          .fallback = "0",
          .help = "A worker is replaced at about this age, between tasks. 0: never." },
        { .key = "recycle.memory",
          .type = SCHEMA_SIZE,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_ZERO,
          .handlers = SCHEMA_FOR_LASTING,
          .offset = POOL(recycle.memory),
          .minimum = MIB,
          .maximum = 64 * TIB,
          .fallback = "0",
          .help = "A worker that has grown to this much memory is replaced, between tasks. 0: "
                  "never." },
        { .key = "limits.memory",
          .type = SCHEMA_SIZE,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_ZERO,
          .offset = POOL(limits.memory),
          .minimum = MIB,
          .maximum = 64 * TIB,
          .fallback = "0",
          .help = "A worker whose processes together hold more memory is killed. Looked at once a "
                  "second. 0: no limit." },
        { .key = "limits.processes",
          .type = SCHEMA_UINT64,
          .change = SCHEMA_RESTART,
          .offset = POOL(limits.processes),
          .maximum = 4194304,
          .fallback = "0",
          .help = "Processes and threads of one worker. Enforced only where the daemon has cgroups "
                  "of its own; *yardctl status* says so. 0: no limit." },
        { .key = "limits.open_files",
          .type = SCHEMA_UINT64,
          .change = SCHEMA_RESTART,
          .flags = SCHEMA_ZERO,
          .offset = POOL(limits.open_files),
          .minimum = 16,
          .maximum = 1048576,
          .fallback = "0",
          .help = "Open files of each process. 0: as the daemon." },
        { .key = "limits.output",
          .type = SCHEMA_SIZE,
          .change = SCHEMA_LIVE,
          .offset = POOL(limits.output),
          .minimum = 1024,
          .maximum = OUTPUT_MAX,
          .fallback = "1M",
          .help = "Largest result of a task: the message of a persistent worker or a library, all "
                  "of the standard output of a per-task command." },
        { .key = "limits.cpu",
          .type = SCHEMA_DURATION,
          .change = SCHEMA_LIVE,
          .flags = SCHEMA_ZERO,
          .handlers = SCHEMA_FOR_PER_TASK,
          .offset = POOL(limits.cpu_usec),
          .minimum = USEC_PER_SEC,
          .maximum = 365 * USEC_PER_DAY,
          .fallback = "0",
          .help = "CPU time of a per-task command, in whole seconds. 0: no limit." },
        { .key = "environment",
          .type = SCHEMA_ENVIRONMENT,
          .change = SCHEMA_RESTART,
          .offset = POOL(environment_own),
          .fallback_text = "none",
          .help = "Variables for the handler, beside the daemon's own without those that systemd "
                  "gave it. A group *{ LANG = \"C.UTF-8\"; }*, or a list of *\"NAME=value\"* for "
                  "names that begin with an underscore. Those of *defaults* are kept unless the "
                  "pool sets the same name." },
        { .key = "environment_file",
          .type = SCHEMA_STRING,
          .role = SCHEMA_ENV_FILE,
          .change = SCHEMA_RESTART,
          .flags = SCHEMA_NOT_EMPTY | SCHEMA_SECRET,
          .offset = POOL(environment_file),
          .fallback_text = "none",
          .help = "A file with such variables as lines *NAME=value*; quotes around the value are "
                  "taken off, lines that begin with # or ; are comments. *environment* wins over "
                  "it. It is read when the configuration is loaded, and refused if others can "
                  "read it or anyone but its owner can write it." },
        { .key = "working_directory",
          .type = SCHEMA_STRING,
          .role = SCHEMA_DIRECTORY,
          .change = SCHEMA_RESTART,
          .flags = SCHEMA_NOT_EMPTY,
          .offset = POOL(working_directory),
          .fallback_text = "the daemon's",
          .help = "Where the handler starts. Must exist." },
        { .key = "nice",
          .type = SCHEMA_INT,
          .change = SCHEMA_RESTART,
          .offset = POOL(nice),
          .minimum = -20,
          .maximum = 19,
          .fallback = "0",
          .help = "CPU priority of the handler, see nice(1): higher is slower. Below 0 needs "
                  "privileges." },
        { .key = "terminal_exit_codes",
          .type = SCHEMA_INTS,
          .change = SCHEMA_LIVE,
          .handlers = SCHEMA_FOR_PER_TASK,
          .offset = POOL(terminal_exit_codes),
          .minimum = 1,
          .maximum = 255,
          .fallback_text = "none",
          .help = "Exit codes of a per-task command that mean that no retry can help "
                  "(*FAILED_WITH_TERMINAL_ERROR*)." },
        { .key = "leave_children",
          .type = SCHEMA_BOOL,
          .change = SCHEMA_LIVE,
          .handlers = SCHEMA_FOR_PER_TASK,
          .offset = POOL(leave_children),
          .fallback = "false",
          .help = "Whether processes that a per-task command left behind live on. Else they are "
                  "ended with it." },
};

static_assert(offsetof(ConfigPool, rate_interval_usec) ==
                      offsetof(ConfigPool, rate_count) + sizeof(uint64_t),
              "SCHEMA_RATE wants count and interval side by side");
static_assert(offsetof(ConfigPool, n_terminal_exit_codes) ==
                      offsetof(ConfigPool, terminal_exit_codes) + sizeof(int *),
              "SCHEMA_INTS wants pointer and count side by side");
static_assert(ELEMENTSOF(mode_names) == _HANDLER_MODE_MAX + 1, "a name per mode");
static_assert(ELEMENTSOF(source_type_names) == _SOURCE_TYPE_MAX + 1, "a name per type");
static_assert(ELEMENTSOF(durability_names) == _DURABILITY_MAX + 1, "a name per durability");
static_assert(sizeof(HandlerMode) == sizeof(int), "SCHEMA_ENUM is stored as int");

static const struct {
        const SchemaRow *rows;
        size_t n;
} scopes[] = {
        [SCHEMA_TOP] = { top_rows, ELEMENTSOF(top_rows) },
        [SCHEMA_SOURCE] = { source_rows, ELEMENTSOF(source_rows) },
        [SCHEMA_POOL] = { pool_rows, ELEMENTSOF(pool_rows) },
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
