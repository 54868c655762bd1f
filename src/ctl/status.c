/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl status: the whole at one glance, a pool, or a worker. */

#include <stdio.h>
#include "ctl/details.h"
#include "ctl/list.h"
#include "ctl/object.h"
#include "ctl/reply.h"
#include "ctl/table.h"
#include "ctl/verbs.h"

/* The end of a line that says when. */
static void print_ago(const char *age, const char *otherwise)
{
        (void)printf("%s%s\n", age ?: otherwise, age && !streq(age, "now") ? " ago" : "");
}

static void print_state(const Ctl *ctl, const char *label, const char *state, const char *rest)
{
        Mood mood = mood_of(state);

        print_label(label);
        (void)printf("%s%s%s%s\n", mood_begin(ctl, mood), state ?: "unknown", mood_end(ctl, mood),
                     rest);
}

/* {"time","message","remedy"} in one or two lines. */
static void print_problem(const Ctl *ctl, const char *about, const char *name, Slice problem)
{
        _cleanup_free_ char *message = member_text(problem, "message");
        _cleanup_free_ char *remedy = member_text(problem, "remedy");
        _cleanup_free_ char *ago = member_ago(problem, "time");

        (void)printf("  %s%s %s%s: %s%s%s%s\n", mood_begin(ctl, MOOD_BAD), about, name ?: "",
                     mood_end(ctl, MOOD_BAD), message ?: "unknown", ago ? " (" : "", ago ?: "",
                     ago ? ")" : "");
        if (remedy)
                (void)printf("    %s %s\n", ctl->unicode ? "→" : "->", remedy);
}

static void print_headline(const Ctl *ctl, Slice status)
{
        _cleanup_free_ char *version = member_text(status, "version");
        _cleanup_free_ char *state = member_text(status, "state");
        _cleanup_free_ char *text = member_text(status, "statusText");
        _cleanup_free_ char *age = member_span(status, "ageUsec");
        _cleanup_free_ char *memory = member_bytes(status, "memoryBytes");
        _cleanup_free_ char *config = member_text(status, "config");
        _cleanup_free_ char *loaded = member_ago(status, "configTime");
        Mood mood = mood_of(state);

        (void)printf("%s%s%s yardmasterd %s\n", mood_begin(ctl, mood), ctl->unicode ? "●" : "*",
                     mood_end(ctl, mood), version ?: "");
        print_state(ctl, "State", state, "");
        if (text && text[0]) {
                print_label("Status");
                (void)printf("%s\n", text);
        }
        print_label("Process");
        (void)printf("pid %lld, up %s, %s\n", (long long)member_integer(status, "pid"), age ?: "-",
                     memory ?: "-");
        print_label("Config");
        (void)printf("%s (loaded %s)\n", config ?: "-", loaded ?: "-");
}

/* Whether the kernel holds the limits of workers, and if not, why. */
static void print_cgroups(const Ctl *ctl, Slice status)
{
        Slice cgroups = member_object(status, "cgroups");
        _cleanup_free_ char *controllers = member_list(cgroups, "controllers");
        _cleanup_free_ char *reason = member_text(cgroups, "reason");
        _cleanup_free_ char *error = member_text(cgroups, "error");
        _cleanup_free_ char *remedy = member_text(cgroups, "remedy");

        if (!member_is_set(status, "cgroups"))
                return;
        print_label("Limits");
        if (member_true(cgroups, "used")) {
                (void)printf("by cgroups (%s)\n", controllers ?: "-");
                return;
        }
        (void)printf("without cgroups: %s%s%s\n", reason ?: "-", error ? ": " : "", error ?: "");
        if (remedy)
                (void)printf("    %s %s\n", ctl->unicode ? "→" : "->", remedy);
}

/* " (3 delayed)", or nothing. */
static const char *delayed_text(Slice object, char *text, size_t size)
{
        int64_t delayed = member_integer(object, "delayed");

        text[0] = '\0';
        if (delayed > 0)
                (void)snprintf(text, size, " (%lld delayed)", (long long)delayed);
        return text;
}

static void print_sweep(Slice server)
{
        _cleanup_free_ char *problem = member_text(server, "sweepProblem");
        char *line;

        if (member_true(server, "sweeps"))
                return;
        if (asprintf(&line,
                     "off, %s: tasks of an answer that was never read wait for their "
                     "response timeout",
                     problem ?: "no reason given") < 0)
                line = NULL;
        print_line("Sweep", line);
}

