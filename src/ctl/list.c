/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl list. */

#include <stdio.h>
#include "base/parse.h"
#include "ctl/filter.h"
#include "ctl/list.h"
#include "ctl/reply.h"
#include "ctl/table.h"
#include "ctl/verbs.h"

enum {
        LIST_LIMIT = _FILTER_MAX,
        _LIST_MAX,
};

const Option list_options[] = {
        FILTER_OPTIONS,
        [LIST_LIMIT] = { "limit", "N", "show at most N" },
        [_LIST_MAX] = {},
};

enum {
        POOLS_OUTPUT,
        _POOLS_MAX,
};

const Option pool_list_options[] = {
        [POOLS_OUTPUT] = { "output", "FORMAT", "wide: also what the pools do at their servers",
                           'o' },
        [_POOLS_MAX] = {},
};

const Option worker_list_options[] = {
        [POOLS_OUTPUT] = { "output", "FORMAT", "wide: also what their cgroups count", 'o' },
        [_POOLS_MAX] = {},
};

/* Tables are made for 80 columns, as long as names are short: what does not fit is in the details
 * (status POOL, task show) and in --json. */

enum {
        POOL_NAME,
        POOL_STATE,
        POOL_FETCHING,
        POOL_UP,
        POOL_BUSY,
        POOL_QUEUED,
        POOL_OLDEST,
        POOL_DONE,
        POOL_FAILED,
        POOL_RETRIED,
        POOL_ERRORS,
        POOL_P50,
        POOL_P99,
        _POOL_MAX,
        POOL_IN_HAND = _POOL_MAX,
        POOL_POLLED,
        POOL_HANDED_BACK,
        POOL_CANCELED,
        POOL_FETCHED,
        POOL_LATENCY,
        POOL_DOMAIN,
        POOL_PROBLEM,
        _POOL_WIDE_MAX,
};

static const Column pool_columns[_POOL_WIDE_MAX] = {
        [POOL_NAME] = { "POOL", 0 },
        [POOL_STATE] = { "STATE", 0 },
        [POOL_FETCHING] = { "FETCH", 0 },
        [POOL_UP] = { "UP", COLUMN_RIGHT },
        [POOL_BUSY] = { "BUSY", COLUMN_RIGHT },
        [POOL_QUEUED] = { "QUEUED", COLUMN_RIGHT },
        [POOL_OLDEST] = { "OLDEST", COLUMN_RIGHT },
        [POOL_DONE] = { "DONE", COLUMN_RIGHT },
        [POOL_FAILED] = { "FAILED", COLUMN_RIGHT },
        [POOL_RETRIED] = { "RETRY", COLUMN_RIGHT },
        [POOL_ERRORS] = { "ERR", COLUMN_RIGHT },
        [POOL_P50] = { "P50", COLUMN_RIGHT },
        [POOL_P99] = { "P99", COLUMN_RIGHT },
        [POOL_IN_HAND] = { "HAND", COLUMN_RIGHT },
        [POOL_POLLED] = { "POLLED", COLUMN_RIGHT },
        [POOL_HANDED_BACK] = { "BACK", COLUMN_RIGHT },
        [POOL_CANCELED] = { "CANCELED", COLUMN_RIGHT },
        [POOL_FETCHED] = { "FETCHED", COLUMN_RIGHT },
        [POOL_LATENCY] = { "LATENCY", COLUMN_RIGHT },
        [POOL_DOMAIN] = { "DOMAIN", 0 },
        [POOL_PROBLEM] = { "PROBLEM", 0 },
};

static void add_pool(Table *table, Slice pool)
{
        _cleanup_free_ char *state = member_text(pool, "state");
        Mood mood = mood_of(state);

        table_row(table);
        table_cell(table, POOL_NAME, member_text(pool, "name"));
        table_cell(table, POOL_STATE, TAKE_PTR(state));
        table_mood(table, POOL_STATE, mood);
        table_cellf(table, POOL_FETCHING, "%s", member_true(pool, "fetching") ? "yes" : "no");
        table_cellf(table, POOL_UP, "%lld/%lld", (long long)member_integer(pool, "runningWorkers"),
                    (long long)member_integer(pool, "wantedWorkers"));
        table_cell(table, POOL_BUSY, member_count(pool, "busyWorkers"));
        table_cell(table, POOL_QUEUED, member_count(pool, "queued"));
        table_cell(table, POOL_OLDEST, member_span(pool, "oldestAgeUsec"));
        table_cell(table, POOL_DONE, member_count(pool, "processed"));
        table_cell(table, POOL_FAILED, member_count(pool, "failed"));
        table_cell(table, POOL_RETRIED, member_count(pool, "retried"));
        table_cellf(table, POOL_ERRORS, "%.0f%%", member_number(pool, "errorRate") * 100);
        table_cell(table, POOL_P50, member_span(pool, "runP50Usec"));
        table_cell(table, POOL_P99, member_span(pool, "runP99Usec"));
}

