/* SPDX-License-Identifier: Apache-2.0 */

#include "control/metrics.h"

#include <math.h>
#include <stdio.h>
#include "base/cgroup.h"
#include "base/log.h"
#include "build-config.h"
#include "control/describe.h"

/* What a sample is taken from: one of pool, source or neither. */
typedef struct Sample {
        const Manager *manager;
        const Pool *pool;
        PoolFigures figures;
        PoolCounters n;
        Source *source;
        SourceStatus status;
        OutboxStatus outbox;  /* of a server */
        CgroupFigures cgroup; /* of a pool */
        bool has_cgroup;
        WorkerExitCause cause; /* of which this is the sample */
} Sample;

/* SERVER: the sources that are one; POOL_SERVER: the pools on them; POOL_CGROUP: those with one. */
typedef enum Scope {
        SCOPE_DAEMON,
        SCOPE_POOL,
        SCOPE_POOL_SERVER,
        SCOPE_POOL_CGROUP,
        SCOPE_POOL_CAUSE, /* a sample for each cause of an exit */
        SCOPE_SOURCE,
        SCOPE_SERVER,
} Scope;

typedef struct Family {
        const char *name; /* after "yardmaster_" */
        const char *type;
        const char *help;
        Scope scope;
        double (*get)(const Sample *sample);
} Family;

#define SECONDS(usec) ((double)(usec) / (double)USEC_PER_SEC)
/* A kernel before 5.19 has no peak, and a group only the files of its controllers. */
#define KNOWN(figure) ((figure) == UINT64_MAX ? NAN : (double)(figure))

#define DEFINE_GETTER(name, expression)           \
        static double get_##name(const Sample *s) \
        {                                         \
                return (double)(expression);      \
        }

DEFINE_GETTER(build_info, 1)
DEFINE_GETTER(start_time, SECONDS(clock_monotonic_usec() - manager_started_usec(s->manager)))
DEFINE_GETTER(memory, daemon_memory_bytes())
DEFINE_GETTER(draining, manager_state(s->manager) == MANAGER_DRAINING)
DEFINE_GETTER(config_time, (double)manager_config_msec(s->manager) / 1000)
DEFINE_GETTER(config_rejected, manager_config_problem(s->manager) != NULL)
DEFINE_GETTER(events_dropped, manager_n_events_dropped(s->manager))
DEFINE_GETTER(log_dropped, log_n_dropped())
DEFINE_GETTER(stall, SECONDS(manager_stall_usec(s->manager)))

DEFINE_GETTER(pool_up, s->figures.status.n_running > 0 || s->figures.status.n_wanted == 0)
DEFINE_GETTER(pool_failed, pool_state(s->pool) == POOL_STATE_FAILED)
DEFINE_GETTER(pool_paused, s->figures.status.paused)
DEFINE_GETTER(pool_fetching, s->figures.status.fetching)
DEFINE_GETTER(pool_wanted, s->figures.status.n_wanted)
DEFINE_GETTER(pool_running, s->figures.status.n_running)
DEFINE_GETTER(pool_busy, s->figures.status.n_busy)
DEFINE_GETTER(pool_in_hand, s->figures.status.n_in_hand)
DEFINE_GETTER(pool_processed, s->n.n_processed)
DEFINE_GETTER(pool_completed, s->n.n_completed)
DEFINE_GETTER(pool_task_failures, s->n.n_failed)
DEFINE_GETTER(pool_retried, s->n.n_retried)
DEFINE_GETTER(pool_canceled, s->n.n_canceled)
DEFINE_GETTER(pool_handed_back, s->n.n_handed_back)
DEFINE_GETTER(pool_crashes, s->n.n_crashes)
DEFINE_GETTER(pool_starts, s->n.n_starts)
DEFINE_GETTER(pool_error_ratio, pool_stats_error_rate(pool_stats(s->pool)))
DEFINE_GETTER(pool_queued, s->figures.n_queued)
DEFINE_GETTER(pool_oldest, SECONDS(s->figures.oldest_age_usec))
DEFINE_GETTER(pool_exits, s->n.n_exits[s->cause])
DEFINE_GETTER(pool_memory, KNOWN(s->cgroup.memory_bytes))
DEFINE_GETTER(pool_memory_peak, KNOWN(s->cgroup.memory_peak_bytes))
DEFINE_GETTER(pool_cpu, SECONDS(KNOWN(s->cgroup.cpu_usec)))
DEFINE_GETTER(pool_processes, KNOWN(s->cgroup.n_processes))
DEFINE_GETTER(pool_run_p50, SECONDS(s->figures.run_p50_usec))
DEFINE_GETTER(pool_run_p99, SECONDS(s->figures.run_p99_usec))

