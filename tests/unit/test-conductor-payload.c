/* SPDX-License-Identifier: Apache-2.0 */

/* Inputs and outputs in external storage: a whole source beside a scripted server. */

#include "source-fixture.h"

#define LOCATE "GET /api/tasks/externalstoragelocation?"
#define UPDATE "POST /api/tasks"
#define STORE  "GET /store/k "

#define TASK                                                                                      \
        "[{\"taskId\":\"t1\",\"taskType\":\"big\",\"workflowInstanceId\":\"w1\",\"pollCount\":1," \
        "\"inputData\":{},\"big\":1e400,\"externalInputPayloadStoragePath\":\"in/ put.json\"}]"
#define HERE "{\"uri\":\"/store/k\",\"path\":\"in\"}"
static char elsewhere[128]; /* the same under another name */

static ServerPath paths[16];

static void open_source(Host *host, Route *routes)
{
        host_open(host, routes);
        (void)snprintf(elsewhere, sizeof(elsewhere),
                       "{\"uri\":\"http://localhost:%u/store/k\",\"path\":\"in\"}",
                       host->f.peer.port);
        host_start(host);
        host_subscribe(host);
}

static char *splice(const char *object, const char *input)
{
        Buffer buffer = BUFFER_NULL(4096);

        ck_assert_int_eq(
                payload_splice_input(&buffer, slice_from_string(object), slice_from_string(input)),
                0);
        return buffer_steal_string(&buffer);
}

static void check_splice(const char *object, const char *expected)
{
        _cleanup_free_ char *text = splice(object, "{\"a\":1.0}");

        ck_assert_str_eq(text, expected);
}

START_TEST(input_is_spliced_in)
{
        check_splice("{}", "{\"inputData\":{\"a\":1.0}}");
        check_splice("{\"x\":1}", "{\"x\":1,\"inputData\":{\"a\":1.0}}");
        check_splice(
                " { \"inputData\" : {} , \"externalInputPayloadStoragePath\":\"p\", \"n\": 1e400}",
                "{\"inputData\":{\"a\":1.0},\"n\":1e400}");
        check_splice("{\"externalInputPayloadStoragePath\":\"p\",\"q\\u0041\":\"\\/\"}",
                     "{\"q\\u0041\":\"\\/\",\"inputData\":{\"a\":1.0}}");
        check_splice("{\"inputData\":{},\"inputData\":{\"b\":1}}", "{\"inputData\":{\"a\":1.0}}");
}
END_TEST

START_TEST(task_comes_with_its_input)
{
        Route routes[] = { { POLL, { OK_JSON(TASK), OK_JSON("[]") } },
                           { LOCATE, { OK_JSON(HERE) } },
                           { STORE, { OK_JSON("{\"n\": 1.00,\n\"s\":\"\\u00e4\"}") } },
                           { SEARCH, { OK_JSON(EMPTY) } },
                           { UPDATE, { { "204 x", "", "" } } },
                           { 0 } };
        Outcome *outcome;
        Host host;

        open_source(&host, routes);
        run_until(&host.f, host.task);
        ck_assert_slice(host.task->json,
                        "{\"taskId\":\"t1\",\"taskType\":\"big\",\"workflowInstanceId\":\"w1\","
                        "\"pollCount\":1,\"inputData\":{\"n\":1.00,\"s\":\"\\u00e4\"},"
                        "\"big\":1e400}");
        ck_assert(route_saw(&host.f, &routes[1],
                            "?path=in%2F%20put.json&operation=READ&payloadType=TASK_INPUT "));
        ck_assert_uint_eq(host.task->poll_count, 1);
        /* It is settled as any other. */
        ck_assert_int_eq(outcome_new(&outcome, TASK_COMPLETED, NULL), 0);
        source_settle(host.subscription, host.task, outcome, &(Settlement){ .worker = "p/1" });
        run_until(&host.f, route_count(&host.f, &routes[4]) == 1);
        ck_assert(
                route_saw(&host.f, &routes[4], "{\"workflowInstanceId\":\"w1\",\"taskId\":\"t1\""));
        host_close(&host);
}
END_TEST

