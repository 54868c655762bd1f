/* SPDX-License-Identifier: Apache-2.0 */

/* What persistent workers say, and what they leave behind. How they are ended: test-worker-end.c */

#include <sys/stat.h>
#include "task/task.h"
#include "unit.h"
#include "worker-fixture.h"

#define DONE(members) "echo '{\"type\":\"result\"," members "}';"
#define COMPLETED     DONE("\"status\":\"COMPLETED\"")

static void start_shell(const char *script)
{
        set_script(HANDLER_PERSISTENT, "/bin/sh", script);
        start_worker();
        run_until(&fixture.n_ready, 1);
        ck_assert_record("ready");
}

START_TEST(test_life)
{
        WorkerStatus status;

        start_shell("while read -r line; do case $line in *drain*) exit 3;; esac; n=$((n+1));"
                    "echo '{\"type\":\"result\",\"status\":\"COMPLETED\",\"output\":{\"n\":'$n'}}';"
                    "done");
        ck_assert_uint_eq(worker_free_slots(fixture.worker), 1);
        dispatch("a");
        ck_assert_uint_eq(worker_free_slots(fixture.worker), 0);
        run_until(&fixture.n_done, 1);
        dispatch("b");
        run_until(&fixture.n_done, 2);
        ck_assert_record("done(a COMPLETED {\"n\":1}) done(b COMPLETED {\"n\":2})");

        worker_get_status(fixture.worker, &status);
        ck_assert_int_gt(status.pid, 0);
        ck_assert_uint_eq(status.n_done, 2);
        ck_assert_uint_eq(status.n_starts, 1);
        ck_assert_uint_gt(status.memory_bytes, 0);
        ck_assert_int_eq(worker_start(fixture.worker), -EBUSY);

        worker_drain(fixture.worker);
        ck_assert_uint_eq(worker_free_slots(fixture.worker), 0);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("stopped(asked)");
        ck_assert_int_eq(fixture.exit.value, 3);
        ck_assert_int_eq(worker_state(fixture.worker), WORKER_STATE_STOPPED);

        ck_assert_int_eq(worker_start(fixture.worker), 0);
        run_until(&fixture.n_ready, 2);
        dispatch("c");
        run_until(&fixture.n_done, 3);
        ck_assert_record("ready done(c COMPLETED {\"n\":1})");
}
END_TEST

/* What was said before the crash counts, what was not read was never tried. */
START_TEST(test_crash)
{
        fixture.config->concurrency = 3;
        start_shell("read -r a; read -r b;" DONE("\"taskId\":\"a\",\"status\":\"COMPLETED\"")
                            DONE("\"taskId\":\"a\",\"status\":\"FAILED\"") "kill -SEGV $$");
        dispatch("a");
        dispatch("b");
        dispatch("c");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a COMPLETED) "
                         "done(b FAILED: worker crashed: signal: segmentation fault) "
                         "returned(c: its worker ended before it read the task) "
                         "stopped(crashed)");
        ck_assert_int_eq(fixture.exit.code, CLD_KILLED);
        ck_assert_ptr_nonnull(strstr(fixture.exit.text, "killed by signal 11 (SIGSEGV) after "));
        ck_assert_ptr_nonnull(strstr(fixture.exit.text, ", held task b for "));
        ck_assert_ptr_nonnull(strstr(fixture.exit.text, " and 1 more"));
}
END_TEST

START_TEST(test_exit_by_itself)
{
        start_shell("read -r a; exit 7");
        dispatch("a");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a FAILED: worker crashed: exit status 7) stopped(crashed)");
}
END_TEST

/* A result may come without the newline that ends it, as the last word. */
START_TEST(test_last_line_without_newline)
{
        start_shell("read -r a; printf '{\"type\":\"result\",\"status\":\"COMPLETED\"}'");
        dispatch("a");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a COMPLETED) stopped(crashed)");
}
END_TEST

