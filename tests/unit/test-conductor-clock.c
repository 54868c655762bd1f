/* SPDX-License-Identifier: Apache-2.0 */

#include "conductor-fixture.h"

static void run_at(double seconds)
{
        set_time(seconds);
        clock_run(fixture.conductor);
}

static usec_t wake_usec(void)
{
        return fixture.conductor->clock->wake_usec;
}

/* Times */

START_TEST(test_lease_delay)
{
        ck_assert_uint_eq(lease_delay_usec(0, 1), USEC_INFINITY);
        ck_assert_uint_eq(lease_delay_usec(-1, 1), USEC_INFINITY);
        for (size_t i = 0; i < 1000; i++) {
                usec_t delay = lease_delay_usec(100, unit_random());

                ck_assert_uint_ge(delay, 50 * USEC_PER_SEC);
                ck_assert_uint_lt(delay, 60 * USEC_PER_SEC);
        }
        ck_assert_uint_ge(lease_delay_usec(INT64_MAX, 5), USEC_PER_SEC);
        ck_assert_uint_eq(lease_retry_usec(1), 100 * USEC_PER_MSEC);
        ck_assert_uint_eq(lease_retry_usec(30), 3 * USEC_PER_SEC);
        ck_assert_uint_eq(lease_retry_usec(3600), 10 * USEC_PER_SEC);
}
END_TEST

/* A stream of short tasks does not touch the timer. */
START_TEST(test_timer_is_set_once)
{
        usec_t wake;

        ck_assert_uint_eq(wake_usec(), USEC_INFINITY);
        (void)take("t0", 3600);
        wake = wake_usec();
        ck_assert_uint_eq(wake, START_USEC + WATCH_FIRST_USEC);
        for (int i = 1; i < 100; i++) {
                char id[16];

                set_time(i * 0.01);
                (void)snprintf(id, sizeof(id), "t%d", i);
                settle(take(id, 3600));
                ck_assert_uint_eq(wake_usec(), wake);
        }
        settle(conductor_find_task(fixture.conductor, SLICE_LITERAL("t0")));
        run_at(2);
        ck_assert_uint_eq(wake_usec(), USEC_INFINITY);
        ck_assert_uint_eq(fixture.n_starts, 0);
        /* an earlier one sets it anew */
        (void)take("short", 1);
        ck_assert_uint_lt(wake_usec(), START_USEC + 2600 * USEC_PER_MSEC + 1);
}
END_TEST

/* Leases */

START_TEST(test_lease_is_extended)
{
        ConductorTask *holding = take("a", 100);
        FakeCall *call;

        run_at(49.9);
        ck_assert_ptr_null(find_call("/tasks?")); /* nothing but the look */
        ck_assert_uint_eq(count_calls("/tasks/a"), 1);
        answer(find_call("/tasks/a"), VERDICT_DONE,
               task_text("a", "IN_PROGRESS", WORKER_ID, 1, 100));

        run_at(60);
        call = NULL;
        LIST_FOREACH (i, &fixture.calls) {
                FakeCall *other = LIST_ENTRY(i, FakeCall, link);

                if (other->running && streq(other->path, "/tasks"))
                        call = other;
        }
        ck_assert_ptr_nonnull(call);
        ck_assert_int_eq(call->method, HTTP_POST);
        ck_assert_slice(call->body, "{\"taskId\":\"a\",\"workflowInstanceId\":\"w-a\","
                                    "\"extendLease\":true}");
        ck_assert(holding->extending);
        /* once, while it is under way */
        run_at(61);
        ck_assert_uint_eq(count_calls("/tasks"), 1 + count_calls("/tasks/"));

        /* it counts from when it was sent, not from when it was answered */
        set_time(65);
        answer(call, VERDICT_DONE, "a");
        ck_assert(!holding->extending);
        ck_assert_uint_ge(holding->lease_usec, START_USEC + 110 * USEC_PER_SEC);
        ck_assert_uint_lt(holding->lease_usec, START_USEC + 120 * USEC_PER_SEC);
}
END_TEST

