/* SPDX-License-Identifier: Apache-2.0 */

#include "unit.h"
#include "worker-fixture.h"

static void start_script(const char *script)
{
        set_script(HANDLER_PER_TASK, "/bin/sh", script);
        start_worker();
        ck_assert_record("ready");
}

/* Runs one task to its end; the next ck_assert_record shows it. */
static void run_task(const char *json)
{
        dispatch_json("t", json);
        run_until(&fixture.n_ended, fixture.n_ended + 1);
}

START_TEST(test_task_and_environment)
{
        fixture.config->watchdog_usec = 30 * USEC_PER_SEC;
        ck_assert_int_eq(strv_append(&fixture.config->environment, "LANG=de"), 0);
        ck_assert_int_eq(strv_append(&fixture.config->environment, "TASK_ID=lie"), 0);
        start_script("read -r line; echo \"{\\\"status\\\":\\\"COMPLETED\\\",\\\"output\\\":{"
                     "\\\"task\\\":$line,\\\"env\\\":\\\"$TASK_TYPE $TASK_ID $WORKFLOW_ID "
                     "$EXECUTION_ID ${POLL_DOMAIN-none} $LANG ${YARDMASTER_WORKER#*/} "
                     "$WATCHDOG_USEC\\\"}}\"");
        run_task("{\"taskId\":\"t\",\"workflowInstanceId\":\"w\\u00e9\",\"domain\":\"d\"}");
        ck_assert_record("done(t COMPLETED {\"task\":{\"taskId\":\"t\",\"workflowInstanceId\":"
                         "\"w\\u00e9\",\"domain\":\"d\"},\"env\":\"type t w\u00e9 w\u00e9 d de "
                         "pool/1/2 30000000\"})");
        run_task("{}");
        ck_assert_record("done(t COMPLETED {\"task\":{},\"env\":\"type t   none de pool/1/3 "
                         "30000000\"})");
}
END_TEST

/* A process for each task, one after the other; between them the slot has none. */
START_TEST(test_life)
{
        WorkerStatus status;

        start_script("echo '{\"status\":\"COMPLETED\",\"output\":{\"pid\":'$$'}}'");
        ck_assert_uint_eq(worker_free_slots(fixture.worker), 1);
        dispatch("a");
        ck_assert_uint_eq(worker_free_slots(fixture.worker), 0);
        ck_assert_uint_eq(worker_n_tasks(fixture.worker), 1);
        run_until(&fixture.n_done, 1);
        ck_assert_int_eq(fixture.outcome->status, TASK_COMPLETED);
        worker_get_status(fixture.worker, &status);
        ck_assert_int_eq(status.pid, 0);
        ck_assert_uint_eq(status.n_done_total, 1);
        dispatch("b");
        run_until(&fixture.n_done, 2);
        buffer_clear(&fixture.record);
        worker_drain(fixture.worker);
        ck_assert_record("stopped(asked)");
        ck_assert_int_eq(worker_start(fixture.worker), 0);
        ck_assert_record("ready");
}
END_TEST

static void next_from_report(Fixture *f, const WorkerReport *report)
{
        if (report->event == WORKER_TASK_DONE && f->n_done < 5)
                dispatch("again");
}

START_TEST(test_dispatch_in_report)
{
        start_script("cat >/dev/null; echo '{\"status\":\"COMPLETED\"}'");
        fixture.on_report = next_from_report;
        dispatch("first");
        run_until(&fixture.n_done, 5);
}
END_TEST

