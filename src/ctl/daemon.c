/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl reload, drain, config, health, log-level, backup, version: the daemon as a whole. */

#include <limits.h>
#include <stdio.h>
#include "base/parse.h"
#include "build-config.h"
#include "ctl/reply.h"
#include "ctl/table.h"
#include "ctl/verbs.h"

enum {
        DRAIN_DEADLINE,
        _DRAIN_MAX,
};

const Option drain_options[] = {
        [DRAIN_DEADLINE] = { "deadline", "SPAN", "at most that long (default: drain_timeout)" },
        [_DRAIN_MAX] = {},
};

enum {
        HEALTH_LIVE,
        HEALTH_READY,
        _HEALTH_MAX,
};

const Option health_options[] = {
        [HEALTH_LIVE] = { "live", NULL, "only whether the daemon itself turns" },
        [HEALTH_READY] = { "ready", NULL, "also whether all work gets done (the default)" },
        [_HEALTH_MAX] = {},
};

enum {
        BACKUP_SOURCE,
        _BACKUP_MAX,
};

const Option backup_options[] = {
        [BACKUP_SOURCE] = { "source", "SOURCE", "which queue, if there are several" },
        [_BACKUP_MAX] = {},
};

static void print_names(const char *label, Slice reply, const char *key)
{
        _cleanup_free_ char *names = member_list(reply, key);

        if (names)
                (void)printf("%s: %s\n", label, names);
}

static void print_each(const char *label, Slice reply, const char *key)
{
        Slice line, lines = member_array(reply, key);

        JSON_FOREACH_ELEMENT (line, lines) {
                _cleanup_free_ char *text = value_text(line);

                (void)printf("%s%s\n", label, text ?: "");
        }
}

