/* SPDX-License-Identifier: Apache-2.0 */

/* The worker layer alone, as shipped, with real processes and no queue: every slot is kept full.
 *
 *   bench-worker per-task COMMAND N_IN_FLIGHT     alternating with the bare vfork loop
 *   bench-worker persistent COMMAND N_IN_FLIGHT   two workers
 *   bench-worker library FILE.so N_IN_FLIGHT      two runners, by YARDMASTER_RUNNER_PATH
 *
 * A fourth argument is the length of a round in milliseconds. Prints one JSON object. */

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "bare-spawn.h"
#include "base/log.h"
#include "base/strv.h"
#include "worker/worker.h"

/* Many short ones: what disturbs the machine for a while then falls on both sides alike. */
#define N_ROUNDS      41
#define ROUND_MSEC    250
#define N_PERSISTENT  2 /* workers, as in the figure */
#define INPUT_SIZE    200
#define N_WORKERS_MAX 64

typedef struct Bench {
        WorkerContext context;
        ConfigPool *config;
        Worker *workers[N_WORKERS_MAX];
        unsigned n_workers, n_ready, n_in_hand;
        unsigned n_done;
        uint64_t sequence;
        usec_t round_usec, end_usec;
        bool idle; /* what the loop was run for has come */
        char input[INPUT_SIZE + 1];
} Bench;

static Task *make_task(Bench *bench)
{
        char id[64], json[1024];
        Task *task;
        int n;

        snprintf(id, sizeof(id), "01941f29-7c00-7000-8000-%012llx",
                 (unsigned long long)bench->sequence++);
        n = snprintf(
                json, sizeof(json),
                "{\"taskType\":\"bench\",\"status\":\"IN_PROGRESS\",\"inputData\":{\"text\":\"%s\"}"
                ","
                "\"retryCount\":0,\"pollCount\":1,\"workflowInstanceId\":\"%s\",\"taskId\":\"%s\"}",
                bench->input, id, id);
        if (task_new(&task, id, "bench", (Slice){ json, (size_t)n }) < 0)
                errx(1, "out of memory");
        return task;
}

static void fill(Bench *bench, Worker *worker)
{
        if (clock_monotonic_usec() >= bench->end_usec)
                return;
        while (worker_free_slots(worker) > 0) {
                _cleanup_(task_unrefp) Task *task = make_task(bench);
                int r = worker_dispatch(worker, task);

                if (r == -ENOBUFS)
                        return;
                if (r < 0)
                        errx(1, "worker_dispatch: %s", strerror(-r));
                bench->n_in_hand++;
        }
}

static void on_report(Worker *worker, const WorkerReport *report, void *userdata)
{
        Bench *bench = userdata;

        switch (report->event) {
        case WORKER_READY:
                if (++bench->n_ready == bench->n_workers)
                        bench->idle = true;
                return;
        case WORKER_TASK_DONE:
                if (report->outcome->status != TASK_COMPLETED)
                        errx(1, "a task failed: %.*s", (int)report->outcome->reason.size,
                             report->outcome->reason.data);
                outcome_free(report->outcome);
                bench->n_done++;
                bench->n_in_hand--;
                fill(bench, worker);
                if (bench->n_in_hand == 0)
                        bench->idle = true;
                return;
        case WORKER_ROOM:
                fill(bench, worker);
                return;
        case WORKER_PROGRESS:
                return;
        default:
                errx(1, "a worker ended: %s", report->exit ? report->exit->text : report->reason);
        }
}

static void run_until_idle(Bench *bench)
{
        while (!bench->idle)
                if (sd_event_run(bench->context.event, UINT64_MAX) < 0)
                        errx(1, "the loop failed");
        bench->idle = false;
}

static double run_round(Bench *bench)
{
        usec_t start = clock_monotonic_usec();

        bench->n_done = 0;
        bench->end_usec = start + bench->round_usec;
        for (unsigned i = 0; i < bench->n_workers; i++)
                fill(bench, bench->workers[i]);
        run_until_idle(bench);
        return bench->n_done * 1e6 / (double)(clock_monotonic_usec() - start);
}

static void set_handler(ConfigPool *config, HandlerMode mode, const char *path, unsigned n)
{
        config->handler.mode = mode;
        config->workers = mode == HANDLER_PER_TASK ? n : N_PERSISTENT;
        config->concurrency = mode == HANDLER_PER_TASK ? 1 : n / N_PERSISTENT;
        if (mode == HANDLER_LIBRARY) {
                config->handler.library = strdup(path);
                config->handler.threads = 1;
        } else if (strv_append(&config->handler.command, path) < 0)
                errx(1, "out of memory");
}

