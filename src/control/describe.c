/* SPDX-License-Identifier: Apache-2.0 */

#include "control/describe.h"

#include <stdio.h>
#include "build-config.h"
#include "base/json.h"
#include "base/log.h"
#include "base/own-unit.h"
#include "base/strv.h"
#include "control/describe-cgroup.h"
#include "control/object.h"

static usec_t age(usec_t now, usec_t then)
{
        return now > then ? now - then : 0;
}

static usec_t epoch_age_usec(int64_t now_msec, int64_t then_msec)
{
        return then_msec > 0 && now_msec > then_msec
                       ? (usec_t)(now_msec - then_msec) * USEC_PER_MSEC
                       : 0;
}

uint64_t daemon_memory_bytes(void)
{
        unsigned long long pages = 0;
        FILE *file = fopen("/proc/self/statm", "re");

        if (!file)
                return 0;
        if (fscanf(file, "%*u %llu", &pages) != 1)
                pages = 0;
        (void)fclose(file);
        return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Pools */

typedef struct TypeSum {
        const Pool *pool;
        PoolFigures *figures;
        int64_t oldest_msec;
} TypeSum;

static void add_type(const TypeStatus *type, void *userdata)
{
        TypeSum *sum = userdata;

        if (!strv_contains(pool_config(sum->pool)->task_type, type->type))
                return;
        sum->figures->n_queued += type->n_scheduled;
        sum->figures->n_delayed += type->n_delayed;
        if (type->oldest_msec > 0 &&
            (sum->oldest_msec == 0 || type->oldest_msec < sum->oldest_msec))
                sum->oldest_msec = type->oldest_msec;
}

static void add_server_figures(const Pool *pool, PoolFigures *figures)
{
        SubscriptionStatus *server = &figures->server;

        figures->has_server = true;
        source_get_subscription_status(pool_subscription(pool), server);
        figures->queued_known = server->n_queued >= 0;
        figures->n_queued = (uint64_t)MAX(server->n_queued, 0);
}

void pool_figures(const Pool *pool, PoolFigures *ret)
{
        PoolFigures figures = { .fetch_age_usec = USEC_INFINITY, .queued_known = true };
        TypeSum sum = { .pool = pool, .figures = &figures };
        SourceStatus source;

        pool_get_status(pool, &figures.status);
        source_visit_types(pool_source(pool), add_type, &sum);
        if (source_type(pool_source(pool)) == SOURCE_CONDUCTOR)
                add_server_figures(pool, &figures);
        figures.oldest_age_usec = epoch_age_usec(clock_epoch_msec(), sum.oldest_msec);
        pool_stats_percentiles(pool_stats(pool), &figures.run_p50_usec, &figures.run_p99_usec);
        source_get_status(pool_source(pool), &source);
        if (figures.has_server)
                source.last_fetch_usec = figures.server.last_poll_usec;
        if (source.last_fetch_usec > 0)
                figures.fetch_age_usec = age(clock_monotonic_usec(), source.last_fetch_usec);
        *ret = figures;
}

static json_object *describe_error(int64_t msec, const char *message, const char *remedy)
{
        OBJECT_CLEANUP Object object = object_new();

        object_add_int(&object, "time", msec);
        object_add_string(&object, "message", message);
        object_add_string(&object, "remedy", remedy);
        return object_take(&object);
}

static void add_counters(Object *object, const PoolStats *stats)
{
        const PoolCounters *n = &stats->total;

        object_add_uint(object, "processed", n->n_processed);
        object_add_uint(object, "completed", n->n_completed);
        object_add_uint(object, "failed", n->n_failed);
        object_add_uint(object, "retried", n->n_retried);
        object_add_uint(object, "canceled", n->n_canceled);
        object_add_uint(object, "handedBack", n->n_handed_back);
        object_add_uint(object, "crashes", n->n_crashes);
        object_add_double(object, "errorRate", pool_stats_error_rate(stats));
}

static json_object *describe_pool_at_server(const ConfigPool *config,
                                            const SubscriptionStatus *status)
{
        OBJECT_CLEANUP Object object = object_new();

        object_add_string(&object, "domain", config->domain);
        object_add_string(&object, "workerId", status->worker_id);
        object_add_uint(&object, "polls", status->n_polls);
        object_add_uint(&object, "polled", status->n_polled);
        object_add_uint(&object, "inHand", status->n_in_hand);
        object_add_uint(&object, "completed", status->n_completed);
        object_add_uint(&object, "failed", status->n_failed);
        object_add_uint(&object, "putBack", status->n_put_back);
        object_add_uint(&object, "handedBack", status->n_handed_back);
        object_add_uint(&object, "canceled", status->n_canceled);
        object_add_uint(&object, "pollLatencyUsec", status->poll_latency_usec);
        object_add_string(&object, "problem", status->problem);
        return object_take(&object);
}

static json_object *describe_pool(const Manager *manager, const Pool *pool)
{
        OBJECT_CLEANUP Object object = object_new();
        const ConfigPool *config = pool_config(pool);
        const PoolStats *stats = pool_stats(pool);
        PoolFigures figures;

        pool_figures(pool, &figures);
        object_add_string(&object, "name", config->name);
        object_add_string(&object, "source", config->source);
        object_add_strings(&object, "taskTypes", config->task_type);
        object_add_string(&object, "mode", handler_mode_to_string(config->handler.mode));
        object_add_string(&object, "state", pool_state_to_string(pool_state(pool)));
        object_add_bool(&object, "paused", figures.status.paused);
        object_add_bool(&object, "fetching", figures.status.fetching);
        object_add_int(&object, "wantedWorkers", figures.status.n_wanted);
        object_add_int(&object, "runningWorkers", figures.status.n_running);
        object_add_int(&object, "busyWorkers", figures.status.n_busy);
        object_add_int(&object, "concurrency", config->concurrency);
        object_add_int(&object, "tasksInHand", figures.status.n_in_hand);
        add_counters(&object, stats);
        if (figures.queued_known)
                object_add_uint(&object, "queued", figures.n_queued);
        object_add_uint(&object, "delayed", figures.n_delayed);
        object_add_uint(&object, "oldestAgeUsec", figures.oldest_age_usec);
        if (figures.has_server)
                object_add(&object, "server", describe_pool_at_server(config, &figures.server));
        object_add_uint(&object, "runP50Usec", figures.run_p50_usec);
        object_add_uint(&object, "runP99Usec", figures.run_p99_usec);
        object_add(&object, "unenforced",
                   describe_unenforced(config, cgroups_controllers(manager_cgroups(manager))));
        describe_pool_cgroup(&object, manager_cgroups(manager), config->name);
        if (config->working_directory_is_read_only)
                object_add_string(&object, "readOnlyDirectory", config->working_directory);
        if (stats->error_msec > 0)
                object_add(&object, "lastError",
                           describe_error(stats->error_msec, stats->error, stats->error_remedy));
        if (figures.fetch_age_usec < USEC_INFINITY)
                object_add_uint(&object, "lastFetchAgeUsec", figures.fetch_age_usec);
        return object_take(&object);
}

json_object *describe_pools(const Manager *manager)
{
        json_object *array = json_object_new_array();

        for (size_t i = 0; i < manager_n_pools(manager); i++)
                array_add(&array, describe_pool(manager, manager_pool(manager, i)));
        for (size_t i = 0; i < manager_n_retiring(manager); i++)
                array_add(&array, describe_pool(manager, manager_retiring(manager, i)));
        return array;
}

/* Sources */

static const char *source_type_word(SourceType type)
{
        switch (type) {
        case SOURCE_QUEUE:
                return "queue";
        case SOURCE_CONDUCTOR:
                return "conductor";
        default:
                return "unknown";
        }
}

static json_object *describe_outbox(const Outbox *outbox)
{
        OBJECT_CLEANUP Object object = object_new();
        OutboxStatus status;

        outbox_get_status(outbox, &status);
        object_add_uint(&object, "held", status.n_held);
        object_add_uint(&object, "waiting", status.n_waiting);
        object_add_uint(&object, "dead", status.n_dead);
        object_add_uint(&object, "sizeBytes", status.bytes);
        object_add_uint(&object, "diskBytes", status.disk_bytes);
        object_add_uint(&object, "oldestAgeUsec",
                        epoch_age_usec(clock_epoch_msec(), status.oldest_msec));
        object_add_bool(&object, "full", outbox_is_high(outbox));
        return object_take(&object);
}

static json_object *describe_server(Source *source, const SourceStatus *status)
{
        OBJECT_CLEANUP Object object = object_new();
        usec_t now = clock_monotonic_usec();

        object_add_string(&object, "cause", status->cause);
        object_add_uint(&object, "failures", status->n_failures);
        if (status->retry_usec > now)
                object_add_uint(&object, "retryInUsec", status->retry_usec - now);
        object_add_bool(&object, "sweeps", !status->sweep_problem);
        object_add_string(&object, "sweepProblem", status->sweep_problem);
        object_add_uint(&object, "cancelDelayUsec", status->watch_usec);
        object_add_uint(&object, "resent", status->n_resent);
        object_add(&object, "outbox", describe_outbox(conductor_outbox(source)));
        return object_take(&object);
}

static int64_t problem_msec(const SourceStatus *status)
{
        usec_t lasted =
                status->problem_usec > 0 ? age(clock_monotonic_usec(), status->problem_usec) : 0;

        return clock_epoch_msec() - (int64_t)(lasted / USEC_PER_MSEC);
}

static json_object *describe_source(Source *source)
{
        OBJECT_CLEANUP Object object = object_new();
        usec_t now = clock_monotonic_usec();
        SourceStatus status;

        source_get_status(source, &status);
        object_add_string(&object, "name", source_name(source));
        object_add_string(&object, "type", source_type_word(source_type(source)));
        object_add_string(&object, "state", status.state);
        if (status.problem)
                object_add(&object, "problem",
                           describe_error(problem_msec(&status), status.problem, NULL));
        object_add_uint(&object, "scheduled", status.n_scheduled);
        object_add_uint(&object, "delayed", status.n_delayed);
        object_add_uint(&object, "inProgress", status.n_in_progress);
        object_add_uint(&object, "finished", status.n_finished);
        object_add_uint(&object, "submitted", status.n_submitted);
        object_add_uint(&object, "settled", status.n_settled);
        object_add_uint(&object, "sizeBytes", status.bytes);
        if (status.last_fetch_usec > 0)
                object_add_uint(&object, "lastFetchAgeUsec", age(now, status.last_fetch_usec));
        object_add_uint(&object, "lastCommitUsec", status.last_sync_usec);
        object_add_uint(&object, "stallUsec", status.stall_usec);
        if (source_type(source) == SOURCE_CONDUCTOR)
                object_add(&object, "server", describe_server(source, &status));
        return object_take(&object);
}

json_object *describe_sources(const Manager *manager)
{
        json_object *array = json_object_new_array();

        for (size_t i = 0; i < manager_n_sources(manager); i++)
                array_add(&array, describe_source(manager_source(manager, i)));
        return array;
}

typedef struct UnservedWalk {
        const Source *source;
        int64_t now_msec;
        unserved_visitor_t visitor;
        void *userdata;
} UnservedWalk;

static void visit_type(const TypeStatus *status, void *userdata)
{
        const UnservedWalk *walk = userdata;
        UnservedType type = {
                .source = walk->source,
                .type = status->type,
                .n_queued = status->n_scheduled,
                .oldest_age_usec = epoch_age_usec(walk->now_msec, status->oldest_msec),
        };

        if (!status->served && status->n_scheduled > 0)
                walk->visitor(&type, walk->userdata);
}

void visit_unserved(const Manager *manager, unserved_visitor_t visitor, void *userdata)
{
        for (size_t i = 0; i < manager_n_sources(manager); i++) {
                UnservedWalk walk = {
                        .source = manager_source(manager, i),
                        .now_msec = clock_epoch_msec(),
                        .visitor = visitor,
                        .userdata = userdata,
                };

                source_visit_types(manager_source(manager, i), visit_type, &walk);
        }
}

static void add_unserved(const UnservedType *type, void *userdata)
{
        json_object **array = userdata;
        OBJECT_CLEANUP Object object = object_new();

        object_add_string(&object, "source", source_name(type->source));
        object_add_string(&object, "type", type->type);
        object_add_uint(&object, "queued", type->n_queued);
        object_add_uint(&object, "oldestAgeUsec", type->oldest_age_usec);
        array_add(array, object_take(&object));
}

/* Workers */

/* What json-c cannot take is left out. */
static void add_progress(Object *object, Slice progress)
{
        struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
        json_object *json;

        if (!tokener)
                return;
        json = json_tokener_parse_ex(tokener, progress.data, (int)progress.size);
        if (json)
                object_add(object, "progress", json);
        json_tokener_free(tokener);
}

static void add_task_in_hand(const WorkerTaskStatus *status, void *userdata)
{
        json_object **array = userdata;
        OBJECT_CLEANUP Object object = object_new();
        const Task *task = status->task;

        object_add_string(&object, "taskId", task->id);
        object_add_string(&object, "taskType", task->type);
        object_add_uint(&object, "ageUsec", age(clock_monotonic_usec(), status->started_usec));
        object_add_int(&object, "attempt", (int64_t)task->retry_count + 1);
        if (status->progress.size > 0)
                add_progress(&object, status->progress);
        object_add_bool(&object, "cancelled", status->cancelled);
        array_add(array, object_take(&object));
}

static json_object *describe_worker(const Pool *pool, const PoolWorkerStatus *worker)
{
        OBJECT_CLEANUP Object object = object_new();
        usec_t now = clock_monotonic_usec();
        json_object *tasks = json_object_new_array();
        WorkerStatus status;

        worker_get_status(worker->worker, &status);
        worker_visit_tasks(worker->worker, add_task_in_hand, &tasks);
        object_add_string(&object, "name", worker_name(worker->worker));
        object_add_string(&object, "pool", pool_name(pool));
        object_add_string(&object, "state", worker->state);
        if (status.pid > 0)
                object_add_int(&object, "pid", status.pid);
        if (status.started_usec > 0)
                object_add_uint(&object, "ageUsec", age(now, status.started_usec));
        object_add(&object, "tasks", tasks);
        if (status.heartbeat_usec > 0)
                object_add_uint(&object, "heartbeatAgeUsec", age(now, status.heartbeat_usec));
        object_add_string(&object, "statusText", status.status_text);
        if (status.memory_bytes > 0)
                object_add_uint(&object, "memoryBytes", status.memory_bytes);
        if (status.cgroup)
                object_add(&object, "cgroup", describe_cgroup(status.cgroup));
        object_add_uint(&object, "processed", status.n_done_total);
        object_add_int(&object, "restarts", status.n_starts > 0 ? status.n_starts - 1 : 0);
        if (status.last_exit_msec > 0) {
                object_add_string(&object, "lastExit", status.last_exit.text);
                object_add_string(&object, "lastExitCause",
                                  worker_exit_cause_to_string(status.last_exit.cause));
                object_add_int(&object, "lastExitTime", status.last_exit_msec);
        }
        return object_take(&object);
}

typedef struct WorkerWalk {
        const Pool *pool;
        const char *name;
        json_object *array;
} WorkerWalk;

static void add_worker(const PoolWorkerStatus *status, void *userdata)
{
        WorkerWalk *walk = userdata;

        if (!walk->name || streq(walk->name, worker_name(status->worker)))
                array_add(&walk->array, describe_worker(walk->pool, status));
}

/* wanted: the name of the only pool whose workers are; NULL: all. */
static void add_workers(WorkerWalk *walk, const Pool *pool, const char *wanted)
{
        walk->pool = pool;
        if (!wanted || streq(wanted, pool_name(pool)))
                pool_visit_workers(pool, add_worker, walk);
}

json_object *describe_workers(const Manager *manager, const char *pool, const char *name)
{
        WorkerWalk walk = { .name = name, .array = json_object_new_array() };

        for (size_t i = 0; i < manager_n_pools(manager); i++)
                add_workers(&walk, manager_pool(manager, i), pool);
        for (size_t i = 0; i < manager_n_retiring(manager); i++)
                add_workers(&walk, manager_retiring(manager, i), pool);
        return walk.array;
}

/* The daemon */

static const char *state_word(const Manager *manager)
{
        switch (manager_state(manager)) {
        case MANAGER_STARTING:
                return "starting";
        case MANAGER_DRAINING:
                return "draining";
        default:
                break;
        }
        for (size_t i = 0; i < manager_n_pools(manager); i++) {
                PoolState state = pool_state(manager_pool(manager, i));

                if (state == POOL_STATE_DEGRADED || state == POOL_STATE_FAILED ||
                    state == POOL_STATE_BACKOFF)
                        return "degraded";
        }
        for (size_t i = 0; i < manager_n_sources(manager); i++) {
                SourceStatus status;

                source_get_status(manager_source(manager, i), &status);
                if (!streq(status.state, "ok"))
                        return "degraded";
        }
        return "running";
}

static json_object *describe_log(void)
{
        OBJECT_CLEANUP Object object = object_new();
        _cleanup_free_ char *unit = NULL;
        bool user = false;

        (void)own_unit(&unit, &user);
        object_add_bool(&object, "journal", log_to_journal());
        object_add_string(&object, "unit", unit);
        object_add_bool(&object, "user", user);
        object_add_uint(&object, "uid", geteuid());
        object_add_uint(&object, "dropped", log_n_dropped());
        return object_take(&object);
}

json_object *describe_status(const Manager *manager)
{
        OBJECT_CLEANUP Object object = object_new();
        json_object *unserved = json_object_new_array();

        visit_unserved(manager, add_unserved, &unserved);
        object_add_string(&object, "version", YARDMASTER_VERSION);
        object_add_int(&object, "pid", getpid());
        object_add_string(&object, "state", state_word(manager));
        object_add_string(&object, "statusText", manager_status_text(manager));
        object_add_uint(&object, "ageUsec",
                        age(clock_monotonic_usec(), manager_started_usec(manager)));
        object_add_uint(&object, "memoryBytes", daemon_memory_bytes());
        object_add_string(&object, "config", manager_config(manager)->path);
        object_add_int(&object, "configTime", manager_config_msec(manager));
        object_add_string(&object, "configProblem", manager_config_problem(manager));
        object_add(&object, "pools", describe_pools(manager));
        object_add(&object, "sources", describe_sources(manager));
        object_add(&object, "cgroups", describe_cgroups(manager_cgroups(manager)));
        object_add(&object, "unserved", unserved);
        object_add_uint(&object, "eventsDropped", manager_n_events_dropped(manager));
        object_add(&object, "log", describe_log());
        return object_take(&object);
}