START_TEST(test_exit_reasons)
{
        static const struct {
                const char *script;
                const char *reason;
        } cases[] = {
                /* stdout is not looked at */
                { "echo '{\"status\":\"COMPLETED\"}'; exit 3",
                  "worker execution failed: exit status 3" },
                { "echo first >&2; echo last >&2; exit 1",
                  "worker execution failed: exit status 1; stderr: first\nlast" },
                { "kill -SEGV $$", "worker execution failed: signal: segmentation fault" },
                { "kill -KILL $$", "worker execution failed: signal: killed" },
                { "exit 0", "invalid worker stdout JSON: it is empty" },
                { "echo; echo oops >&2", "invalid worker stdout JSON: it is empty; stderr: oops" },
                { "echo '{} {}'", "invalid worker stdout JSON: more after the value at byte 3" },
                { "echo '{\"a\":}'", "invalid worker stdout JSON: value expected at byte 5" },
                { "echo '[]'", "invalid worker stdout JSON: it must be an object, not array" },
                { "echo '{}'", "invalid status from worker: FAILED" },
                { "echo '{\"status\":\"completed\"}'", "invalid status from worker: FAILED" },
                { "echo '{\"status\":\"COMPLETED\",\"logs\":\"x\"}'",
                  "invalid worker stdout JSON: \"logs\" must be an array, not string" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                start_script(cases[i].script);
                run_task(NULL);
                ck_assert_int_eq(fixture.outcome->status, TASK_FAILED);
                ck_assert_slice(fixture.outcome->reason, cases[i].reason);
                buffer_clear(&fixture.record);
                fixture.worker = worker_free(fixture.worker);
        }
}
END_TEST

static void assert_one_log(const char *text)
{
        Slice logs = fixture.outcome->logs;

        ck_assert_msg(logs.size > strlen(text) + 8 &&
                              memcmp(logs.data + 8, text, strlen(text)) == 0,
                      "%.*s", (int)logs.size, logs.size > 0 ? logs.data : "");
}

/* The raw answer, or else what stood on stderr; nothing when there is nothing: an empty line hurts
 * the server. */
START_TEST(test_logs_of_failures)
{
        start_script("cat");
        run_task("{\"status\":7");
        assert_one_log("\"{\\\"status\\\":7\"");
        fixture.worker = worker_free(fixture.worker);
        buffer_clear(&fixture.record);
        start_script("echo why >&2; exit 1");
        run_task(NULL);
        assert_one_log("\"why\"");
        fixture.worker = worker_free(fixture.worker);
        buffer_clear(&fixture.record);
        start_script("exit 1");
        run_task(NULL);
        ck_assert_ptr_null(fixture.outcome->logs.data);
}
END_TEST

START_TEST(test_terminal_exit_codes)
{
        fixture.config->terminal_exit_codes = malloc(2 * sizeof(int));
        fixture.config->terminal_exit_codes[0] = 64;
        fixture.config->terminal_exit_codes[1] = 65;
        fixture.config->n_terminal_exit_codes = 2;
        start_script("exit 65");
        run_task(NULL);
        ck_assert_record("done(t FAILED_WITH_TERMINAL_ERROR: worker execution failed: exit status "
                         "65)");
}
END_TEST

/* The end of a long stderr, from a line's character on; the log gets its lines, thinned. */
START_TEST(test_stderr_tail)
{
        Slice reason;

        fixture_capture_log();
        start_script(
                "i=0; while [ $i -lt 30000 ]; do echo \"line \u00e9 $i\"; i=$((i+1)); done >&2;"
                "exit 1");
        run_task(NULL);
        reason = fixture.outcome->reason;
        ck_assert_uint_le(reason.size, 2048 + 64);
        ck_assert_uint_ge(reason.size, 2000);
        ck_assert_ptr_nonnull(memmem(reason.data, reason.size, "\u00e9 29999", 8));
        ck_assert_uint_ge(fixture.outcome->logs.size, 60000);
        ck_assert_uint_ge(fixture_count_log("INFO pool/1: line \u00e9 0\n"), 1);
        ck_assert_uint_eq(fixture_count_log("more lines suppressed)"), 1);
}
END_TEST

/* More than a pipe holds, both ways at once. */
START_TEST(test_big_input_and_output)
{
        size_t size = 3000000;
        char *json = malloc(size + 1);
        static const char head[] = "{\"status\":\"COMPLETED\",\"output\":{\"x\":\"";

        memset(json, 'x', size);
        memcpy(json, head, strlen(head));
        strcpy(json + size - 3, "\"}}");
        fixture.config->limits.output = size;
        start_script("cat");
        run_task(json);
        ck_assert_int_eq(fixture.outcome->status, TASK_COMPLETED);
        ck_assert_uint_eq(fixture.outcome->output.size, size - strlen(head) + 5);
        free(json);
}
END_TEST

/* Not reading stdin is no failure, whatever its size. */
START_TEST(test_input_is_not_read)
{
        size_t size = 1000000;
        char *json = malloc(size + 1);

        memset(json, ' ', size);
        json[size] = '\0';
        json[0] = '{';
        json[size - 1] = '}';
        start_script("exec <&-; sleep 0.1; echo '{\"status\":\"COMPLETED\"}'");
        run_task(json);
        ck_assert_record("done(t COMPLETED)");
        run_task(json);
        ck_assert_record("done(t COMPLETED)");
        free(json);
}
END_TEST

START_TEST(test_output_over_limit)
{
        fixture.config->limits.output = 100000;
        start_script("yes; sleep 1000");
        run_task(NULL);
        ck_assert_record("done(t FAILED: output is larger than limits.output (100000))");
        ck_assert_int_eq(worker_state(fixture.worker), WORKER_STATE_READY);
        worker_stop(fixture.worker);
        ck_assert_record("stopped(asked)");
}
END_TEST

START_TEST(test_output_just_over_limit)
{
        fixture.config->limits.output = 10;
        start_script("echo '{\"status\":\"COMPLETED\"}'");
        run_task(NULL);
        ck_assert_record("done(t FAILED: output is larger than limits.output (10))");
}
END_TEST

/* Neither its own group nor one that left it, whoever has stdout and stderr open. */
START_TEST(test_background_children)
{
        start_script("sleep 1000 & f=$(mktemp -u); mkfifo $f;"
                     "setsid sh -c 'echo left >\"$1\"; exec sleep 1000' sh $f & read -r left <$f;"
                     "rm $f; echo '{\"status\":\"COMPLETED\",\"output\":{\"pid\":'$!'}}'");
        run_task(NULL);
        ck_assert_int_eq(fixture.outcome->status, TASK_COMPLETED);
}
END_TEST

static pid_t pid_in_output(void)
{
        long long pid = 0;

        ck_assert_int_eq(sscanf(fixture.outcome->output.data, "{\"pid\":%lld", &pid), 1);
        return (pid_t)pid;
}

START_TEST(test_leave_children)
{
        static const char script[] = "sleep 1000 >/dev/null 2>&1 & echo "
                                     "'{\"status\":\"COMPLETED\",\"output\":{\"pid\":'$!'}}'";

        start_script(script);
        run_task(NULL);
        run_while(kill(pid_in_output(), 0) == 0);
        fixture.worker = worker_free(fixture.worker);
        buffer_clear(&fixture.record);

        fixture.config->leave_children = true;
        start_script(script);
        run_task(NULL);
        run_briefly();
        ck_assert_int_eq(kill(pid_in_output(), SIGKILL), 0);
}
END_TEST

START_TEST(test_timeout)
{
        fixture.config->task_timeout_usec = 100 * USEC_PER_MSEC;
        start_script("trap 'echo \"{\\\"status\\\":\\\"COMPLETED\\\"}\"; exit 0' TERM;"
                     "sleep 1000 & wait");
        run_task(NULL);
        ck_assert_record("done(t FAILED: timed out after 100ms)");
        fixture.worker = worker_free(fixture.worker);

        fixture.config->stop_timeout_usec = 100 * USEC_PER_MSEC;
        start_script("trap '' TERM; sleep 1000; sleep 1000");
        run_task(NULL);
        ck_assert_record("done(t FAILED: timed out after 100ms)");
        ck_assert_int_eq(worker_state(fixture.worker), WORKER_STATE_READY);
}
END_TEST

static void find_task(const WorkerTaskStatus *status, void *userdata)
{
        *(Task **)userdata = status->task;
}

START_TEST(test_cancel)
{
        Task *task = NULL;

        start_script("sleep 1000");
        dispatch("a");
        worker_visit_tasks(fixture.worker, find_task, &task);
        worker_cancel(fixture.worker, task);
        run_until(&fixture.n_ended, 1);
        ck_assert_record("dropped(a)");
        ck_assert_uint_eq(worker_free_slots(fixture.worker), 1);
}
END_TEST

START_TEST(test_stop)
{
        start_script("trap 'exit 0' TERM; sleep 1000 & wait");
        dispatch("a");
        worker_stop(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("returned(a: its worker was stopped) stopped(asked)");
}
END_TEST

START_TEST(test_stop_fails)
{
        fixture_capture_log();
        start_script("trap 'echo \"{\\\"status\\\":\\\"FAILED\\\"}\"; exit 0' TERM;"
                     "echo trapped >&2; sleep 1000 & wait");
        dispatch("a");
        run_while(fixture_count_log("trapped") == 0);
        worker_stop(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("returned(a: its worker was stopped) stopped(asked)");
}
END_TEST

/* Completed in spite of SIGTERM, it is work done. */
START_TEST(test_stop_completes)
{
        fixture_capture_log();
        start_script("trap 'echo \"{\\\"status\\\":\\\"COMPLETED\\\"}\"; exit 0' TERM;"
                     "echo trapped >&2; sleep 1000 & wait");
        dispatch("a");
        run_while(fixture_count_log("trapped") == 0);
        worker_stop(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a COMPLETED) stopped(asked)");
}
END_TEST

START_TEST(test_drain)
{
        start_script("sleep 0.1; echo '{\"status\":\"COMPLETED\"}'");
        dispatch("a");
        worker_drain(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a COMPLETED) stopped(asked)");
}
END_TEST

START_TEST(test_kill)
{
        start_script("trap '' TERM; sleep 1000");
        dispatch("a");
        worker_kill(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("returned(a: its worker was stopped) stopped(asked)");
}
END_TEST

/* The program may vanish at any time: no fault of the task. */
START_TEST(test_cannot_exec)
{
        set_script(HANDLER_PER_TASK, "/nonexistent/worker", "");
        start_worker();
        dispatch("a");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("ready returned(a: worker execution failed: fork/exec /nonexistent/worker:"
                         " no such file or directory) stopped(cannot-exec)");
        ck_assert_int_eq(worker_state(fixture.worker), WORKER_STATE_STOPPED);
}
END_TEST

START_TEST(test_watchdog_and_status)
{
        fixture.config->watchdog_usec = USEC_PER_SEC;
        start_script("/usr/bin/python3 -c 'import os,socket,time;"
                     "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
                     "s.connect(os.environ[\"NOTIFY_SOCKET\"]);"
                     "s.send(b\"STATUS=half \\\"way\\\"\"); time.sleep(1000)'");
        run_task(NULL);
        ck_assert_record("progress(t {\"message\":\"half \\\"way\\\"\"}) "
                         "done(t FAILED: worker killed by watchdog: no sign of life for 1s)");
        ck_assert_int_eq(worker_state(fixture.worker), WORKER_STATE_READY);
}
END_TEST

static void free_worker(Fixture *f, const WorkerReport *report)
{
        f->worker = worker_free(f->worker);
}

START_TEST(test_free)
{
        start_script("echo '{\"status\":\"COMPLETED\"}'");
        fixture.on_report = free_worker;
        run_task(NULL);
        ck_assert_ptr_null(fixture.worker);
        fixture.on_report = NULL;
        buffer_clear(&fixture.record);
        start_script("sleep 1000");
        dispatch("a");
        fixture.worker = worker_free(fixture.worker);
        run_while(spawner_n_answered(fixture.spawner) < spawner_n_posted(fixture.spawner));
}
END_TEST

UNIT_MAIN_WITH("per-task", fixture_setup, fixture_teardown, test_task_and_environment, test_life,
               test_dispatch_in_report, test_exit_reasons, test_logs_of_failures,
               test_terminal_exit_codes, test_stderr_tail, test_big_input_and_output,
               test_input_is_not_read, test_output_over_limit, test_output_just_over_limit,
               test_background_children, test_leave_children, test_timeout, test_cancel, test_stop,
               test_stop_fails, test_stop_completes, test_drain, test_kill, test_cannot_exec,
               test_watchdog_and_status, test_free);
