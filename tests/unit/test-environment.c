/* SPDX-License-Identifier: Apache-2.0 */

#include "base/strv.h"
#include "unit.h"
#include "worker/environment.h"

static char *inherited[] = { "PATH=/bin", "LANG=C", "LANGUAGE=de", "TASK_ID=old", NULL };
static char *pool[] = { "LANG=fr", "EMPTY=", "WATCHDOG_USEC=5", NULL };

static void assert_vector(const Environment *environment, const char *expected)
{
        char text[1024] = "";

        STRV_FOREACH (s, environment_vector(environment)) {
                (void)strcat(text, *s);
                (void)strcat(text, ";");
        }
        ck_assert_str_eq(text, expected);
}

/* One entry for each name, the pool's before the daemon's, the contract's before both. */
START_TEST(test_precedence)
{
        _cleanup_(environment_freep) Environment *environment = NULL;

        ck_assert_int_eq(environment_new(&environment, inherited, pool), 0);
        assert_vector(environment, "PATH=/bin;LANGUAGE=de;LANG=fr;EMPTY=;");
        ck_assert_int_eq(environment_set(environment, ENVIRONMENT_WATCHDOG_USEC, "7"), 0);
        ck_assert_int_eq(environment_set(environment, ENVIRONMENT_WORKER, "i/p/1/1"), 0);
        ck_assert_str_eq(environment_get(environment, ENVIRONMENT_WORKER), "i/p/1/1");
        ck_assert_int_eq(environment_set(environment, ENVIRONMENT_WORKER, "i/p/1/1000"), 0);
        assert_vector(environment, "PATH=/bin;LANGUAGE=de;LANG=fr;EMPTY=;"
                                   "YARDMASTER_WORKER=i/p/1/1000;WATCHDOG_USEC=7;");
        ck_assert_int_eq(environment_set(environment, ENVIRONMENT_WATCHDOG_USEC, NULL), 0);
        ck_assert_ptr_null(environment_get(environment, ENVIRONMENT_WATCHDOG_USEC));
        assert_vector(environment,
                      "PATH=/bin;LANGUAGE=de;LANG=fr;EMPTY=;YARDMASTER_WORKER=i/p/1/1000;");
}
END_TEST

static void set_task(Environment *environment, const char *json)
{
        _cleanup_(task_unrefp) Task *task = NULL;

        ck_assert_int_eq(task_new(&task, "id", "type", slice_from_string(json)), 0);
        ck_assert_int_eq(environment_set_task(environment, task), 0);
}

START_TEST(test_task)
{
        _cleanup_(environment_freep) Environment *environment = NULL;

        ck_assert_int_eq(environment_new(&environment, NULL, NULL), 0);
        set_task(environment, "{\"workflowInstanceId\":\"w\",\"domain\":\"\\u0041\"}");
        assert_vector(environment,
                      "TASK_TYPE=type;TASK_ID=id;WORKFLOW_ID=w;EXECUTION_ID=w;POLL_DOMAIN=A;");
        set_task(environment, "{\"workflowInstanceId\":null,\"domain\":\"\"}");
        assert_vector(environment, "TASK_TYPE=type;TASK_ID=id;WORKFLOW_ID=;EXECUTION_ID=;");
        /* no byte of a value can end it early */
        set_task(environment, "{\"workflowInstanceId\":\"a\\u0000b=\\n\"}");
        assert_vector(environment, "TASK_TYPE=type;TASK_ID=id;WORKFLOW_ID=a\uFFFD"
                                   "b=\n;EXECUTION_ID=a\uFFFD"
                                   "b=\n;");
}
END_TEST

UNIT_MAIN("environment", test_precedence, test_task);