START_TEST(test_partial_lines)
{
        start_shell("read -r a; printf '{\"type\":\"res'; sleep 0.05; printf 'ult\",\"status\":';"
                    "sleep 0.05; echo '\"COMPLETED\"}'; cat >/dev/null");
        dispatch("a");
        run_until(&fixture.n_done, 1);
        ck_assert_record("done(a COMPLETED)");
}
END_TEST

/* Nothing of this hurts: it is logged, counted where it was meant as a message, and ignored. */
START_TEST(test_garbage)
{
        WorkerStatus status;

        fixture_capture_log();
        fixture.config->concurrency = 2;
        start_shell("read -r a; read -r b; echo hello; echo; echo '[1]'; echo '{broken'; echo '{}';"
                    "printf '\\377\\000\\n'; echo '{\"type\":\"task\",\"task\":{}}';"
                    "echo '{\"type\":\"progress\",\"taskId\":\"zz\"}';" COMPLETED DONE(
                            "\"taskId\":\"zz\",\"status\":\"COMPLETED\"")
                            DONE("\"taskId\":7,\"status\":\"COMPLETED\"")
                                    DONE("\"taskId\":\"a\",\"status\":\"COMPLETED\"")
                                            DONE("\"taskId\":\"a\",\"status\":\"FAILED\"")
                                                    DONE("\"taskId\":\"b\",\"status\":"
                                                         "\"COMPLETED\"") "cat >/dev/null");
        dispatch("a");
        dispatch("b");
        run_until(&fixture.n_done, 2);
        ck_assert_record("done(a COMPLETED) done(b COMPLETED)");
        ck_assert_uint_eq(fixture_count_log("INFO pool/1: hello\n"), 1);
        ck_assert_uint_eq(fixture_count_log("INFO pool/1: {broken\n"), 1);
        ck_assert_uint_eq(fixture_count_log("task \"zz\", which it does not hold"), 2);
        ck_assert_uint_eq(fixture_count_log("task \"a\", which it does not hold"), 1);
        ck_assert_uint_eq(fixture_count_log("result without taskId while it holds 2 tasks"), 1);
        ck_assert_uint_eq(fixture_count_log("no member \"type\""), 1);
        ck_assert_uint_eq(fixture_count_log("\"taskId\" must be a string: ignored"), 1);
        worker_get_status(fixture.worker, &status);
        ck_assert_uint_eq(status.n_ignored, 7);
}
END_TEST

START_TEST(test_broken_result)
{
        start_shell("while read -r a; do " DONE(
                "\"status\":\"COMPLETED\",\"output\":{\"x\":NaN}") "read -r b;" DONE("\"status\":"
                                                                                     "\"COMPLETED\""
                                                                                     ",\"output\":["
                                                                                     "]") "done");
        dispatch("a");
        run_until(&fixture.n_done, 1);
        ck_assert_record("done(a FAILED: invalid result: value expected at byte 52)");
        dispatch("b");
        run_until(&fixture.n_done, 2);
        ck_assert_record("done(b FAILED: invalid result: \"output\" must be an object or null, not "
                         "array)");
}
END_TEST

