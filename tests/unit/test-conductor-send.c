/* SPDX-License-Identifier: Apache-2.0 */

#include "conductor-send-fixture.h"

START_TEST(test_update)
{
        settle("t", COMPLETED);
        ck_assert_uint_eq(f.subscription.n_tasks, 0);
        ck_assert_uint_eq(f.subscription.n_unsent, 1);
        ck_assert_uint_eq(n_running(), 0);
        offer();
        ck_assert_slice(sent(UPDATE), BODY("t", "COMPLETED") ",\"outputData\":{\"a\":1}}");
        ck_assert_uint_eq(f.n_settled, 0);
        answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(1, 0);
        ck_assert_uint_eq(f.n_settled, 1);
        ck_assert_int_eq(f.status, TASK_COMPLETED);
        ck_assert_uint_eq(f.subscription.status.n_completed, 1);
        ck_assert_uint_eq(f.conductor.n_settled, 1);
        ck_assert_uint_eq(f.conductor.n_resent, 0);
}
END_TEST

START_TEST(test_failed_and_put_back)
{
        settle("t", FAILED);
        settle("u", IN_PROGRESS);
        offer();
        ck_assert_uint_eq(n_running(), 2);
        answer(UPDATE, VERDICT_DONE, 200, "t");
        ck_assert_int_eq(f.status, TASK_FAILED);
        /* what is not sent is wiped: the output goes back as it came */
        ck_assert_slice(
                sent(UPDATE),
                BODY("u",
                     "IN_PROGRESS") ",\"outputData\":{\"before\":1},\"callbackAfterSeconds\":5}");
        answer(UPDATE, VERDICT_DONE, 200, "u");
        assert_over(2, 0);
        ck_assert_int_eq(f.status, TASK_SCHEDULED);
        ck_assert_uint_eq(f.subscription.status.n_failed, 1);
        ck_assert_uint_eq(f.subscription.status.n_put_back, 1);
}
END_TEST

/* The bare minimum of the poll time-out, however short a handler wants to wait. */
START_TEST(test_put_back_poll_timeout)
{
        Settlement settlement = { .worker = "pool/1" };
        Task *task = take_task("t");
        ConductorTask *holding = task->holding;
        Outcome *outcome;

        holding->poll_timeout_sec = 10;
        task->scheduled_msec = clock_epoch_msec() - 20000;
        ck_assert_int_eq(outcome_new(&outcome, TASK_IN_PROGRESS, NULL), 0);
        conductor_settle(&f.subscription.subscription, task, outcome, &settlement);
        offer();
        ck_assert_slice(
                sent(UPDATE),
                BODY("t",
                     "IN_PROGRESS") ",\"outputData\":{\"before\":1},\"callbackAfterSeconds\":12}");
        answer(UPDATE, VERDICT_DONE, 200, "t");
}
END_TEST

START_TEST(test_release)
{
        conductor_release(&f.subscription.subscription, take_task("t"), "drain");
        offer();
        ck_assert_slice(
                sent(UPDATE),
                BODY("t",
                     "IN_PROGRESS") ",\"outputData\":{\"before\":1},\"callbackAfterSeconds\":1}");
        answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(1, 0);
        ck_assert_uint_eq(f.n_released, 1);
        ck_assert_uint_eq(f.n_settled, 0);
        ck_assert_uint_eq(f.subscription.status.n_handed_back, 1);
        ck_assert_uint_eq(f.conductor.n_settled, 0);
}
END_TEST

START_TEST(test_connections)
{
        char id[8];

        f.subscription.n_types = 2; /* no update-v2 */
        for (unsigned i = 0; i < 10; i++) {
                (void)snprintf(id, sizeof(id), "t%u", i);
                settle(id, COMPLETED);
        }
        offer();
        ck_assert_uint_eq(n_running(), 4);
        for (unsigned i = 0; i < 10; i++)
                answer(UPDATE, VERDICT_DONE, 200, "");
        assert_over(10, 0);
        /* calls are made once */
        ck_assert_uint_eq(f.n_calls, 4);
}
END_TEST

/* It takes the task's id to say that the server has it. */
START_TEST(test_no_receipt)
{
        f.subscription.n_types = 2; /* no update-v2 */
        settle("t", COMPLETED);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "OK");
        ck_assert_uint_eq(f.outbox.n_accepted, 0);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "\"t\"");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 0);
}
END_TEST

