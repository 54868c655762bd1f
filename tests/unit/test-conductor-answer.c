/* SPDX-License-Identifier: Apache-2.0 */

/* What a server's answers mean and say. The bodies are a real server's. */

#include "source/conductor/token.h"
#include "unit.h"

#define JSON "application/json"
#define HTML "text/html"

#define CONTAINER_400                                                                     \
        "<!doctype html><html lang=\"en\"><head><title>HTTP Status 400 \xe2\x80\x93 Bad " \
        "Request</title><style type=\"text/css\">body {}</style></head><body></body></html>"
#define NGINX_400 "<html>\r\n<head><title>400 Bad Request</title></head></html>"

typedef struct Case {
        unsigned status;
        const char *type;
        const char *body;
        Verdict verdict;
        const char *text;
} Case;

static const Case cases[] = {
        { 200, JSON, "[]", VERDICT_DONE, "HTTP 200" },
        { 200, "text/plain", "0c6b", VERDICT_DONE, "HTTP 200: 0c6b" },
        { 204, NULL, "", VERDICT_DONE, "HTTP 204" },
        { 200, "Text/HTML", "<title>Sign in</title>", VERDICT_AWAY, "HTTP 200: Sign in" },
        { 302, HTML, "", VERDICT_AWAY, "HTTP 302" },
        { 400, JSON,
          "{\"status\":400,\"message\":\"Long Poll Timeout value cannot be more than 5 seconds\","
          "\"instance\":\"vm\",\"retryable\":false}",
          VERDICT_REFUSED, "HTTP 400: Long Poll Timeout value cannot be more than 5 seconds" },
        { 400, JSON,
          "{\"status\":400,\"message\":\"Validation failed, check below errors for "
          "detail.\",\"retryable\":false,\"validationErrors\":[{\"path\":\"updateTask.arg0\","
          "\"message\":\"Workflow Id cannot be null or empty\"},{\"message\":\"Task ID cannot be "
          "null\\nor empty\"}]}",
          VERDICT_REFUSED,
          "HTTP 400: Validation failed, check below errors for detail. Workflow Id cannot be null "
          "or empty; Task ID cannot be null or empty" },
        { 400, HTML, CONTAINER_400, VERDICT_REFUSED,
          "HTTP 400: HTTP Status 400 \xe2\x80\x93 Bad Request" },
        { 400, HTML, NGINX_400, VERDICT_AWAY, "HTTP 400: 400 Bad Request" },
        { 404, JSON,
          "{\"status\":404,\"message\":\"Task not found for taskId: x\",\"retryable\":false}",
          VERDICT_MISSING, "HTTP 404: Task not found for taskId: x" },
        { 404, HTML, "<title>404 Not Found</title>", VERDICT_AWAY, "HTTP 404: 404 Not Found" },
        { 404, JSON, "{\"message\":\"no Route matched with those values\"}", VERDICT_AWAY,
          "HTTP 404: no Route matched with those values" },
        { 404, NULL, "", VERDICT_AWAY, "HTTP 404" },
        { 405, JSON, "{\"status\":405,\"message\":\"no\",\"retryable\":false}", VERDICT_REFUSED,
          "HTTP 405: no" },
        { 409, JSON, "{\"status\":409,\"message\":\"exists\",\"retryable\":false}", VERDICT_REFUSED,
          "HTTP 409: exists" },
        { 413, HTML, "<title>413 Request Entity Too Large</title>", VERDICT_REFUSED,
          "HTTP 413: 413 Request Entity Too Large" },
        { 429, JSON, "{\"status\":429,\"message\":\"slow\",\"retryable\":true}", VERDICT_AWAY,
          "HTTP 429: slow" },
        { 429, "text/plain", "slow\tdown\r\n", VERDICT_AWAY, "HTTP 429: slow down" },
        { 500, JSON, "{\"status\":500,\"message\":\"db\",\"retryable\":true}", VERDICT_BUSY,
          "HTTP 500: db" },
        { 500, JSON, "{\"status\":500,\"message\":\"JSON\",\"retryable\":false}", VERDICT_DOUBTFUL,
          "HTTP 500: JSON" },
        { 500, HTML, "<title>HTTP Status 500</title>", VERDICT_DOUBTFUL,
          "HTTP 500: HTTP Status 500" },
        { 500, HTML, "<title>500 Internal Server Error</title>", VERDICT_AWAY,
          "HTTP 500: 500 Internal Server Error" },
        { 500, JSON, "{\"status\":500,\"message\":\"cut o", VERDICT_AWAY, "HTTP 500" },
        { 502, HTML, "", VERDICT_AWAY, "HTTP 502" },
        { 503, JSON, "{\"retryable\":true}", VERDICT_AWAY, "HTTP 503" },
        { 504, "text/plain",
          "\xff"
          "a\0b",
          VERDICT_AWAY, "HTTP 504: ?a" },
        { 401, JSON, "{\"error\":\"INVALID_TOKEN\",\"message\":\"no\"}", VERDICT_AWAY,
          "HTTP 401: INVALID_TOKEN: no" },
        { 403, JSON, "{\"status\":403,\"message\":\"not yours\",\"retryable\":false}", VERDICT_AWAY,
          "HTTP 403: not yours" },
};

