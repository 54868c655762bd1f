/* SPDX-License-Identifier: Apache-2.0 */

#include "conductor-send-fixture.h"

#define COMPLETED   "{\"status\":\"COMPLETED\",\"output\":{\"a\":1}}"
#define FAILED      "{\"status\":\"FAILED\",\"reason\":\"no\"}"
#define IN_PROGRESS "{\"status\":\"IN_PROGRESS\",\"callbackAfterSeconds\":5}"
#define UPDATE      "/tasks"
#define UPDATE_V2   "/tasks/update-v2"
#define DECIDE      "/workflow/decide/w-1"

#define BODY(id, status)                                                                 \
        "{\"workflowInstanceId\":\"w-1\",\"taskId\":\"" id "\",\"workerId\":\"worker\"," \
        "\"status\":\"" status "\""

/* What GET /tasks/ID says. */
#define OURS(status, worker, count)                                          \
        "{\"taskId\":\"t\",\"status\":\"" status "\",\"workerId\":\"" worker \
        "\",\"pollCount\":" count ",\"outputData\":{\"now\":2},\"scheduledTime\":1795211450000}"

static void assert_over(unsigned n_accepted, unsigned n_buried)
{
        ck_assert_uint_eq(f.outbox.n_accepted, n_accepted);
        ck_assert_uint_eq(f.outbox.n_buried, n_buried);
        ck_assert_uint_eq(n_running(), 0);
        ck_assert_uint_eq(send_n_under_way(&f.conductor), 0);
        ck_assert_uint_eq(f.subscription.n_reserved, 0);
}

START_TEST(test_update)
{
        settle("t", COMPLETED);
        ck_assert_uint_eq(f.subscription.n_tasks, 0);
        ck_assert_uint_eq(f.subscription.n_unsent, 1);
        ck_assert_uint_eq(send_n_under_way(&f.conductor), 1);
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

/* A task that the pool never had goes back without a word to it. */
START_TEST(test_hand_back_unseen)
{
        ck_assert_int_eq(conductor_hand_back(take_task("t")->holding, false), 0);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(1, 0);
        ck_assert_uint_eq(f.n_released + f.n_settled, 0);
        ck_assert_uint_eq(f.subscription.status.n_handed_back, 1);
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
                answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(10, 0);
        /* calls are made once */
        ck_assert_uint_eq(f.n_calls, 4);
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
        ck_assert_uint_gt(send_busy_until_usec(&f.conductor), clock_monotonic_usec());
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

START_TEST(test_v2_missing)
{
        settle("t", COMPLETED);
        f.subscription.credit = 1;
        offer();
        answer(UPDATE_V2, VERDICT_MISSING, 404, "{}");
        ck_assert_uint_eq(f.subscription.n_reserved, 0);
        ck_assert(f.conductor.has_update_v2);
        answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(1, 0);
        ck_assert(!f.conductor.has_update_v2);
        ck_assert_uint_eq(f.n_suspects, 0);

        settle("u", COMPLETED);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "u");
        assert_over(2, 0);
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

/* Failures */

START_TEST(test_away)
{
        settle("t", COMPLETED);
        f.server.away = true;
        offer();
        ck_assert_uint_eq(n_running(), 0);
        /* it waits in the outbox: a drain need not */
        ck_assert_uint_eq(send_n_under_way(&f.conductor), 0);
        ck_assert_uint_eq(f.subscription.n_unsent, 0);
        send_resume(&f.conductor);
        ck_assert_uint_eq(f.outbox.n_hurries, 1);
        f.server.away = false;
        offer();
        ck_assert_uint_eq(f.outbox.entries[0].entry.n_tries, 0);
        answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(1, 0);
        ck_assert_uint_eq(f.conductor.n_resent, 0);
}
END_TEST

/* One connection that ended does not make a server that is away: no one will say that it is back.
 */
START_TEST(test_cut_but_up)
{
        settle("t", COMPLETED);
        offer();
        no_answer(UPDATE, HTTP_FAILED_CUT, true);
        ck_assert(f.outbox.entries[0].postponed);
        ck_assert_uint_le(f.outbox.entries[0].delay_usec, USEC_PER_SEC);
        f.server.away = true;
        offer();
        ck_assert_uint_ge(f.outbox.entries[0].delay_usec, USEC_PER_MINUTE);
        f.server.away = false;
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "t");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 0);
}
END_TEST