START_TEST(test_logs_after_update)
{
        static const char lines[] = "{\"status\":\"COMPLETED\",\"logs\":[\"0\",\"1\",\"2\",\"3\","
                                    "\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\"]}";

        settle("t", lines);
        offer();
        ck_assert_uint_eq(n_running(), 1);
        answer(UPDATE, VERDICT_DONE, 200, "t");
        /* a drain waits for them, too */
        ck_assert_uint_eq(f.subscription.n_unsent, 1);
        offer();
        ck_assert_slice(sent("/tasks/t/log"), "10\n11");
        answer("/tasks/t/log", VERDICT_BUSY, 500, "");
        offer();
        answer("/tasks/t/log", VERDICT_DONE, 200, "");
        assert_over(2, 0);
        ck_assert_uint_eq(f.conductor.n_settled, 1);
}
END_TEST

/* update-v2 */

START_TEST(test_v2_brings_next)
{
        settle("t", COMPLETED);
        ck_assert_uint_eq(f.subscription.n_reserved, 1);
        f.subscription.credit = 1; /* the place that is free now */
        offer();
        ck_assert_uint_gt(send_busy_until_usec(&f.conductor), 0);
        answer(UPDATE_V2, VERDICT_DONE, 200, "{\"taskId\":\"next\"}");
        assert_over(1, 0);
        ck_assert_str_eq(f.taken, "{\"taskId\":\"next\"}");
        ck_assert_int_eq(f.status, TASK_COMPLETED);
        ck_assert_uint_eq(f.subscription.n_reserved, 0);
        ck_assert_uint_eq(send_busy_until_usec(&f.conductor), 0);
        ck_assert_uint_eq(f.n_suspects, 0);
}
END_TEST

START_TEST(test_v2_brings_nothing)
{
        settle("t", COMPLETED);
        f.subscription.credit = 1;
        offer();
        answer(UPDATE_V2, VERDICT_DONE, 204, NULL);
        assert_over(1, 0);
        ck_assert_str_eq(f.taken, "");
        ck_assert_uint_gt(f.n_polls, 0);
}
END_TEST

/* A pool that takes nothing more: paused, draining. */
START_TEST(test_v2_without_room)
{
        settle("t", COMPLETED);
        offer();
        ck_assert_ptr_nonnull(running(UPDATE));
        ck_assert_uint_eq(f.subscription.n_reserved, 0);
        answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(1, 0);
}
END_TEST

START_TEST(test_v2_not_for_all)
{
        f.subscription.credit = 8;
        settle("t", IN_PROGRESS);
        conductor_release(&f.subscription.subscription, take_task("u"), NULL);
        f.subscription.n_types = 2;
        settle("v", COMPLETED);
        offer();
        ck_assert_ptr_null(running(UPDATE_V2));
        ck_assert_uint_eq(n_running(), 3);
        for (unsigned i = 0; i < 3; i++)
                answer(UPDATE, VERDICT_DONE, 200, "");
}
END_TEST

static void settle_without_v2(const char *id, Verdict verdict, unsigned status, const char *body)
{
        settle(id, COMPLETED);
        f.subscription.credit = 1;
        offer();
        answer(UPDATE_V2, verdict, status, body);
        ck_assert_uint_eq(f.subscription.n_reserved, 0);
        ck_assert(f.conductor.has_update_v2);
        answer(UPDATE, VERDICT_DONE, 200, id);
}

START_TEST(test_v2_missing)
{
        settle_without_v2("t", VERDICT_MISSING, 404, "no such path");
        assert_over(1, 0);
        ck_assert(!f.conductor.has_update_v2);
        ck_assert_uint_eq(f.n_suspects, 0);

        settle("u", COMPLETED);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "u");
        assert_over(2, 0);
}
END_TEST

START_TEST(test_v2_wrong_method)
{
        settle_without_v2("t", VERDICT_REFUSED, 405, "");
        ck_assert(!f.conductor.has_update_v2);
}
END_TEST

/* Another's 404 counts when it comes again and again. */
START_TEST(test_v2_behind_a_proxy)
{
        for (unsigned i = 0; i < 4; i++)
                settle_without_v2("t", VERDICT_AWAY, 404, "<html>");
        settle("u", COMPLETED);
        offer();
        answer(UPDATE_V2, VERDICT_DONE, 204, NULL);
        for (unsigned i = 0; i < 5; i++)
                settle_without_v2("v", VERDICT_AWAY, 404, "<html>");
        ck_assert(!f.conductor.has_update_v2);
        assert_over(10, 0);
}
END_TEST

/* It was the task that is missing. */
START_TEST(test_v2_task_missing)
{
        settle("t", COMPLETED);
        f.subscription.credit = 1;
        offer();
        answer(UPDATE_V2, VERDICT_MISSING, 404, "gone");
        answer(UPDATE, VERDICT_MISSING, 404, "gone");
        assert_over(0, 1);
        ck_assert(f.conductor.has_update_v2);
        ck_assert_str_eq(f.outbox.reason, "HTTP 404: gone");
        ck_assert_int_eq(f.status, _TASK_STATUS_INVALID);
}
END_TEST

