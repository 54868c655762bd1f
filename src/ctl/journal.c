/* SPDX-License-Identifier: Apache-2.0 */

#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-journal.h>
#include "base/parse.h"
#include "base/strv.h"
#include "ctl/journal.h"

/* Numbers beyond the highest known: workers that a scale adds while the log is followed. */
#define WORKERS_AHEAD 32

/* As many as a pool can have. */
#define WORKERS_MAX 1024

static int append_match(char ***words, const char *field, const char *value)
{
        _cleanup_free_ char *match = NULL;

        if (asprintf(&match, "%s=%s", field, value) < 0) {
                match = NULL;
                return -ENOMEM;
        }
        return strv_append(words, match);
}

/* Begins a group of matches, which has to hold as a whole, beside those before. */
static int begin_group(char ***words, const JournalQuery *query, bool first)
{
        int r = 0;

        if (!first)
                r = strv_append(words, "+");
        if (r >= 0 && query->unit)
                r = append_match(words, query->user ? "_SYSTEMD_USER_UNIT" : "_SYSTEMD_UNIT",
                                 query->unit);
        return r;
}

static int append_task(char ***words, const JournalQuery *query)
{
        int r;

        r = begin_group(words, query, true);
        if (r >= 0)
                r = append_match(words, "YARDMASTER_TASK_ID", query->task);
        if (r >= 0 && query->worker)
                r = append_match(words, "YARDMASTER_WORKER", query->worker);
        else if (r >= 0 && query->pool)
                r = append_match(words, "YARDMASTER_POOL", query->pool);
        return r;
}

/* Of a service all that it logs, and what its manager says of it. */
static int append_all(char ***words, const JournalQuery *query)
{
        _cleanup_free_ char *option = NULL;
        int r;

        if (query->unit) {
                if (asprintf(&option, "--%s=%s", query->user ? "user-unit" : "unit", query->unit) <
                    0) {
                        option = NULL;
                        return -ENOMEM;
                }
                return strv_append(words, option);
        }
        r = append_match(words, "SYSLOG_IDENTIFIER", "yardmasterd");
        STRV_FOREACH (name, query->workers) {
                if (r >= 0)
                        r = append_match(words, "SYSLOG_IDENTIFIER", *name);
        }
        return r;
}

static int append_identifiers(char ***words, const JournalQuery *query)
{
        int r = 0;

        if (query->worker)
                return append_match(words, "SYSLOG_IDENTIFIER", query->worker);
        STRV_FOREACH (name, query->workers) {
                if (r >= 0)
                        r = append_match(words, "SYSLOG_IDENTIFIER", *name);
        }
        return r;
}

/* Of a process that is gone when the journal reads what it printed, the journal knows no unit: what
 * a worker says that ends at once is found by its user alone. */
static int append_short_lived(char ***words, const JournalQuery *query)
{
        char uid[32];
        int r;

        if (!query->unit || query->uid < 0)
                return 0;
        (void)snprintf(uid, sizeof(uid), "%" PRId64, query->uid);
        r = strv_append(words, "+");
        if (r >= 0)
                r = append_match(words, "_TRANSPORT", "stdout");
        if (r >= 0)
                r = append_match(words, "_UID", uid);
        return r < 0 ? r : append_identifiers(words, query);
}

int journal_append_matches(char ***words, const JournalQuery *query)
{
        int r;

        if (query->task)
                return append_task(words, query);
        if (!query->pool)
                return append_all(words, query);

        r = begin_group(words, query, true);
        if (r >= 0)
                r = append_identifiers(words, query);
        if (r >= 0)
                r = append_short_lived(words, query);
        if (r >= 0)
                r = begin_group(words, query, false);
        if (r < 0)
                return r;
        return query->worker ? append_match(words, "YARDMASTER_WORKER", query->worker)
                             : append_match(words, "YARDMASTER_POOL", query->pool);
}

/* n of "pool/n"; 0: it is none of this pool's. */
static unsigned worker_number(const char *name, size_t size, const char *pool)
{
        char number[8];
        const char *slash = memrchr(name, '/', size);
        size_t digits = slash ? size - (size_t)(slash + 1 - name) : 0;
        uint64_t n;

        if (digits == 0 || digits >= sizeof(number) || slash == name)
                return 0;
        if (pool &&
            (strlen(pool) != (size_t)(slash - name) || strncmp(name, pool, strlen(pool)) != 0))
                return 0;
        memcpy(number, slash + 1, digits);
        number[digits] = '\0';
        return parse_uint64(number, &n) >= 0 && n <= WORKERS_MAX ? (unsigned)n : 0;
}

static int append_known(char ***names, const char *pool, unsigned *n_max)
{
        static const char field[] = "SYSLOG_IDENTIFIER=";
        sd_journal *journal;
        const void *data;
        size_t size;
        int r;

        if (sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY) < 0)
                return 0;
        r = sd_journal_query_unique(journal, "SYSLOG_IDENTIFIER") == -ENOMEM ? -ENOMEM : 0;
        SD_JOURNAL_FOREACH_UNIQUE(journal, data, size)
        {
                const char *name = (const char *)data + sizeof(field) - 1;
                unsigned n = worker_number(name, size - (sizeof(field) - 1), pool);
                _cleanup_free_ char *copy = NULL;

                *n_max = MAX(*n_max, n);
                if (r < 0 || n == 0 || pool)
                        continue;
                copy = strndup(name, size - (sizeof(field) - 1));
                r = copy ? strv_append(names, copy) : -ENOMEM;
        }
        sd_journal_close(journal);
        return r;
}

int journal_append_workers(char ***names, const char *pool, unsigned n_wanted)
{
        unsigned n_max = n_wanted;
        int r;

        r = append_known(names, pool, &n_max);
        for (unsigned n = 1; r >= 0 && pool && n <= MIN(n_max + WORKERS_AHEAD, WORKERS_MAX); n++) {
                _cleanup_free_ char *name = NULL;

                if (asprintf(&name, "%s/%u", pool, n) < 0) {
                        name = NULL;
                        return -ENOMEM;
                }
                r = strv_append(names, name);
        }
        return r;
}

int journal_check_access(void)
{
        static const char *const patterns[] = {
                "/run/log/journal/*/system.journal",
                "/var/log/journal/*/system.journal",
        };
        bool found = false, readable = false;

        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                glob_t files;

                if (glob(patterns[i], GLOB_NOSORT, NULL, &files) != 0)
                        continue;
                for (size_t j = 0; j < files.gl_pathc; j++) {
                        found = true;
                        readable |= access(files.gl_pathv[j], R_OK) == 0;
                }
                globfree(&files);
        }
        return found && !readable ? -EACCES : 0;
}