START_TEST(test_not_sent_is_certain)
{
        settle("t", COMPLETED);
        offer();
        no_answer(UPDATE, HTTP_FAILED_CONNECT, false);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(1, 0);
}
END_TEST

START_TEST(test_busy_never_ends)
{
        settle("t", COMPLETED);
        offer();
        for (unsigned i = 0; i < 20; i++) {
                answer(UPDATE, VERDICT_BUSY, 500, "{\"retryable\":true}");
                ck_assert_uint_le(f.outbox.entries[0].delay_usec, USEC_PER_MINUTE);
                if (i > 8)
                        ck_assert_uint_ge(f.outbox.entries[0].delay_usec, USEC_PER_MINUTE / 2);
                offer();
        }
        /* the server may have stored it without going on */
        answer(UPDATE, VERDICT_DONE, 200, "t");
        ck_assert_uint_eq(f.outbox.n_accepted, 0);
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 0);
        ck_assert_uint_eq(f.conductor.n_resent, 20);
}
END_TEST

START_TEST(test_doubtful_ends)
{
        settle("t", COMPLETED);
        offer();
        for (unsigned i = 0; i < 3; i++) {
                ck_assert_uint_eq(f.outbox.n_buried, 0);
                answer(UPDATE, VERDICT_DOUBTFUL, 500, "bad");
                offer();
        }
        assert_over(0, 1);
        ck_assert_str_eq(f.outbox.reason, "HTTP 500: bad");
        ck_assert_uint_eq(f.n_settled, 1);
        ck_assert_int_eq(f.status, _TASK_STATUS_INVALID);
}
END_TEST

/* Busy is not counted, so it does not use up the tries that doubtful ones have. */
START_TEST(test_busy_then_doubtful)
{
        settle("t", COMPLETED);
        offer();
        for (unsigned i = 0; i < 5; i++) {
                answer(UPDATE, VERDICT_BUSY, 500, "");
                offer();
        }
        answer(UPDATE, VERDICT_DOUBTFUL, 500, "");
        ck_assert_uint_eq(f.outbox.n_buried, 0);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 0);
}
END_TEST

START_TEST(test_refused)
{
        settle("t", COMPLETED);
        offer();
        answer(UPDATE, VERDICT_REFUSED, 400, "no");
        assert_over(0, 1);
        ck_assert_str_eq(f.outbox.reason, "HTTP 400: no");
}
END_TEST

/* Somebody had it sent once more. */
START_TEST(test_dead_letter_again)
{
        settle("t", COMPLETED);
        offer();
        for (unsigned i = 0; i < 3; i++) {
                answer(UPDATE, VERDICT_DOUBTFUL, 500, "bad");
                offer();
        }
        f.outbox.entries[0].entry.state = OUTBOX_WAITING;
        f.outbox.entries[0].offered = false;
        offer();
        answer(UPDATE, VERDICT_DOUBTFUL, 500, "bad");
        ck_assert_uint_eq(f.outbox.n_buried, 1);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "t");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 1);
        ck_assert_uint_eq(f.n_settled, 1);
}
END_TEST

START_TEST(test_decide_fails)
{
        settle("t", COMPLETED);
        offer();
        no_answer(UPDATE, HTTP_FAILED_TIMEOUT, true);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "t");
        answer(DECIDE, VERDICT_BUSY, 500, "");
        offer();
        /* it has the result: only what is missing is asked for */
        ck_assert_ptr_null(running(UPDATE));
        no_answer(DECIDE, HTTP_FAILED_CUT, true);
        offer();
        answer(DECIDE, VERDICT_MISSING, 404, "");
        assert_over(1, 0);
}
END_TEST