/* A server: what is in hand, and what it has not accepted. */
static void print_server(const Ctl *ctl, Slice source)
{
        Slice server = member_object(source, "server"), outbox = member_object(server, "outbox");
        _cleanup_free_ char *name = member_text(source, "name");
        _cleanup_free_ char *state = member_text(source, "state");
        _cleanup_free_ char *cause = member_text(server, "cause");
        _cleanup_free_ char *retry = member_span(server, "retryInUsec");
        _cleanup_free_ char *oldest = member_span(outbox, "oldestAgeUsec");
        int64_t dead = member_integer(outbox, "dead");
        Mood mood = mood_of(state);

        print_label("Source");
        (void)printf("%s %s%s%s", name ?: "-", mood_begin(ctl, mood), state ?: "-",
                     mood_end(ctl, mood));
        if (cause)
                (void)printf(" (%s, %lld failures%s%s)", cause,
                             (long long)member_integer(server, "failures"),
                             retry ? ", again in " : "", retry ?: "");
        (void)printf(": %lld in hand, outbox %lld%s%s", (long long)member_integer(outbox, "held"),
                     (long long)member_integer(outbox, "waiting"), oldest ? ", the oldest " : "",
                     oldest ?: "");
        if (dead > 0)
                (void)printf(", %s%lld dead%s", mood_begin(ctl, MOOD_BAD), (long long)dead,
                             mood_end(ctl, MOOD_BAD));
        (void)printf("%s\n", member_true(outbox, "full") ? ", full: nothing is fetched" : "");
        print_sweep(server);
}

static void print_sources(const Ctl *ctl, Slice status)
{
        Slice source, sources = member_array(status, "sources");

        JSON_FOREACH_ELEMENT (source, sources) {
                _cleanup_free_ char *name = member_text(source, "name");
                _cleanup_free_ char *state = member_text(source, "state");
                _cleanup_free_ char *size = member_bytes(source, "sizeBytes");
                char text[64];
                Mood mood = mood_of(state);

                if (member_is_set(source, "server")) {
                        print_server(ctl, source);
                        continue;
                }
                print_label("Source");
                (void)printf("%s %s%s%s: %lld waiting%s, %lld in progress, %lld finished, %s\n",
                             name ?: "-", mood_begin(ctl, mood), state ?: "-", mood_end(ctl, mood),
                             (long long)member_integer(source, "scheduled"),
                             delayed_text(source, text, sizeof(text)),
                             (long long)member_integer(source, "inProgress"),
                             (long long)member_integer(source, "finished"), size ?: "-");
        }
}

static bool has_problem(Slice objects, const char *key)
{
        Slice object;

        JSON_FOREACH_ELEMENT (object, objects) {
                if (member_is_set(object, key))
                        return true;
        }
        return false;
}

static void print_problems_of(const Ctl *ctl, const char *about, Slice objects, const char *key)
{
        Slice object;

        JSON_FOREACH_ELEMENT (object, objects) {
                _cleanup_free_ char *name = member_text(object, "name");

                if (member_is_set(object, key))
                        print_problem(ctl, about, name, member_object(object, key));
        }
}

static void print_problems(const Ctl *ctl, Slice status)
{
        Slice pools = member_array(status, "pools"), sources = member_array(status, "sources");
        _cleanup_free_ char *config = member_text(status, "configProblem");
        int64_t dropped = member_integer(status, "eventsDropped");
        int64_t lines = member_integer(member_object(status, "log"), "dropped");

        if (!config && dropped == 0 && lines == 0 && !has_problem(pools, "lastError") &&
            !has_problem(sources, "problem"))
                return;
        (void)printf("\nProblems\n");
        if (config)
                (void)printf("  %sconfiguration%s: the last reload was refused: %s\n"
                             "    %s correct it, then yardctl reload (yardctl config check tells "
                             "more)\n",
                             mood_begin(ctl, MOOD_BAD), mood_end(ctl, MOOD_BAD), config,
                             ctl->unicode ? "→" : "->");
        print_problems_of(ctl, "source", sources, "problem");
        print_problems_of(ctl, "pool", pools, "lastError");
        if (dropped > 0)
                (void)printf("  events: %lld were dropped, because on_event's command or a monitor "
                             "is too slow\n",
                             (long long)dropped);
        if (lines > 0)
                (void)printf("  log: %lld lines are missing, because nobody took them\n"
                             "    %s look at systemd-journald, or at what reads the daemon's "
                             "standard error\n",
                             (long long)lines, ctl->unicode ? "→" : "->");
}

