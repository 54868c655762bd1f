/* SPDX-License-Identifier: Apache-2.0 */

#include "conductor-fixture.h"

static void run_at(double seconds)
{
        set_time(seconds);
        sweep_run(fixture.conductor);
        clock_run(fixture.conductor);
}

static const char *page(const char *tasks)
{
        static char text[8192];

        (void)snprintf(text, sizeof(text), "{\"totalHits\":7,\"results\":[%s]}", tasks);
        return text;
}

static void answer_search(const char *tasks)
{
        answer(find_call("/tasks/search-v2"), VERDICT_DONE, page(tasks));
}

START_TEST(test_plan)
{
        usec_t due[8], now = 100 * USEC_PER_SEC;
        size_t n = 0;

        sweep_plan(due, &n, 8, now);
        ck_assert_uint_eq(n, 3);
        ck_assert_uint_eq(due[0], now);
        ck_assert_uint_eq(due[1], now + 5 * USEC_PER_SEC);
        ck_assert_uint_eq(due[2], now + 30 * USEC_PER_SEC);
        /* what stands a little later serves */
        sweep_plan(due, &n, 8, now - USEC_PER_SEC);
        ck_assert_uint_eq(n, 3);
        /* what stands earlier does not */
        sweep_plan(due, &n, 8, now + 1);
        ck_assert_uint_eq(n, 6);
        sweep_plan(due, &n, 8, now + USEC_PER_MINUTE);
        ck_assert_uint_eq(n, 8);
}
END_TEST

START_TEST(test_query)
{
        static char *one[] = { (char *)"a b", NULL }, *two[] = { (char *)"a", (char *)"b", NULL },
                    *odd[] = { (char *)"a", (char *)"b,c", NULL };
        Buffer buffer = BUFFER_NULL(1000);

        ck_assert_int_eq(sweep_query_append(&buffer, one), 0);
        ck_assert_slice(buffer_slice(&buffer), "status IN (IN_PROGRESS) AND taskType IN (a b)");
        buffer_clear(&buffer);
        ck_assert_int_eq(sweep_query_append(&buffer, two), 0);
        ck_assert_slice(buffer_slice(&buffer), "status IN (IN_PROGRESS) AND taskType IN (a,b)");
        buffer_clear(&buffer);
        ck_assert_int_eq(sweep_query_append(&buffer, odd), 0);
        ck_assert_slice(buffer_slice(&buffer), "status IN (IN_PROGRESS)");
        buffer_deinit(&buffer);
}
END_TEST

/* A stray of that time is looked at 5 s later; the look for more finds none. */
static void ripen(double seconds)
{
        run_at(seconds + 4.9);
        ck_assert_ptr_null(find_call("/tasks/s"));
        run_at(seconds + 5.1);
        if (find_call("/tasks/search-v2"))
                answer_search("");
}

START_TEST(test_stray_goes_back)
{
        FakeEntry *entry;
        MessageHead head;

        conductor_suspect(fixture.subscription);
        run_at(0);
        ck_assert_ptr_nonnull(strstr(find_call("/tasks/search-v2")->path,
                                     "start=0&size=100&sort=updateTime:DESC&query=status%20IN%20%"
                                     "28IN_PROGRESS%29%20AND%20"
                                     "taskType%20IN%20%28type%29"));
        answer_search(task_text("s", "IN_PROGRESS", WORKER_ID, 3, 0));
        ripen(0);
        answer(find_call("/tasks/s"), VERDICT_DONE, task_text("s", "IN_PROGRESS", WORKER_ID, 3, 0));

        entry = find_entry("s");
        ck_assert_ptr_nonnull(entry);
        ck_assert_int_eq(entry->entry.state, OUTBOX_WAITING);
        ck_assert_uint_eq(entry->entry.kind, MESSAGE_HAND_BACK);
        ck_assert_ptr_nonnull(strstr(entry->body, "\"status\":\"IN_PROGRESS\""));
        ck_assert_ptr_nonnull(strstr(entry->body, "\"callbackAfterSeconds\":1"));
        ck_assert_ptr_nonnull(strstr(entry->body, "\"outputData\":{\"half\":1}"));
        ck_assert_ptr_nonnull(strstr(entry->body, "\"workflowInstanceId\":\"w-s\""));
        ck_assert_int_eq(message_head_parse(entry->entry.head, &head), 0);
        ck_assert_slice(head.workflow_id, "w-s");
        ck_assert_slice(head.type, "type");
        ck_assert_slice(head.worker_id, WORKER_ID);
        ck_assert_int_eq(head.poll_count, 3);
        ck_assert_uint_eq(fixture.subscription->status.n_handed_back, 1);

        /* the next look finds it on its way */
        run_at(30);
        answer_search(task_text("s", "IN_PROGRESS", WORKER_ID, 3, 0));
        run_at(36);
        ck_assert_ptr_null(find_call("/tasks/s"));
}
END_TEST

