/* SPDX-License-Identifier: Apache-2.0 */

/* What `yardctl source check` finds, and how many tasks wait at a server. */

#include "base/strv.h"
#include "source-fixture.h"
#include "source/conductor/check.h"

#define VERSION  "GET /api/version "
#define UPDATE2  "POST /api/tasks/update-v2 "
#define LOCATE   "GET /api/tasks/externalstoragelocation?"
#define QUEUES   "GET /api/tasks/queue/all "
#define TASKDEFS "GET /api/metadata/taskdefs/"
#define TOKEN    "POST /api/token "
#define SIZE_BIG "GET /api/tasks/queue/size?taskType=big "

/* Pure */

static ConfigPool *pool_of(unsigned workers, usec_t task_timeout_usec)
{
        ConfigPool *pool;

        ck_assert_int_eq(config_pool_make("p", &pool), 0);
        pool->workers = workers;
        pool->concurrency = 2;
        pool->task_timeout_usec = task_timeout_usec;
        return pool;
}

/* n findings, the first with this level and in its text this. */
static void check_against(const char *definition, CheckLevel level, size_t n, const char *text)
{
        _cleanup_(config_pool_unrefp) ConfigPool *pool = pool_of(3, 10 * USEC_PER_MINUTE);
        CheckFindings list = { 0 };

        check_definition(&list, pool, "big", slice_from_string(definition));
        ck_assert_uint_eq(list.n, n);
        ck_assert_int_eq(list.entries[0].level, level);
        ck_assert_str_eq(list.entries[0].subject, "big");
        ck_assert_str_eq(list.entries[0].pool, "p");
        ck_assert_msg(strstr(list.entries[0].text, text), "%s", list.entries[0].text);
        ck_assert(level == CHECK_OK || list.entries[0].remedy);
        check_findings_deinit(&list);
}

START_TEST(definition_is_held_beside_the_pool)
{
        check_against(NULL, CHECK_WARNING, 1, "no definition of this type");
        check_against("{}", CHECK_OK, 1, "suits");
        check_against("{\"timeoutSeconds\":600,\"responseTimeoutSeconds\":5,"
                      "\"pollTimeoutSeconds\":600,\"concurrentExecLimit\":6,"
                      "\"totalTimeoutSeconds\":0,\"rateLimitPerFrequency\":0}",
                      CHECK_OK, 1, "suits");
        check_against("{\"timeoutSeconds\":599}", CHECK_WARNING, 1, "timeoutSeconds = 599");
        check_against("{\"totalTimeoutSeconds\":60}", CHECK_WARNING, 1,
                      "totalTimeoutSeconds = 60 of the definition ends a task sooner than the pool "
                      "does (task_timeout = 10m)");
        check_against("{\"responseTimeoutSeconds\":4}", CHECK_WARNING, 1,
                      "responseTimeoutSeconds = 4");
        check_against("{\"pollTimeoutSeconds\":599}", CHECK_WARNING, 1, "pollTimeoutSeconds");
        check_against("{\"concurrentExecLimit\":5}", CHECK_WARNING, 1,
                      "less than the pool's 6 places");
        check_against("{\"rateLimitPerFrequency\":1}", CHECK_WARNING, 1,
                      "rateLimitPerFrequency = 1");
        check_against("{\"timeoutSeconds\":1,\"concurrentExecLimit\":1}", CHECK_WARNING, 2,
                      "timeoutSeconds = 1");
}
END_TEST

START_TEST(any_end_is_sooner_than_none)
{
        _cleanup_(config_pool_unrefp) ConfigPool *pool = pool_of(1, USEC_INFINITY);
        CheckFindings list = { 0 };

        check_definition(&list, pool, "big", SLICE_LITERAL("{\"timeoutSeconds\":1000000000}"));
        ck_assert_uint_eq(list.n, 1);
        ck_assert_ptr_nonnull(strstr(list.entries[0].text, "task_timeout = infinity"));
        check_findings_deinit(&list);
}
END_TEST

