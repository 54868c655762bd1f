/* SPDX-License-Identifier: Apache-2.0 */

#include "conductor-fixture.h"

static void run_at(double seconds)
{
        set_time(seconds);
        clock_run(fixture.conductor);
}

/* "{"totalHits":n,"results":[{"taskId":"t000"}, …]}" with the ids from first on. */
static const char *rows(int hits, size_t first, size_t n)
{
        static char text[16384];
        char *end = text + sprintf(text, "{\"totalHits\":%d,\"results\":[", hits);

        for (size_t i = 0; i < n; i++)
                end += sprintf(end, "%s{\"status\":\"IN_PROGRESS\",\"taskId\":\"t%03zu\"}",
                               i > 0 ? "," : "", first + i);
        (void)strcpy(end, "]}");
        return text;
}

static size_t answer_looks(const char *status, const char *worker)
{
        FakeCall *call;
        size_t n = 0;

        while ((call = find_call("/tasks/t"))) {
                const char *id = strrchr(call->path, '/') + 1;

                n++;
                answer(call, VERDICT_DONE, task_text(id, status, worker, 1, 0));
        }
        return n;
}

START_TEST(test_all_in_progress)
{
        FakeCall *search;

        take_many(10, 0);
        run_at(1.4);
        ck_assert_uint_eq(fixture.n_starts, 0);
        run_at(2);
        ck_assert_uint_eq(fixture.n_starts, 1);
        search = find_call("/tasks/search?");
        ck_assert_ptr_nonnull(strstr(search->path, "start=0&size=0&query=taskId%20IN%20"));
        ck_assert_ptr_nonnull(strstr(search->path, "t000%2Ct001%2Ct002"));
        ck_assert_ptr_nonnull(strstr(search->path, "%20AND%20status%20IN%20%28IN_PROGRESS%29"));
        answer(search, VERDICT_DONE, rows(10, 0, 0));
        /* one in turn is read in any case */
        clock_run(fixture.conductor);
        ck_assert_uint_eq(answer_looks("IN_PROGRESS", WORKER_ID), 1);
        ck_assert_uint_eq(fixture.n_cancelled, 0);
        run_at(3);
        ck_assert_uint_eq(fixture.n_starts, 2);
        run_at(4);
        ck_assert_uint_eq(fixture.n_starts, 3);
        ck_assert_uint_eq(watch_delay_usec(fixture.conductor), 5 * USEC_PER_SEC);
}
END_TEST

START_TEST(test_few_are_read)
{
        take_many(2, 0);
        run_at(2);
        clock_run(fixture.conductor);
        ck_assert_ptr_null(find_call("/tasks/search"));
        ck_assert_uint_eq(answer_looks("IN_PROGRESS", WORKER_ID), 2);
        run_at(4);
        clock_run(fixture.conductor);
        ck_assert_uint_eq(answer_looks("CANCELED", WORKER_ID), 2);
        ck_assert_uint_eq(fixture.n_cancelled, 2);
        ck_assert_uint_eq(fixture.n_forgotten, 2);
        ck_assert_int_eq(fixture.last_cause, CANCEL_ASKED);
        ck_assert_uint_eq(fixture.subscription->n_tasks, 0);
        ck_assert_uint_eq(fixture.subscription->status.n_canceled, 2);
}
END_TEST

/* The ones that the index does not vouch for, and no others, are read; what is read decides. */
START_TEST(test_missing_rows)
{
        take_many(10, 0);
        run_at(2);
        answer(find_call("/tasks/search"), VERDICT_DONE, rows(7, 0, 0));
        ck_assert_ptr_nonnull(strstr(find_call("/tasks/search")->path, "size=10&"));
        answer(find_call("/tasks/search"), VERDICT_DONE, rows(7, 0, 7));
        clock_run(fixture.conductor);
        ck_assert_uint_eq(fixture.n_cancelled, 0);
        answer(find_call("/tasks/t007"), VERDICT_DONE,
               task_text("t007", "IN_PROGRESS", WORKER_ID, 1, 0)); /* the index was behind */
        ck_assert(!watch_is_blind(fixture.conductor));
        answer(find_call("/tasks/t008"), VERDICT_DONE,
               task_text("t008", "TIMED_OUT", WORKER_ID, 1, 0));
        ck_assert_int_eq(fixture.last_cause, CANCEL_DEADLINE);
        answer(find_call("/tasks/t009"), VERDICT_MISSING, "");
        ck_assert_int_eq(fixture.last_cause, CANCEL_SETTLED);
        ck_assert_uint_eq(fixture.n_cancelled, 2);
        ck_assert_uint_eq(answer_looks("IN_PROGRESS", WORKER_ID), 1);
        ck_assert_uint_eq(fixture.subscription->n_tasks, 8);
}
END_TEST

