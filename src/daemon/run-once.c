/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/run-once.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/json.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/strv.h"
#include "daemon/exit.h"
#include "daemon/handler.h"
#include "manager/environment.h"
#include "manager/manager.h"

typedef struct RunOnce {
        const DaemonOptions *options;
        sd_event *event;
        Spawner *spawner;
        Reaper *reaper;
        char **environment;
        char *runner;
        char directory[sizeof("/tmp/yardmaster-run-XXXXXX")]; /* of the notify socket */
        ConfigPool *config;
        Task *task;
        WorkerContext context;
        Worker *worker;
        Outcome *outcome;  /* NULL: it never got that far */
        char failure[512]; /* why not */
} RunOnce;

static void run_once_deinit(RunOnce *run)
{
        worker_free(run->worker);
        reaper_free(run->reaper);
        spawner_free(run->spawner);
        if (run->directory[0])
                (void)rmdir(run->directory);
        outcome_free(run->outcome);
        task_unref(run->task);
        config_pool_unref(run->config);
        strv_free(run->environment);
        free(run->runner);
        sd_event_unref(run->event);
}

static int complain(int error, const char *format, ...) _printf_(2, 3);

static int complain(int error, const char *format, ...)
{
        va_list arguments;

        (void)fputs("yardmasterd: ", stderr);
        va_start(arguments, format);
        (void)vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void)fputc('\n', stderr);
        return error;
}

/* The task */

static int read_all(int fd, Buffer *buffer)
{
        for (;;) {
                char *at;
                ssize_t n;
                int r;

                r = buffer_reserve(buffer, 65536, &at);
                if (r < 0)
                        return r;
                n = read(fd, at, 65536);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                buffer_commit(buffer, (size_t)n);
        }
}

