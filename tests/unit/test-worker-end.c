/* SPDX-License-Identifier: Apache-2.0 */

/* How workers are ended: drain, stop, kill, cancel, and the deadlines that lead there. Mostly with
 * persistent workers; test-per-task.c has what differs. */

#include "unit.h"
#include "worker-fixture.h"

#define SHORT_USEC (100 * USEC_PER_MSEC)

#define RESULT(id, status) \
        "echo '{\"type\":\"result\",\"taskId\":\"" id "\",\"status\":\"" status "\"}';"

/* A helper that the scripts can say READY=1 and the like with. */
#define NOTIFY                                                                          \
        "notify() { /usr/bin/python3 -c 'import os,socket,sys;"                         \
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[1].encode()," \
        "os.environ[\"NOTIFY_SOCKET\"])' \"$1\"; };"

static void start_shell(const char *script)
{
        set_script(HANDLER_PERSISTENT, "/bin/sh", script);
        start_worker();
        run_until(&fixture.n_ready, 1);
        ck_assert_record("ready");
}

static void assert_exit_text(const char *part)
{
        ck_assert_msg(strstr(fixture.exit.text, part) != NULL, "\"%s\" does not say \"%s\"",
                      fixture.exit.text, part);
}

/* Until the worker has read what it was sent: it says so on stderr. */
static void run_until_log(const char *text)
{
        run_while(fixture_count_log(text) == 0);
}

static void run_for(usec_t usec)
{
        usec_t until_usec = clock_monotonic_usec() + usec;

        while (clock_monotonic_usec() < until_usec)
                ck_assert_int_ge(sd_event_run(fixture.event, 10 * USEC_PER_MSEC), 0);
}

static void find_task(const WorkerTaskStatus *status, void *userdata)
{
        Task **task = userdata;

        if (!*task)
                *task = status->task;
}

/* The oldest. */
static Task *first_task(void)
{
        Task *task = NULL;

        worker_visit_tasks(fixture.worker, find_task, &task);
        ck_assert_ptr_nonnull(task);
        return task;
}

START_TEST(test_drain_finishes_tasks)
{
        start_shell("read -r a; read -r b; case $b in '{\"type\":\"drain\"}') ;; *) exit 9;; "
                    "esac;" RESULT("a", "COMPLETED") "read -r end || exit 4");
        dispatch("a");
        worker_drain(fixture.worker);
        ck_assert_int_eq(worker_state(fixture.worker), WORKER_STATE_STOPPING);
        ck_assert_uint_eq(worker_free_slots(fixture.worker), 0);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a COMPLETED) stopped(asked)");
        ck_assert_int_eq(fixture.exit.value, 4);
}
END_TEST