static FakeCall *find_extension(void)
{
        LIST_FOREACH (i, &fixture.calls) {
                FakeCall *call = LIST_ENTRY(i, FakeCall, link);

                if (call->running && call->method == HTTP_POST)
                        return call;
        }
        return NULL;
}

START_TEST(test_lease_tries_fit)
{
        unsigned n = 0;

        (void)take("a", 10);
        for (double t = 0; t < 10; t += 0.1) {
                FakeCall *call;

                run_at(t);
                call = find_extension();
                if (!call)
                        continue;
                n++;
                answer(call, n % 2 == 1 ? VERDICT_AWAY : VERDICT_BUSY, "");
        }
        ck_assert_uint_ge(n, 4);
        ck_assert_uint_le(n, 6);
}
END_TEST

START_TEST(test_lease_calls_are_bounded)
{
        take_many(50, 10);
        run_at(1.9);
        ck_assert_uint_eq(fixture.n_starts, 0);
        fixture.subscription->callbacks.on_cancel = NULL;
        run_at(6);
        for (size_t i = 0; i < 50; i++) {
                size_t n = 0;

                LIST_FOREACH (j, &fixture.calls) {
                        const FakeCall *call = LIST_ENTRY(j, FakeCall, link);

                        n += call->running && call->method == HTTP_POST;
                }
                ck_assert_uint_eq(n, MIN((size_t)LEASE_CALLS_MAX, 50 - i));
                answer(find_extension(), VERDICT_DONE, "");
        }
        ck_assert_ptr_null(find_extension());
        LIST_FOREACH (i, &fixture.subscription->tasks) {
                ck_assert_uint_ge(LIST_ENTRY(i, ConductorTask, link)->lease_usec,
                                  START_USEC + 11 * USEC_PER_SEC);
        }
}
END_TEST

START_TEST(test_lease_of_settled)
{
        FakeCall *call;

        settle(take("gone", 10));
        settle(take("waits", 10));
        (void)take("b", 10);
        run_at(6);
        call = find_extension();
        ck_assert_ptr_nonnull(strstr(call->body.data, "\"b\""));
        settle(conductor_find_task(fixture.conductor, SLICE_LITERAL("b")));
        answer(call, VERDICT_BUSY, "");
        run_at(8);
        ck_assert_ptr_null(find_extension());
}
END_TEST

/* One that waits for its turn leaves the line. */
START_TEST(test_lease_of_settled_in_line)
{
        size_t n = 0;

        take_many(20, 10);
        fixture.subscription->callbacks.on_cancel = NULL;
        run_at(6);
        for (size_t i = 0; i < 20; i += 2) {
                char id[16];

                (void)snprintf(id, sizeof(id), "t%03zu", i);
                settle(conductor_find_task(fixture.conductor, slice_from_string(id)));
        }
        for (FakeCall *call; (call = find_extension()); n++)
                answer(call, VERDICT_DONE, "");
        ck_assert_uint_eq(n, LEASE_CALLS_MAX + (20 - LEASE_CALLS_MAX) / 2);
}
END_TEST

/* None while it is away; all that is due when it is back. */
START_TEST(test_lease_waits_for_server)
{
        (void)take("a", 10);
        fixture.away = true;
        run_at(6);
        run_at(9);
        ck_assert_uint_eq(fixture.n_starts, 0);
        fixture.away = false;
        set_time(12);
        clock_resume(fixture.conductor);
        ck_assert_uint_le(wake_usec(), START_USEC + 12 * USEC_PER_SEC);
        run_at(12);
        ck_assert_ptr_nonnull(find_extension());
}
END_TEST

