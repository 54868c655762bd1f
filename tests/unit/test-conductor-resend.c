/* SPDX-License-Identifier: Apache-2.0 */

#include "conductor-send-fixture.h"

/* Failures */

START_TEST(test_away)
{
        settle("t", COMPLETED);
        f.server.away = true;
        offer();
        ck_assert_uint_eq(n_running(), 0);
        /* it waits in the outbox: a drain need not */
        ck_assert_uint_eq(f.subscription.n_unsent, 0);
        send_resume(&f.conductor);
        ck_assert_uint_eq(f.outbox.n_hurries, 1);
        f.server.away = false;
        ck_assert_uint_eq(f.outbox.entries[0].entry.n_tries, 0);
        offer();
        ck_assert_uint_eq(f.outbox.entries[0].entry.n_tries, 1);
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

/* Others are accepted meanwhile: it is the fault of this one. */
static void bury_doubtful(void)
{
        settle("t", COMPLETED);
        offer();
        for (unsigned i = 0; i < 3; i++) {
                ck_assert_uint_eq(f.outbox.n_buried, 0);
                answer(UPDATE, VERDICT_DOUBTFUL, 500, "bad");
                if (i == 0) {
                        settle("other", COMPLETED);
                        f.outbox.entries[0].postponed = false;
                        offer();
                        answer(UPDATE, VERDICT_DONE, 200, "other");
                        f.outbox.entries[0].postponed = true;
                }
                offer();
        }
}

START_TEST(test_doubtful_ends)
{
        bury_doubtful();
        assert_over(1, 1);
        ck_assert_str_eq(f.outbox.reason, "HTTP 500: bad");
        ck_assert_uint_eq(f.n_settled, 2);
        ck_assert_int_eq(f.status, _TASK_STATUS_INVALID);
}
END_TEST

START_TEST(test_doubtful_alone)
{
        settle("t", COMPLETED);
        offer();
        for (unsigned i = 0; i < 30; i++) {
                ck_assert_uint_eq(f.outbox.n_buried, 0);
                answer(UPDATE, VERDICT_DOUBTFUL, 500, "bad");
                offer();
        }
        assert_over(0, 1);
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

/* A url that is not the API's base refuses nothing: however often, the result waits. */
START_TEST(test_wrong_url)
{
        settle("t", COMPLETED);
        offer();
        for (unsigned i = 0; i < 50; i++) {
                answer(UPDATE, VERDICT_MISSING, 404, "no such path");
                ck_assert_uint_eq(f.outbox.n_buried, 0);
                offer();
        }
        answer(UPDATE, VERDICT_DONE, 200, "t");
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
        bury_doubtful();
        f.outbox.entries[0].entry.state = OUTBOX_WAITING;
        f.outbox.entries[0].offered = false;
        offer();
        answer(UPDATE, VERDICT_DOUBTFUL, 500, "bad");
        ck_assert_uint_eq(f.outbox.n_buried, 1);
        offer();
        answer(UPDATE, VERDICT_DONE, 200, "t");
        answer(DECIDE, VERDICT_DONE, 200, "");
        assert_over(2, 1);
        ck_assert_uint_eq(f.n_settled, 2);
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
                f.conductor.send->n_accepted++;
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
        /* the first was given out anew, to us, and we do not have it */
        ck_assert_uint_eq(f.n_suspects, 1);
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

UNIT_MAIN_WITH("conductor-resend", fixture_setup, fixture_teardown, test_away, test_cut_but_up,
               test_not_sent_is_certain, test_busy_never_ends, test_doubtful_ends,
               test_doubtful_alone, test_busy_then_doubtful, test_wrong_url, test_refused,
               test_dead_letter_again, test_decide_fails, test_decide_never, test_hand_back_read,
               test_hand_back_not_ours, test_read_fails, test_hand_back_of_nothing,
               test_put_back_read, test_recover, test_recover_while_away, test_poison,
               test_recovered_result, test_damaged_head);