/* What becomes of a task whose input cannot be had. */
static void check_failure(Canned where, Canned what, unsigned n_asked, const char *status,
                          const char *reason)
{
        Route routes[] = { { POLL, { OK_JSON(TASK), OK_JSON("[]") } },
                           { LOCATE, { where } },
                           { STORE, { what } },
                           { SEARCH, { OK_JSON(EMPTY) } },
                           { UPDATE, { { "204 x", "", "" } } },
                           { 0 } };
        SubscriptionStatus seen;
        Host host;

        open_source(&host, routes);
        run_until(&host.f, route_count(&host.f, &routes[4]) == 1);
        ck_assert_msg(route_saw(&host.f, &routes[4], status), "%s", routes[4].request);
        ck_assert_msg(route_saw(&host.f, &routes[4], reason), "%s", routes[4].request);
        ck_assert_uint_eq(route_count(&host.f, &routes[1]), n_asked);
        ck_assert_ptr_null(host.task);
        /* Its place is free again. */
        run_until(&host.f, route_count(&host.f, &routes[0]) >= 2);
        source_get_subscription_status(host.subscription, &seen);
        ck_assert_uint_eq(seen.n_in_hand, 0);
        host_close(&host);
}

START_TEST(server_without_storage_fails_the_task)
{
        check_failure((Canned)OK_JSON("{\"path\":\"in\"}"), (Canned)OK_JSON("{}"), 1,
                      "\"FAILED_WITH_TERMINAL_ERROR\"", "conductor.external-payload-storage.type");
        check_failure((Canned)OWN(404, "no such path"), (Canned)OK_JSON("{}"), 1,
                      "\"FAILED_WITH_TERMINAL_ERROR\"", "no external payload storage");
}
END_TEST

START_TEST(input_that_is_no_object_fails_the_task)
{
        check_failure((Canned)OK_JSON(HERE), (Canned)OK_JSON("{\"a\":nul}"), 1,
                      "\"FAILED_WITH_TERMINAL_ERROR\"", "is no JSON");
        check_failure((Canned)OK_JSON(HERE), (Canned)OK_JSON("[]"), 1,
                      "\"FAILED_WITH_TERMINAL_ERROR\"", "is no JSON object");
}
END_TEST

START_TEST(refused_download_is_tried_again_from_the_start)
{
        check_failure((Canned)OK_JSON(elsewhere),
                      (Canned){ "403 x", "Content-Type: application/xml\r\n", "<Error/>" }, 3,
                      "\"FAILED\"", "the storage: HTTP 403");
        check_failure((Canned)OK_JSON("{\"uri\":\"file:///etc/passwd\"}"), (Canned)OK_JSON("{}"), 3,
                      "\"FAILED\"", "no HTTP address");
}
END_TEST

START_TEST(task_goes_back_when_storage_does_not_answer)
{
        check_failure((Canned)OK_JSON(elsewhere), (Canned)PROXY(503), 5, "\"IN_PROGRESS\"",
                      "\"callbackAfterSeconds\":1");
}
END_TEST

START_TEST(task_that_is_being_fetched_goes_back_with_its_pool)
{
        Route routes[] = { { POLL, { OK_JSON(TASK), OK_JSON("[]") } },
                           { LOCATE, { OK_JSON(HERE) }, .waits = true },
                           { SEARCH, { OK_JSON(EMPTY) } },
                           { UPDATE, { { "204 x", "", "" } } },
                           { 0 } };
        SubscriptionStatus seen = { 0 };
        Host host;

        open_source(&host, routes);
        while (seen.n_in_hand == 0) {
                ck_assert_int_ge(sd_event_run(host.f.event, USEC_PER_SEC), 0);
                source_get_subscription_status(host.subscription, &seen);
        }
        host.subscription = source_unsubscribe(host.subscription);
        run_until(&host.f, route_count(&host.f, &routes[3]) == 1);
        ck_assert(route_saw(&host.f, &routes[3], "\"IN_PROGRESS\""));
        host_close(&host);
}
END_TEST

/* Uploads: of the source only what they need. */

typedef struct Uploaded {
        unsigned n;
        int error;
        char text[512];
} Uploaded;