/* The log stays readable, the loop goes on, the result arrives. */
START_TEST(test_flood)
{
        fixture_capture_log();
        start_shell("read -r a; yes out | head -n 100000; yes err 2>/dev/null | head -n 100000 "
                    ">&2;" COMPLETED "cat >/dev/null");
        dispatch("a");
        run_until(&fixture.n_done, 1);
        ck_assert_record("done(a COMPLETED)");
        worker_drain(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_uint_le(fixture_count_log("INFO pool/1: out\n"), 20 * 200);
        ck_assert_uint_ge(fixture_count_log("INFO pool/1: out\n"), 1);
        ck_assert_uint_ge(fixture_count_log("more lines suppressed)"), 1);
}
END_TEST

START_TEST(test_stderr_lines)
{
        fixture_capture_log();
        start_shell("read -r a; echo one >&2; printf two >&2; printf 'three\\n%02500d' 7 >&2;"
                    "exit 0");
        dispatch("a");
        run_until(&fixture.n_stopped, 1);
        ck_assert_uint_eq(fixture_count_log("INFO pool/1: one\n"), 1);
        ck_assert_uint_eq(fixture_count_log("INFO pool/1: twothree\n"), 1);
        ck_assert_uint_eq(fixture_count_log("0000 (cut)\n"), 1);
}
END_TEST

#define BIG_RESULT(zeros)                                                              \
        "printf '{\"type\":\"result\",\"status\":\"COMPLETED\",\"output\":{\"x\":\"';" \
        "head -c " zeros " /dev/zero | tr '\\0' x; echo '\"}}';"

START_TEST(test_big_result)
{
        fixture.config->limits.output = TASK_MESSAGE_MAX;
        start_shell("read -r a;" BIG_RESULT("16000000") "read -r b;" BIG_RESULT(
                "17000000") "read -r c;" COMPLETED "cat >/dev/null");
        dispatch("a");
        run_until(&fixture.n_done, 1);
        ck_assert_int_eq(fixture.outcome->status, TASK_COMPLETED);
        ck_assert_uint_eq(fixture.outcome->output.size, 16000008);
        dispatch("b");
        run_until(&fixture.n_done, 2);
        ck_assert_int_eq(fixture.outcome->status, TASK_FAILED);
        ck_assert_slice(fixture.outcome->reason, "wrote a line of more than 16781312 bytes");
        dispatch("c");
        run_until(&fixture.n_done, 3);
        ck_assert_int_eq(fixture.outcome->status, TASK_COMPLETED);
}
END_TEST

START_TEST(test_result_over_limit)
{
        fixture.config->limits.output = 1024;
        start_shell("while read -r a; do " BIG_RESULT("1024") "done");
        dispatch("a");
        run_until(&fixture.n_done, 1);
        ck_assert_record("done(a FAILED: result of 1080 bytes is larger than limits.output (1K))");
}
END_TEST

/* Whose line it was cannot be told, so none of them is safe. */
START_TEST(test_oversized_line_of_several)
{
        fixture.config->concurrency = 2;
        fixture.config->limits.output = TASK_MESSAGE_MAX;
        start_shell("read -r a; read -r b;" BIG_RESULT("17000000") "cat >/dev/null");
        dispatch("a");
        dispatch("b");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a FAILED: worker killed: wrote a line of more than 16781312 bytes "
                         "with 2 tasks in flight) "
                         "done(b FAILED: worker killed: wrote a line of more than 16781312 bytes "
                         "with 2 tasks in flight) stopped(protocol)");
}
END_TEST

/* A worker that does not read gets no more than so much, and is asked again once it has read. */
START_TEST(test_slow_reader)
{
        _cleanup_free_ char *json = malloc(100001), *script = NULL, *fifo = NULL;
        unsigned n = 0, n_reports;
        int fd;

        memset(json, ' ', 100000);
        json[100000] = '\0';
        memcpy(json, "{\"a\":1}", 7);
        ck_assert_int_gt(asprintf(&fifo, "%s/go", fixture.directory), 0);
        ck_assert_int_gt(asprintf(&script, "read -r go <%s; cat >/dev/null", fifo), 0);
        ck_assert_int_eq(mkfifo(fifo, 0600), 0);
        fixture.config->concurrency = 1000;
        start_shell(script);
        while (worker_free_slots(fixture.worker) > 0) {
                dispatch_json("t", json);
                ck_assert_uint_lt(++n, 100);
                /* what the pipe takes */
                if (worker_free_slots(fixture.worker) == 0)
                        run_briefly();
        }
        ck_assert_uint_ge(n, 10);
        n_reports = fixture.n_reports;
        run_briefly();
        ck_assert_uint_eq(fixture.n_reports, n_reports);
        buffer_clear(&fixture.record);
        fd = open(fifo, O_WRONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(unlink(fifo), 0);
        ck_assert_int_eq(write(fd, "go\n", 3), 3);
        (void)close_fd(fd);
        run_until(&fixture.n_reports, n_reports + 1);
        ck_assert_record("room");
        ck_assert_uint_eq(worker_free_slots(fixture.worker), 1000 - n);
}
END_TEST

/* A process that has left the group and holds stdout and stderr open delays nothing. */
START_TEST(test_grandchild_holds_pipes)
{
        start_shell("f=$(mktemp -u); mkfifo $f;"
                    "setsid sh -c 'echo left >\"$1\"; exec sleep 1000' sh $f & read -r left <$f;"
                    "rm $f; read -r a;" COMPLETED "exit 1");
        dispatch("a");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a COMPLETED) stopped(crashed)");
}
END_TEST