START_TEST(test_decide_never)
{
        settle("t", COMPLETED);
        offer();
        no_answer(UPDATE, HTTP_FAILED_TIMEOUT, true);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "t");
        for (unsigned i = 0; i < 3; i++) {
                answer(DECIDE, VERDICT_DOUBTFUL, 500, "cannot decide");
                offer();
        }
        assert_over(0, 1);
        ck_assert_str_eq(f.outbox.reason, "HTTP 500: cannot decide");
}
END_TEST

/* IN_PROGRESS is not sent twice unread */

START_TEST(test_hand_back_read)
{
        conductor_release(&f.subscription.subscription, take_task("t"), NULL);
        offer();
        no_answer(UPDATE, HTTP_FAILED_CUT, true);
        offer();
        ck_assert_ptr_null(running(UPDATE));
        answer("/tasks/t", VERDICT_DONE, 200, OURS("IN_PROGRESS", "worker", "3"));
        /* with what the task has now */
        ck_assert_slice(
                sent(UPDATE),
                BODY("t", "IN_PROGRESS") ",\"outputData\":{\"now\":2},\"callbackAfterSeconds\":1}");
        /* and once more */
        no_answer(UPDATE, HTTP_FAILED_CUT, true);
        offer();
        answer("/tasks/t", VERDICT_DONE, 200, OURS("SCHEDULED", "worker", "3"));
        assert_over(1, 0);
        ck_assert_uint_eq(f.n_released, 1);
}
END_TEST

START_TEST(test_hand_back_not_ours)
{
        static const char *const others[] = {
                OURS("IN_PROGRESS", "worker", "4"),
                OURS("IN_PROGRESS", "other", "3"),
                OURS("COMPLETED", "worker", "3"),
        };
        char id[8], path[16];

        for (unsigned i = 0; i < ELEMENTSOF(others); i++) {
                (void)snprintf(id, sizeof(id), "t%u", i);
                (void)snprintf(path, sizeof(path), "/tasks/%s", id);
                conductor_release(&f.subscription.subscription, take_task(id), NULL);
                offer();
                no_answer(UPDATE, HTTP_FAILED_CUT, true);
                offer();
                answer(path, VERDICT_DONE, 200, others[i]);
                assert_over(i + 1, 0);
                ck_assert_uint_eq(f.n_released, i + 1);
        }
        ck_assert_uint_eq(f.subscription.status.n_handed_back, 0);
}
END_TEST

START_TEST(test_read_fails)
{
        conductor_release(&f.subscription.subscription, take_task("t"), NULL);
        offer();
        no_answer(UPDATE, HTTP_FAILED_CUT, true);
        offer();
        no_answer("/tasks/t", HTTP_FAILED_TIMEOUT, true);
        offer();
        answer("/tasks/t", VERDICT_DONE, 200, "{\"taskId\":");
        offer();
        answer("/tasks/t", VERDICT_MISSING, 404, "");
        assert_over(1, 0);
}
END_TEST

START_TEST(test_hand_back_of_nothing)
{
        conductor_release(&f.subscription.subscription, take_task("t"), NULL);
        offer();
        answer(UPDATE, VERDICT_MISSING, 404, "");
        assert_over(1, 0);
}
END_TEST

START_TEST(test_put_back_read)
{
        settle("t", IN_PROGRESS);
        offer();
        answer(UPDATE, VERDICT_BUSY, 500, "");
        offer();
        answer("/tasks/t", VERDICT_DONE, 200, OURS("IN_PROGRESS", "worker", "3"));
        ck_assert_slice(
                sent(UPDATE),
                BODY("t",
                     "IN_PROGRESS") ",\"outputData\":{\"before\":1},\"callbackAfterSeconds\":5}");
        answer(UPDATE, VERDICT_DONE, 200, "t");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 0);
        ck_assert_int_eq(f.status, TASK_SCHEDULED);
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