/* What the server has lost of a hand-back is made good by another, once. */
START_TEST(test_hand_back_is_checked)
{
        static const struct {
                const char *status;
                int poll_count;
                bool again;
        } cases[] = {
                { "SCHEDULED", 1, true },
                { "SCHEDULED", 2, false }, /* someone had it, and put it back */
                { "IN_PROGRESS", 2, false },
                { "COMPLETED", 2, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                double start = 100.0 * (double)i;

                set_time(start);
                conductor_suspect(fixture.subscription);
                run_at(start);
                answer_search(task_text("s", "IN_PROGRESS", WORKER_ID, 1, 0));
                ripen(start);
                answer(find_call("/tasks/s"), VERDICT_DONE,
                       task_text("s", "IN_PROGRESS", WORKER_ID, 1, 0));
                entry_free(find_entry("s")); /* accepted */
                run_at(start + 19);
                ck_assert_ptr_null(find_call("/tasks/s"));
                run_at(start + 21);
                answer(find_call("/tasks/s"), VERDICT_DONE,
                       task_text("s", cases[i].status, "", cases[i].poll_count, 0));
                ck_assert(cases[i].again == !!find_entry("s"));
                if (cases[i].again)
                        entry_free(find_entry("s"));
                run_at(start + 30);
                answer_search("");
                run_at(start + 60);
                ck_assert_ptr_null(find_call("/tasks/s"));
        }
        ck_assert_uint_eq(fixture.subscription->status.n_handed_back, ELEMENTSOF(cases));
}
END_TEST

START_TEST(test_looks_three_times)
{
        size_t n = 0;

        conductor_suspect(fixture.subscription);
        for (double t = 0; t < 60; t += 0.5) {
                run_at(t);
                if (find_call("/tasks/search-v2")) {
                        ck_assert(t == 0 || t == 5 || t == 30);
                        answer_search("");
                        n++;
                }
        }
        ck_assert_uint_eq(n, 3);
}
END_TEST

/* A poll that is under way at the search may be bringing just this task. */
START_TEST(test_waits_for_calls_under_way)
{
        FetchMark old = { 0 }, poll = { 0 }, later = { 0 };
        unsigned n;

        fetch_begin(fixture.conductor, &old);
        fetch_begin(fixture.conductor, &poll);
        conductor_suspect(fixture.subscription);
        run_at(0);
        answer_search(task_text("s", "IN_PROGRESS", WORKER_ID, 1, 0));
        fetch_begin(fixture.conductor, &later);
        ripen(0);
        ck_assert_ptr_null(find_call("/tasks/s"));
        fetch_end(&old);
        run_at(5.2);
        ck_assert_ptr_null(find_call("/tasks/s"));
        /* it brought another one */
        fetch_end(&poll);
        run_at(5.3);
        ck_assert_ptr_nonnull(find_call("/tasks/s"));
        answer(find_call("/tasks/s"), VERDICT_AWAY, "");
        ck_assert_ptr_null(find_entry("s"));
        /* no answer, so it is asked again; gone by then */
        run_at(11);
        answer(find_call("/tasks/s"), VERDICT_MISSING, "");

        /* this time it brings it */
        fetch_begin(fixture.conductor, &poll);
        run_at(30);
        answer_search(task_text("s", "IN_PROGRESS", WORKER_ID, 1, 0));
        fixture.subscription->credit = 1;
        ck_assert_int_eq(
                conductor_take(fixture.subscription,
                               slice_from_string(task_text("s", "IN_PROGRESS", WORKER_ID, 1, 0)),
                               &n),
                0);
        fetch_end(&poll);
        /* the watch looks at it, as at any task in hand */
        fetch_end(&later);
        run_at(36);
        answer(find_call("/tasks/s"), VERDICT_DONE, task_text("s", "IN_PROGRESS", WORKER_ID, 1, 0));
        ck_assert_uint_eq(fixture.subscription->status.n_handed_back, 0);
}
END_TEST

START_TEST(test_what_is_no_stray)
{
        static const struct {
                const char *status, *worker;
                int poll_count;
        } cases[] = {
                { "SCHEDULED", WORKER_ID, 1 },
                { "COMPLETED", WORKER_ID, 1 },
                { "IN_PROGRESS", "host:other:1", 1 },
                { "IN_PROGRESS", WORKER_ID, 2 }, /* handed out again meanwhile */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                double start = 100.0 * (double)i;

                set_time(start);
                conductor_suspect(fixture.subscription);
                run_at(start);
                answer_search(task_text("s", "IN_PROGRESS", WORKER_ID, 1, 0));
                ripen(start);
                answer(find_call("/tasks/s"), VERDICT_DONE,
                       task_text("s", cases[i].status, cases[i].worker, cases[i].poll_count, 0));
                ck_assert_ptr_null(find_entry("s"));
                for (double t = 10; t <= 40; t += 5) {
                        run_at(start + t);
                        if (find_call("/tasks/search-v2"))
                                answer_search(task_text("s", "IN_PROGRESS", "other", 1, 0));
                        ck_assert_ptr_null(find_call("/tasks/s?"));
                }
        }
}
END_TEST

/* A predecessor's message about it, or a dead letter. */
START_TEST(test_in_outbox)
{
        OutboxEntry *entry;

        ck_assert_int_eq(__wrap_outbox_hold(NULL, "s", SLICE_LITERAL(""), &entry), 0);
        ck_assert_int_eq(__wrap_outbox_put(NULL, entry, MESSAGE_RESULT, SLICE_LITERAL("{}"), false),
                         0);
        conductor_suspect(fixture.subscription);
        run_at(0);
        answer_search(task_text("s", "IN_PROGRESS", WORKER_ID, 1, 0));
        ripen(0);
        ck_assert_ptr_null(find_call("/tasks/s"));
}
END_TEST

/* The poll time-out of the definition would fire in the hand-back itself. */
START_TEST(test_poll_timeout)
{
        char text[1000];
        const char *plain = task_text("s", "IN_PROGRESS", WORKER_ID, 1, 0);

        /* scheduled 10 s before START_MSEC, given up after 2 s */
        (void)snprintf(text, sizeof(text), "%.*s,\"taskDefinition\":{\"pollTimeoutSeconds\":2}}",
                       (int)strlen(plain) - 1, plain);
        conductor_suspect(fixture.subscription);
        run_at(0);
        answer_search(text);
        ripen(0);
        answer(find_call("/tasks/s"), VERDICT_DONE, text);
        ck_assert_ptr_null(strstr(find_entry("s")->body, "\"callbackAfterSeconds\":1}"));
        ck_assert_ptr_null(strstr(find_entry("s")->body, "\"callbackAfterSeconds\":1,"));
}
END_TEST

START_TEST(test_pages)
{
        Buffer tasks = BUFFER_NULL(1 << 20);

        for (int i = 0; i < 100; i++) {
                ck_assert_int_eq(buffer_appendf(&tasks,
                                                "%s{\"taskId\":\"o%d\",\"status\":\"IN_PROGRESS\","
                                                "\"workerId\":\"another\"}",
                                                i > 0 ? "," : "{\"results\":[", i),
                                 0);
        }
        ck_assert_int_eq(buffer_append(&tasks, "]}", 3), 0);
        conductor_suspect(fixture.subscription);
        run_at(0);
        answer(find_call("/tasks/search-v2"), VERDICT_DONE, tasks.data + tasks.start);
        ck_assert_ptr_nonnull(strstr(find_call("/tasks/search-v2")->path, "start=100&"));
        answer_search(task_text("s", "IN_PROGRESS", WORKER_ID, 1, 0));
        ripen(0);
        ck_assert_ptr_nonnull(find_call("/tasks/s"));
        /* bounded */
        run_at(30);
        for (int i = 0; i < 20; i++)
                answer(find_call("/tasks/search-v2"), VERDICT_DONE, tasks.data + tasks.start);
        ck_assert_ptr_null(find_call("/tasks/search-v2"));
        buffer_deinit(&tasks);
}
END_TEST

START_TEST(test_off_with_configured_id)
{
        ck_assert_ptr_null(sweep_problem(fixture.conductor));
        fixture.config.conductor.worker_id = (char *)"mine";
        ck_assert_ptr_nonnull(sweep_problem(fixture.conductor));
        conductor_suspect(fixture.subscription);
        run_at(0);
        ck_assert_uint_eq(fixture.n_starts, 0);
}
END_TEST

START_TEST(test_no_search)
{
        conductor_suspect(fixture.subscription);
        run_at(0);
        answer(find_call("/tasks/search-v2"), VERDICT_MISSING, "");
        ck_assert_ptr_nonnull(sweep_problem(fixture.conductor));
        run_at(5);
        answer_search("");
        ck_assert_ptr_null(sweep_problem(fixture.conductor));
}
END_TEST

/* Nothing while it is away; at once when it is back, and once more. */
START_TEST(test_away)
{
        conductor_suspect(fixture.subscription);
        fixture.away = true;
        for (double t = 0; t < 40; t++)
                run_at(t);
        ck_assert_uint_eq(fixture.n_starts, 0);
        fixture.away = false;
        sweep_resume(fixture.conductor);
        run_at(40);
        answer(find_call("/tasks/search-v2"), VERDICT_AWAY, "");
        run_at(42);
        answer_search("");
        run_at(44);
        ck_assert_ptr_null(find_call("/tasks/search-v2"));
        run_at(45);
        ck_assert_ptr_nonnull(find_call("/tasks/search-v2"));
}
END_TEST

UNIT_MAIN_WITH("conductor-sweep", fixture_setup, fixture_teardown, test_plan, test_query,
               test_stray_goes_back, test_hand_back_is_checked, test_looks_three_times,
               test_waits_for_calls_under_way, test_what_is_no_stray, test_in_outbox,
               test_poll_timeout, test_pages, test_off_with_configured_id, test_no_search,
               test_away);
