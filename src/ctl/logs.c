/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl logs: journalctl, with the matches for what was asked. */

#include <stdio.h>
#include <sys/wait.h>
#include "base/log.h"
#include "base/parse.h"
#include "base/strv.h"
#include "ctl/journal.h"
#include "ctl/reply.h"
#include "ctl/verbs.h"

/* Shown unless something else bounds them: a day of a busy service has millions. */
#define LINES_DEFAULT "1000"

/* At the end of a status, as systemctl has them. */
#define LINES_OF_STATUS "10"

enum {
        LOGS_FOLLOW,
        LOGS_LINES,
        LOGS_SINCE,
        LOGS_UNTIL,
        LOGS_TASK,
        LOGS_PRIORITY,
        LOGS_EXPLAIN,
        LOGS_OUTPUT,
        LOGS_NO_PAGER,
        _LOGS_MAX,
};

const Option logs_options[] = {
        [LOGS_FOLLOW] = { "follow", NULL, "go on with what is logged from now on", 'f' },
        [LOGS_LINES] = { "lines", "N", "the last N lines (1000; with --follow 10), or all", 'n' },
        [LOGS_SINCE] = { "since", "WHEN",
                         "from then on: a span (2h: the last two hours) or a time" },
        [LOGS_UNTIL] = { "until", "WHEN", "up to then" },
        [LOGS_TASK] = { "task", "ID", "events of this task, and what its command printed" },
        [LOGS_PRIORITY] = { "priority", "LEVEL", "this level and worse", 'p' },
        [LOGS_EXPLAIN] = { "explain", NULL, "beside each event, what it means and what to do",
                           'x' },
        [LOGS_OUTPUT] = { "output", "MODE",
                          "as journalctl has it: short-iso, cat, verbose, json, …", 'o' },
        [LOGS_NO_PAGER] = { "no-pager", NULL, "print straight to the terminal" },
        [_LOGS_MAX] = {},
};

/* What the daemon told of its log, and of the pool. */
typedef struct LogPlace {
        char *unit;
        bool user;
        int64_t uid; /* -1: not known */
        unsigned n_workers;
        bool guessed;
} LogPlace;

static void log_place_deinit(LogPlace *place)
{
        free(place->unit);
}

/* The service as it is installed, for a daemon that cannot be asked. */
static ExitCode guess_place(const Ctl *ctl, LogPlace *place)
{
        if (asprintf(&place->unit, "yardmaster%s%s.service", ctl->instance ? "@" : "",
                     ctl->instance ?: "") < 0) {
                place->unit = NULL;
                return ctl_out_of_memory();
        }
        place->guessed = true;
        return EXIT_DONE;
}

static ExitCode ask_pool(Ctl *ctl, const char *pool, LogPlace *place)
{
        Slice reply, worker;
        Object params;
        ExitCode code;

        object_init(&params);
        object_string(&params, "pool", pool);
        code = ctl_call(ctl, "ListWorkers", &params, &reply);
        if (code != EXIT_DONE)
                return code;
        JSON_FOREACH_ELEMENT (worker, member_array(reply, "workers")) {
                _cleanup_free_ char *name = member_text(worker, "name");
                const char *slash = name ? strrchr(name, '/') : NULL;
                uint64_t n;

                if (slash && parse_uint64(slash + 1, &n) >= 0 && n > place->n_workers)
                        place->n_workers = (unsigned)MIN(n, (uint64_t)UINT16_MAX);
        }
        return EXIT_DONE;
}

/* -ENOENT: the daemon does not log to the journal. */
static int read_place(Slice status, LogPlace *place)
{
        Slice log = member_object(status, "log");

        if (!member_true(log, "journal"))
                return -ENOENT;
        place->unit = member_text(log, "unit");
        place->user = member_true(log, "user");
        if (member_is_set(log, "uid"))
                place->uid = member_integer(log, "uid");
        return 0;
}