static void print_unserved(const Ctl *ctl, Slice status)
{
        Slice type, types = member_array(status, "unserved");
        bool first = true;

        JSON_FOREACH_ELEMENT (type, types) {
                _cleanup_free_ char *name = member_text(type, "type");
                _cleanup_free_ char *source = member_text(type, "source");
                _cleanup_free_ char *age = member_age(type, "oldestAgeUsec");

                if (first)
                        (void)printf("\nWaiting tasks that no pool serves\n");
                first = false;
                (void)printf("  %s%s%s on %s: %lld, the oldest for %s\n",
                             mood_begin(ctl, MOOD_WARNING), name ?: "", mood_end(ctl, MOOD_WARNING),
                             source ?: "", (long long)member_integer(type, "queued"),
                             age && !streq(age, "now") ? age : "less than a second");
        }
        if (!first)
                (void)printf("    %s add a pool with this task_type and yardctl reload, or yardctl "
                             "task cancel --type TYPE\n",
                             ctl->unicode ? "→" : "->");
}

static ExitCode status_all(Ctl *ctl)
{
        Slice status, pools;
        ExitCode code;

        code = ctl_call(ctl, "GetStatus", NULL, &status);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(status);
        print_headline(ctl, status);
        print_cgroups(ctl, status);
        print_sources(ctl, status);
        pools = member_array(status, "pools");
        (void)printf("\n");
        if (array_length(pools) == 0)
                (void)printf("No pools are configured.\n");
        code = print_pools(ctl, pools);
        print_problems(ctl, status);
        print_unserved(ctl, status);
        return code;
}

static void print_pool_counts(Slice pool)
{
        _cleanup_free_ char *oldest = member_span(pool, "oldestAgeUsec");
        _cleanup_free_ char *p50 = member_span(pool, "runP50Usec");
        _cleanup_free_ char *p99 = member_span(pool, "runP99Usec");
        _cleanup_free_ char *queued = member_count(pool, "queued");
        char text[64];

        print_label("Waiting");
        (void)printf("%s%s%s%s\n", queued ?: "not known yet",
                     delayed_text(pool, text, sizeof(text)), oldest ? ", the oldest for " : "",
                     oldest ?: "");
        print_label("Tasks");
        (void)printf("%lld processed: %lld completed, %lld failed (%lld retried)\n",
                     (long long)member_integer(pool, "processed"),
                     (long long)member_integer(pool, "completed"),
                     (long long)member_integer(pool, "failed"),
                     (long long)member_integer(pool, "retried"));
        print_label("Besides");
        (void)printf("%lld canceled, %lld handed back\n",
                     (long long)member_integer(pool, "canceled"),
                     (long long)member_integer(pool, "handedBack"));
        print_label("Error rate");
        (void)printf("%.0f%% of the last executions\n", member_number(pool, "errorRate") * 100);
        print_label("Run time");
        (void)printf("p50 %s, p99 %s\n", p50 ?: "-", p99 ?: "-");
}

/* What the pool does at its server. */
static void print_pool_at_server(Slice pool)
{
        Slice server = member_object(pool, "server");
        _cleanup_free_ char *latency = member_span(server, "pollLatencyUsec");

        print_line("Domain", member_text(server, "domain"));
        print_line("Worker id", member_text(server, "workerId"));
        print_label("Polls");
        (void)printf("%lld under way, %lld tasks came%s%s\n",
                     (long long)member_integer(server, "polls"),
                     (long long)member_integer(server, "polled"), latency ? ", the last in " : "",
                     latency ?: "");
        print_label("Accepted");
        (void)printf("%lld completed, %lld failed, %lld put back, %lld handed back; %lld ended by "
                     "the server\n",
                     (long long)member_integer(server, "completed"),
                     (long long)member_integer(server, "failed"),
                     (long long)member_integer(server, "putBack"),
                     (long long)member_integer(server, "handedBack"),
                     (long long)member_integer(server, "canceled"));
        print_line("Polls fail", member_text(server, "problem"));
}