/* Neither the drain message nor the end of input nor SIGTERM. */
START_TEST(test_drain_of_the_deaf)
{
        fixture.config->stop_timeout_usec = SHORT_USEC;
        start_shell("trap '' TERM; sleep 1000; sleep 1000");
        worker_drain(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("stopped(asked)");
        ck_assert_int_eq(fixture.exit.value, SIGKILL);
}
END_TEST

START_TEST(test_crash_in_drain)
{
        start_shell("read -r a; read -r b; exit 1");
        dispatch("a");
        worker_drain(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a FAILED: worker crashed: exit status 1) stopped(crashed)");
}
END_TEST

START_TEST(test_stop)
{
        fixture.config->concurrency = 3;
        start_shell("for i in 1 2 3 4 5 6; do read -r line; done;" RESULT("a", "FAILED")
                            RESULT("b", "COMPLETED") "trap 'exit 5' TERM; sleep 1000 & wait");
        fixture.config->stop_timeout_usec = SHORT_USEC;
        dispatch("a");
        dispatch("b");
        dispatch("c");
        worker_stop(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("returned(a: its worker was stopped) done(b COMPLETED) "
                         "returned(c: its worker was stopped) stopped(asked)");
}
END_TEST

START_TEST(test_kill)
{
        start_shell("trap '' TERM; sleep 1000");
        dispatch("a");
        worker_kill(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("returned(a: its worker was stopped) stopped(asked)");
        ck_assert_int_eq(fixture.exit.value, SIGKILL);
}
END_TEST

START_TEST(test_stop_while_starting)
{
        fixture.config->handler.notify = true;
        fixture.config->stop_timeout_usec = SHORT_USEC;
        set_script(HANDLER_PERSISTENT, "/bin/sh", "sleep 1000");
        start_worker();
        worker_stop(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("stopped(asked)");
}
END_TEST

/* Whatever the answer to cancel is, it ends the task and does not count. */
START_TEST(test_cancel_is_answered)
{
        fixture.config->concurrency = 2;
        start_shell("read -r a; read -r b; read -r c; case $c in "
                    "'{\"type\":\"cancel\",\"taskId\":\"a\"}') ;; *) exit 9;; esac;" RESULT(
                            "a", "COMPLETED") RESULT("b", "COMPLETED") "cat >/dev/null");
        dispatch("a");
        dispatch("b");
        worker_cancel(fixture.worker, first_task());
        worker_cancel(fixture.worker, first_task());
        run_until(&fixture.n_ended, 2);
        ck_assert_record("dropped(a) done(b COMPLETED)");
        ck_assert_int_eq(worker_state(fixture.worker), WORKER_STATE_READY);
}
END_TEST

/* The neighbour gets its time, nothing new comes, then the worker is ended; what was not done goes
 * back. */
START_TEST(test_cancel_is_not_answered)
{
        fixture.config->concurrency = 3;
        fixture.config->stop_timeout_usec = SHORT_USEC;
        start_shell("read -r a; read -r b; sleep 1000");
        dispatch("a");
        dispatch("b");
        worker_cancel(fixture.worker, first_task());
        ck_assert_uint_eq(worker_free_slots(fixture.worker), 1);
        run_while(worker_free_slots(fixture.worker) > 0);
        ck_assert_uint_eq(fixture.n_ended, 0);
        run_until(&fixture.n_stopped, 1);
        ck_assert_ptr_nonnull(memmem(fixture.record.data, fixture.record.size,
                                     "dropped(a) returned(b: a task did not end when it was told "
                                     "to; killed by signal 15 (SIGTERM) after ",
                                     90));
        ck_assert_int_eq(fixture.exit.cause, WORKER_EXIT_TIMEOUT);
        assert_exit_text(", held task a for ");
}
END_TEST

START_TEST(test_late_answer_frees_the_worker)
{
        fixture.config->concurrency = 2;
        start_shell("read -r a; read -r b; read -r c; sleep 0.8;" RESULT("a", "FAILED")
                            RESULT("b", "COMPLETED") "cat >/dev/null");
        dispatch("a");
        dispatch("b");
        fixture.config->stop_timeout_usec = 600 * USEC_PER_MSEC;
        worker_cancel(fixture.worker, first_task());
        run_until(&fixture.n_ended, 2);
        ck_assert_record("dropped(a) done(b COMPLETED)");
        ck_assert_uint_eq(worker_free_slots(fixture.worker), 2);
        ck_assert_int_eq(worker_state(fixture.worker), WORKER_STATE_READY);
}
END_TEST

START_TEST(test_task_timeout)
{
        fixture.config->task_timeout_usec = SHORT_USEC;
        start_shell("read -r a; read -r cancel;" RESULT("a", "COMPLETED") "read -r b; sleep 1000");
        dispatch("a");
        run_until(&fixture.n_done, 1);
        ck_assert_record("done(a FAILED: timed out after 100ms)");
        fixture.config->stop_timeout_usec = SHORT_USEC;
        dispatch("b");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(b FAILED: timed out after 100ms) stopped(timeout)");
}
END_TEST

/* A task that has timed out is not handed back because its worker is stopped in that moment. */
START_TEST(test_stop_after_timeout)
{
        fixture.config->task_timeout_usec = SHORT_USEC;
        fixture_capture_log();
        start_shell("read -r a; read -r cancel; echo cancelled >&2; sleep 1000");
        dispatch("a");
        run_until_log("cancelled");
        worker_stop(fixture.worker);
        worker_kill(fixture.worker);
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a FAILED: timed out after 100ms) stopped(asked)");
}
END_TEST

START_TEST(test_timeout_is_live)
{
        ConfigPool *config;

        start_shell("read -r a; read -r cancel;" RESULT("a", "COMPLETED") "cat >/dev/null");
        dispatch("a");
        ck_assert_int_eq(config_pool_new_default("pool", &config), 0);
        config->handler.mode = HANDLER_PERSISTENT;
        config->concurrency = 4;
        config->task_timeout_usec = SHORT_USEC;
        worker_apply(fixture.worker, config);
        (void)config_pool_unref(config);
        ck_assert_uint_eq(worker_free_slots(fixture.worker), 3);
        run_until(&fixture.n_done, 1);
        ck_assert_record("done(a FAILED: timed out after 100ms)");
}
END_TEST

START_TEST(test_watchdog)
{
        fixture.config->watchdog_usec = 300 * USEC_PER_MSEC;
        fixture.config->concurrency = 2;
        start_shell("read -r a; sleep 1000");
        dispatch("a");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a FAILED: worker killed by watchdog: no sign of life for 300ms) "
                         "stopped(watchdog)");
        assert_exit_text("no sign of life for 300ms; killed by signal 15 (SIGTERM) after ");
        assert_exit_text(", held task a for ");
}
END_TEST

/* Idle it may be silent; at work, messages keep it alive, and so does what it asked for. */
/* The oldest uses an attempt though it was not read: else it would come back for ever. */
START_TEST(test_watchdog_of_the_deaf)
{
        fixture.config->watchdog_usec = SHORT_USEC;
        fixture.config->concurrency = 2;
        start_shell("sleep 1000");
        dispatch("a");
        dispatch("b");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a FAILED: worker killed by watchdog: no sign of life for 100ms) "
                         "returned(b: its worker ended before it read the task) "
                         "stopped(watchdog)");
}
END_TEST

