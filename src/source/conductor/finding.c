/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <stdio.h>
#include "base/parse.h"
#include "source/conductor/check.h"

/* Leases are extended at a part of the response time-out; below this a short pause of the network
 * is enough to miss it. */
#define RESPONSE_TIMEOUT_LOW_SEC 5

/* Clocks that differ by less disturb nothing: hand-backs allow for it. */
#define CLOCK_DIFFERENCE_MAX_MSEC 2000

static const char *const level_names[] = {
        [CHECK_OK] = "ok",
        [CHECK_WARNING] = "warning",
        [CHECK_ERROR] = "error",
};
_Static_assert(ELEMENTSOF(level_names) == _CHECK_LEVEL_MAX, "a name for each level");

const char *check_level_to_string(CheckLevel level)
{
        return level_names[level];
}

static void finding_clear(CheckFinding *finding)
{
        free((char *)finding->subject);
        free((char *)finding->pool);
        free((char *)finding->text);
        free((char *)finding->remedy);
}

void check_findings_deinit(CheckFindings *list)
{
        for (size_t i = 0; i < list->n; i++)
                finding_clear(&list->entries[i]);
        free(list->entries);
        *list = (CheckFindings){ 0 };
}

void check_findings_add(CheckFindings *list, CheckLevel level, const char *subject,
                        const char *pool, const char *remedy, const char *format, ...)
{
        CheckFinding finding = { .level = level };
        CheckFinding *entries;
        char *text;
        va_list args;
        int r;

        va_start(args, format);
        r = vasprintf(&text, format, args);
        va_end(args);
        if (r < 0)
                return;
        finding.text = text;
        finding.subject = strdup(subject);
        finding.pool = pool ? strdup(pool) : NULL;
        finding.remedy = remedy ? strdup(remedy) : NULL;
        entries = realloc(list->entries, (list->n + 1) * sizeof(*entries));
        if (entries)
                list->entries = entries;
        if (!entries || !finding.subject || (pool && !finding.pool) ||
            (remedy && !finding.remedy)) {
                finding_clear(&finding);
                return;
        }
        entries[list->n++] = finding;
}

/* Definitions */

typedef struct DefinitionCheck {
        CheckFindings *list;
        const ConfigPool *pool;
        const char *type;
        Slice definition;
} DefinitionCheck;

static int64_t seconds_of(const DefinitionCheck *check, const char *key)
{
        Slice value = json_member(check->definition, key);
        int64_t number;

        return value.data && json_to_int64(value, &number) >= 0 && number > 0 ? number : 0;
}

#define warn(check, remedy, ...)                                                             \
        check_findings_add((check)->list, CHECK_WARNING, (check)->type, (check)->pool->name, \
                           (remedy), __VA_ARGS__)

/* No lease extends this one. */
static void check_end(const DefinitionCheck *check, const char *key)
{
        usec_t timeout = check->pool->task_timeout_usec;
        int64_t seconds = seconds_of(check, key);
        char text[FORMAT_MAX];

        if (seconds == 0 || (uint64_t)seconds >= timeout / USEC_PER_SEC)
                return;
        warn(check, "raise it in the definition, or lower task_timeout to it",
             "%s = %" PRId64 " of the definition ends a task sooner than the pool does "
             "(task_timeout = %s): its result is then ignored; leases do not extend this",
             key, seconds, format_duration(text, timeout));
}

static void check_response_timeout(const DefinitionCheck *check)
{
        int64_t seconds = seconds_of(check, "responseTimeoutSeconds");

        if (seconds == 0 || seconds >= RESPONSE_TIMEOUT_LOW_SEC)
                return;
        warn(check, "raise it: the daemon extends the leases of what runs, however long that is",
             "responseTimeoutSeconds = %" PRId64 " leaves leases little room: when daemon or "
             "network pause for so long, a retry is spent",
             seconds);
}

static void check_poll_timeout(const DefinitionCheck *check)
{
        usec_t timeout = check->pool->task_timeout_usec;
        int64_t seconds = seconds_of(check, "pollTimeoutSeconds");

        if (seconds == 0 || (uint64_t)seconds >= timeout / USEC_PER_SEC)
                return;
        warn(check, "raise it above task_timeout, or set it to 0",
             "pollTimeoutSeconds = %" PRId64 " counts from when a task was first scheduled: one "
             "that is handed back later than that has to wait as long as it is overdue before it "
             "can be polled again",
             seconds);
}

static void check_limits(const DefinitionCheck *check)
{
        const ConfigPool *pool = check->pool;
        uint64_t places = (uint64_t)pool->workers * pool->concurrency;
        int64_t limit = seconds_of(check, "concurrentExecLimit");

        if (limit > 0 && (uint64_t)limit < places)
                warn(check, "lower workers or concurrency, or raise the limit",
                     "concurrentExecLimit = %" PRId64 " is less than the pool's %" PRIu64
                     " places: the server keeps the rest empty, and holds tasks over the limit "
                     "back for up to 60 s",
                     limit, places);
        limit = seconds_of(check, "rateLimitPerFrequency");
        if (limit > 0)
                warn(check, "set the pool's rate, too",
                     "rateLimitPerFrequency = %" PRId64
                     " is not kept to by every server: those on SQLite and Postgres ignore it",
                     limit);
}

void check_definition(CheckFindings *list, const ConfigPool *pool, const char *type,
                      Slice definition)
{
        DefinitionCheck check = {
                .list = list, .pool = pool, .type = type, .definition = definition
        };
        size_t n = list->n;

        if (!definition.data) {
                warn(&check, "register one: POST /metadata/taskdefs",
                     "the server has no definition of this type, so its defaults hold: three "
                     "retries 60 s apart, responseTimeoutSeconds = 3600");
                return;
        }
        check_end(&check, "timeoutSeconds");
        check_end(&check, "totalTimeoutSeconds");
        check_response_timeout(&check);
        check_poll_timeout(&check);
        check_limits(&check);
        if (list->n == n)
                check_findings_add(list, CHECK_OK, type, pool->name, NULL,
                                   "the definition suits the pool");
}

void check_clock(CheckFindings *list, int64_t difference_msec)
{
        char text[FORMAT_MAX];
        uint64_t size = (uint64_t)llabs(difference_msec);

        if (size <= CLOCK_DIFFERENCE_MAX_MSEC)
                return;
        check_findings_add(
                list, CHECK_WARNING, "clock", NULL, "let both follow the same time (NTP)",
                "the server's clock is %s %s ours: times of logs do not fit, and hand-backs of "
                "types with pollTimeoutSeconds may come too late",
                format_span(text, size * USEC_PER_MSEC),
                difference_msec < 0 ? "behind" : "ahead of");
}
