/* SPDX-License-Identifier: Apache-2.0 */

/* What a Conductor server's answers mean, and what they say to people.
 *
 * Measured: its own errors are JSON objects that say `retryable`; what its web container refuses
 * before it comes to that is HTML with a title of its own ("HTTP Status 400"); all else comes from
 * something between us and the server, which has then not seen the request. */

#include <stdio.h>
#include <strings.h>
#include "base/json-scan.h"
#include "base/json.h"
#include "source/conductor/server.h"

/* A title is looked for in so much of an HTML page. */
#define HTML_HEAD_MAX ((size_t)4096)

/* So many validation errors are named; there is one per fault of the body. */
#define VALIDATION_ERRORS_MAX 3

static const char *const verdict_names[] = {
        [VERDICT_DONE] = "done",       [VERDICT_AWAY] = "away",
        [VERDICT_BUSY] = "busy",       [VERDICT_DOUBTFUL] = "doubtful",
        [VERDICT_MISSING] = "missing", [VERDICT_REFUSED] = "refused",
};
_Static_assert(ELEMENTSOF(verdict_names) == _VERDICT_MAX, "a name for each verdict");

const char *verdict_to_string(Verdict verdict)
{
        return verdict_names[verdict];
}

static bool has_type(const HttpAnswer *answer, const char *type)
{
        size_t size = strlen(type);

        return answer->content_type.size == size &&
               strncasecmp(answer->content_type.data, type, size) == 0;
}

static Slice json_object_of(const HttpAnswer *answer)
{
        if (!has_type(answer, "application/json") || json_check(answer->body, NULL) < 0 ||
            json_type_of(answer->body) != JSON_OBJECT)
                return SLICE_NULL;
        return answer->body;
}

static bool is_own_error(Slice object)
{
        return object.data && (json_member(object, "retryable").data ||
                               json_member(object, "validationErrors").data);
}

static Slice html_title(const HttpAnswer *answer)
{
        Slice head = { answer->body.data, MIN(answer->body.size, HTML_HEAD_MAX) };
        const char *start, *end;

        if (!has_type(answer, "text/html") || head.size == 0)
                return SLICE_NULL;
        start = memmem(head.data, head.size, "<title>", 7);
        if (!start)
                return SLICE_NULL;
        start += 7;
        end = memmem(start, (size_t)(head.data + head.size - start), "</title>", 8);
        return end ? (Slice){ start, (size_t)(end - start) } : SLICE_NULL;
}

/* The page of the server's own web container. */
static bool is_container_page(const HttpAnswer *answer)
{
        static const char sign[] = "HTTP Status ";
        Slice title = html_title(answer);

        return title.size >= sizeof(sign) - 1 && memcmp(title.data, sign, sizeof(sign) - 1) == 0;
}

static Verdict verdict_of_error(const HttpAnswer *answer)
{
        Slice object = json_object_of(answer);
        bool own = is_own_error(object), retryable = false;

        /* Whoever says that it is too big, it stays so. */
        if (answer->status == 413)
                return VERDICT_REFUSED;
        if (!own && !is_container_page(answer))
                return VERDICT_AWAY;
        if (own)
                (void)json_to_bool(json_member(object, "retryable"), &retryable);
        switch (answer->status) {
        case 401:
        case 403:
        case 408:
        case 429:
                return VERDICT_AWAY;
        case 404:
                return own ? VERDICT_MISSING : VERDICT_AWAY;
        case 500:
                return retryable ? VERDICT_BUSY : VERDICT_DOUBTFUL;
        default:
                return answer->status >= 400 && answer->status < 500 ? VERDICT_REFUSED
                                                                     : VERDICT_AWAY;
        }
}

Verdict verdict_of(const HttpAnswer *answer)
{
        /* It answers a body that it does not want before it has read it all, and cuts the
         * connection. */
        bool early = answer->failure == HTTP_FAILED_CUT && answer->status >= 400 &&
                     is_own_error(json_object_of(answer));

        if (answer->failure == HTTP_FAILED_TOO_BIG)
                return VERDICT_DOUBTFUL;
        if (answer->failure != HTTP_ANSWERED && !early)
                return VERDICT_AWAY;
        if (answer->status >= 200 && answer->status < 300)
                return has_type(answer, "text/html") ? VERDICT_AWAY : VERDICT_DONE;
        return verdict_of_error(answer);
}

Verdict verdict_of_storage(const HttpAnswer *answer)
{
        if (answer->failure == HTTP_FAILED_TOO_BIG)
                return VERDICT_REFUSED;
        if (answer->failure != HTTP_ANSWERED)
                return VERDICT_AWAY;
        if (answer->status >= 200 && answer->status < 300)
                return VERDICT_DONE;
        if (answer->status == 404 || answer->status == 410)
                return VERDICT_MISSING;
        if (answer->status == 408 || answer->status == 429 || answer->status >= 500)
                return VERDICT_AWAY;
        return VERDICT_REFUSED;
}