DEFINE_GETTER(source_up, streq(s->status.state, "ok"))
DEFINE_GETTER(source_scheduled, s->status.n_scheduled)
DEFINE_GETTER(source_delayed, s->status.n_delayed)
DEFINE_GETTER(source_in_progress, s->status.n_in_progress)
DEFINE_GETTER(source_finished, s->status.n_finished)
DEFINE_GETTER(source_submitted, s->status.n_submitted)
DEFINE_GETTER(source_settled, s->status.n_settled)
DEFINE_GETTER(source_bytes, s->status.bytes)
DEFINE_GETTER(source_commit, SECONDS(s->status.last_sync_usec))
DEFINE_GETTER(source_fetch_age, s->status.last_fetch_usec > 0 ? SECONDS(clock_monotonic_usec() -
                                                                        s->status.last_fetch_usec)
                                                              : -1)

DEFINE_GETTER(pool_polls, s->figures.server.n_polls)
DEFINE_GETTER(pool_polled, s->figures.server.n_polled)
DEFINE_GETTER(pool_accepted, s->figures.server.n_completed + s->figures.server.n_failed)
DEFINE_GETTER(pool_poll_latency, SECONDS(s->figures.server.poll_latency_usec))
DEFINE_GETTER(pool_last_poll,
              s->figures.fetch_age_usec < USEC_INFINITY ? SECONDS(s->figures.fetch_age_usec) : -1)

DEFINE_GETTER(server_failures, s->status.n_failures)
DEFINE_GETTER(server_resent, s->status.n_resent)
DEFINE_GETTER(server_held, s->outbox.n_held)
DEFINE_GETTER(server_waiting, s->outbox.n_waiting)
DEFINE_GETTER(server_dead, s->outbox.n_dead)
DEFINE_GETTER(server_oldest,
              s->outbox.oldest_msec > 0
                      ? (double)MAX(clock_epoch_msec() - s->outbox.oldest_msec, 0) / 1000
                      : 0)
DEFINE_GETTER(server_outbox_bytes, s->outbox.bytes)