static void on_uploaded(int error, const char *path_or_text, void *userdata)
{
        Uploaded *uploaded = userdata;

        uploaded->n++;
        uploaded->error = error;
        (void)snprintf(uploaded->text, sizeof(uploaded->text), "%s", path_or_text);
}

static Uploaded upload(Fixture *f, Route *routes)
{
        Conductor conductor = { 0 };
        PayloadUpload *uploads[6], *dropped;
        Uploaded uploaded[6] = { 0 }, none = { 0 };
        Slice output = SLICE_LITERAL("{\"out\":1}");

        fixture_open(f, routes, paths);
        fixture_configure(f);
        conductor.server = f->server;
        conductor.event = f->event;
        list_init(&conductor.transfers);
        /* More than go at a time, and some that nobody waits for any more. */
        for (size_t i = 0; i < ELEMENTSOF(uploads); i++) {
                ck_assert_int_eq(payload_upload_output(&conductor, NULL, "t", output, on_uploaded,
                                                       &uploaded[i], &uploads[i]),
                                 0);
                ck_assert_int_eq(payload_upload_output(&conductor, NULL, "t", output, on_uploaded,
                                                       &none, &dropped),
                                 0);
                payload_upload_abandon(dropped);
        }
        for (size_t i = 0; i < ELEMENTSOF(uploads); i++) {
                run_until(f, uploaded[i].n == 1);
                ck_assert_int_eq(uploaded[i].error, uploaded[0].error);
        }
        ck_assert_uint_eq(none.n, 0);
        ck_assert_uint_eq(conductor.n_transfers, 0);
        ck_assert(list_is_empty(&conductor.transfers));
        return uploaded[0];
}

START_TEST(output_is_put_where_the_server_says)
{
        Route routes[] = { { LOCATE,
                             { OK_JSON("{\"uri\":\"/store/k\",\"path\":\"out/1.json\"}") } },
                           { "PUT /store/k ", { { "200 x", "", "" } } },
                           { 0 } };
        Fixture f;
        Uploaded uploaded = upload(&f, routes);

        ck_assert_int_eq(uploaded.error, 0);
        ck_assert_str_eq(uploaded.text, "out/1.json");
        ck_assert(route_saw(&f, &routes[0], "?path=&operation=WRITE&payloadType=TASK_OUTPUT "));
        ck_assert(route_saw(&f, &routes[1], "Content-Type: application/json\r\n"));
        ck_assert(route_saw(&f, &routes[1], "\r\n\r\n{\"out\":1}"));
        fixture_close(&f);
}
END_TEST

START_TEST(server_without_storage_takes_no_large_output)
{
        Route routes[] = { { LOCATE, { OK_JSON("{\"path\":\"out/1.json\"}") } }, { 0 } };
        Fixture f;
        Uploaded uploaded = upload(&f, routes);

        ck_assert_int_eq(uploaded.error, -ENOENT);
        ck_assert_ptr_nonnull(strstr(uploaded.text, "it has 0 KB"));
        ck_assert_ptr_nonnull(strstr(uploaded.text, "or return less"));
        fixture_close(&f);
}
END_TEST

START_TEST(storage_that_is_away_is_tried_later)
{
        Route routes[] = { { LOCATE, { OK_JSON(HERE) } },
                           { "PUT /store/k ", { PROXY(503) } },
                           { "GET /api/tasks/queue/size?", { OK_JSON("0") } },
                           { 0 } };
        Fixture f;
        Uploaded uploaded = upload(&f, routes);

        ck_assert_int_eq(uploaded.error, -EAGAIN);
        fixture_close(&f);
}
END_TEST

UNIT_MAIN("conductor-payload", input_is_spliced_in, task_comes_with_its_input,
          server_without_storage_fails_the_task, input_that_is_no_object_fails_the_task,
          refused_download_is_tried_again_from_the_start,
          task_goes_back_when_storage_does_not_answer,
          task_that_is_being_fetched_goes_back_with_its_pool, output_is_put_where_the_server_says,
          server_without_storage_takes_no_large_output, storage_that_is_away_is_tried_later);
