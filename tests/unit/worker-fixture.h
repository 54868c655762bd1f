#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A worker with everything it needs, real children included, and a record of what it reported:
 *
 *     "ready done(t1 COMPLETED {"n":1}) stopped(asked)"
 *
 * One case, one worker. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/strv.h"
#include "config/config.h"
#include "worker/leftover.h"
#include "worker/worker.h"

/* Far above what any case needs, below the test's own timeout. */
#define PATIENCE_USEC (20 * USEC_PER_SEC)

typedef struct Fixture Fixture;

struct Fixture {
        sd_event *event;
        Spawner *spawner;
        Reaper *reaper;
        WorkerContext context;
        ConfigPool *config;
        Worker *worker;
        char directory[64];
        char instance[32]; /* this process's alone: tests run side by side */
        Buffer record;
        unsigned n_reports;
        unsigned n_ready;
        unsigned n_done;
        unsigned n_progress;
        unsigned n_stopped;
        unsigned n_ended; /* tasks, in any of the three ways */
        WorkerExit exit;
        Outcome *outcome; /* the last one */
        void (*on_report)(Fixture *fixture, const WorkerReport *report);
        int saved_stderr;
        FILE *log; /* NULL: stderr is where it was */
};

static Fixture fixture;

static inline void fixture_append(const char *format, ...) _printf_(1, 2);
static inline void fixture_append(const char *format, ...)
{
        va_list args;
        char text[8192];

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        if (fixture.record.size > 0)
                ck_assert_int_eq(buffer_append_byte(&fixture.record, ' '), 0);
        ck_assert_int_eq(buffer_append_string(&fixture.record, text), 0);
}

static inline void fixture_take_outcome(const Task *task, Outcome *outcome)
{
        Slice output = outcome->output, reason = outcome->reason;

        fixture_append("done(%s %s%s%.*s%s%.*s)", task->id, task_status_to_string(outcome->status),
                       output.size > 0 ? " " : "", (int)output.size, output.size ? output.data : "",
                       reason.size > 0 ? ": " : "", (int)reason.size,
                       reason.size ? reason.data : "");
        (void)outcome_free(fixture.outcome);
        fixture.outcome = outcome;
}

static inline void fixture_on_report(Worker *worker, const WorkerReport *report, void *userdata)
{
        fixture.n_reports++;
        switch (report->event) {
        case WORKER_READY:
                fixture.n_ready++;
                fixture_append("ready");
                break;
        case WORKER_TASK_DONE:
                fixture.n_done++;
                fixture.n_ended++;
                fixture_take_outcome(report->task, report->outcome);
                break;
        case WORKER_TASK_RETURNED:
                fixture.n_ended++;
                fixture_append("returned(%s: %s)", report->task->id, report->reason);
                break;
        case WORKER_TASK_DROPPED:
                fixture.n_ended++;
                fixture_append("dropped(%s)", report->task->id);
                break;
        case WORKER_PROGRESS:
                fixture.n_progress++;
                fixture_append("progress(%s %.*s)", report->task->id, (int)report->data.size,
                               report->data.data);
                break;
        case WORKER_ROOM:
                fixture_append("room");
                break;
        case WORKER_LOG_LOST:
                fixture_append("log-lost");
                break;
        case WORKER_STOPPED:
                fixture.n_stopped++;
                fixture.exit = *report->exit;
                fixture_append("stopped(%s)", worker_exit_cause_to_string(report->exit->cause));
                break;
        }
        if (fixture.on_report)
                fixture.on_report(&fixture, report);
}

static inline void fixture_setup(void)
{
        static char *environment[] = { "PATH=/usr/bin:/bin", "LANG=C", NULL };
        sigset_t set;

        fixture = (Fixture){ .record = BUFFER_NULL(1 << 22), .saved_stderr = -EBADF };
        log_set_level(LOG_ERR);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGCHLD);
        ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
        (void)snprintf(fixture.instance, sizeof(fixture.instance), "unit-%d", (int)getpid());
        (void)strcpy(fixture.directory, "/tmp/yardmaster-unit-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(fixture.directory));
        ck_assert_int_ge(sd_event_new(&fixture.event), 0);
        ck_assert_int_eq(spawner_new(&fixture.spawner, fixture.event), 0);
        ck_assert_int_eq(
                reaper_new(&fixture.reaper, fixture.event, fixture.spawner, fixture.instance), 0);
        fixture.context = (WorkerContext){
                .event = fixture.event,
                .spawner = fixture.spawner,
                .reaper = fixture.reaper,
                .runtime_dir = fixture.directory,
                .instance = fixture.instance,
                .environment = environment,
                .runner_path = "/nonexistent/yardmaster-runner",
        };
        ck_assert_int_eq(config_pool_new_default("pool", &fixture.config), 0);
        fixture.config->concurrency = 1;
        fixture.config->task_timeout_usec = USEC_PER_HOUR;
        fixture.config->start_timeout_usec = USEC_PER_HOUR;
        fixture.config->stop_timeout_usec = PATIENCE_USEC;
}