static ExitCode ask_daemon(Ctl *ctl, const char *pool, LogPlace *place)
{
        ExitCode code;
        Slice status;

        ctl->quiet = true;
        code = ctl_call(ctl, "GetStatus", NULL, &status);
        ctl->quiet = false;
        if (code != EXIT_DONE)
                return guess_place(ctl, place);
        if (read_place(status, place) < 0)
                return ctl_fail(
                        EXIT_REFUSED,
                        "yardmasterd does not log to the journal but to its standard error: "
                        "look where that goes (a terminal, a file, the log of its container)");
        return pool ? ask_pool(ctl, pool, place) : EXIT_DONE;
}

/* A span or time of ours as journalctl has it; its own words (today, 12:00) are left to it. */
static int append_when(char ***words, const char *option, const char *text)
{
        int64_t now = clock_epoch_msec(), epoch_msec;
        _cleanup_free_ char *word = NULL;
        usec_t usec;
        int n;

        if (parse_duration(text, &usec) >= 0 && usec != USEC_INFINITY)
                epoch_msec = now - (int64_t)MIN(usec / USEC_PER_MSEC, (usec_t)now);
        else if (parse_timestamp(text, &epoch_msec) < 0)
                epoch_msec = -1;
        if (epoch_msec >= 0)
                n = asprintf(&word, "--%s=@%lld.%03lld", option, (long long)(epoch_msec / 1000),
                             (long long)(epoch_msec % 1000));
        else
                n = asprintf(&word, "--%s=%s", option, text);
        if (n < 0) {
                word = NULL;
                return -ENOMEM;
        }
        return strv_append(words, word);
}

static int append_value(char ***words, const char *option, const char *value)
{
        _cleanup_free_ char *word = NULL;

        if (asprintf(&word, "--%s=%s", option, value) < 0) {
                word = NULL;
                return -ENOMEM;
        }
        return strv_append(words, word);
}

static int append_lines(char ***words, const Ctl *ctl, const char *const *options)
{
        bool bounded = options[LOGS_FOLLOW] || options[LOGS_SINCE] || options[LOGS_UNTIL] ||
                       options[LOGS_TASK];
        int r = 0;

        if (options[LOGS_LINES] || !bounded)
                r = append_value(words, "lines", options[LOGS_LINES] ?: LINES_DEFAULT);
        /* People read from the end; -e alone would have its own bound. */
        if (r >= 0 && !options[LOGS_FOLLOW] && !ctl->json && isatty(STDOUT_FILENO))
                r = strv_append(words, "--pager-end");
        return r;
}

static int append_options(char ***words, const Ctl *ctl, const char *const *options)
{
        char level[2] = { 0 };
        int r = 0;

        if (ctl->json || options[LOGS_OUTPUT])
                r = append_value(words, "output", options[LOGS_OUTPUT] ?: "json");
        if (r >= 0 && options[LOGS_FOLLOW])
                r = strv_append(words, "--follow");
        if (r >= 0)
                r = append_lines(words, ctl, options);
        if (r >= 0 && options[LOGS_SINCE])
                r = append_when(words, "since", options[LOGS_SINCE]);
        if (r >= 0 && options[LOGS_UNTIL])
                r = append_when(words, "until", options[LOGS_UNTIL]);
        if (r >= 0 && options[LOGS_PRIORITY]) {
                level[0] = (char)('0' + log_level_from_string(options[LOGS_PRIORITY]));
                r = append_value(words, "priority", level);
        }
        if (r >= 0 && options[LOGS_EXPLAIN])
                r = strv_append(words, "--catalog");
        if (r >= 0 && options[LOGS_NO_PAGER])
                r = strv_append(words, "--no-pager");
        return r;
}

/* The whole command: options is how to show what query selects. */
static int make_command(char ***ret, char *const *options, const JournalQuery *query,
                        unsigned n_workers)
{
        _cleanup_(strv_freep) char **words = NULL, **workers = NULL;
        JournalQuery complete = *query;
        int r;

        r = strv_append(&words, "journalctl");
        STRV_FOREACH (option, options) {
                if (r >= 0)
                        r = strv_append(&words, *option);
        }
        if (r >= 0 && !query->task && !query->worker && (query->pool || !query->unit))
                r = journal_append_workers(&workers, query->pool, n_workers);
        complete.workers = workers;
        if (r >= 0)
                r = journal_append_matches(&words, &complete);
        if (r >= 0)
                *ret = TAKE_PTR(words);
        return r;
}