/* A worker that was killed and does not go keeps nothing alive. */
START_TEST(test_lease_ends_with_worker)
{
        ConductorTask *holding = take("a", 10);

        fixture.stuck = true;
        run_at(6);
        ck_assert_ptr_null(find_extension());
        ck_assert_uint_eq(holding->lease_usec, USEC_INFINITY);
}
END_TEST

/* One that the server does not know is asked about at once. */
START_TEST(test_lease_of_missing)
{
        (void)take("a", 10);
        run_at(6);
        while (find_call("/tasks/a"))
                answer(find_call("/tasks/a"), VERDICT_AWAY, "");
        answer(find_extension(), VERDICT_MISSING, "");
        ck_assert_uint_eq(fixture.n_cancelled, 0);
        run_at(6.2);
        answer(find_call("/tasks/a"), VERDICT_MISSING, "");
        ck_assert_uint_eq(fixture.n_cancelled, 1);
        ck_assert_int_eq(fixture.last_cause, CANCEL_SETTLED);
}
END_TEST

/* Progress */

static void check_line(const char *progress, const char *line)
{
        Buffer buffer = BUFFER_NULL(1 << 20);

        ck_assert_int_eq(progress_line_append(&buffer, slice_from_string(progress)), 0);
        ck_assert_slice(buffer_slice(&buffer), line);
        buffer_deinit(&buffer);
}

START_TEST(test_progress_line)
{
        char longest[5000] = "{\"message\":\"x", *end = longest + strlen(longest);
        Buffer buffer = BUFFER_NULL(1 << 20);

        check_line("{}", "");
        check_line("{\"percent\":42.5,\"stage\":\"scaling\",\"message\":\"page 3\"}",
                   "42.5% scaling: page 3");
        check_line("{\"message\":\"only \\\"this\\\"\"}", "only \"this\"");
        check_line("{\"percent\":\"many\",\"stage\":null,\"message\":\"\"}", "");
        check_line("{\"percent\":7,\"message\":\"x\"}", "7%: x");

        for (size_t i = 0; i < 1000; i++)
                end = stpcpy(end, "\xC3\xA4");
        (void)stpcpy(end, "\"}");
        ck_assert_int_eq(progress_line_append(&buffer, slice_from_string(longest)), 0);
        ck_assert_uint_eq(buffer.size, 999);
        buffer_deinit(&buffer);
}
END_TEST

START_TEST(test_progress_is_throttled)
{
        ConductorTask *a = take("a", 0), *b = take("b", 0), *c = take("c", 0);
        Slice half = SLICE_LITERAL("{\"percent\":50}");

        progress_report(a, half);
        ck_assert_uint_eq(fixture.n_starts, 0);
        fixture.config.conductor.progress_log = true;
        progress_report(a, half);
        ck_assert_slice(find_call("/tasks/a/log")->body, "50%");
        answer(find_call("/tasks/a/log"), VERDICT_DONE, "");
        set_time(9.9);
        progress_report(a, half);
        ck_assert_ptr_null(find_call("/log"));
        set_time(10);
        fixture.away = true;
        progress_report(a, half);
        ck_assert_ptr_null(find_call("/log"));
        fixture.away = false;
        progress_report(a, half);
        progress_report(b, half);
        /* no call is free: left out, and the next report is not held back for it */
        progress_report(c, half);
        ck_assert_uint_eq(count_calls("/log"), 2);
        answer(find_call("/tasks/a/log"), VERDICT_AWAY, "");
        progress_report(c, half);
        ck_assert_ptr_nonnull(find_call("/tasks/c/log"));
}
END_TEST

UNIT_MAIN_WITH("conductor-clock", fixture_setup, fixture_teardown, test_lease_delay,
               test_timer_is_set_once, test_lease_is_extended, test_lease_tries_fit,
               test_lease_calls_are_bounded, test_lease_of_settled, test_lease_of_settled_in_line,
               test_lease_waits_for_server, test_lease_ends_with_worker, test_lease_of_missing,
               test_progress_line, test_progress_is_throttled);