/* clang-format off */
static const Family families[] = {
        { "build_info", "gauge", "Always 1; the version is a label", SCOPE_DAEMON, get_build_info },
        { "uptime_seconds", "gauge", "Since the daemon's start", SCOPE_DAEMON, get_start_time },
        { "memory_bytes", "gauge", "Resident memory of the daemon", SCOPE_DAEMON, get_memory },
        { "draining", "gauge", "1 while the daemon drains", SCOPE_DAEMON, get_draining },
        { "config_loaded_timestamp_seconds", "gauge", "When the configuration in effect was loaded", SCOPE_DAEMON, get_config_time },
        { "config_rejected", "gauge", "1 if the last reload was refused", SCOPE_DAEMON, get_config_rejected },
        { "events_dropped_total", "counter", "Events that on_event was too slow for", SCOPE_DAEMON, get_events_dropped },
        { "log_lines_dropped_total", "counter", "Lines of the log that nobody took", SCOPE_DAEMON, get_log_dropped },
        { "storage_stall_seconds", "gauge", "How long the storage has been at its current job", SCOPE_DAEMON, get_stall },

        { "pool_up", "gauge", "1 if a worker is ready, or none is wanted", SCOPE_POOL, get_pool_up },
        { "pool_failed", "gauge", "1 if the pool cannot run", SCOPE_POOL, get_pool_failed },
        { "pool_paused", "gauge", "1 if the pool is paused", SCOPE_POOL, get_pool_paused },
        { "pool_fetching", "gauge", "1 if the pool takes tasks as soon as a worker is free", SCOPE_POOL, get_pool_fetching },
        { "pool_workers_wanted", "gauge", "Workers the pool should have", SCOPE_POOL, get_pool_wanted },
        { "pool_workers_running", "gauge", "Workers that are ready or hold a task", SCOPE_POOL, get_pool_running },
        { "pool_workers_busy", "gauge", "Workers that hold a task", SCOPE_POOL, get_pool_busy },
        { "pool_tasks_in_hand", "gauge", "Tasks the pool holds", SCOPE_POOL, get_pool_in_hand },
        { "pool_tasks_processed_total", "counter", "Executions that ended", SCOPE_POOL, get_pool_processed },
        { "pool_tasks_completed_total", "counter", "Executions that completed their task", SCOPE_POOL, get_pool_completed },
        { "pool_tasks_failed_total", "counter", "Executions that failed", SCOPE_POOL, get_pool_task_failures },
        { "pool_tasks_retried_total", "counter", "Failed executions that were followed by another", SCOPE_POOL, get_pool_retried },
        { "pool_tasks_canceled_total", "counter", "Tasks stopped because their result was not wanted any more", SCOPE_POOL, get_pool_canceled },
        { "pool_tasks_handed_back_total", "counter", "Tasks handed back without an execution", SCOPE_POOL, get_pool_handed_back },
        { "pool_worker_crashes_total", "counter", "Workers that ended by themselves or had to be killed", SCOPE_POOL, get_pool_crashes },
        { "pool_worker_starts_total", "counter", "Workers started", SCOPE_POOL, get_pool_starts },
        { "pool_worker_exits_total", "counter", "Processes of workers that ended, by cause; of per-task commands only those that were killed", SCOPE_POOL_CAUSE, get_pool_exits },
        { "pool_memory_bytes", "gauge", "Memory of the pool's workers, page cache included", SCOPE_POOL_CGROUP, get_pool_memory },
        { "pool_memory_peak_bytes", "gauge", "The most it has been", SCOPE_POOL_CGROUP, get_pool_memory_peak },
        { "pool_cpu_seconds_total", "counter", "CPU time of the pool's workers", SCOPE_POOL_CGROUP, get_pool_cpu },
        { "pool_processes", "gauge", "Processes and threads of the pool's workers", SCOPE_POOL_CGROUP, get_pool_processes },
        { "pool_error_ratio", "gauge", "Failed executions among the last 100", SCOPE_POOL, get_pool_error_ratio },
        { "pool_queued_tasks", "gauge", "Tasks that wait at the source for this pool", SCOPE_POOL, get_pool_queued },
        { "pool_oldest_task_age_seconds", "gauge", "How long the oldest due task has waited", SCOPE_POOL, get_pool_oldest },
        { "pool_run_p50_seconds", "gauge", "Median run time of the last 512 executions", SCOPE_POOL, get_pool_run_p50 },
        { "pool_run_p99_seconds", "gauge", "99th percentile of the run time of the last 512 executions", SCOPE_POOL, get_pool_run_p99 },

        { "pool_server_polls", "gauge", "Polls under way", SCOPE_POOL_SERVER, get_pool_polls },
        { "pool_server_polled_total", "counter", "Tasks that came from the server", SCOPE_POOL_SERVER, get_pool_polled },
        { "pool_server_accepted_total", "counter", "Final results that the server accepted", SCOPE_POOL_SERVER, get_pool_accepted },
        { "pool_server_poll_seconds", "gauge", "How long the last poll that brought tasks at once took", SCOPE_POOL_SERVER, get_pool_poll_latency },
        { "pool_server_last_poll_age_seconds", "gauge", "Since the last poll that was answered well; -1: none yet", SCOPE_POOL_SERVER, get_pool_last_poll },

        { "source_up", "gauge", "1 if the source is ok", SCOPE_SOURCE, get_source_up },
        { "source_tasks_scheduled", "gauge", "Waiting tasks, delayed ones included", SCOPE_SOURCE, get_source_scheduled },
        { "source_tasks_delayed", "gauge", "Waiting tasks that are not due yet", SCOPE_SOURCE, get_source_delayed },
        { "source_tasks_in_progress", "gauge", "Tasks at a pool", SCOPE_SOURCE, get_source_in_progress },
        { "source_tasks_finished", "gauge", "Finished tasks that are kept", SCOPE_SOURCE, get_source_finished },
        { "source_submitted_total", "counter", "Tasks submitted", SCOPE_SOURCE, get_source_submitted },
        { "source_settled_total", "counter", "Tasks settled", SCOPE_SOURCE, get_source_settled },
        { "source_size_bytes", "gauge", "Size on disk", SCOPE_SOURCE, get_source_bytes },
        { "source_last_commit_seconds", "gauge", "How long the last commit took", SCOPE_SOURCE, get_source_commit },
        { "source_last_fetch_age_seconds", "gauge", "Since the last successful fetch; -1: none yet", SCOPE_SOURCE, get_source_fetch_age },

        { "server_failures", "gauge", "Failed requests in a row", SCOPE_SERVER, get_server_failures },
        { "server_resent_total", "counter", "Messages sent more than once", SCOPE_SERVER, get_server_resent },
        { "server_tasks_held", "gauge", "Tasks in hand, as the outbox has them on disk", SCOPE_SERVER, get_server_held },
        { "server_outbox_waiting", "gauge", "Messages that the server has not accepted yet", SCOPE_SERVER, get_server_waiting },
        { "server_outbox_dead", "gauge", "Messages that the server refused for good", SCOPE_SERVER, get_server_dead },
        { "server_outbox_oldest_age_seconds", "gauge", "Age of the oldest waiting message", SCOPE_SERVER, get_server_oldest },
        { "server_outbox_bytes", "gauge", "Size of what the outbox holds", SCOPE_SERVER, get_server_outbox_bytes },
};
/* clang-format on */