static void add_pool_wide(Table *table, Slice pool)
{
        Slice server = member_object(pool, "server");

        add_pool(table, pool);
        table_cell(table, POOL_IN_HAND, member_count(pool, "tasksInHand"));
        table_cell(table, POOL_POLLED, member_count(server, "polled"));
        table_cell(table, POOL_HANDED_BACK, member_count(pool, "handedBack"));
        table_cell(table, POOL_CANCELED, member_count(pool, "canceled"));
        table_cell(table, POOL_FETCHED, member_age(pool, "lastFetchAgeUsec"));
        table_cell(table, POOL_LATENCY, member_span(server, "pollLatencyUsec"));
        table_cell(table, POOL_DOMAIN, member_text(server, "domain"));
        table_cell(table, POOL_PROBLEM, member_text(server, "problem"));
}

/* One row for each element. */
static ExitCode print_rows(const Ctl *ctl, const Column *columns, size_t n_columns,
                           void (*add)(Table *table, Slice object), Slice objects, bool headings)
{
        _cleanup_(table_freep) Table *table = NULL;
        Slice object;

        if (table_new(&table, ctl, columns, n_columns) < 0)
                return ctl_out_of_memory();
        JSON_FOREACH_ELEMENT (object, objects)
                add(table, object);
        return table_print(table, headings);
}

ExitCode print_pools(const Ctl *ctl, Slice pools)
{
        return print_rows(ctl, pool_columns, _POOL_MAX, add_pool, pools, ctl->legend);
}

enum {
        WORKER_NAME,
        WORKER_STATE,
        WORKER_PID,
        WORKER_AGE,
        WORKER_TASKS,
        WORKER_TASK_AGE,
        WORKER_HEARTBEAT,
        WORKER_MEMORY,
        WORKER_DONE,
        WORKER_RESTARTS,
        _WORKER_MAX,
        WORKER_CGROUP_MEMORY = _WORKER_MAX,
        WORKER_PEAK,
        WORKER_CPU,
        WORKER_PROCESSES,
        WORKER_EXIT,
        _WORKER_WIDE_MAX,
};

static const Column worker_columns[_WORKER_WIDE_MAX] = {
        [WORKER_NAME] = { "WORKER", 0 },
        [WORKER_STATE] = { "STATE", 0 },
        [WORKER_PID] = { "PID", COLUMN_RIGHT },
        [WORKER_AGE] = { "AGE", COLUMN_RIGHT },
        [WORKER_TASKS] = { "TASKS", COLUMN_RIGHT },
        [WORKER_TASK_AGE] = { "SINCE", COLUMN_RIGHT },
        [WORKER_HEARTBEAT] = { "HEARTBEAT", COLUMN_RIGHT },
        [WORKER_MEMORY] = { "MEMORY", COLUMN_RIGHT },
        [WORKER_DONE] = { "DONE", COLUMN_RIGHT },
        [WORKER_RESTARTS] = { "RESTARTS", COLUMN_RIGHT },
        [WORKER_CGROUP_MEMORY] = { "CGROUP", COLUMN_RIGHT },
        [WORKER_PEAK] = { "PEAK", COLUMN_RIGHT },
        [WORKER_CPU] = { "CPU", COLUMN_RIGHT },
        [WORKER_PROCESSES] = { "PROCS", COLUMN_RIGHT },
        [WORKER_EXIT] = { "EXIT", 0 },
};