START_TEST(test_progress)
{
        start_shell("read -r a; for i in 1 2 3 4; do"
                    " echo '{\"type\":\"progress\",\"percent\":'$i',\"stage\":\"s\",\"x\":1}'; "
                    "done;" COMPLETED "cat >/dev/null");
        dispatch("a");
        run_until(&fixture.n_done, 1);
        ck_assert_record("progress(a {\"percent\":1,\"stage\":\"s\"}) "
                         "progress(a {\"percent\":4,\"stage\":\"s\"}) done(a COMPLETED)");
}
END_TEST

/* Without a result to come the last one is shown a second later. */
START_TEST(test_progress_is_flushed)
{
        start_shell("read -r a; for i in 1 2; do echo '{\"type\":\"progress\",\"percent\":'$i'}';"
                    "done; cat >/dev/null");
        dispatch("a");
        run_until(&fixture.n_progress, 2);
        ck_assert_record("progress(a {\"percent\":1}) progress(a {\"percent\":2})");
}
END_TEST

START_TEST(test_logs)
{
        Slice logs;

        start_shell("read -r a; echo '{\"type\":\"log\",\"message\":\"one\"}';"
                    "echo '{\"type\":\"log\",\"message\":\"\"}';"
                    "echo '{\"type\":\"log\",\"message\":5}';" DONE(
                            "\"status\":\"COMPLETED\",\"logs\":[\"two\"]") "cat >/dev/null");
        dispatch("a");
        run_until(&fixture.n_done, 1);
        logs = fixture.outcome->logs;
        ck_assert_int_eq(strncmp(logs.data, "[{\"log\":\"one\",\"createdTime\":", 28), 0);
        ck_assert_ptr_nonnull(memmem(logs.data, logs.size, "},{\"log\":\"two\",", 15));
}
END_TEST

START_TEST(test_cannot_exec)
{
        set_script(HANDLER_PERSISTENT, "/nonexistent/worker", "");
        start_worker();
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("stopped(cannot-exec)");
        ck_assert_str_eq(fixture.exit.text, "worker execution failed: fork/exec "
                                            "/nonexistent/worker: no such file or directory");
        fixture.config->working_directory = strdup("/nonexistent");
        set_script(HANDLER_PERSISTENT, "/bin/sh", "");
        ck_assert_int_eq(worker_start(fixture.worker), 0);
        run_until(&fixture.n_stopped, 2);
        ck_assert_record("stopped(cannot-exec)");
        ck_assert_str_eq(fixture.exit.text,
                         "worker execution failed: chdir /bin/sh: no such file or directory");
}
END_TEST

