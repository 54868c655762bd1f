/* SPDX-License-Identifier: Apache-2.0 */

/* A server that is up, away, up again; storage that is elsewhere. */

#include "server-fixture.h"

#define PROBE "GET /api/tasks/queue/size?"
#define TOKEN "POST /api/token "

static ServerPath paths[16];

static unsigned closed_port(void)
{
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        (void)close_fd(fd);
        return ntohs(address.sin_port);
}

START_TEST(server_that_answers_is_up)
{
        Route routes[] = { { "GET /api/x ", { OK_JSON("[]"), OWN(404, "no"), OWN(500, "db") } },
                           { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        fixture_configure(&f);
        ck_assert(server_may_send(f.server));
        ck_assert_int_eq(server_auth(f.server), SERVER_AUTH_NONE);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_DONE);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_MISSING);
        ck_assert_str_eq(asked.text, "HTTP 404: no");
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_DOUBTFUL);
        ck_assert(server_may_send(f.server));
        ck_assert_ptr_null(fixture_status(&f).cause);
        ck_assert_uint_gt(fixture_status(&f).last_good_usec, 0);
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(refused_connection_is_away_at_once)
{
        Route routes[] = { { 0 } };
        Asked asked = { 0 };
        Fixture f;
        ServerStatus status;

        fixture_open(&f, routes, paths);
        (void)snprintf(f.url, sizeof(f.url), "http://127.0.0.1:%u/api", closed_port());
        fixture_configure(&f);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert(!server_may_send(f.server));
        status = fixture_status(&f);
        ck_assert_str_eq(status.cause, "connect");
        ck_assert_ptr_nonnull(strstr(status.message, "check that the server runs"));
        ck_assert_uint_eq(status.n_failures, 1);
        ck_assert_uint_gt(status.retry_usec, clock_monotonic_usec());
        /* It goes on asking by itself. */
        run_until(&f, fixture_status(&f).n_failures == 2);
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(unknown_host_is_told_from_a_refused_connection)
{
        Route routes[] = { { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        (void)snprintf(f.url, sizeof(f.url), "http://no-such-host.invalid/api");
        fixture_configure(&f);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert_str_eq(fixture_status(&f).cause, "dns");
        ck_assert_ptr_nonnull(strstr(fixture_status(&f).message, "host name in url"));
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(proxy_that_answers_instead_is_away_until_the_server_does)
{
        Route routes[] = { { "GET /api/x ", { PROXY(503), PROXY(503), PROXY(503), OK_JSON("[]") } },
                           { PROBE, { PROXY(503), OWN(404, "no") } },
                           { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        fixture_configure(&f);
        ck_assert_uint_eq(ask_away(&f, &asked, "/x"), 3);
        ck_assert_str_eq(fixture_status(&f).cause, "http 503");
        ck_assert_uint_eq(f.n_up, 0);
        run_until(&f, f.n_up == 1);
        /* By any answer of its own. */
        ck_assert_uint_eq(route_count(&f, &routes[1]), 2);
        ck_assert(server_may_send(f.server));
        ck_assert_ptr_null(fixture_status(&f).cause);
        /* The backoff begins anew only when it has been up for some time. */
        ck_assert_uint_eq(fixture_status(&f).n_failures, 2);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_DONE);
        run_until(&f, fixture_status(&f).n_failures == 0);
        ck_assert_uint_eq(f.n_up, 1);
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(server_that_goes_away_again_is_left_alone_for_longer)
{
        Route routes[] = { { "GET /api/x ", { PROXY(502) } }, { PROBE, { OK_JSON("0") } }, { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        fixture_configure(&f);
        for (unsigned i = 1; i <= 3; i++) {
                ck_assert_uint_eq(ask_away(&f, &asked, "/x"), 3);
                ck_assert_uint_eq(fixture_status(&f).n_failures, i);
                run_until(&f, f.n_up == i);
        }
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

/* However many: they were asked for before others were answered well. */
START_TEST(bad_answers_among_good_ones_stop_nothing)
{
        Route routes[] = { { "GET /api/slow ", { PROXY(504) }, .waits = true },
                           { "GET /api/x ", { PROXY(502), PROXY(502), OK_JSON("[]"), PROXY(502) } },
                           { 0 } };
        Asked slow[4] = { 0 }, asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        fixture_configure(&f);
        for (size_t i = 0; i < ELEMENTSOF(slow); i++)
                ask_start(&f, &slow[i], "/slow");
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_DONE);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        fixture_release(&f);
        for (size_t i = 0; i < ELEMENTSOF(slow); i++) {
                run_until(&f, slow[i].n == 1);
                ck_assert_int_eq(slow[i].verdict, VERDICT_AWAY);
                asked_free(&slow[i]);
        }
        ck_assert(server_may_send(f.server));
        ck_assert_uint_eq(fixture_status(&f).n_failures, 0);
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(connection_that_ends_is_no_server_that_is_away)
{
        Route routes[] = { { "GET /api/x ", { CANNED_RESET } },
                           { PROBE, { OK_JSON("0") } },
                           { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        fixture_configure(&f);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert(server_may_send(f.server));
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert(!server_may_send(f.server));
        ck_assert_str_eq(fixture_status(&f).cause, "cut");
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(slow_answer_is_no_server_that_is_away)
{
        Route routes[] = { { "GET /api/x ", { OK_JSON("[]") }, .waits = true }, { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        fixture_configure(&f);
        ck_assert_int_eq(server_call_new(&asked.call, f.server, HTTP_GET, asked_on_answer, &asked),
                         0);
        ck_assert_int_eq(server_call_set_path(asked.call, "/x"), 0);
        server_call_set_timeout(asked.call, 100 * USEC_PER_MSEC);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert(server_may_send(f.server));
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert(!server_may_send(f.server));
        ck_assert_str_eq(fixture_status(&f).cause, "timeout");
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(pause_that_it_asks_for_is_kept)
{
        Route routes[] = { { "GET /api/x ", { { "429 x", "Retry-After: 2\r\n", "" } } },
                           { "GET /api/slow ", { OK_JSON("[]") }, .waits = true },
                           { PROBE, { OK_JSON("0") } },
                           { 0 } };
        Asked slow = { 0 }, asked = { 0 };
        usec_t started;
        Fixture f;

        fixture_open(&f, routes, paths);
        fixture_configure(&f);
        ask_start(&f, &slow, "/slow");
        started = clock_monotonic_usec();
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert_str_eq(fixture_status(&f).cause, "rate limit");
        /* A good answer to what was under way does not end it. */
        fixture_release(&f);
        run_until(&f, slow.n == 1);
        ck_assert_int_eq(slow.verdict, VERDICT_DONE);
        ck_assert(!server_may_send(f.server));
        run_until(&f, f.n_up == 1);
        ck_assert_uint_ge(clock_monotonic_usec() - started, 2 * USEC_PER_SEC);
        asked_free(&slow);
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(good_answer_to_a_call_under_way_makes_it_up)
{
        Route routes[] = { { "GET /api/x ", { PROXY(502) } },
                           { "GET /api/slow ", { OK_JSON("[]") }, .waits = true },
                           { PROBE, { PROXY(502) } },
                           { 0 } };
        Asked slow = { 0 }, asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        fixture_configure(&f);
        ask_start(&f, &slow, "/slow");
        ck_assert_uint_eq(ask_away(&f, &asked, "/x"), 3);
        fixture_release(&f);
        run_until(&f, f.n_up == 1);
        ck_assert_uint_eq(slow.n, 1);
        ck_assert(server_may_send(f.server));
        asked_free(&slow);
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

/* As a server does where url lacks its /api: pages for what is read, and for what is written its
 * own words that there is no such thing. */
START_TEST(missing_path_is_no_sign_of_the_server)
{
        Route routes[] = { { "GET /api/x ", { PROXY(404) } },
                           { "GET /api/y ", { OWN(404, "No static resource tasks.") } },
                           { PROBE, { PROXY(404) } },
                           { 0 } };
        Asked x = { 0 }, y = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        fixture_configure(&f);
        ck_assert_int_eq(ask(&f, &x, "/x"), VERDICT_AWAY);
        ck_assert_int_eq(ask(&f, &x, "/x"), VERDICT_AWAY);
        ck_assert_int_eq(ask(&f, &y, "/y"), VERDICT_MISSING);
        ck_assert_int_eq(ask(&f, &x, "/x"), VERDICT_AWAY);
        ck_assert(!server_may_send(f.server));
        ck_assert_ptr_nonnull(strstr(fixture_status(&f).message, "base of its API"));
        ck_assert_int_eq(ask(&f, &y, "/y"), VERDICT_MISSING);
        ck_assert(!server_may_send(f.server));
        asked_free(&x);
        asked_free(&y);
        fixture_close(&f);
}
END_TEST

START_TEST(reload_asks_at_once)
{
        Route routes[] = { { "GET /api/x ", { { "429 x", "Retry-After: 300\r\n", "" } } },
                           { PROBE, { OK_JSON("0") } },
                           { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        fixture_configure(&f);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        fixture_configure(&f);
        run_until(&f, f.n_up == 1);
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

START_TEST(server_that_wants_authentication_says_so)
{
        Route routes[] = { { "GET /api/x ", { { "401 x", "", "" } } }, { 0 } };
        Asked asked = { 0 };
        Fixture f;

        fixture_open(&f, routes, paths);
        fixture_configure(&f);
        ck_assert_int_eq(ask(&f, &asked, "/x"), VERDICT_AWAY);
        ck_assert_str_eq(fixture_status(&f).cause, "auth");
        ck_assert_ptr_nonnull(strstr(fixture_status(&f).message, "set auth.key_id"));
        asked_free(&asked);
        fixture_close(&f);
}
END_TEST

static void fetch_url(Fixture *f, const char *url, Asked *asked)
{
        ck_assert_int_eq(server_call_new(&asked->call, f->server, HTTP_GET, asked_on_answer, asked),
                         0);
        ck_assert_int_eq(server_call_set_url(asked->call, url), 0);
        ck_assert_int_eq(server_call_start(asked->call), 0);
        run_until(f, asked->n == 1);
        asked_free(asked);
}

START_TEST(storage_elsewhere_is_not_told_who_we_are)
{
        Route routes[] = { { "GET /bucket/k?s=1 ", { PROXY(503) } },
                           { TOKEN, { OK_JSON("{\"token\":\"one\"}") } },
                           { 0 } };
        char *headers[] = { (char *)"X-Own: 1", NULL };
        Asked asked = { 0 };
        char url[64];
        Fixture f;

        fixture_open(&f, routes, paths);
        use_key(&f);
        f.config.conductor.headers = headers;
        fixture_configure(&f);
        run_until(&f, server_may_send(f.server));
        (void)snprintf(url, sizeof(url), "http://localhost:%u/bucket/k?s=1", f.peer.port);
        fetch_url(&f, url, &asked);
        ck_assert_int_eq(asked.verdict, VERDICT_AWAY);
        ck_assert(server_may_send(f.server));
        ck_assert(!route_saw(&f, &routes[0], "X-Authorization"));
        ck_assert(!route_saw(&f, &routes[0], "X-Own"));
        fixture_close(&f);
}
END_TEST

START_TEST(storage_at_the_server_itself_is_told)
{
        Route routes[] = { { "GET /api/external/postgres/k ", { OK_JSON("{}") } },
                           { TOKEN, { OK_JSON("{\"token\":\"one\"}") } },
                           { 0 } };
        Asked relative = { 0 }, absolute = { 0 };
        char url[64];
        Fixture f;

        fixture_open(&f, routes, paths);
        use_key(&f);
        fixture_configure(&f);
        fetch_url(&f, "/api/external/postgres/k", &relative);
        ck_assert_int_eq(relative.verdict, VERDICT_DONE);
        ck_assert(route_saw(&f, &routes[0], "X-Authorization: one"));
        (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/api/external/postgres/k",
                       f.peer.port);
        fetch_url(&f, url, &absolute);
        ck_assert_int_eq(absolute.verdict, VERDICT_DONE);
        ck_assert(route_saw(&f, &routes[0], "X-Authorization: one"));
        fixture_close(&f);
}
END_TEST

UNIT_MAIN("conductor-server", server_that_answers_is_up, refused_connection_is_away_at_once,
          unknown_host_is_told_from_a_refused_connection,
          proxy_that_answers_instead_is_away_until_the_server_does,
          server_that_goes_away_again_is_left_alone_for_longer,
          bad_answers_among_good_ones_stop_nothing, connection_that_ends_is_no_server_that_is_away,
          slow_answer_is_no_server_that_is_away, pause_that_it_asks_for_is_kept,
          good_answer_to_a_call_under_way_makes_it_up, missing_path_is_no_sign_of_the_server,
          reload_asks_at_once, server_that_wants_authentication_says_so,
          storage_elsewhere_is_not_told_who_we_are, storage_at_the_server_itself_is_told);