static void add_worker(Table *table, Slice worker)
{
        Slice tasks = member_array(worker, "tasks"), task = SLICE_NULL;
        _cleanup_free_ char *state = member_text(worker, "state");
        JsonWalk walk = json_walk(tasks);
        size_t n = array_length(tasks);
        Mood mood = mood_of(state);

        (void)json_next_element(&walk, &task);
        table_row(table);
        table_cell(table, WORKER_NAME, member_text(worker, "name"));
        table_cell(table, WORKER_STATE, TAKE_PTR(state));
        table_mood(table, WORKER_STATE, mood);
        table_cell(table, WORKER_PID, member_count(worker, "pid"));
        table_cell(table, WORKER_AGE, member_age(worker, "ageUsec"));
        table_cellf(table, WORKER_TASKS, "%zu", n);
        table_cell(table, WORKER_TASK_AGE, n > 0 ? member_age(task, "ageUsec") : NULL);
        table_cell(table, WORKER_HEARTBEAT, member_age(worker, "heartbeatAgeUsec"));
        table_cell(table, WORKER_MEMORY, member_bytes(worker, "memoryBytes"));
        table_cell(table, WORKER_DONE, member_count(worker, "processed"));
        table_cell(table, WORKER_RESTARTS, member_count(worker, "restarts"));
}

static void add_worker_wide(Table *table, Slice worker)
{
        Slice cgroup = member_object(worker, "cgroup");

        add_worker(table, worker);
        table_cell(table, WORKER_CGROUP_MEMORY, member_bytes(cgroup, "memoryBytes"));
        table_cell(table, WORKER_PEAK, member_bytes(cgroup, "memoryPeakBytes"));
        table_cell(table, WORKER_CPU, member_span(cgroup, "cpuUsec"));
        table_cell(table, WORKER_PROCESSES, member_count(cgroup, "processes"));
        table_cell(table, WORKER_EXIT, member_text(worker, "lastExitCause"));
}

ExitCode print_workers(const Ctl *ctl, Slice workers)
{
        return print_rows(ctl, worker_columns, _WORKER_MAX, add_worker, workers, ctl->legend);
}

enum {
        SOURCE_NAME,
        SOURCE_TYPE,
        SOURCE_STATE,
        SOURCE_WAITING,
        SOURCE_DELAYED,
        SOURCE_IN_PROGRESS,
        SOURCE_FINISHED,
        SOURCE_SIZE,
        SOURCE_FETCHED,
        SOURCE_COMMIT,
        SOURCE_PROBLEM,
        _SOURCE_MAX,
};

static const Column source_columns[_SOURCE_MAX] = {
        [SOURCE_NAME] = { "SOURCE", 0 },
        [SOURCE_TYPE] = { "TYPE", 0 },
        [SOURCE_STATE] = { "STATE", 0 },
        [SOURCE_WAITING] = { "WAITING", COLUMN_RIGHT },
        [SOURCE_DELAYED] = { "DELAYED", COLUMN_RIGHT },
        [SOURCE_IN_PROGRESS] = { "RUNNING", COLUMN_RIGHT },
        [SOURCE_FINISHED] = { "FINISHED", COLUMN_RIGHT },
        [SOURCE_SIZE] = { "SIZE", COLUMN_RIGHT },
        [SOURCE_FETCHED] = { "FETCHED", COLUMN_RIGHT },
        [SOURCE_COMMIT] = { "COMMIT", COLUMN_RIGHT },
        [SOURCE_PROBLEM] = { "PROBLEM", 0 },
};

static void add_source(Table *table, Slice source)
{
        _cleanup_free_ char *state = member_text(source, "state");
        Mood mood = mood_of(state);

        if (member_is_set(source, "server"))
                return;
        table_row(table);
        table_cell(table, SOURCE_NAME, member_text(source, "name"));
        table_cell(table, SOURCE_TYPE, member_text(source, "type"));
        table_cell(table, SOURCE_STATE, TAKE_PTR(state));
        table_mood(table, SOURCE_STATE, mood);
        table_cell(table, SOURCE_WAITING, member_count(source, "scheduled"));
        table_cell(table, SOURCE_DELAYED, member_count(source, "delayed"));
        table_cell(table, SOURCE_IN_PROGRESS, member_count(source, "inProgress"));
        table_cell(table, SOURCE_FINISHED, member_count(source, "finished"));
        table_cell(table, SOURCE_SIZE, member_bytes(source, "sizeBytes"));
        table_cell(table, SOURCE_FETCHED, member_age(source, "lastFetchAgeUsec"));
        table_cell(table, SOURCE_COMMIT, member_span(source, "lastCommitUsec"));
        table_cell(table, SOURCE_PROBLEM, member_text(member_object(source, "problem"), "message"));
}