/* What is logged from now on is kept and can be searched. */
static inline void fixture_capture_log(void)
{
        log_set_level(LOG_INFO);
        fixture.log = tmpfile();
        ck_assert_ptr_nonnull(fixture.log);
        fixture.saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        ck_assert_int_ge(dup2(fileno(fixture.log), STDERR_FILENO), 0);
}

static inline unsigned fixture_count_log(const char *needle)
{
        static char text[1 << 22];
        unsigned n = 0;
        ssize_t size;

        size = pread(fileno(fixture.log), text, sizeof(text) - 1, 0);
        ck_assert_int_ge(size, 0);
        text[size] = '\0';
        for (const char *p = text; (p = strstr(p, needle)); p += strlen(needle))
                n++;
        return n;
}

static inline bool fixture_none_is_alive(const char *token, void *userdata)
{
        return false;
}

static inline void fixture_teardown(void)
{
        if (fixture.log) {
                ck_assert_int_ge(dup2(fixture.saved_stderr, STDERR_FILENO), 0);
                (void)close_fd(fixture.saved_stderr);
                (void)fclose(fixture.log);
        }
        fixture.worker = worker_free(fixture.worker);
        fixture.reaper = reaper_free(fixture.reaper);
        fixture.spawner = spawner_free(fixture.spawner);
        (void)config_pool_unref(fixture.config);
        (void)outcome_free(fixture.outcome);
        fixture.event = sd_event_unref(fixture.event);
        buffer_deinit(&fixture.record);
        /* a process inside exec has no environment to be known by: once more */
        do
                (void)leftover_kill_all(fixture.instance, fixture_none_is_alive, NULL);
        while (waitpid(-1, NULL, WNOHANG) >= 0);
        ck_assert_int_eq(rmdir(fixture.directory), 0);
}

static inline void run_until(const unsigned *counter, unsigned value)
{
        usec_t deadline = clock_monotonic_usec() + PATIENCE_USEC;

        while (*counter < value) {
                ck_assert_msg(clock_monotonic_usec() < deadline, "too long; so far: %.*s",
                              (int)fixture.record.size, buffer_slice(&fixture.record).data);
                ck_assert_int_ge(sd_event_run(fixture.event, USEC_PER_SEC), 0);
        }
}

/* For what should not happen: the loop turns until it has nothing to do for a moment. */
static inline void run_briefly(void)
{
        for (unsigned i = 0; i < 1000 && sd_event_run(fixture.event, 50 * USEC_PER_MSEC) > 0; i++)
                ;
}

/* For what is not reported. */
#define run_while(condition)                                                            \
        do {                                                                            \
                usec_t _deadline = clock_monotonic_usec() + PATIENCE_USEC;              \
                while (condition) {                                                     \
                        ck_assert_uint_lt(clock_monotonic_usec(), _deadline);           \
                        ck_assert_int_ge(sd_event_run(fixture.event, USEC_PER_SEC), 0); \
                }                                                                       \
        } while (0)

#define ck_assert_record(text)                                        \
        do {                                                          \
                ck_assert_slice(buffer_slice(&fixture.record), text); \
                buffer_clear(&fixture.record);                        \
        } while (0)

static inline void set_script(HandlerMode mode, const char *shell, const char *script)
{
        const char *const parts[] = { shell, "-c", script };

        fixture.config->handler.mode = mode;
        fixture.config->handler.command = strv_free(fixture.config->handler.command);
        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                ck_assert_int_eq(strv_append(&fixture.config->handler.command, parts[i]), 0);
}

static inline void start_worker(void)
{
        ck_assert_int_eq(worker_new(&fixture.worker, &fixture.context, fixture.config, 1,
                                    fixture_on_report, NULL),
                         0);
        ck_assert_int_eq(worker_start(fixture.worker), 0);
}

static inline pid_t worker_pid(void)
{
        WorkerStatus status;

        worker_get_status(fixture.worker, &status);
        ck_assert_int_gt(status.pid, 0);
        return status.pid;
}

static inline Task *make_task(const char *id, const char *json)
{
        _cleanup_free_ char *text = NULL;
        Task *task;

        if (!json) {
                ck_assert_int_gt(asprintf(&text,
                                          "{\"taskId\":\"%s\",\"taskType\":\"type\","
                                          "\"workflowInstanceId\":\"w-%s\",\"inputData\":{}}",
                                          id, id),
                                 0);
                json = text;
        }
        ck_assert_int_eq(task_new(&task, id, "type", slice_from_string(json)), 0);
        return task;
}

static inline void dispatch_json(const char *id, const char *json)
{
        _cleanup_(task_unrefp) Task *task = make_task(id, json);

        ck_assert_uint_gt(worker_free_slots(fixture.worker), 0);
        ck_assert_int_eq(worker_dispatch(fixture.worker, task), 0);
}

static inline void dispatch(const char *id)
{
        dispatch_json(id, NULL);
}