/* A label's value: backslash, quote and newline are escaped. */
static int append_label(Buffer *buffer, const char *value)
{
        int r = 0;

        for (const char *p = value; *p && r >= 0; p++) {
                if (*p == '\n')
                        r = buffer_append_string(buffer, "\\n");
                else if (*p == '\\' || *p == '"')
                        r = buffer_appendf(buffer, "\\%c", *p);
                else
                        r = buffer_append_byte(buffer, *p);
        }
        return r;
}

static int append_labels(Buffer *buffer, const Family *family, const Sample *sample)
{
        const char *key, *value;
        int r;

        switch (family->scope) {
        case SCOPE_POOL:
        case SCOPE_POOL_SERVER:
        case SCOPE_POOL_CGROUP:
        case SCOPE_POOL_CAUSE:
                key = "pool";
                value = pool_name(sample->pool);
                break;
        case SCOPE_SOURCE:
        case SCOPE_SERVER:
                key = "source";
                value = source_name(sample->source);
                break;
        default:
                if (family->get != get_build_info)
                        return 0;
                key = "version";
                value = YARDMASTER_VERSION;
        }
        r = buffer_appendf(buffer, "{%s=\"", key);
        if (r >= 0)
                r = append_label(buffer, value);
        if (r >= 0 && family->scope == SCOPE_POOL_CAUSE)
                r = buffer_appendf(buffer, "\",cause=\"%s",
                                   worker_exit_cause_to_string(sample->cause));
        return r < 0 ? r : buffer_append_string(buffer, "\"}");
}

static int append_sample(Buffer *buffer, const Family *family, const Sample *sample)
{
        int r;

        r = buffer_appendf(buffer, "yardmaster_%s", family->name);
        if (r >= 0)
                r = append_labels(buffer, family, sample);
        return r < 0 ? r : buffer_appendf(buffer, " %.15g\n", family->get(sample));
}

static bool is_of(const Family *family, const Sample *sample)
{
        switch (family->scope) {
        case SCOPE_POOL_SERVER:
                return sample->figures.has_server;
        case SCOPE_POOL_CGROUP:
                return sample->has_cgroup && !isnan(family->get(sample));
        case SCOPE_SERVER:
                return source_type(sample->source) == SOURCE_CONDUCTOR;
        default:
                return true;
        }
}