START_TEST(test_what_is_still_ours)
{
        static const struct {
                const char *status, *worker;
                int poll_count;
                bool ours;
        } cases[] = {
                { "IN_PROGRESS", WORKER_ID, 1, true },
                { "IN_PROGRESS", WORKER_ID, 2, true }, /* a requeue gave it out to us again */
                { "IN_PROGRESS", "host:other:1", 1, false },
                { "IN_PROGRESS", "", 1, false },
                { "SCHEDULED", WORKER_ID, 1, false },
                { "COMPLETED", WORKER_ID, 1, false },
                { "FAILED", WORKER_ID, 1, false },
                { "FAILED_WITH_TERMINAL_ERROR", WORKER_ID, 1, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                double start = 100.0 * (double)i;
                ConductorTask *holding;
                size_t before = fixture.n_cancelled;

                set_time(start);
                holding = take("t", 0);
                run_at(start + 2);
                clock_run(fixture.conductor);
                answer(find_call("/tasks/t"), VERDICT_DONE,
                       task_text("t", cases[i].status, cases[i].worker, cases[i].poll_count, 0));
                ck_assert_uint_eq(fixture.n_cancelled - before, !cases[i].ours);
                if (cases[i].ours)
                        settle(holding);
                else
                        ck_assert_int_eq(fixture.last_cause, CANCEL_SETTLED);
        }
}
END_TEST

/* Answers that say nothing of the task end nothing. */
START_TEST(test_looks_that_fail)
{
        static const char *const bodies[] = { "", "<html>", "[]", "{\"status\":\"CANCELED\"}",
                                              "{\"taskId\":\"x\",\"status\":\"CANCELED\"}" };
        double t = 2;

        (void)take("t", 0);
        for (Verdict verdict = VERDICT_DONE; verdict < _VERDICT_MAX; verdict++) {
                for (size_t i = 0; i < ELEMENTSOF(bodies); i++, t += 3) {
                        if (verdict == VERDICT_MISSING)
                                continue;
                        run_at(t);
                        clock_run(fixture.conductor);
                        answer(find_call("/tasks/t"), verdict, bodies[i]);
                }
        }
        ck_assert_uint_eq(fixture.n_cancelled, 0);
        /* a path that is not there is no missing task */
        run_at(t);
        clock_run(fixture.conductor);
        answer(find_call("/tasks/t"), VERDICT_MISSING,
               "{\"status\":404,\"message\":\"No static resource api/tasks/t.\"}");
        ck_assert_uint_eq(fixture.n_cancelled, 0);
}
END_TEST

/* An index that knows nothing is found out, told of, and tried again later. */
START_TEST(test_blind)
{
        take_many(100, 0);
        run_at(2);
        answer(find_call("/tasks/search"), VERDICT_DONE, rows(0, 0, 0));
        answer(find_call("/tasks/search"), VERDICT_DONE, rows(0, 0, 0));
        ck_assert(!watch_is_blind(fixture.conductor));
        clock_run(fixture.conductor);
        ck_assert_uint_eq(answer_looks("IN_PROGRESS", WORKER_ID), LOOKS_PER_SEC);
        ck_assert(watch_is_blind(fixture.conductor));
        ck_assert_ptr_nonnull(sweep_problem(fixture.conductor));
        ck_assert_uint_eq(watch_delay_usec(fixture.conductor), 10 * USEC_PER_SEC);
        for (double t = 2.1; t < 7; t += 0.1) {
                size_t before = fixture.n_starts;

                run_at(t);
                (void)answer_looks("IN_PROGRESS", WORKER_ID);
                ck_assert_uint_le(fixture.n_starts - before, 3);
                ck_assert_ptr_null(find_call("/tasks/search"));
        }
        ck_assert_uint_ge(fixture.n_starts, 2 + LOOKS_PER_SEC + 80);
        ck_assert_uint_eq(fixture.n_cancelled, 0);
        for (double t = 7; t < 70 && !find_call("/tasks/search"); t += 0.5) {
                run_at(t);
                (void)answer_looks("IN_PROGRESS", WORKER_ID);
        }
        answer(find_call("/tasks/search"), VERDICT_DONE, rows(100, 0, 0));
        ck_assert(!watch_is_blind(fixture.conductor));
}
END_TEST

/* A single cancelled task that is not in the list says nothing against the index. */
START_TEST(test_not_blind_for_the_cancelled)
{
        take_many(3, 0);
        run_at(2);
        answer(find_call("/tasks/search"), VERDICT_DONE, rows(0, 0, 0));
        answer(find_call("/tasks/search"), VERDICT_DONE, rows(0, 0, 0));
        clock_run(fixture.conductor);
        ck_assert_uint_eq(answer_looks("CANCELED", WORKER_ID), 3);
        ck_assert(!watch_is_blind(fixture.conductor));
        ck_assert_uint_eq(fixture.n_cancelled, 3);
}
END_TEST

START_TEST(test_search_refused)
{
        take_many(3, 0);
        run_at(2);
        answer(find_call("/tasks/search"), VERDICT_DOUBTFUL, "");
        ck_assert(watch_is_blind(fixture.conductor));
        run_at(4);
        clock_run(fixture.conductor);
        ck_assert_uint_eq(answer_looks("IN_PROGRESS", WORKER_ID), 3);

        /* no answer is no reason to doubt it */
        fixture_teardown();
        fixture_setup();
        take_many(3, 0);
        run_at(2);
        answer(find_call("/tasks/search"), VERDICT_AWAY, "");
        ck_assert(!watch_is_blind(fixture.conductor));
        fixture.away = true;
        run_at(4);
        ck_assert_ptr_null(find_call("/tasks"));
        fixture.away = false;
        run_at(6);
        ck_assert_ptr_nonnull(find_call("/tasks/search"));
}
END_TEST

/* By the hundred, each in its turn. */
START_TEST(test_groups)
{
        take_many(250, 0);
        run_at(2);
        for (int i = 0; i < 3; i++) {
                FakeCall *search = find_call("/tasks/search");

                ck_assert_uint_eq(count_calls("/tasks/search"), 1);
                ck_assert_uint_lt(strlen(search->path), 6000);
                ck_assert_ptr_nonnull(strstr(search->path, i == 0   ? "t000%2C"
                                                           : i == 1 ? "t100%2C"
                                                                    : "t200%2C"));
                answer(search, VERDICT_DONE, rows(i == 2 ? 50 : 100, 0, 0));
        }
        ck_assert_ptr_null(find_call("/tasks/search"));
}
END_TEST

/* What was settled while it was asked about is nobody's business. */
START_TEST(test_settled_meanwhile)
{
        take_many(3, 0);
        run_at(2);
        settle(conductor_find_task(fixture.conductor, SLICE_LITERAL("t001")));
        answer(find_call("/tasks/search"), VERDICT_DONE, rows(2, 0, 0));
        settle(conductor_find_task(fixture.conductor, SLICE_LITERAL("t002")));
        answer(find_call("/tasks/search"), VERDICT_DONE, rows(1, 0, 0));
        clock_run(fixture.conductor);
        ck_assert_ptr_nonnull(find_call("/tasks/t000"));
        settle(conductor_find_task(fixture.conductor, SLICE_LITERAL("t000")));
        ck_assert_uint_eq(answer_looks("COMPLETED", WORKER_ID), 1);
        ck_assert_uint_eq(fixture.n_cancelled, 0);
}
END_TEST

/* Its result waits for the server, or for memory: that will tell. */
START_TEST(test_settled_not_sent)
{
        ConductorTask *holding = take("t", 0);
        ListLink later = LIST_INIT(later);

        run_at(2);
        conductor_task_unlink(holding);
        list_append(&later, &holding->link);
        answer(find_call("/tasks/t"), VERDICT_DONE, task_text("t", "CANCELED", WORKER_ID, 1, 0));
        ck_assert_uint_eq(fixture.n_cancelled, 0);
        ck_assert_uint_eq(fixture.n_forgotten, 0);
        list_remove(&holding->link);
        (void)conductor_task_free(holding);
}
END_TEST

/* Its input came from external storage meanwhile: the Task is another. */
START_TEST(test_renewed_meanwhile)
{
        ConductorTask *holding = take("t", 0);

        run_at(2);
        set_time(3);
        ck_assert_int_eq(
                conductor_task_set_json(
                        holding, slice_from_string(task_text("t", "IN_PROGRESS", WORKER_ID, 1, 0))),
                0);
        answer(find_call("/tasks/t"), VERDICT_DONE, task_text("t", "CANCELED", WORKER_ID, 1, 0));
        ck_assert_uint_eq(fixture.n_cancelled, 0);
        run_at(5);
        answer(find_call("/tasks/t"), VERDICT_DONE, task_text("t", "CANCELED", WORKER_ID, 1, 0));
        ck_assert_uint_eq(fixture.n_cancelled, 1);
}
END_TEST

/* An id that cannot stand in a query is read. */
START_TEST(test_odd_id)
{
        take_many(5, 0);
        (void)take("a,b)", 0);
        run_at(2);
        ck_assert_ptr_null(strstr(find_call("/tasks/search")->path, "b"));
        clock_run(fixture.conductor);
        ck_assert_ptr_nonnull(find_call("/tasks/a%2Cb%29"));
}
END_TEST

UNIT_MAIN_WITH("conductor-watch", fixture_setup, fixture_teardown, test_all_in_progress,
               test_few_are_read, test_missing_rows, test_what_is_still_ours, test_looks_that_fail,
               test_blind, test_not_blind_for_the_cancelled, test_search_refused, test_groups,
               test_settled_meanwhile, test_settled_not_sent, test_renewed_meanwhile, test_odd_id);