static void set_up(Bench *bench, HandlerMode mode, const char *path, unsigned n)
{
        static char directory[] = "/tmp/bench-worker.XXXXXX";
        static char *environment[] = { NULL };
        sigset_t mask;

        (void)signal(SIGPIPE, SIG_IGN);
        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGCHLD);
        (void)sigprocmask(SIG_BLOCK, &mask, NULL);
        log_open("bench-worker");
        log_set_level(LOG_WARNING);
        memset(bench->input, 'x', INPUT_SIZE);
        bench->context = (WorkerContext){
                .runtime_dir = mkdtemp(directory),
                .instance = "bench",
                .environment = environment,
                .runner_path = getenv("YARDMASTER_RUNNER_PATH"),
        };
        if (config_pool_new_default("bench", &bench->config) < 0 ||
            sd_event_default(&bench->context.event) < 0 ||
            spawner_new(&bench->context.spawner, bench->context.event) < 0 ||
            reaper_new(&bench->context.reaper, bench->context.event, bench->context.spawner,
                       "bench") < 0)
                errx(1, "cannot set up");
        set_handler(bench->config, mode, path, n);
        bench->n_workers = bench->config->workers;
        for (unsigned i = 0; i < bench->n_workers; i++)
                if (worker_new(&bench->workers[i], &bench->context, bench->config, i + 1, on_report,
                               bench) < 0 ||
                    worker_start(bench->workers[i]) < 0)
                        errx(1, "cannot start a worker");
        run_until_idle(bench);
}

/* Frees take the sockets along; what still runs ends with us. */
static void tear_down(Bench *bench)
{
        for (unsigned i = 0; i < bench->n_workers; i++)
                (void)worker_free(bench->workers[i]);
        (void)reaper_free(bench->context.reaper);
        (void)spawner_free(bench->context.spawner);
        (void)sd_event_unref(bench->context.event);
        (void)config_pool_unref(bench->config);
        (void)rmdir(bench->context.runtime_dir);
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

/* The median, the quartiles, and what all lie between. */
static void print(const char *name, double *values, int digits)
{
        qsort(values, N_ROUNDS, sizeof(values[0]), compare);
        printf(",\"%s\":%.*f", name, digits, values[N_ROUNDS / 2]);
        printf(",\"%sQuartiles\":[%.*f,%.*f]", name, digits, values[N_ROUNDS / 4], digits,
               values[N_ROUNDS - 1 - N_ROUNDS / 4]);
        printf(",\"%sRange\":[%.*f,%.*f]", name, digits, values[0], digits, values[N_ROUNDS - 1]);
}

int main(int argc, char *argv[])
{
        static Bench bench;
        double ours[N_ROUNDS], bare[N_ROUNDS], ratio[N_ROUNDS];
        HandlerMode mode;
        unsigned n;

        if (argc < 4 || argc > 5 || (mode = handler_mode_from_string(argv[1])) < 0 ||
            (n = (unsigned)atoi(argv[3])) < 1 || (mode == HANDLER_PER_TASK && n > N_WORKERS_MAX))
                errx(2, "usage: bench-worker per-task|persistent|library PATH N_IN_FLIGHT [MSEC]");
        bench.round_usec = (argc > 4 ? (usec_t)atoi(argv[4]) : ROUND_MSEC) * USEC_PER_MSEC;
        set_up(&bench, mode, argv[2], n);
        for (unsigned i = 0; i < N_ROUNDS; i++) {
                ours[i] = run_round(&bench);
                if (mode != HANDLER_PER_TASK)
                        continue;
                /* The same bytes that our child gets. */
                _cleanup_(task_unrefp) Task *task = make_task(&bench);
                bare[i] = bare_spawn_rate(argv[2], task->json, n, bench.round_usec);
                ratio[i] = ours[i] / bare[i];
        }
        printf("{\"mode\":\"%s\",\"inFlight\":%u", argv[1], n);
        print("tasksPerSecond", ours, 0);
        if (mode == HANDLER_PER_TASK) {
                print("barePerSecond", bare, 0);
                print("ratio", ratio, 3);
        }
        puts("}");
        tear_down(&bench);
        return 0;
}
