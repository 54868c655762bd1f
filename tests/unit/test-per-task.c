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

static void assert_script(const char *script, const char *record)
{
        start_script(script);
        run_task(NULL);
        ck_assert_record(record);
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

START_TEST(test_reasons)
{
        assert_script("echo first >&2; echo last >&2; echo '{\"status\":\"COMPLETED\"}'; exit 3",
                      "done(t FAILED: worker execution failed: exit status 3; stderr: first\n"
                      "last)");
}
END_TEST

UNIT_MAIN_WITH("per-task", fixture_setup, fixture_teardown, test_task_and_environment,
               test_reasons);