START_TEST(test_watchdog_is_fed)
{
        fixture.config->watchdog_usec = 400 * USEC_PER_MSEC;
        start_shell("read -r z;" RESULT(
                "z", "COMPLETED") "read -r a; for i in 1 2 3 4 5 6; do"
                                  " echo '{\"type\":\"progress\",\"percent\":1}'; sleep 0.15; "
                                  "done;" RESULT("a", "COMPLETED") "cat >/dev/null");
        dispatch("z");
        run_until(&fixture.n_done, 1);
        run_for(600 * USEC_PER_MSEC);
        dispatch("a");
        worker_apply(fixture.worker, fixture.config); /* looks at the deadlines at once */
        run_until(&fixture.n_done, 2);
        ck_assert_int_eq(fixture.outcome->status, TASK_COMPLETED);
}
END_TEST

START_TEST(test_ready)
{
        fixture.config->handler.notify = true;
        fixture.config->watchdog_usec = USEC_PER_SEC;
        set_script(HANDLER_PERSISTENT, "/bin/sh",
                   NOTIFY "notify 'READY=1\nSTATUS=warm'; read -r a;"
                          "notify EXTEND_TIMEOUT_USEC=20000000; sleep 1.3;" RESULT(
                                  "a", "COMPLETED") "notify WATCHDOG=trigger; cat >/dev/null");
        start_worker();
        ck_assert_int_eq(worker_state(fixture.worker), WORKER_STATE_STARTING);
        run_until(&fixture.n_ready, 1);
        {
                WorkerStatus status;

                worker_get_status(fixture.worker, &status);
                ck_assert_str_eq(status.status_text, "warm");
                ck_assert_uint_gt(status.heartbeat_usec, 0);
        }
        dispatch("a");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("ready done(a COMPLETED) stopped(watchdog)");
        assert_exit_text("it sent WATCHDOG=trigger; ");
}
END_TEST

START_TEST(test_start_timeout)
{
        fixture.config->handler.notify = true;
        fixture.config->start_timeout_usec = SHORT_USEC;
        set_script(HANDLER_PERSISTENT, "/bin/sh", "sleep 1000");
        start_worker();
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("stopped(start-timeout)");
        assert_exit_text("not ready within 100ms; killed by signal 15 (SIGTERM) after ");
}
END_TEST