START_TEST(clocks_are_compared)
{
        CheckFindings list = { 0 };

        check_clock(&list, 2000);
        check_clock(&list, -2000);
        ck_assert_uint_eq(list.n, 0);
        check_clock(&list, 90000);
        check_clock(&list, -3600000);
        ck_assert_uint_eq(list.n, 2);
        ck_assert_ptr_nonnull(strstr(list.entries[0].text, "1m 30s ahead of"));
        ck_assert_ptr_nonnull(strstr(list.entries[1].text, "behind"));
        check_findings_deinit(&list);
}
END_TEST

/* A server that is asked */

typedef struct Checked {
        unsigned n_done;
        char text[4096]; /* "level subject pool: text", a line each */
} Checked;

static void on_checked(const CheckFinding *findings, size_t n, void *userdata)
{
        Checked *checked = userdata;
        size_t used = 0;

        checked->n_done++;
        for (size_t i = 0; i < n; i++)
                used += (size_t)snprintf(checked->text + used, sizeof(checked->text) - used,
                                         "%s %s %s: %s\n", check_level_to_string(findings[i].level),
                                         findings[i].subject, findings[i].pool ?: "-",
                                         findings[i].text);
}

static void check_has(const Checked *checked, const char *line)
{
        ck_assert_msg(strstr(checked->text, line), "no \"%s\" in:\n%s", line, checked->text);
}

static Checked run_check(Host *host, ConfigPool **pools, size_t n)
{
        Checked checked = { 0 };
        ConductorCheck *check;

        ck_assert_int_eq(conductor_check(host->source, pools, n, on_checked, &checked, &check), 0);
        ck_assert_uint_eq(checked.n_done, 0);
        run_until(&host->f, checked.n_done == 1);
        return checked;
}

static void add_type(ConfigPool *pool, const char *type)
{
        ck_assert_int_eq(strv_append(&pool->task_type, type), 0);
}