/* The runner of a library: its arguments, its configuration, and READY=1 is waited for. */
START_TEST(test_library)
{
        fixture.config->handler.mode = HANDLER_LIBRARY;
        fixture.config->handler.library = strdup("/lib/handler.so");
        fixture.config->handler.threads = 3;
        free(fixture.config->handler.config);
        fixture.config->handler.config = strdup("{\"a\":1}");
        fixture.context.runner_path = "/bin/echo";
        fixture_capture_log();
        start_worker();
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("stopped(crashed)");
        ck_assert_uint_eq(fixture_count_log("INFO pool/1: --threads 3 /lib/handler.so\n"), 1);
}
END_TEST

static void free_worker(Fixture *f, const WorkerReport *report)
{
        f->worker = worker_free(f->worker);
}

/* The owner may free the worker in any report. */
START_TEST(test_free_in_report)
{
        static const char *const scripts[] = {
                "cat >/dev/null",
                "read -r a; echo '{\"type\":\"progress\",\"taskId\":\"a\"}'; cat >/dev/null",
                "read -r a; read -r b;" DONE("\"taskId\":\"a\",\"status\":\"COMPLETED\"")
                        DONE("\"taskId\":\"b\",\"status\":\"COMPLETED\""),
                "read -r a; read -r b; exit 1",
        };

        fixture.config->concurrency = 2;
        for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
                unsigned n_reports = fixture.n_reports;

                fixture.on_report = i == 0 ? free_worker : NULL;
                set_script(HANDLER_PERSISTENT, "/bin/sh", scripts[i]);
                start_worker();
                run_until(&fixture.n_reports, n_reports + 1);
                if (i == 0)
                        continue;
                fixture.on_report = free_worker;
                dispatch("a");
                dispatch("b");
                run_until(&fixture.n_reports, n_reports + 2);
                ck_assert_ptr_null(fixture.worker);
                ck_assert_uint_eq(fixture.n_reports, n_reports + 2);
        }
}
END_TEST

/* All that it wrote before its end, however much there is at once. */
START_TEST(test_last_stderr)
{
        siginfo_t info;

        fixture_capture_log();
        start_shell("text=$(yes 'line of a long last word that goes on and on and on and on and on "
                    "and on and on and on and on and on and on and on and on and on and on and on "
                    "and on and on and on and on and on and on and on and on and on and on and on "
                    "and on and on and on and on' | head -n 150; echo end);"
                    "echo \"$text\" >&2");
        /* dead before the loop has read a byte of it */
        ck_assert_int_eq(waitid(P_PID, (id_t)worker_pid(), &info, WEXITED | WNOWAIT), 0);
        run_until(&fixture.n_stopped, 1);
        ck_assert_uint_eq(fixture_count_log("INFO pool/1: line of a long last word"), 150);
        ck_assert_uint_eq(fixture_count_log("INFO pool/1: end\n"), 1);
}
END_TEST

START_TEST(test_free_kills)
{
        pid_t pid;

        start_shell("trap '' TERM; sleep 1000; sleep 1000");
        pid = worker_pid();
        fixture.worker = worker_free(fixture.worker);
        run_while(kill(pid, 0) == 0);
}
END_TEST

/* The process is killed as soon as its number is known. */
START_TEST(test_free_while_spawning)
{
        set_script(HANDLER_PERSISTENT, "/bin/sh", "sleep 1000");
        start_worker();
        fixture.worker = worker_free(fixture.worker);
        run_while(spawner_n_answered(fixture.spawner) < 1);
        ck_assert_uint_eq(fixture.n_reports, 0);
}
END_TEST

UNIT_MAIN_WITH("persistent", fixture_setup, fixture_teardown, test_life, test_crash,
               test_exit_by_itself, test_last_line_without_newline, test_partial_lines,
               test_garbage, test_broken_result, test_flood, test_stderr_lines, test_big_result,
               test_result_over_limit, test_oversized_line_of_several, test_slow_reader,
               test_grandchild_holds_pipes, test_progress, test_progress_is_flushed, test_logs,
               test_cannot_exec, test_library, test_free_in_report, test_last_stderr,
               test_free_kills, test_free_while_spawning);