/* It may have handed out a task: looked for, and never asked for twice. */
START_TEST(test_v2_unanswered)
{
        settle("t", COMPLETED);
        f.subscription.credit = 1;
        offer();
        no_answer(UPDATE_V2, HTTP_FAILED_CUT, true);
        ck_assert_uint_eq(f.n_suspects, 1);
        ck_assert_uint_eq(f.subscription.n_reserved, 0);
        offer();
        ck_assert_ptr_null(running(UPDATE_V2));
        answer(UPDATE, VERDICT_DONE, 200, "t");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 0);
        ck_assert_uint_eq(f.conductor.n_resent, 1);
}
END_TEST

START_TEST(test_v2_unreadable)
{
        settle("t", COMPLETED);
        f.subscription.credit = 1;
        f.take_error = -EBADMSG;
        offer();
        answer(UPDATE_V2, VERDICT_DONE, 200, "{\"taskId");
        ck_assert_uint_eq(f.n_suspects, 1);
        ck_assert_uint_eq(f.outbox.n_accepted, 0);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "t");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 0);
}
END_TEST

START_TEST(test_v2_never_sent)
{
        settle("t", COMPLETED);
        f.subscription.credit = 1;
        offer();
        no_answer(UPDATE_V2, HTTP_FAILED_CONNECT, false);
        ck_assert_uint_eq(f.n_suspects, 0);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(1, 0);
}
END_TEST

/* Stale */

/* The server has ended it, and the source has forgotten it. */
START_TEST(test_unwanted)
{
        Settlement settlement = { 0 };
        Task *task = task_ref(take_task("t"));
        ConductorTask *holding = task->holding;
        Outcome *outcome;

        outbox_forget(&f.outbox, holding->entry);
        (void)conductor_task_free(holding);
        ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
        conductor_settle(&f.subscription.subscription, task, outcome, &settlement);
        ck_assert_uint_eq(f.n_settled, 0);
        ck_assert_uint_eq(f.subscription.n_unsent, 1);
        ck_assert_int_gt(sd_event_run(f.conductor.event, USEC_PER_SEC), 0);
        ck_assert_uint_eq(f.n_settled, 1);
        ck_assert_int_eq(f.status, _TASK_STATUS_INVALID);
        ck_assert_uint_eq(f.subscription.n_unsent, 0);
        offer();
        ck_assert_uint_eq(n_running(), 0);
        task_unref(task);
}
END_TEST

/* Somebody drops what waits. */
START_TEST(test_gone)
{
        settle("t", COMPLETED);
        offer();
        answer(UPDATE, VERDICT_BUSY, 500, "");
        send_on_gone(&f.outbox, &f.outbox.entries[0].entry, &f.conductor);
        outbox_accept(&f.outbox, &f.outbox.entries[0].entry);
        ck_assert_uint_eq(f.n_settled, 1);
        ck_assert_int_eq(f.status, _TASK_STATUS_INVALID);
        ck_assert_uint_eq(f.subscription.n_ref, 1);
}
END_TEST

START_TEST(test_settled_twice)
{
        Settlement settlement = { 0 };
        Task *task = task_ref(take_task("t"));
        Outcome *outcome;

        conductor_release(&f.subscription.subscription, task, NULL);
        ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
        conductor_settle(&f.subscription.subscription, task, outcome, &settlement);
        ck_assert_int_gt(sd_event_run(f.conductor.event, USEC_PER_SEC), 0);
        ck_assert_int_eq(f.status, _TASK_STATUS_INVALID);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(1, 0);
        ck_assert_uint_eq(f.n_released, 1);
        task_unref(task);
}
END_TEST

/* No memory: it is tried again until there is. */
START_TEST(test_no_memory)
{
        f.outbox.put_error = -ENOMEM;
        settle("t", COMPLETED);
        conductor_release(&f.subscription.subscription, take_task("u"), NULL);
        ck_assert_uint_eq(f.subscription.n_unsent, 2);
        conductor_settle_rest(f.conductor.send);
        offer();
        ck_assert_uint_eq(n_running(), 0);
        f.outbox.put_error = 0;
        conductor_settle_rest(f.conductor.send);
        offer();
        ck_assert_uint_eq(n_running(), 2);
        answer(UPDATE, VERDICT_DONE, 200, "");
        answer(UPDATE, VERDICT_DONE, 200, "");
        assert_over(2, 0);
        ck_assert_uint_eq(f.n_settled, 1);
        ck_assert_uint_eq(f.n_released, 1);
}
END_TEST