/* "Cgroup  12M now, 40M at most, 1.2s CPU, 3 processes" */
static void print_cgroup(Slice object)
{
        Slice cgroup = member_object(object, "cgroup");
        _cleanup_free_ char *memory = member_bytes(cgroup, "memoryBytes");
        _cleanup_free_ char *peak = member_bytes(cgroup, "memoryPeakBytes");
        _cleanup_free_ char *cpu = member_span(cgroup, "cpuUsec");
        _cleanup_free_ char *throttled = member_span(cgroup, "throttledUsec");
        int64_t processes;

        if (!member_is_set(object, "cgroup"))
                return;
        print_label("Cgroup");
        (void)printf("%s memory with cache, %s at most, %s CPU", memory ?: "-", peak ?: "-",
                     cpu ?: "-");
        if (throttled)
                (void)printf(" (held back for %s)", throttled);
        processes = member_integer(cgroup, "processes");
        (void)printf(", %lld process%s\n", (long long)processes, processes == 1 ? "" : "es");
}

static void print_read_only(Slice pool)
{
        _cleanup_free_ char *path = member_text(pool, "readOnlyDirectory");

        if (!path)
                return;
        print_label("Read-only");
        (void)printf("%s, unless the service has ReadWritePaths=%s\n", path, path);
}

static void print_pool(const Ctl *ctl, Slice pool)
{
        _cleanup_free_ char *name = member_text(pool, "name");
        _cleanup_free_ char *state = member_text(pool, "state");
        _cleanup_free_ char *mode = member_text(pool, "mode");
        _cleanup_free_ char *types = member_list(pool, "taskTypes");
        _cleanup_free_ char *source = member_text(pool, "source");
        _cleanup_free_ char *fetched = member_age(pool, "lastFetchAgeUsec");
        Mood mood = mood_of(state);

        (void)printf("%s%s%s pool %s\n", mood_begin(ctl, mood), ctl->unicode ? "●" : "*",
                     mood_end(ctl, mood), name ?: "");
        print_state(ctl, "State", state,
                    member_true(pool, "paused") && state && !streq(state, "paused") ? " (paused)"
                                                                                    : "");
        print_label("Serves");
        (void)printf("%s from %s, mode %s\n", types ?: "-", source ?: "-", mode ?: "-");
        print_label("Fetching");
        (void)printf("%s, last ", member_true(pool, "fetching") ? "yes" : "no");
        print_ago(fetched, "never");
        print_label("Workers");
        (void)printf("%lld wanted, %lld running, %lld busy, %lld crashes\n",
                     (long long)member_integer(pool, "wantedWorkers"),
                     (long long)member_integer(pool, "runningWorkers"),
                     (long long)member_integer(pool, "busyWorkers"),
                     (long long)member_integer(pool, "crashes"));
        print_label("In hand");
        (void)printf("%lld (each worker up to %lld)\n",
                     (long long)member_integer(pool, "tasksInHand"),
                     (long long)member_integer(pool, "concurrency"));
        print_pool_counts(pool);
        if (member_is_set(pool, "server"))
                print_pool_at_server(pool);
        print_cgroup(pool);
        print_line("Unenforced", member_list(pool, "unenforced"));
        print_read_only(pool);
        if (member_is_set(pool, "lastError")) {
                (void)printf("\nLast error\n");
                print_problem(ctl, "pool", name, member_object(pool, "lastError"));
        }
}

/* A task that a worker holds: the end of a line. */
static void print_task_in_hand(Slice task)
{
        _cleanup_free_ char *id = member_text(task, "taskId");
        _cleanup_free_ char *type = member_text(task, "taskType");
        _cleanup_free_ char *age = span_text((usec_t)MAX(member_integer(task, "ageUsec"), 0));
        _cleanup_free_ char *progress = member_progress(task, "progress");

        (void)printf("%s (%s), attempt %lld, for %s%s%s%s\n", id ?: "-", type ?: "-",
                     (long long)member_integer(task, "attempt"), age ?: "-", progress ? ": " : "",
                     progress ?: "", member_true(task, "cancelled") ? ", being cancelled" : "");
}

static void print_workers_tasks(Slice workers)
{
        bool first = true;
        Slice worker, task;

        JSON_FOREACH_ELEMENT (worker, workers) {
                _cleanup_free_ char *name = member_text(worker, "name");
                Slice tasks = member_array(worker, "tasks");

                JSON_FOREACH_ELEMENT (task, tasks) {
                        (void)printf("%s  %s: ", first ? "\nTasks in hand\n" : "", name ?: "-");
                        print_task_in_hand(task);
                        first = false;
                }
        }
}