/* A predecessor's */

static FakeEntry *recovered(const char *id, unsigned n_crashes)
{
        FakeEntry *fake = add_entry(id, 0, SLICE_LITERAL("3 3:w-16:resize-6:worker"), SLICE_NULL);

        fake->entry.recovered = true;
        fake->entry.n_crashes = n_crashes;
        return fake;
}

START_TEST(test_recover)
{
        (void)recovered("t", 2);
        conductor_recover(&f.conductor);
        ck_assert_uint_eq(f.n_crashed, 1);
        offer();
        ck_assert_ptr_null(running(UPDATE));
        answer("/tasks/t", VERDICT_DONE, 200, OURS("IN_PROGRESS", "worker", "3"));
        ck_assert_slice(
                sent(UPDATE),
                BODY("t", "IN_PROGRESS") ",\"outputData\":{\"now\":2},\"callbackAfterSeconds\":1}");
        answer(UPDATE, VERDICT_DONE, 200, "t");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 0);
}
END_TEST

START_TEST(test_recover_while_away)
{
        f.server.away = true;
        (void)recovered("t", 0);
        conductor_recover(&f.conductor);
        offer();
        ck_assert_uint_eq(n_running(), 0);
        f.server.away = false;
        offer();
        answer("/tasks/t", VERDICT_DONE, 200, OURS("IN_PROGRESS", "other", "4"));
        assert_over(1, 0);
}
END_TEST

START_TEST(test_poison)
{
        (void)recovered("t", 3);
        conductor_recover(&f.conductor);
        ck_assert_uint_eq(f.n_crashed, 0);
        offer();
        ck_assert_slice(
                sent(UPDATE),
                BODY("t", "FAILED") ",\"reasonForIncompletion\":"
                                    "\"3 daemons in a row died while they ran this task\"}");
        answer(UPDATE, VERDICT_DONE, 200, "t");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 0);
}
END_TEST

/* A result that was on its way when the daemon died. */
START_TEST(test_recovered_result)
{
        FakeEntry *fake = add_entry("t", MESSAGE_RESULT, SLICE_LITERAL("3 3:w-16:resize-6:worker"),
                                    SLICE_LITERAL("{\"taskId\":\"t\"}"));

        fake->entry.recovered = true;
        offer();
        ck_assert_slice(sent(UPDATE), "{\"taskId\":\"t\"}");
        answer(UPDATE, VERDICT_DONE, 200, "t");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(1, 0);
        ck_assert_uint_eq(f.conductor.n_resent, 1);
}
END_TEST

START_TEST(test_damaged_head)
{
        FakeEntry *fake = add_entry("t", MESSAGE_RESULT, SLICE_LITERAL("nonsense"),
                                    SLICE_LITERAL("{\"taskId\":\"t\"}"));

        fake->entry.recovered = true;
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "t");
        assert_over(0, 1);
}
END_TEST

UNIT_MAIN_WITH("conductor-send", fixture_setup, fixture_teardown, test_update,
               test_failed_and_put_back, test_put_back_poll_timeout, test_release,
               test_hand_back_unseen, test_connections, test_logs_after_update, test_v2_brings_next,
               test_v2_brings_nothing, test_v2_without_room, test_v2_not_for_all, test_v2_missing,
               test_v2_task_missing, test_v2_unanswered, test_v2_unreadable, test_v2_never_sent,
               test_away, test_cut_but_up, test_not_sent_is_certain, test_busy_never_ends,
               test_doubtful_ends, test_busy_then_doubtful, test_refused, test_dead_letter_again,
               test_decide_fails, test_decide_never, test_hand_back_read, test_hand_back_not_ours,
               test_read_fails, test_hand_back_of_nothing, test_put_back_read, test_unwanted,
               test_gone, test_settled_twice, test_no_memory, test_upload, test_upload_nowhere,
               test_end_in_the_middle, test_recover, test_recover_while_away, test_poison,
               test_recovered_result, test_damaged_head);