START_TEST(everything_is_asked_about)
{
        Route routes[] = {
                { VERSION,
                  { { "200 x",
                      "Content-Type: text/plain\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                      "3.32.1" } } },
                { SEARCH, { OK_JSON(EMPTY) } },
                { UPDATE2, { OWN(500, "no ids") } },
                { LOCATE, { OK_JSON("{\"path\":\"x\"}") } },
                { QUEUES, { OK_JSON("{\"eu:big\":1,\"big\":2}") } },
                { TASKDEFS "big ", { OK_JSON("{\"name\":\"big\"}") } },
                { TASKDEFS "a%20b ", { OWN(404, "no such definition") } },
                { 0 }
        };
        ConfigPool *pools[] = { pool_of(1, USEC_PER_MINUTE), pool_of(1, USEC_PER_MINUTE) };
        Checked checked;
        Host host;

        host_open(&host, routes);
        host.config->conductor.worker_id = strdup("mine");
        host_start(&host);
        add_type(pools[0], "big");
        add_type(pools[0], "a b");
        add_type(pools[1], "big");
        pools[0]->domain = strdup("eu");
        checked = run_check(&host, pools, 2);
        check_has(&checked, "ok server -: answers in ");
        check_has(&checked, ", version 3.32.1\n");
        check_has(&checked, "warning clock -: the server's clock is");
        check_has(&checked, "warning worker_id -: ");
        check_has(&checked, "ok search -: ");
        check_has(&checked, "ok update-v2 -: ");
        check_has(&checked, "ok storage -: the server has no external payload storage");
        check_has(&checked,
                  "warning a b p: no task of this type has been scheduled in domain 'eu'");
        check_has(&checked, "ok big p: the definition suits the pool\n");
        check_has(&checked, "warning a b p: the server has no definition");
        ck_assert_ptr_null(strstr(checked.text, "big p: no task"));
        ck_assert_uint_eq(route_count(&host.f, &routes[5]), 2);
        (void)config_pool_unref(pools[0]);
        (void)config_pool_unref(pools[1]);
        host_close(&host);
}
END_TEST

START_TEST(old_server_without_index_is_told)
{
        Route routes[] = { { VERSION, { OWN(404, "No static resource api/version.") } },
                           { SEARCH, { OWN(500, "no index") } },
                           { UPDATE2, { OWN(404, "No static resource api/tasks/update-v2.") } },
                           { LOCATE, { OK_JSON("{\"path\":\"x\",\"uri\":\"http://s/x\"}") } },
                           { TOKEN, { OWN(404, "No static resource api/token.") } },
                           { 0 } };
        Checked checked;
        Host host;

        host_open(&host, routes);
        host.config->conductor.auth.key_id = strdup("k");
        host.config->conductor.auth.secret = strdup("s");
        host_start(&host);
        checked = run_check(&host, NULL, 0);
        check_has(&checked, "ok server -: answers in ");
        check_has(&checked, "warning auth -: the server knows no tokens");
        check_has(&checked, "warning search -: the server does not search tasks");
        check_has(&checked, "warning update-v2 -: ");
        check_has(&checked, "ok storage -: large payloads go to external storage");
        ck_assert_ptr_null(strstr(checked.text, "version"));
        ck_assert_ptr_null(strstr(checked.text, "clock"));
        host_close(&host);
}
END_TEST

START_TEST(server_that_is_away_is_all_there_is_to_say)
{
        Route routes[] = { { VERSION, { PROXY(502) } }, { 0 } };
        Checked checked;
        Host host;

        host_open(&host, routes);
        host_start(&host);
        checked = run_check(&host, NULL, 0);
        ck_assert_str_eq(checked.text,
                         "error server -: HTTP 502; something before the server answers in its "
                         "place: see whether the server itself runs\n");
        host_close(&host);
}
END_TEST

START_TEST(refused_key_is_told)
{
        Route routes[] = { { TOKEN, { OWN(401, "Bad key") } }, { 0 } };
        Checked checked;
        Host host;

        host_open(&host, routes);
        host.config->conductor.auth.key_id = strdup("k");
        host.config->conductor.auth.secret = strdup("s");
        host_start(&host);
        checked = run_check(&host, NULL, 0);
        check_has(&checked, "error auth -: HTTP 401: Bad key; check auth.key_id");
        host_close(&host);
}
END_TEST

START_TEST(check_ends_with_its_asker_or_its_source)
{
        Route routes[] = { { VERSION, { OK_JSON("\"1\"") }, .waits = true }, { 0 } };
        Checked checked = { 0 };
        ConductorCheck *first, *second;
        Host host;

        host_open(&host, routes);
        host_start(&host);
        ck_assert_int_eq(conductor_check(host.source, NULL, 0, on_checked, &checked, &first), 0);
        ck_assert_int_eq(conductor_check(host.source, NULL, 0, on_checked, &checked, &second), 0);
        conductor_check_abandon(first);
        ck_assert_uint_eq(checked.n_done, 0);
        host.source = source_free(host.source);
        ck_assert_uint_eq(checked.n_done, 1);
        check_has(&checked, "error server -: the source has ended meanwhile");
        host_close(&host);
}
END_TEST

/* Depth */

START_TEST(depth_is_asked_for_while_someone_looks)
{
        Route routes[] = { { POLL, { OK_JSON("[]") } },
                           { SEARCH, { OK_JSON(EMPTY) } },
                           { SIZE_BIG, { OK_JSON("42"), OWN(500, "no") } },
                           { 0 } };
        SubscriptionStatus status;
        Host host;

        host_open(&host, routes);
        host_start(&host);
        host_subscribe(&host);
        run_until(&host.f, route_count(&host.f, &routes[0]) >= 1);
        ck_assert_uint_eq(route_count(&host.f, &routes[2]), 0);
        source_get_subscription_status(host.subscription, &status);
        ck_assert_int_eq(status.n_queued, -1);
        do {
                ck_assert_int_ge(sd_event_run(host.f.event, 50 * USEC_PER_MSEC), 0);
                source_get_subscription_status(host.subscription, &status);
        } while (status.n_queued < 0);
        ck_assert_int_eq(status.n_queued, 42);
        ck_assert_uint_eq(route_count(&host.f, &routes[2]), 1);
        host_close(&host);
}
END_TEST

UNIT_MAIN("conductor-check", definition_is_held_beside_the_pool, any_end_is_sooner_than_none,
          clocks_are_compared, everything_is_asked_about, old_server_without_index_is_told,
          server_that_is_away_is_all_there_is_to_say, refused_key_is_told,
          check_ends_with_its_asker_or_its_source, depth_is_asked_for_while_someone_looks);
