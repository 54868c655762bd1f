/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include "base/json.h"
#include "stub/fault.h"

#define PATH_SIZE 1024 /* of a request's path, as a string for fnmatch */

static const char *const kind_names[] = {
        [FAULT_STATUS] = "status",
        [FAULT_RESET_BEFORE] = "reset-before",
        [FAULT_RESET_MIDDLE] = "reset-middle",
        [FAULT_RESET_AFTER] = "reset-after",
        [FAULT_TRUNCATE] = "truncate",
        [FAULT_GARBAGE] = "garbage",
        [FAULT_SLOW] = "slow",
        [FAULT_NEVER] = "never",
        [FAULT_EMPTY] = "empty",
        [FAULT_MORE] = "more",
        [FAULT_UNDECIDED] = "undecided",
};
static_assert(ELEMENTSOF(kind_names) == _FAULT_KIND_MAX, "each kind has a name");

static ListLink rules = LIST_INIT(rules), retired = LIST_INIT(retired);
static unsigned last_id;

static bool matches(const Fault *fault, Slice method, const char *path, usec_t now)
{
        return fault->left > 0 && now < fault->until &&
               (!fault->method || slice_is(method, fault->method)) &&
               (!fault->path || fnmatch(fault->path, path, 0) == 0);
}

/* Whether it is this one's turn among those that match. */
static bool fires(Fault *fault)
{
        fault->n_seen++;
        if (fault->n_seen <= fault->skip || (fault->n_seen - fault->skip) % fault->every != 0)
                return false;
        fault->left--;
        fault->n_fired++;
        return true;
}

const Fault *fault_match(Slice method, Slice path)
{
        char string[PATH_SIZE];
        usec_t now;

        if (list_is_empty(&rules))
                return NULL;
        (void)snprintf(string, sizeof(string), "%.*s", (int)path.size, path.data);
        now = clock_monotonic_usec();
        LIST_FOREACH (link, &rules) {
                Fault *fault = LIST_ENTRY(link, Fault, link);

                if (matches(fault, method, string, now) && fires(fault))
                        return fault;
        }
        return NULL;
}

static char *member_string(Slice object, const char *key)
{
        Slice value = json_member(object, key);
        char *string = NULL;

        if (value.data)
                (void)json_decode_string(value, &string);
        return string;
}

static uint64_t member_number(Slice object, const char *key, uint64_t otherwise)
{
        Slice value = json_member(object, key);
        int64_t number;

        return value.data && json_to_int64(value, &number) >= 0 && number >= 0 ? (uint64_t)number
                                                                               : otherwise;
}

static bool member_bool(Slice object, const char *key, bool otherwise)
{
        Slice value = json_member(object, key);

        if (value.data)
                (void)json_to_bool(value, &otherwise);
        return otherwise;
}

/* What a server or a proxy before it says with that status. */
static char *default_body(Slice object, unsigned status)
{
        _cleanup_free_ char *error = member_string(object, "error");
        char *body = NULL;
        int r;

        if (member_bool(object, "html", false))
                r = asprintf(&body,
                             "<!doctype html><html lang=\"en\"><head><title>HTTP Status %u</title>"
                             "</head><body><h1>HTTP Status %u</h1></body></html>",
                             status, status);
        else if (error)
                r = asprintf(&body, "{\"status\":%u,\"error\":\"%s\",\"message\":\"%s\"}", status,
                             error, error);
        else
                r = asprintf(&body,
                             "{\"status\":%u,\"message\":\"a fault on demand\","
                             "\"instance\":\"stub\",\"retryable\":%s}",
                             status, member_bool(object, "retryable", false) ? "true" : "false");
        if (r < 0)
                errx(1, "out of memory");
        return body;
}

static int kind_of(Slice object)
{
        _cleanup_free_ char *name = member_string(object, "kind");

        for (int i = 0; name && i < _FAULT_KIND_MAX; i++)
                if (streq(name, kind_names[i]))
                        return i;
        return -EINVAL;
}

static void fill_answer(Fault *fault, Slice object)
{
        fault->status = (unsigned)member_number(object, "status", 503);
        fault->body = member_string(object, "body") ?: default_body(object, fault->status);
        fault->content_type = member_string(object, "contentType");
        if (!fault->content_type)
                fault->content_type = must_alloc(strdup(member_bool(object, "html", false)
                                                                ? "text/html;charset=utf-8"
                                                                : "application/json"));
        fault->retry_after = member_string(object, "retryAfter");
}

int fault_add(Slice object, unsigned *ret_id, const char **ret_error)
{
        uint64_t duration = member_number(object, "durationMsec", 0);
        int kind = kind_of(object);
        Fault *fault;

        if (kind < 0) {
                *ret_error = "unknown or missing kind; --help lists them";
                return -EINVAL;
        }
        fault = must_alloc(calloc(1, sizeof(*fault)));
        fault->id = ++last_id;
        fault->kind = (FaultKind)kind;
        fault->method = member_string(object, "method");
        fault->path = member_string(object, "path");
        fault->skip = member_number(object, "skip", 0);
        fault->every = MAX(member_number(object, "every", 1), UINT64_C(1));
        fault->left = member_number(object, "count", duration > 0 ? UINT64_MAX : 1);
        fault->until =
                duration > 0 ? clock_monotonic_usec() + duration * USEC_PER_MSEC : USEC_INFINITY;
        fault->apply = member_bool(object, "apply", fault->kind != FAULT_STATUS);
        fault->delay = member_number(object, "delayMsec", 0) * USEC_PER_MSEC;
        fault->byte_interval = member_number(object, "byteMsec", 0) * USEC_PER_MSEC;
        fault->extra = member_number(object, "extra", 1);
        fill_answer(fault, object);
        list_append(&rules, &fault->link);
        *ret_id = fault->id;
        return 0;
}

void faults_put(Buffer *buffer)
{
        const char *comma = "";

        put_literal(buffer, "[");
        LIST_FOREACH (link, &rules) {
                const Fault *fault = LIST_ENTRY(link, Fault, link);

                must(buffer_appendf(
                        buffer,
                        "%s{\"id\":%u,\"kind\":\"%s\",\"seen\":%" PRIu64 ",\"fired\":%" PRIu64 "}",
                        comma, fault->id, kind_names[fault->kind], fault->n_seen, fault->n_fired));
                comma = ",";
        }
        put_literal(buffer, "]");
}

void faults_clear(void)
{
        list_splice(&retired, &rules);
}

void faults_deinit(void)
{
        faults_clear();
        LIST_FOREACH_SAFE (link, &retired) {
                Fault *fault = LIST_ENTRY(link, Fault, link);

                free(fault->method);
                free(fault->path);
                free(fault->body);
                free(fault->content_type);
                free(fault->retry_after);
                free(fault);
        }
        list_init(&retired);
}