enum {
        SERVER_NAME,
        SERVER_TYPE,
        SERVER_STATE,
        SERVER_IN_HAND,
        SERVER_OUTBOX,
        SERVER_OLDEST,
        SERVER_DEAD,
        SERVER_RESENT,
        SERVER_SIZE,
        SERVER_ANSWERED,
        SERVER_RETRY,
        SERVER_PROBLEM,
        _SERVER_MAX,
};

static const Column server_columns[_SERVER_MAX] = {
        [SERVER_NAME] = { "SERVER", 0 },
        [SERVER_TYPE] = { "TYPE", 0 },
        [SERVER_STATE] = { "STATE", 0 },
        [SERVER_IN_HAND] = { "HAND", COLUMN_RIGHT },
        [SERVER_OUTBOX] = { "OUTBOX", COLUMN_RIGHT },
        [SERVER_OLDEST] = { "OLDEST", COLUMN_RIGHT },
        [SERVER_DEAD] = { "DEAD", COLUMN_RIGHT },
        [SERVER_RESENT] = { "RESENT", COLUMN_RIGHT },
        [SERVER_SIZE] = { "SIZE", COLUMN_RIGHT },
        [SERVER_ANSWERED] = { "ANSWER", COLUMN_RIGHT },
        [SERVER_RETRY] = { "RETRY", COLUMN_RIGHT },
        [SERVER_PROBLEM] = { "PROBLEM", 0 },
};

static void add_server(Table *table, Slice source)
{
        Slice server = member_object(source, "server"), outbox = member_object(server, "outbox");
        _cleanup_free_ char *state = member_text(source, "state");
        Mood mood = mood_of(state);

        if (!member_is_set(source, "server"))
                return;
        table_row(table);
        table_cell(table, SERVER_NAME, member_text(source, "name"));
        table_cell(table, SERVER_TYPE, member_text(source, "type"));
        table_cell(table, SERVER_STATE, TAKE_PTR(state));
        table_mood(table, SERVER_STATE, mood);
        table_cell(table, SERVER_IN_HAND, member_count(outbox, "held"));
        table_cell(table, SERVER_OUTBOX, member_count(outbox, "waiting"));
        table_cell(table, SERVER_OLDEST, member_span(outbox, "oldestAgeUsec"));
        table_cell(table, SERVER_DEAD, member_count(outbox, "dead"));
        table_cell(table, SERVER_RESENT, member_count(server, "resent"));
        table_cell(table, SERVER_SIZE, member_bytes(outbox, "diskBytes"));
        table_cell(table, SERVER_ANSWERED, member_age(source, "lastFetchAgeUsec"));
        table_cell(table, SERVER_RETRY, member_span(server, "retryInUsec"));
        table_cell(table, SERVER_PROBLEM, member_text(member_object(source, "problem"), "message"));
}

/* Queues and servers have little in common: a table for each kind that there is. */
static ExitCode print_sources(const Ctl *ctl, Slice sources)
{
        size_t n = array_length(sources), n_servers = 0;
        ExitCode code = EXIT_DONE;
        Slice source;

        JSON_FOREACH_ELEMENT (source, sources)
                n_servers += member_is_set(source, "server");
        if (n > n_servers || n == 0)
                code = print_rows(ctl, source_columns, _SOURCE_MAX, add_source, sources,
                                  ctl->legend);
        if (n > n_servers && n_servers > 0 && ctl->legend)
                (void)printf("\n");
        if (code == EXIT_DONE && n_servers > 0)
                code = print_rows(ctl, server_columns, _SERVER_MAX, add_server, sources,
                                  ctl->legend);
        return code;
}

enum {
        TASK_ID,
        TASK_TYPE,
        TASK_STATUS,
        TASK_ATTEMPTS,
        TASK_SUBMITTED,
        TASK_NOTE,
        _TASK_MAX,
};