static HttpAnswer answer_of(const Case *i)
{
        return (HttpAnswer){
                .status = i->status,
                .content_type = slice_from_string(i->type),
                .body = slice_from_string(i->body),
        };
}

START_TEST(each_answer_has_its_verdict)
{
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                HttpAnswer answer = answer_of(&cases[i]);

                ck_assert_msg(verdict_of(&answer) == cases[i].verdict, "%u %s: %s", answer.status,
                              cases[i].body, verdict_to_string(verdict_of(&answer)));
        }
}
END_TEST

START_TEST(each_answer_is_explained_on_one_line)
{
        char text[256];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                HttpAnswer answer = answer_of(&cases[i]);

                answer_explain(&answer, text, sizeof(text));
                ck_assert_str_eq(text, cases[i].text);
        }
}
END_TEST

START_TEST(explanation_is_cut_at_a_character)
{
        HttpAnswer answer = {
                .status = 500,
                .content_type = SLICE_LITERAL("text/plain"),
                .body = SLICE_LITERAL("aa\xc3\xa4\xc3\xa4"),
        };
        char text[16];

        for (size_t size = 1; size <= sizeof(text); size++) {
                memset(text, '#', sizeof(text));
                answer_explain(&answer, text, size);
                ck_assert_uint_lt(strlen(text), size);
        }
        answer_explain(&answer, text, 14);
        ck_assert_str_eq(text, "HTTP 500: aa");
        answer_explain(&answer, text, 15);
        ck_assert_str_eq(text, "HTTP 500: aa\xc3\xa4");
}
END_TEST

START_TEST(no_answer_is_away)
{
        char text[64];

        for (HttpFailure i = HTTP_FAILED_DNS; i < _HTTP_FAILURE_MAX; i++) {
                HttpAnswer answer = { .failure = i, .message = "refused" };

                ck_assert_int_eq(verdict_of(&answer),
                                 i == HTTP_FAILED_TOO_BIG ? VERDICT_DOUBTFUL : VERDICT_AWAY);
                answer_explain(&answer, text, sizeof(text));
                ck_assert_str_eq(text, "refused");
        }
}
END_TEST

/* Measured: a string over 20 000 000 characters is answered while it is being sent. */
START_TEST(early_answer_counts_though_the_connection_was_cut)
{
        HttpAnswer answer = {
                .failure = HTTP_FAILED_CUT,
                .message = "cut",
                .status = 500,
                .content_type = SLICE_LITERAL(JSON),
                .body = SLICE_LITERAL("{\"status\":500,\"message\":\"long\",\"retryable\":false}"),
        };
        char text[64];

        ck_assert_int_eq(verdict_of(&answer), VERDICT_DOUBTFUL);
        answer_explain(&answer, text, sizeof(text));
        ck_assert_str_eq(text, "HTTP 500: long");
        answer.body.size--;
        ck_assert_int_eq(verdict_of(&answer), VERDICT_AWAY);
        answer.status = 200;
        ck_assert_int_eq(verdict_of(&answer), VERDICT_AWAY);
}
END_TEST

START_TEST(storage_is_judged_by_status_alone)
{
        static const struct {
                unsigned status;
                Verdict verdict;
        } of[] = {
                { 200, VERDICT_DONE },    { 204, VERDICT_DONE },    { 400, VERDICT_REFUSED },
                { 403, VERDICT_REFUSED }, { 404, VERDICT_MISSING }, { 410, VERDICT_MISSING },
                { 429, VERDICT_AWAY },    { 500, VERDICT_AWAY },    { 503, VERDICT_AWAY },
                { 301, VERDICT_REFUSED },
        };

        for (size_t i = 0; i < ELEMENTSOF(of); i++) {
                HttpAnswer answer = { .status = of[i].status,
                                      .content_type = SLICE_LITERAL(HTML),
                                      .body = SLICE_LITERAL("<Error/>") };

                ck_assert_int_eq(verdict_of_storage(&answer), of[i].verdict);
        }
        ck_assert_int_eq(verdict_of_storage(&(HttpAnswer){ .failure = HTTP_FAILED_TLS }),
                         VERDICT_AWAY);
        ck_assert_int_eq(verdict_of_storage(&(HttpAnswer){ .failure = HTTP_FAILED_TOO_BIG }),
                         VERDICT_REFUSED);
}
END_TEST