bool answer_is_no_such_path(const HttpAnswer *answer)
{
        static const char *const signs[] = { "No static resource", "No endpoint",
                                             "No handler found" };
        Slice object = json_object_of(answer), message;

        if (answer->status != 404 || !object.data ||
            json_raw_string(json_member(object, "message"), &message) < 0)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(signs); i++) {
                size_t size = strlen(signs[i]);

                if (message.size >= size && memcmp(message.data, signs[i], size) == 0)
                        return true;
        }
        return false;
}

bool answer_is_withheld(const HttpAnswer *answer)
{
        return answer->failure == HTTP_ANSWERED && answer->status >= 402 && answer->status < 500 &&
               answer->status != 408 && answer->status != 429;
}

AnswerPermission answer_permission(const HttpAnswer *answer)
{
        Slice object, error;

        if (answer->failure != HTTP_ANSWERED || (answer->status != 401 && answer->status != 403))
                return PERMISSION_GIVEN;
        object = json_object_of(answer);
        if (object.data && json_raw_string(json_member(object, "error"), &error) >= 0)
                return slice_is(error, "EXPIRED_TOKEN") || slice_is(error, "INVALID_TOKEN")
                               ? PERMISSION_WANTS_TOKEN
                               : PERMISSION_DENIED;
        if (answer->status == 401)
                return PERMISSION_WANTS_TOKEN;
        return object.data ? PERMISSION_DENIED : PERMISSION_GIVEN;
}

/* A text being made one line: white space and control characters become one space. */
typedef struct Line {
        char *text;
        size_t size, used;
        bool gap;
        bool full;
} Line;

static void line_add(Line *line, Slice text)
{
        const char *p = text.data, *end = p + text.size;

        while (p < end && !line->full) {
                unsigned length = json_utf8_length(p, end);

                if (length == 1 && ((unsigned char)*p <= ' ' || *p == 0x7f)) {
                        line->gap = line->used > 0;
                } else if (line->used + line->gap + MAX(length, 1U) >= line->size) {
                        line->full = true;
                } else {
                        if (line->gap)
                                line->text[line->used++] = ' ';
                        line->gap = false;
                        if (length == 0)
                                line->text[line->used++] = '?';
                        else
                                memcpy(line->text + line->used, p, length), line->used += length;
                }
                p += MAX(length, 1U);
        }
}

static void line_add_string(Line *line, const char *text)
{
        line_add(line, slice_from_string(text));
}

/* A JSON string decoded, anything else as it is. */
static void line_add_value(Line *line, Slice value)
{
        _cleanup_free_ char *text = NULL;

        if (json_decode_string(value, &text) >= 0)
                line_add_string(line, text);
        else
                line_add(line, value);
}

static void add_validation_errors(Line *line, Slice errors)
{
        unsigned n = 0;
        Slice error;

        if (!errors.data || json_type_of(errors) != JSON_ARRAY)
                return;
        JSON_FOREACH_ELEMENT (error, errors) {
                Slice message = SLICE_NULL;

                if (n == VALIDATION_ERRORS_MAX)
                        return;
                if (json_type_of(error) == JSON_OBJECT)
                        message = json_member(error, "message");
                if (!message.data)
                        continue;
                line_add_string(line, n++ == 0 ? " " : "; ");
                line_add_value(line, message);
        }
}

static void add_json_error(Line *line, Slice object)
{
        Slice message = json_member(object, "message"), error = json_member(object, "error");

        if (error.data) {
                line_add_string(line, ": ");
                line_add_value(line, error);
        }
        if (message.data) {
                line_add_string(line, ": ");
                line_add_value(line, message);
        }
        add_validation_errors(line, json_member(object, "validationErrors"));
}

void answer_explain(const HttpAnswer *answer, char *text, size_t size)
{
        Line line = { .text = text, .size = size };
        Slice object = json_object_of(answer), title = html_title(answer);
        char status[sizeof("HTTP 4294967295")];

        if (answer->failure != HTTP_ANSWERED && !is_own_error(object)) {
                line_add_string(&line, answer->message ? answer->message
                                                       : http_failure_to_string(answer->failure));
        } else {
                (void)snprintf(status, sizeof(status), "HTTP %u", answer->status);
                line_add_string(&line, status);
                if (object.data) {
                        add_json_error(&line, object);
                } else if (title.data) {
                        line_add_string(&line, ": ");
                        line_add(&line, title);
                } else if (has_type(answer, "text/plain") && answer->body.size > 0) {
                        line_add_string(&line, ": ");
                        line_add(&line, answer->body);
                }
        }
        text[line.used] = '\0';
}