static bool is_optional(Scope scope)
{
        return scope == SCOPE_SERVER || scope == SCOPE_POOL_SERVER || scope == SCOPE_POOL_CGROUP;
}

/* Families of servers and cgroups are left out where there is none. */
static bool has_samples(const Family *family, const Sample *samples, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (is_of(family, &samples[i]))
                        return true;
        return !is_optional(family->scope);
}

static int append_causes(Buffer *buffer, const Family *family, const Sample *pool)
{
        Sample sample = *pool;
        int r = 0;

        for (int cause = 0; cause < _WORKER_EXIT_CAUSE_MAX && r >= 0; cause++) {
                sample.cause = (WorkerExitCause)cause;
                r = append_sample(buffer, family, &sample);
        }
        return r;
}

static int append_family(Buffer *buffer, const Family *family, const Sample *samples, size_t n)
{
        int r;

        if (!has_samples(family, samples, n))
                return 0;
        r = buffer_appendf(buffer, "# HELP yardmaster_%s %s\n# TYPE yardmaster_%s %s\n",
                           family->name, family->help, family->name, family->type);
        for (size_t i = 0; i < n && r >= 0; i++)
                if (family->scope == SCOPE_POOL_CAUSE)
                        r = append_causes(buffer, family, &samples[i]);
                else if (is_of(family, &samples[i]))
                        r = append_sample(buffer, family, &samples[i]);
        return r;
}

static void sample_cgroup(Sample *sample)
{
        const Cgroups *cgroups = manager_cgroups(sample->manager);
        char path[CGROUP_PATH_SIZE];

        if (cgroups_controllers(cgroups) == 0 ||
            cgroups_pool_path(cgroups, pool_name(sample->pool), path) < 0)
                return;
        cgroup_read_figures(path, &sample->cgroup);
        sample->has_cgroup = true;
}

static Sample *sample_pools(const Manager *manager, size_t *ret_n)
{
        size_t n = manager_n_pools(manager);
        Sample *samples = calloc(n + 1, sizeof(Sample));

        for (size_t i = 0; samples && i < n; i++) {
                samples[i].manager = manager;
                samples[i].pool = manager_pool(manager, i);
                pool_figures(samples[i].pool, &samples[i].figures);
                samples[i].n = pool_stats(samples[i].pool)->total;
                sample_cgroup(&samples[i]);
        }
        *ret_n = n;
        return samples;
}

static Sample *sample_sources(const Manager *manager, size_t *ret_n)
{
        size_t n = manager_n_sources(manager);
        Sample *samples = calloc(n + 1, sizeof(Sample));

        for (size_t i = 0; samples && i < n; i++) {
                samples[i].manager = manager;
                samples[i].source = manager_source(manager, i);
                source_get_status(samples[i].source, &samples[i].status);
                if (source_type(samples[i].source) == SOURCE_CONDUCTOR)
                        outbox_get_status(conductor_outbox(samples[i].source), &samples[i].outbox);
        }
        *ret_n = n;
        return samples;
}

int metrics_append(Buffer *buffer, const Manager *manager)
{
        _cleanup_free_ Sample *pools = NULL, *sources = NULL;
        const Sample daemon = { .manager = manager };
        size_t n_pools, n_sources;
        int r = 0;

        pools = sample_pools(manager, &n_pools);
        sources = sample_sources(manager, &n_sources);
        if (!pools || !sources)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(families) && r >= 0; i++) {
                const Family *family = &families[i];

                switch (family->scope) {
                case SCOPE_DAEMON:
                        r = append_family(buffer, family, &daemon, 1);
                        break;
                case SCOPE_POOL:
                case SCOPE_POOL_SERVER:
                case SCOPE_POOL_CGROUP:
                case SCOPE_POOL_CAUSE:
                        r = append_family(buffer, family, pools, n_pools);
                        break;
                case SCOPE_SOURCE:
                case SCOPE_SERVER:
                        r = append_family(buffer, family, sources, n_sources);
                        break;
                }
        }
        return r;
}