START_TEST(test_stopping_is_announced)
{
        start_shell(NOTIFY
                    "read -r a; notify STOPPING=1;" RESULT("a", "COMPLETED") "read -r b || exit 0");
        dispatch("a");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a COMPLETED) stopped(asked)");
        assert_exit_text("exited with status 0 after ");
}
END_TEST

START_TEST(test_stopping_without_work)
{
        start_shell(NOTIFY "notify STOPPING=1; read -r a || exit 0");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("stopped(crashed)");
}
END_TEST

START_TEST(test_stopping_is_no_end)
{
        fixture.config->stop_timeout_usec = SHORT_USEC;
        start_shell(NOTIFY "notify STOPPING=1; sleep 1000");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("stopped(protocol)");
        assert_exit_text("said STOPPING=1 and went on; ");
}
END_TEST

/* A loop that stood still has seen nothing and judges nobody. */
START_TEST(test_late_loop)
{
        fixture.config->watchdog_usec = 300 * USEC_PER_MSEC;
        fixture.config->task_timeout_usec = 400 * USEC_PER_MSEC;
        start_shell("read -r a; sleep 0.75;" RESULT("a", "COMPLETED") "cat >/dev/null");
        dispatch("a");
        (void)sd_event_run(fixture.event, 10 * USEC_PER_MSEC);
        (void)usleep(600 * 1000);
        run_until(&fixture.n_done, 1);
        ck_assert_record("done(a COMPLETED)");
}
END_TEST

START_TEST(test_memory)
{
        fixture.config->limits.memory = 40 * 1024 * 1024;
        start_shell("read -r a; /usr/bin/python3 -c 'import time; x = b\"x\" * 60000000;"
                    "time.sleep(1000)'");
        dispatch("a");
        run_until(&fixture.n_stopped, 1);
        ck_assert_int_eq(fixture.exit.cause, WORKER_EXIT_MEMORY);
        assert_exit_text(" is over limits.memory (40M); killed by signal 15 (SIGTERM) after ");
        ck_assert_int_eq(fixture.outcome->status, TASK_FAILED);
        ck_assert_int_eq(strncmp(fixture.outcome->reason.data, "worker killed: its memory of ", 29),
                         0);
}
END_TEST

/* Its stdin closed, it gets nothing more; what it never read goes back at its end. */
START_TEST(test_input_closed)
{
        fixture.config->concurrency = 2;
        fixture_capture_log();
        start_shell("read -r a; exec <&-; echo closed >&2; sleep 0.2;" RESULT("a", "COMPLETED"));
        dispatch("a");
        run_until_log("closed");
        dispatch("b");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a COMPLETED) returned(b: its worker ended before it read the task) "
                         "stopped(crashed)");
}
END_TEST

/* Its stdout closed, it can never answer. */
START_TEST(test_output_closed)
{
        fixture.config->stop_timeout_usec = SHORT_USEC;
        start_shell("read -r a; exec >&-; sleep 1000");
        dispatch("a");
        run_until(&fixture.n_stopped, 1);
        ck_assert_record("done(a FAILED: worker killed: closed its end of the connection and went "
                         "on) stopped(protocol)");
}
END_TEST

UNIT_MAIN_WITH("worker-end", fixture_setup, fixture_teardown, test_drain_finishes_tasks,
               test_drain_of_the_deaf, test_crash_in_drain, test_stop, test_kill,
               test_stop_while_starting, test_cancel_is_answered, test_cancel_is_not_answered,
               test_late_answer_frees_the_worker, test_task_timeout, test_stop_after_timeout,
               test_timeout_is_live, test_watchdog, test_watchdog_of_the_deaf, test_watchdog_is_fed,
               test_ready, test_start_timeout, test_stopping_is_announced,
               test_stopping_without_work, test_stopping_is_no_end, test_late_loop, test_memory,
               test_input_closed, test_output_closed);