/* The server takes no results: sooner or later nothing is fetched. */
START_TEST(test_full)
{
        char json[1 << 20];
        Settlement settlement = { 0 };
        ConductorTask *holding;
        Outcome *outcome;
        Task *task;

        memset(json, ' ', sizeof(json));
        for (unsigned i = 0; i < 33; i++) {
                ck_assert(!send_is_full(&f.conductor));
                holding = take_task("t")->holding;
                ck_assert_int_eq(task_new(&task, "t", "resize", (Slice){ json, sizeof(json) }), 0);
                task_unref(holding->task);
                task->holding = holding;
                holding->task = task;
                ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
                conductor_settle(&f.subscription.subscription, task, outcome, &settlement);
        }
        ck_assert(send_is_full(&f.conductor));
        offer();
        f.n_polls = 0;
        answer(UPDATE, VERDICT_DONE, 200, "t");
        ck_assert(!send_is_full(&f.conductor));
        ck_assert_uint_eq(f.n_polls, 1);
        ck_assert_uint_eq(f.subscription.n_unsent, 32);
}
END_TEST

/* Large outputs */

static void settle_large(const char *id)
{
        Settlement settlement = { 0 };
        Task *task = take_task(id);
        size_t size = CONDUCTOR_OUTPUT_MAX + 64;
        Outcome *outcome = malloc(sizeof(*outcome) + size);
        char *output = (char *)(outcome + 1);

        memset(output, 'x', size);
        memcpy(output, "{\"a\":\"", 6);
        memcpy(output + size - 2, "\"}", 2);
        *outcome = (Outcome){ .status = TASK_COMPLETED, .output = { output, size } };
        conductor_settle(&f.subscription.subscription, task, outcome, &settlement);
}

START_TEST(test_upload)
{
        settle_large("t");
        offer();
        ck_assert_uint_eq(n_running(), 0);
        ck_assert_uint_eq(f.upload_size, CONDUCTOR_OUTPUT_MAX + 64);
        f.uploaded(-EAGAIN, "later", f.upload_userdata);
        offer();
        f.uploaded(0, "x/y.json", f.upload_userdata);
        ck_assert_slice(
                sent(UPDATE),
                BODY("t", "COMPLETED") ",\"externalOutputPayloadStoragePath\":\"x/y.json\"}");
        /* it is uploaded once */
        f.uploaded = NULL;
        answer(UPDATE, VERDICT_BUSY, 500, "");
        offer();
        ck_assert_ptr_null(f.uploaded);
        answer(UPDATE, VERDICT_DONE, 200, "t");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 0);
        ck_assert_int_eq(f.status, TASK_COMPLETED);
}
END_TEST

START_TEST(test_upload_nowhere)
{
        settle_large("t");
        offer();
        f.uploaded(-ENOTSUP, "it has no external storage", f.upload_userdata);
        ck_assert_slice(sent(UPDATE),
                        "{\"workflowInstanceId\":\"w-1\",\"taskId\":\"t\",\"workerId\":\"worker\","
                        "\"status\":\"FAILED_WITH_TERMINAL_ERROR\",\"reasonForIncompletion\":"
                        "\"the output is over the server's limit of 10240 KB: "
                        "it has no external storage\"}");
        answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(1, 0);
        ck_assert_int_eq(f.status, TASK_FAILED_WITH_TERMINAL_ERROR);
        ck_assert_uint_eq(f.subscription.status.n_failed, 1);
}
END_TEST

START_TEST(test_end_in_the_middle)
{
        settle("a", COMPLETED);
        settle_large("b");
        f.config.conductor.connections = 1;
        settle("c", COMPLETED);
        f.outbox.put_error = -ENOMEM;
        settle("d", COMPLETED);
        offer();
        f.server.away = true;
        /* the teardown sees to it that nothing is left */
}
END_TEST

UNIT_MAIN_WITH("conductor-send", fixture_setup, fixture_teardown, test_update,
               test_failed_and_put_back, test_put_back_poll_timeout, test_release, test_connections,
               test_no_receipt, test_logs_after_update, test_v2_brings_next, test_v2_brings_nothing,
               test_v2_without_room, test_v2_not_for_all, test_v2_missing, test_v2_wrong_method,
               test_v2_behind_a_proxy, test_v2_task_missing, test_v2_unanswered, test_v2_unreadable,
               test_v2_never_sent, test_unwanted, test_gone, test_settled_twice, test_full,
               test_no_memory, test_upload, test_upload_nowhere, test_end_in_the_middle);