static void print_workers_exits(Slice workers)
{
        bool first = true;
        Slice worker;

        JSON_FOREACH_ELEMENT (worker, workers) {
                _cleanup_free_ char *name = member_text(worker, "name");
                _cleanup_free_ char *cause = member_text(worker, "lastExit");
                _cleanup_free_ char *ago = member_ago(worker, "lastExitTime");

                if (!cause)
                        continue;
                (void)printf("%s  %s: %s (%s)\n", first ? "\nLast exits\n" : "", name ?: "-", cause,
                             ago ?: "-");
                first = false;
        }
}

static ExitCode status_pool(Ctl *ctl, const char *name)
{
        Slice reply, pool, pools;
        ExitCode code;
        Object params;

        code = ctl_call(ctl, "ListPools", NULL, &reply);
        if (code != EXIT_DONE)
                return code;
        pools = member_array(reply, "pools");
        JSON_FOREACH_ELEMENT (pool, pools) {
                _cleanup_free_ char *found = member_text(pool, "name");

                if (!found || !streq(found, name))
                        continue;
                if (ctl->json)
                        (void)ctl_print_json(reply);
                else
                        print_pool(ctl, pool);
        }
        object_init(&params);
        object_string(&params, "pool", name);
        code = ctl_call(ctl, "ListWorkers", &params, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        (void)printf("\n");
        code = print_workers(ctl, member_array(reply, "workers"));
        print_workers_tasks(member_array(reply, "workers"));
        print_workers_exits(member_array(reply, "workers"));
        return code;
}

static void print_worker(const Ctl *ctl, Slice worker)
{
        _cleanup_free_ char *name = member_text(worker, "name");
        _cleanup_free_ char *state = member_text(worker, "state");
        _cleanup_free_ char *age = member_span(worker, "ageUsec");
        _cleanup_free_ char *memory = member_bytes(worker, "memoryBytes");
        _cleanup_free_ char *heartbeat = member_age(worker, "heartbeatAgeUsec");
        _cleanup_free_ char *last_exit = member_text(worker, "lastExit");
        _cleanup_free_ char *exited = member_ago(worker, "lastExitTime");
        Slice task, tasks = member_array(worker, "tasks");
        Mood mood = mood_of(state);

        (void)printf("%s%s%s worker %s\n", mood_begin(ctl, mood), ctl->unicode ? "●" : "*",
                     mood_end(ctl, mood), name ?: "");
        print_state(ctl, "State", state, "");
        if (member_is_set(worker, "pid")) {
                print_label("Process");
                (void)printf("pid %lld, up %s, %s\n", (long long)member_integer(worker, "pid"),
                             age ?: "-", memory ?: "-");
        }
        print_cgroup(worker);
        print_label("Heartbeat");
        print_ago(heartbeat, "none");
        print_line("Status", member_text(worker, "statusText"));
        print_label("Tasks");
        (void)printf("%lld processed, %zu in hand\n",
                     (long long)member_integer(worker, "processed"), array_length(tasks));
        JSON_FOREACH_ELEMENT (task, tasks) {
                print_label("Task");
                print_task_in_hand(task);
        }
        print_label("Restarts");
        (void)printf("%lld\n", (long long)member_integer(worker, "restarts"));
        if (last_exit) {
                print_label("Last exit");
                (void)printf("%s%s%s%s\n", last_exit, exited ? " (" : "", exited ?: "",
                             exited ? ")" : "");
        }
}

static ExitCode status_worker(Ctl *ctl, const char *name)
{
        Slice reply, worker, workers;
        ExitCode code;
        Object params;

        object_init(&params);
        object_string(&params, "name", name);
        code = ctl_call(ctl, "ListWorkers", &params, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        workers = member_array(reply, "workers");
        JSON_FOREACH_ELEMENT (worker, workers)
                print_worker(ctl, worker);
        return EXIT_DONE;
}

ExitCode verb_status(Ctl *ctl, const Arguments *arguments)
{
        const char *name = arguments->n_words > 0 ? arguments->words[0] : NULL;
        ExitCode code;

        if (!name)
                return status_all(ctl);
        code = strchr(name, '/') ? status_worker(ctl, name) : status_pool(ctl, name);
        if (code == EXIT_DONE && !ctl->json)
                print_last_lines(ctl, name);
        return code;
}