static AnswerPermission permission(unsigned status, const char *type, const char *body)
{
        HttpAnswer answer = { .status = status,
                              .content_type = slice_from_string(type),
                              .body = slice_from_string(body) };

        return answer_permission(&answer);
}

START_TEST(permission_is_told_from_a_missing_token)
{
        ck_assert_int_eq(permission(200, JSON, "{}"), PERMISSION_GIVEN);
        ck_assert_int_eq(permission(401, NULL, ""), PERMISSION_WANTS_TOKEN);
        ck_assert_int_eq(permission(401, HTML, "<html>"), PERMISSION_WANTS_TOKEN);
        ck_assert_int_eq(permission(401, JSON, "{\"message\":\"x\"}"), PERMISSION_WANTS_TOKEN);
        ck_assert_int_eq(permission(401, JSON, "{\"error\":\"EXPIRED_TOKEN\"}"),
                         PERMISSION_WANTS_TOKEN);
        ck_assert_int_eq(permission(403, JSON, "{\"error\":\"INVALID_TOKEN\"}"),
                         PERMISSION_WANTS_TOKEN);
        ck_assert_int_eq(permission(401, JSON, "{\"error\":\"ACCESS_DENIED\"}"), PERMISSION_DENIED);
        ck_assert_int_eq(permission(403, JSON, "{\"message\":\"x\"}"), PERMISSION_DENIED);
        ck_assert_int_eq(permission(403, HTML, "<html>"), PERMISSION_GIVEN);
}
END_TEST

static bool no_such_path(unsigned status, const char *body)
{
        HttpAnswer answer = { .status = status,
                              .content_type = SLICE_LITERAL(JSON),
                              .body = slice_from_string(body) };

        return answer_is_no_such_path(&answer);
}

START_TEST(missing_call_is_told_from_a_missing_task)
{
        ck_assert(no_such_path(404, "{\"message\":\"No static resource api/tasks/update-v2.\"}"));
        ck_assert(!no_such_path(404, "{\"message\":\"Task not found for taskId: x\"}"));
        ck_assert(!no_such_path(400, "{\"message\":\"No static resource api.\"}"));
        ck_assert(!no_such_path(404, "{}"));
}
END_TEST

/* {"iat":1000,"exp":4600}, {"exp":4600}, {"iat":5,"exp":5}, {"exp":"x"} */
START_TEST(life_of_a_token_is_what_it_says)
{
        ck_assert_uint_eq(
                token_life_usec(SLICE_LITERAL("e30.eyJpYXQiOjEwMDAsImV4cCI6NDYwMH0.x"), 9999999),
                3600 * USEC_PER_SEC);
        ck_assert_uint_eq(token_life_usec(SLICE_LITERAL("e30.eyJleHAiOjQ2MDB9.x"), 4000 * 1000),
                          600 * USEC_PER_SEC);
        ck_assert_uint_eq(token_life_usec(SLICE_LITERAL("e30.eyJleHAiOjQ2MDB9.x"), 5000 * 1000), 0);
        ck_assert_uint_eq(token_life_usec(SLICE_LITERAL("e30.eyJpYXQiOjUsImV4cCI6NX0.x"), 0), 0);
        ck_assert_uint_eq(token_life_usec(SLICE_LITERAL("e30.eyJleHAiOiJ4In0.x"), 0),
                          USEC_INFINITY);
        ck_assert_uint_eq(token_life_usec(SLICE_LITERAL("opaque"), 0), USEC_INFINITY);
        ck_assert_uint_eq(token_life_usec(SLICE_LITERAL("a.!!.c"), 0), USEC_INFINITY);
        ck_assert_uint_eq(token_life_usec(SLICE_LITERAL("a."), 0), USEC_INFINITY);
        ck_assert_uint_eq(token_life_usec(SLICE_LITERAL("a..c"), 0), USEC_INFINITY);
        ck_assert_uint_eq(token_life_usec(SLICE_LITERAL(""), 0), USEC_INFINITY);
}
END_TEST

START_TEST(text_is_escaped_for_a_url)
{
        _cleanup_free_ char *escaped = server_escape("a-b_c.d~ /\\?%&+#\"\xc3\xa4");

        ck_assert_str_eq(escaped, "a-b_c.d~%20%2F%5C%3F%25%26%2B%23%22%C3%A4");
}
END_TEST

UNIT_MAIN("conductor-answer", each_answer_has_its_verdict, each_answer_is_explained_on_one_line,
          explanation_is_cut_at_a_character, no_answer_is_away,
          early_answer_counts_though_the_connection_was_cut, storage_is_judged_by_status_alone,
          permission_is_told_from_a_missing_token, missing_call_is_told_from_a_missing_task,
          life_of_a_token_is_what_it_says, text_is_escaped_for_a_url);
