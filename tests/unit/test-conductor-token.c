/* SPDX-License-Identifier: Apache-2.0 */

/* The token that a server wants: got, renewed, refused, needless. */

#include "server-fixture.h"

#define PROBE   "GET /api/tasks/queue/size?"
#define TOKEN   "POST /api/token "
#define GRANT_1 OK_JSON("{\"token\":\"one\"}")
#define GRANT_2 OK_JSON("{\"token\":\"two\"}")

static ServerPath paths[16];

START_TEST(token_is_got_before_the_first_request)
{
        Route routes[] = { { "GET /api/x ", { OK_JSON("[]") } }, { TOKEN, { GRANT_1 } }, { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        use_key(&f);
        fixture_configure(&f);
        ck_assert(!server_may_send(f.server));
        ck_assert_ptr_null(fixture_status(&f).cause);
        ask_start(&f, &asked, "/x");
        ck_assert(server_call_is_running(asked.call));
        run_until(&f, asked.n == 1);
        ck_assert_int_eq(asked.verdict, VERDICT_DONE);
        ck_assert(route_saw(&f, &routes[0], "X-Authorization: one\r\n"));
        ck_assert(route_saw(&f, &routes[1],
                            "{\"keyId\":\"the-key\",\"keySecret\":\"the-\\\"secret\\\"\"}"));
        ck_assert(!route_saw(&f, &routes[1], "X-Authorization"));
        run_until(&f, f.n_up == 1);
        ck_assert_int_eq(server_auth(f.server), SERVER_AUTH_GRANTED);
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

static void renew_once(Canned refusal)
{
        Route routes[] = { { "GET /api/x ", { OK_JSON("[]"), refusal, OK_JSON("[]") } },
                           { "GET /api/y ", { refusal, OK_JSON("[]") } },
                           { TOKEN, { GRANT_1, GRANT_2 } },
                           { 0 } };
        Asked x = { 0 }, y = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        use_key(&f);
        fixture_configure(&f);
        ck_assert_int_eq(ask(&f, &x, "/x"), VERDICT_DONE);
        ask_start(&f, &x, "/x");
        ask_start(&f, &y, "/y");
        run_until(&f, x.n == 2 && y.n == 1);
        ck_assert_int_eq(x.verdict, VERDICT_DONE);
        ck_assert_int_eq(y.verdict, VERDICT_DONE);
        ck_assert_uint_eq(route_count(&f, &routes[2]), 2);
        ck_assert(route_saw(&f, &routes[0], "X-Authorization: two\r\n"));
        ck_assert(route_saw(&f, &routes[1], "X-Authorization: two\r\n"));
        ck_assert_uint_eq(fixture_status(&f).n_failures, 0);
        asked_free(&x);
        asked_free(&y);
        fixture_close(&f);
}

START_TEST(calls_that_failed_for_the_token_are_repeated_with_a_new_one)
{
        renew_once((Canned){ "401 x", "", "" });
        renew_once((Canned){ "403 x", JSON_HEADER, "{\"error\":\"EXPIRED_TOKEN\"}" });
}
END_TEST

START_TEST(denied_request_wants_no_new_token)
{
        Route routes[] = { { "GET /api/x ", { OWN(403, "not yours") } },
                           { TOKEN, { GRANT_1 } },
                           { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        use_key(&f);
        fixture_configure(&f);
        for (unsigned i = 0; i < 5; i++)
                ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert_uint_eq(asked.status, 403);
        ck_assert_uint_eq(route_count(&f, &routes[1]), 1);
        ck_assert(server_may_send(f.server));
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(token_that_is_refused_at_once_is_away)
{
        Route routes[] = { { "GET /api/x ", { { "401 x", "", "" } } },
                           { PROBE, { OK_JSON("0") } },
                           { TOKEN, { GRANT_1 } },
                           { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        use_key(&f);
        fixture_configure(&f);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert_uint_eq(route_count(&f, &routes[2]), 2);
        ck_assert_uint_eq(route_count(&f, &routes[0]), 2);
        ck_assert(!server_may_send(f.server));
        ck_assert_str_eq(fixture_status(&f).cause, "auth");
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(refused_key_is_away_and_asked_with_again)
{
        Route routes[] = { { "GET /api/x ", { OK_JSON("[]") } },
                           { TOKEN,
                             { OWN(401, "Bad key"), { "200 x", JSON_HEADER, "{}" }, GRANT_1 } },
                           { 0 } };
        Asked asked = { 0 };
        Fixture f;
        ServerStatus status;

        fixture_open(&f, routes, paths);
        use_key(&f);
        fixture_configure(&f);
        ask_start(&f, &asked, "/x");
        run_until(&f, asked.n == 1);
        ck_assert_int_eq(asked.verdict, VERDICT_AWAY);
        ck_assert_uint_eq(route_count(&f, &routes[0]), 0);
        status = fixture_status(&f);
        ck_assert_str_eq(status.cause, "auth");
        ck_assert_ptr_nonnull(strstr(status.message, "Bad key; check auth.key_id"));
        ck_assert_ptr_null(strstr(status.message, "the-"));
        ck_assert_int_eq(server_auth(f.server), SERVER_AUTH_MISSING);
        run_until(&f, fixture_status(&f).n_failures == 2);
        ck_assert_ptr_nonnull(strstr(fixture_status(&f).message, "no token in the answer"));
        run_until(&f, f.n_up == 1);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_DONE);
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(token_is_renewed_in_the_background)
{
        /* Good for one second. */
        Route routes[] = { { "GET /api/x ", { OK_JSON("[]") } },
                           { TOKEN,
                             { OK_JSON("{\"token\":\"e30.eyJpYXQiOjQsImV4cCI6NX0.x\"}"),
                               OWN(500, "no"), GRANT_2 } },
                           { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        use_key(&f);
        fixture_configure(&f);
        run_until(&f, route_count(&f, &routes[1]) == 2);
        ck_assert(server_may_send(f.server));
        run_until(&f, route_count(&f, &routes[1]) == 3);
        ck_assert_ptr_null(fixture_status(&f).cause);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_DONE);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_DONE);
        ck_assert(route_saw(&f, &routes[0], "X-Authorization: two\r\n"));
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(server_without_tokens_is_used_without)
{
        Route routes[] = { { "GET /api/x ", { OK_JSON("[]"), { "401 x", "", "" } } },
                           { PROBE, { OK_JSON("0") } },
                           { TOKEN, { OWN(404, "No static resource api/token."), GRANT_1 } },
                           { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        use_key(&f);
        fixture_configure(&f);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_DONE);
        ck_assert(!route_saw(&f, &routes[0], "X-Authorization"));
        ck_assert_int_eq(server_auth(f.server), SERVER_AUTH_NEEDLESS);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert_uint_eq(route_count(&f, &routes[2]), 1);
        /* Until a reload. */
        fixture_configure(&f);
        run_until(&f, server_auth(f.server) == SERVER_AUTH_GRANTED);
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(new_key_is_used_from_the_reload_on)
{
        Route routes[] = { { "GET /api/x ", { OK_JSON("[]") } },
                           { TOKEN, { GRANT_1, GRANT_2 } },
                           { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        use_key(&f);
        fixture_configure(&f);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_DONE);
        fixture_configure(&f);
        ck_assert_int_eq(server_auth(f.server), SERVER_AUTH_GRANTED);
        f.config.conductor.auth.secret = (char *)"another";
        fixture_configure(&f);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_DONE);
        ck_assert(route_saw(&f, &routes[1], "\"another\""));
        ck_assert(route_saw(&f, &routes[0], "X-Authorization: two\r\n"));
        f.config.conductor.auth.key_id = NULL;
        fixture_configure(&f);
        ck_assert_int_eq(server_auth(f.server), SERVER_AUTH_NONE);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_DONE);
        ck_assert(!route_saw(&f, &routes[0], "X-Authorization"));
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(calls_may_be_freed_while_they_wait)
{
        Route routes[] = { { TOKEN, { GRANT_1 }, .waits = true }, { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        use_key(&f);
        fixture_configure(&f);
        ask_start(&f, &asked, "/x");
        asked_free(&asked);
        fixture_release(&f);
        run_until(&f, f.n_up == 1);
        ck_assert_uint_eq(asked.n, 0);
        fixture_close(&f);
}
END_TEST

UNIT_MAIN("conductor-token", token_is_got_before_the_first_request,
          calls_that_failed_for_the_token_are_repeated_with_a_new_one,
          denied_request_wants_no_new_token, token_that_is_refused_at_once_is_away,
          refused_key_is_away_and_asked_with_again, token_is_renewed_in_the_background,
          server_without_tokens_is_used_without, new_key_is_used_from_the_reload_on,
          calls_may_be_freed_while_they_wait);