ExitCode verb_reload(Ctl *ctl, const Arguments *arguments)
{
        ExitCode code;
        Slice reply;

        code = ctl_call(ctl, "Reload", NULL, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        print_names("added", reply, "added");
        print_names("removed", reply, "removed");
        print_names("changed in place", reply, "changed");
        print_names("workers replaced", reply, "restarted");
        print_each("", reply, "warnings");
        if (array_length(member_array(reply, "added")) +
                    array_length(member_array(reply, "removed")) +
                    array_length(member_array(reply, "changed")) +
                    array_length(member_array(reply, "restarted")) ==
            0)
                (void)printf("no pool has changed\n");
        return EXIT_DONE;
}

typedef struct DrainProgress {
        bool begun;
        int64_t running;
        int64_t handed_back;
} DrainProgress;

/* A line for each change. */
static ExitCode on_draining(Ctl *ctl, Slice reply, void *userdata)
{
        DrainProgress *last = userdata, now = { true, member_integer(reply, "running"),
                                                member_integer(reply, "handedBack") };

        if (ctl->json)
                return ctl_print_json(reply);
        if (!last->begun || now.running != last->running || now.handed_back != last->handed_back)
                (void)printf("%lld task%s running, %lld handed back\n", (long long)now.running,
                             PLURAL(now.running), (long long)now.handed_back);
        (void)fflush(stdout);
        *last = now;
        return EXIT_DONE;
}

ExitCode verb_drain(Ctl *ctl, const Arguments *arguments)
{
        const char *deadline = arguments->options[DRAIN_DEADLINE];
        DrainProgress progress = {};
        Object params;
        usec_t usec;

        if (deadline && (parse_duration(deadline, &usec) < 0 || usec > INT64_MAX))
                return ctl_fail(EXIT_USAGE, "--deadline %s is no span (10s, 5m)", deadline);
        object_init(&params);
        if (deadline)
                object_integer(&params, "deadlineUsec", (int64_t)usec);
        return ctl_call_more(ctl, "Drain", &params, true, on_draining, &progress);
}

ExitCode verb_config_check(Ctl *ctl, const Arguments *arguments)
{
        ExitCode code;
        bool valid;
        Slice reply;

        code = ctl_call(ctl, "CheckConfig", NULL, &reply);
        if (code != EXIT_DONE)
                return code;
        valid = member_true(reply, "valid");
        if (ctl->json)
                (void)ctl_print_json(reply);
        else {
                print_each("", reply, "diagnostics");
                (void)printf(valid ? "the configuration is valid\n"
                                   : "the configuration would be refused\n");
        }
        return valid ? EXIT_DONE : EXIT_REFUSED;
}

/* The text member of a reply as it is: it has lines, which member_text would join. */
static ExitCode print_text(Ctl *ctl, const char *method)
{
        _cleanup_free_ char *text = NULL;
        ExitCode code;
        Slice reply, value;

        code = ctl_call(ctl, method, NULL, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        value = json_member(reply, "text");
        if (value.size == 0 || json_decode_string(value, &text) < 0)
                return ctl_fail(EXIT_REFUSED, "the daemon's answer has no text");
        (void)fputs(text, stdout);
        return EXIT_DONE;
}

ExitCode verb_config_dump(Ctl *ctl, const Arguments *arguments)
{
        return print_text(ctl, "DumpConfig");
}

ExitCode verb_metrics(Ctl *ctl, const Arguments *arguments)
{
        return print_text(ctl, "GetMetrics");
}

static void print_findings(const Ctl *ctl, Slice reply)
{
        Slice finding, findings = member_array(reply, "findings");

        JSON_FOREACH_ELEMENT (finding, findings) {
                _cleanup_free_ char *object = member_text(finding, "object");
                _cleanup_free_ char *message = member_text(finding, "message");
                _cleanup_free_ char *remedy = member_text(finding, "remedy");

                (void)printf("%s%s%s: %s\n", mood_begin(ctl, MOOD_BAD), object ?: "",
                             mood_end(ctl, MOOD_BAD), message ?: "");
                if (remedy)
                        (void)printf("  %s %s\n", ctl->unicode ? "→" : "->", remedy);
        }
}

ExitCode verb_health(Ctl *ctl, const Arguments *arguments)
{
        bool live = arguments->options[HEALTH_LIVE], healthy;
        ExitCode code;
        Object params;
        Slice reply;

        if (live && arguments->options[HEALTH_READY])
                return ctl_fail(EXIT_USAGE, "either --live or --ready");
        object_init(&params);
        object_string(&params, "level", live ? "live" : "ready");
        code = ctl_call(ctl, "GetHealth", &params, &reply);
        if (code != EXIT_DONE)
                return code;
        healthy = member_true(reply, "healthy");
        if (ctl->json)
                (void)ctl_print_json(reply);
        else {
                print_findings(ctl, reply);
                if (healthy)
                        (void)printf("%s\n", live ? "live" : "ready");
        }
        return healthy ? EXIT_DONE : EXIT_REFUSED;
}

ExitCode verb_log_level(Ctl *ctl, const Arguments *arguments)
{
        _cleanup_free_ char *level = NULL;
        ExitCode code;
        Object params;
        Slice reply;

        if (arguments->n_words > 0) {
                object_init(&params);
                object_string(&params, "level", arguments->words[0]);
                code = ctl_call(ctl, "SetLogLevel", &params, &reply);
                return code == EXIT_DONE && ctl->json ? ctl_print_json(reply) : code;
        }
        code = ctl_call(ctl, "GetLogLevel", NULL, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        level = member_text(reply, "level");
        (void)printf("%s\n", level ?: "unknown");
        return EXIT_DONE;
}

/* userdata: the path. Only the last reply has the size. */
static ExitCode on_backup(Ctl *ctl, Slice reply, void *userdata)
{
        _cleanup_free_ char *size = member_bytes(reply, "sizeBytes");

        if (ctl->json)
                return ctl_print_json(reply);
        if (size)
                (void)printf("%s: %s\n", (const char *)userdata, size);
        else if (isatty(STDERR_FILENO))
                (void)fprintf(stderr, "\r%lld of %lld pages\x1b[K\r",
                              (long long)member_integer(reply, "pagesDone"),
                              (long long)member_integer(reply, "pagesTotal"));
        return EXIT_DONE;
}

ExitCode verb_backup(Ctl *ctl, const Arguments *arguments)
{
        const char *file = arguments->words[0];
        char folder[PATH_MAX], path[2 * PATH_MAX];
        Object params;

        /* The daemon has another working directory. */
        if (file[0] != '/' && !getcwd(folder, sizeof(folder)))
                return ctl_fail(EXIT_REFUSED, "cannot tell the working directory: %s",
                                strerror(errno));
        (void)snprintf(path, sizeof(path), "%s%s%s", file[0] == '/' ? "" : folder,
                       file[0] == '/' ? "" : "/", file);
        object_init(&params);
        object_string(&params, "path", path);
        object_string(&params, "source", arguments->options[BACKUP_SOURCE]);
        return ctl_call_more(ctl, "Backup", &params, false, on_backup, path);
}

ExitCode verb_version(Ctl *ctl, const Arguments *arguments)
{
        _cleanup_free_ char *version = NULL;
        ExitCode code;
        Slice reply;

        if (!ctl->json) {
                (void)printf("yardctl %s\n", YARDMASTER_VERSION);
                (void)fflush(stdout);
        }
        code = ctl_call(ctl, WIRE_SERVICE ".GetInfo", NULL, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        version = member_text(reply, "version");
        (void)printf("yardmasterd %s\n", version ?: "unknown");
        return EXIT_DONE;
}