static ExitCode check_access(const Ctl *ctl, const LogPlace *place)
{
        if (place->user || journal_check_access() >= 0)
                return EXIT_DONE;
        if (ctl->quiet)
                return EXIT_PERMISSION;
        return ctl_fail(EXIT_PERMISSION,
                        "the journal may not be read: become root or a member of group "
                        "systemd-journal (as root: adduser USER systemd-journal; it holds from the "
                        "next login)");
}

static ExitCode split_name(const char *name, char **ret_pool, const char **ret_worker)
{
        const char *slash = name ? strrchr(name, '/') : NULL;

        *ret_worker = slash ? name : NULL;
        *ret_pool = NULL;
        if (!name)
                return EXIT_DONE;
        *ret_pool = strndup(name, slash ? (size_t)(slash - name) : strlen(name));
        return *ret_pool ? EXIT_DONE : ctl_out_of_memory();
}

ExitCode verb_logs(Ctl *ctl, const Arguments *arguments)
{
        const char *level = arguments->options[LOGS_PRIORITY], *worker;
        _cleanup_(strv_freep) char **options = NULL, **words = NULL;
        _cleanup_(log_place_deinit) LogPlace place = { .uid = -1 };
        _cleanup_free_ char *pool = NULL;
        ExitCode code;

        if (level && log_level_from_string(level) < 0)
                return ctl_fail(EXIT_USAGE,
                                "there is no level %s: error, warning, notice, info, debug", level);
        code = split_name(arguments->n_words > 0 ? arguments->words[0] : NULL, &pool, &worker);
        if (code == EXIT_DONE)
                code = ask_daemon(ctl, pool, &place);
        if (code == EXIT_DONE)
                code = check_access(ctl, &place);
        if (code != EXIT_DONE)
                return code;
        if (place.guessed)
                (void)fprintf(stderr,
                              "yardctl: the daemon cannot be asked; this is what the journal has "
                              "of %s\n",
                              place.unit);
        if (append_options(&options, ctl, arguments->options) < 0 ||
            make_command(&words, options,
                         &(JournalQuery){ .unit = place.unit,
                                          .user = place.user,
                                          .uid = place.uid,
                                          .pool = pool,
                                          .worker = worker,
                                          .task = arguments->options[LOGS_TASK] },
                         place.n_workers) < 0)
                return ctl_out_of_memory();
        (void)fflush(NULL);
        (void)execvp(words[0], words);
        return ctl_fail(EXIT_REFUSED,
                        "cannot run journalctl: %s (it comes with systemd, and reads its journal)",
                        strerror(errno));
}

/* Where the journal cannot be had, or this user may not read it, that is not what was asked for. */
void print_last_lines(Ctl *ctl, const char *name)
{
        static char *const options[] = { "--quiet", "--no-pager", "--lines=" LINES_OF_STATUS,
                                         NULL };
        _cleanup_(log_place_deinit) LogPlace place = { .uid = -1 };
        _cleanup_(strv_freep) char **words = NULL;
        _cleanup_free_ char *pool = NULL;
        const char *worker;
        Slice status;
        pid_t pid;

        ctl->quiet = true;
        if (split_name(name, &pool, &worker) != EXIT_DONE ||
            ctl_call(ctl, "GetStatus", NULL, &status) != EXIT_DONE ||
            read_place(status, &place) < 0 || check_access(ctl, &place) != EXIT_DONE ||
            make_command(&words, options,
                         &(JournalQuery){ .unit = place.unit,
                                          .user = place.user,
                                          .uid = place.uid,
                                          .pool = pool,
                                          .worker = worker },
                         0) < 0)
                return;
        (void)printf("\n");
        (void)fflush(NULL);
        pid = fork();
        if (pid == 0) {
                (void)execvp(words[0], words);
                _exit(EXIT_FAILURE);
        }
        if (pid > 0)
                (void)waitpid(pid, NULL, 0);
}