static int read_input(const char *text, Buffer *buffer)
{
        _cleanup_close_ int fd = -EBADF;

        if (streq(text, "-"))
                return read_all(STDIN_FILENO, buffer);
        if (text[0] != '@')
                return buffer_append_string(buffer, text);
        fd = open(text + 1, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : read_all(fd, buffer);
}

static int check_input(const char *text, Buffer *buffer)
{
        JsonError error;
        int r;

        r = read_input(text, buffer);
        if (r < 0)
                return complain(r, "--input %s: %s", text, strerror(-r));
        r = json_check(buffer_slice(buffer), &error);
        if (r < 0)
                return complain(r, "--input: invalid JSON at byte %zu: %s", error.offset,
                                error.message);
        if (json_type_of(buffer_slice(buffer)) != JSON_OBJECT)
                return complain(-EINVAL, "--input: a task's input is a JSON object");
        return 0;
}

/* The object that a queue would hand over. */
static int append_task_json(Buffer *buffer, const char *id, const char *type, Slice input)
{
        int64_t now = clock_epoch_msec();
        int r;

        r = buffer_appendf(buffer, "{\"taskId\":\"%s\",\"taskType\":", id);
        if (r >= 0)
                r = json_append_string(buffer, slice_from_string(type));
        if (r >= 0)
                r = buffer_append_string(buffer, ",\"taskDefName\":");
        if (r >= 0)
                r = json_append_string(buffer, slice_from_string(type));
        if (r >= 0)
                r = buffer_appendf(buffer,
                                   ",\"status\":\"IN_PROGRESS\",\"retryCount\":0,\"pollCount\":1,"
                                   "\"scheduledTime\":%" PRId64 ",\"startTime\":%" PRId64
                                   ",\"workflowInstanceId\":\"%s\",\"inputData\":",
                                   now, now, id);
        if (r >= 0)
                r = json_append_compact(buffer, input);
        return r < 0 ? r : buffer_append_byte(buffer, '}');
}

static int make_task(RunOnce *run)
{
        _cleanup_(buffer_deinit) Buffer input = BUFFER_NULL(TASK_MESSAGE_MAX - 8192);
        _cleanup_(buffer_deinit) Buffer json = BUFFER_NULL(TASK_MESSAGE_MAX);
        char id[40];
        int r;

        r = check_input(run->options->input ?: "{}", &input);
        if (r < 0)
                return r;
        (void)snprintf(id, sizeof(id), "run-%016" PRIx64, random_u64());
        r = append_task_json(&json, id, run->options->task_type, buffer_slice(&input));
        if (r >= 0)
                r = task_new(&run->task, id, run->options->task_type, buffer_slice(&json));
        return r < 0 ? complain(r, "the input is too large: %s", strerror(-r)) : 0;
}

/* The handler */

/* As a pool on that server would give it to its handler. */
static int add_server(ConfigPool *config)
{
        const char *url = getenv("CONDUCTOR_SERVER_URL");
        _cleanup_free_ char *assignment = NULL;

        if (!url)
                return 0;
        if (asprintf(&assignment, "CONDUCTOR_SERVER_URL=%s", url) < 0) {
                assignment = NULL;
                return -ENOMEM;
        }
        return strv_set_env(&config->environment, assignment);
}

static int make_config(RunOnce *run)
{
        const DaemonOptions *options = run->options;
        _cleanup_free_ char *message = NULL;
        ConfigPool *config;
        int r;

        r = config_pool_new_default("run", &run->config);
        if (r < 0)
                return r;
        config = run->config;
        r = handler_from_options(config, options, &message);
        if (r > 0)
                return complain(-EINVAL, "%s", message);
        if (r < 0)
                return r;
        if (options->task_timeout_usec > 0)
                config->task_timeout_usec = options->task_timeout_usec;
        r = add_server(config);
        if (r < 0)
                return r;
        strv_free(config->task_type);
        config->task_type = NULL;
        return strv_append(&config->task_type, options->task_type);
}

/* The worker */

static void on_worker(Worker *worker, const WorkerReport *report, void *userdata)
{
        RunOnce *run = userdata;

        switch (report->event) {
        case WORKER_READY:
                if (!run->outcome && worker_dispatch(worker, run->task) < 0)
                        worker_stop(worker);
                break;
        case WORKER_TASK_DONE:
                run->outcome = report->outcome;
                worker_drain(worker);
                break;
        case WORKER_TASK_RETURNED:
                (void)snprintf(run->failure, sizeof(run->failure), "%s", report->reason);
                worker_drain(worker);
                break;
        case WORKER_STOPPED:
                if (!run->outcome && !run->failure[0])
                        (void)snprintf(run->failure, sizeof(run->failure), "%s",
                                       report->exit->text);
                (void)sd_event_exit(run->event, 0);
                break;
        default:
                break;
        }
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        RunOnce *run = userdata;

        (void)snprintf(run->failure, sizeof(run->failure), "interrupted");
        worker_stop(run->worker);
        return 0;
}

static int make_machinery(RunOnce *run)
{
        int r;

        r = sd_event_default(&run->event);
        if (r < 0)
                return r;
        r = spawner_new(&run->spawner, run->event);
        if (r < 0)
                return r;
        r = reaper_new(&run->reaper, run->event, run->spawner, "run");
        if (r < 0)
                return r;
        r = environment_for_workers(environ, &run->environment);
        if (r < 0)
                return r;
        r = manager_find_runner(&run->runner);
        if (r < 0)
                return r;
        (void)strcpy(run->directory, "/tmp/yardmaster-run-XXXXXX");
        if (!mkdtemp(run->directory)) {
                run->directory[0] = '\0';
                return -errno;
        }
        run->context = (WorkerContext){
                .event = run->event,
                .spawner = run->spawner,
                .reaper = run->reaper,
                .runtime_dir = run->directory,
                .instance = "run",
                .environment = run->environment,
                .runner_path = run->runner,
        };
        return 0;
}

static int run_worker(RunOnce *run)
{
        int r;

        r = make_machinery(run);
        if (r < 0)
                return r;
        r = sd_event_add_signal(run->event, NULL, SIGINT, on_signal, run);
        if (r < 0)
                return r;
        r = sd_event_add_signal(run->event, NULL, SIGTERM, on_signal, run);
        if (r < 0)
                return r;
        r = worker_new(&run->worker, &run->context, run->config, 1, on_worker, run);
        if (r < 0)
                return r;
        r = worker_start(run->worker);
        return r < 0 ? r : sd_event_loop(run->event);
}

/* The answer */

static void print_logs(Slice logs)
{
        Slice entry;

        JSON_FOREACH_ELEMENT (entry, logs) {
                _cleanup_free_ char *text = NULL;

                if (json_decode_string(json_member(entry, "log"), &text) >= 0)
                        (void)fprintf(stderr, "log: %s\n", text);
        }
}

static int print_json(const Outcome *outcome)
{
        _cleanup_(buffer_deinit) Buffer buffer = BUFFER_NULL(2 * TASK_MESSAGE_MAX);
        int r;

        r = buffer_appendf(&buffer, "{\"status\":\"%s\"", task_status_to_string(outcome->status));
        if (r >= 0 && outcome->output.data) {
                r = buffer_append_string(&buffer, ",\"output\":");
                if (r >= 0)
                        r = buffer_append_slice(&buffer, outcome->output);
        }
        if (r >= 0 && outcome->reason.data) {
                r = buffer_append_string(&buffer, ",\"reason\":");
                if (r >= 0)
                        r = json_append_string(&buffer, outcome->reason);
        }
        if (r >= 0 && outcome->logs.data) {
                r = buffer_append_string(&buffer, ",\"logs\":");
                if (r >= 0)
                        r = buffer_append_slice(&buffer, outcome->logs);
        }
        if (r >= 0 && outcome->status == TASK_IN_PROGRESS)
                r = buffer_appendf(&buffer, ",\"callbackAfterSeconds\":%" PRId64,
                                   outcome->callback_after_msec / 1000);
        if (r < 0)
                return r;
        (void)printf("%.*s}\n", (int)buffer.size, buffer_slice(&buffer).data);
        return 0;
}

static int print_outcome(const RunOnce *run)
{
        const Outcome *outcome = run->outcome;
        int r = 0;

        if (!outcome) {
                (void)complain(0, "the task was not run: %s", run->failure);
                return EXIT_NOT_COMPLETED;
        }
        if (run->options->json)
                r = print_json(outcome);
        else {
                print_logs(outcome->logs);
                if (outcome->output.data)
                        (void)printf("%.*s\n", (int)outcome->output.size, outcome->output.data);
                if (outcome->status != TASK_COMPLETED)
                        (void)fprintf(stderr, "%s%s%.*s\n", task_status_to_string(outcome->status),
                                      outcome->reason.size > 0 ? ": " : "",
                                      (int)outcome->reason.size,
                                      outcome->reason.data ? outcome->reason.data : "");
        }
        if (fflush(stdout) != 0 || r < 0)
                return complain(EXIT_FAILURE, "cannot write the output");
        return outcome->status == TASK_COMPLETED ? EXIT_SUCCESS : EXIT_NOT_COMPLETED;
}

int run_once(const DaemonOptions *options)
{
        _cleanup_(run_once_deinit) RunOnce run = { .options = options };
        int r;

        log_set_level(LOG_INFO); /* what the handler writes to its stderr comes at this level */
        if (make_task(&run) < 0 || make_config(&run) < 0)
                return EXIT_USAGE;
        r = run_worker(&run);
        if (r < 0)
                return complain(EXIT_FAILURE, "cannot run the handler: %s", strerror(-r));
        return print_outcome(&run);
}
