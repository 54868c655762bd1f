/* SPDX-License-Identifier: Apache-2.0 */

#include "unit.h"
#include "worker-fixture.h"

static void start_shell(const char *script)
{
        set_script(HANDLER_PERSISTENT, "/bin/sh", script);
        start_worker();
        run_until(&fixture.n_ready, 1);
        ck_assert_record("ready");
}

#define ANSWER "while read -r line; do echo '{\"type\":\"result\",\"status\":\"COMPLETED\"}'; done"

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

UNIT_MAIN_WITH("persistent", fixture_setup, fixture_teardown, test_life);