static const Column task_columns[_TASK_MAX] = {
        [TASK_ID] = { "TASK", 0 },
        [TASK_TYPE] = { "TYPE", 0 },
        [TASK_STATUS] = { "STATUS", 0 },
        [TASK_ATTEMPTS] = { "USED", COLUMN_RIGHT },
        [TASK_SUBMITTED] = { "SUBMITTED", COLUMN_RIGHT },
        [TASK_NOTE] = { "NOTE", COLUMN_CUT },
};

static void add_task(Table *table, Slice task)
{
        _cleanup_free_ char *status = member_text(task, "status");
        char *note = member_text(task, "reason");
        Mood mood = mood_of(status);

        if (!note)
                note = member_progress(task, "progress");
        table_row(table);
        table_cell(table, TASK_ID, member_text(task, "taskId"));
        table_cell(table, TASK_TYPE, member_text(task, "taskType"));
        table_cell(table, TASK_STATUS, TAKE_PTR(status));
        table_mood(table, TASK_STATUS, mood);
        table_cell(table, TASK_ATTEMPTS, member_count(task, "attempts"));
        table_cell(table, TASK_SUBMITTED, member_ago(task, "scheduledTime"));
        table_cell(table, TASK_NOTE, note);
}

static ExitCode take_output(const Arguments *arguments, bool *ret_wide)
{
        const char *output = arguments->options[POOLS_OUTPUT];

        *ret_wide = output;
        if (output && !streq(output, "wide"))
                return ctl_fail(EXIT_USAGE, "-o %s: only wide is known (and --json)", output);
        return EXIT_DONE;
}

ExitCode verb_list_pools(Ctl *ctl, const Arguments *arguments)
{
        ExitCode code;
        Slice reply;
        bool wide;

        code = take_output(arguments, &wide);
        if (code != EXIT_DONE)
                return code;
        code = ctl_call(ctl, "ListPools", NULL, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        if (!wide)
                return print_pools(ctl, member_array(reply, "pools"));
        return print_rows(ctl, pool_columns, _POOL_WIDE_MAX, add_pool_wide,
                          member_array(reply, "pools"), ctl->legend);
}

ExitCode verb_list_workers(Ctl *ctl, const Arguments *arguments)
{
        ExitCode code;
        Object params;
        Slice reply;
        bool wide;

        code = take_output(arguments, &wide);
        if (code != EXIT_DONE)
                return code;
        object_init(&params);
        object_string(&params, "pool", arguments->n_words > 0 ? arguments->words[0] : NULL);
        code = ctl_call(ctl, "ListWorkers", &params, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        if (!wide)
                return print_workers(ctl, member_array(reply, "workers"));
        return print_rows(ctl, worker_columns, _WORKER_WIDE_MAX, add_worker_wide,
                          member_array(reply, "workers"), ctl->legend);
}

ExitCode verb_list_sources(Ctl *ctl, const Arguments *arguments)
{
        ExitCode code;
        Slice reply;

        code = ctl_call(ctl, "ListSources", NULL, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        return print_sources(ctl, member_array(reply, "sources"));
}

/* userdata: whether a reply was printed. A million tasks come in many replies, and each is printed
 * as it comes; but not the one that only says that there are no more. */
static ExitCode on_tasks(Ctl *ctl, Slice reply, void *userdata)
{
        bool *printed = userdata, first = !*printed;
        Slice tasks = member_array(reply, "tasks");

        if (array_length(tasks) == 0 && (!ctl->json || !first))
                return EXIT_DONE;
        *printed = true;
        if (ctl->json)
                return ctl_print_json(reply);
        return print_rows(ctl, task_columns, _TASK_MAX, add_task, tasks, first && ctl->legend);
}

ExitCode verb_list_tasks(Ctl *ctl, const Arguments *arguments)
{
        const char *limit = arguments->options[LIST_LIMIT];
        bool printed = false;
        ExitCode code;
        Object params;
        uint64_t n = 0;

        if (limit && (parse_uint64(limit, &n) < 0 || n > INT64_MAX))
                return ctl_fail(EXIT_USAGE, "--limit %s is no number", limit);
        object_init(&params);
        code = add_filter(&params, arguments, NULL, 0);
        if (limit)
                object_integer(&params, "limit", (int64_t)n);
        if (code != EXIT_DONE) {
                object_deinit(&params);
                return code;
        }
        return ctl_call_more(ctl, "ListTasks", &params, false, on_tasks, &printed);
}
