/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl monitor. */

#include <stdio.h>
#include <time.h>
#include "base/strv.h"
#include "ctl/reply.h"
#include "ctl/table.h"
#include "ctl/verbs.h"

enum {
        MONITOR_TYPES,
        _MONITOR_MAX,
};

const Option monitor_options[] = {
        [MONITOR_TYPES] = { "types", "TYPE,…",
                            "only these events: task_failed, worker_crashed, …" },
        [_MONITOR_MAX] = {},
};

static void print_clock(int64_t epoch_msec)
{
        time_t seconds = (time_t)(epoch_msec / 1000);
        char text[32];
        struct tm tm;

        if (localtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%H:%M:%S", &tm) > 0)
                (void)printf("%s.%03d ", text, (int)(epoch_msec % 1000));
}

static Mood mood_of_event(const char *event)
{
        static const char *const bad[] = { "failed", "crashed", "killed", "rejected", "full" };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                if (strstr(event, bad[i]))
                        return MOOD_BAD;
        }
        return MOOD_PLAIN;
}

static void print_member(Slice event, const char *key)
{
        _cleanup_free_ char *text = member_text(event, key);

        if (text)
                (void)printf(" %s", text);
}

static ExitCode on_event(Ctl *ctl, Slice event, void *userdata)
{
        _cleanup_free_ char *name = member_text(event, "event");
        _cleanup_free_ char *message = member_text(event, "message");
        int64_t dropped = member_integer(event, "dropped");
        Mood mood;

        if (ctl->json) {
                (void)ctl_print_json(event);
                return fflush(stdout) == 0 ? EXIT_DONE : EXIT_REFUSED;
        }
        if (dropped > 0)
                (void)printf("(%lld events were lost: this client reads too slowly)\n",
                             (long long)dropped);
        if (!name)
                return EXIT_DONE;
        mood = mood_of_event(name);
        print_clock(member_integer(event, "time"));
        (void)printf("%s%-17s%s", mood_begin(ctl, mood), name, mood_end(ctl, mood));
        print_member(event, member_is_set(event, "worker") ? "worker" : "pool");
        print_member(event, "taskType");
        print_member(event, "taskId");
        print_member(event, "status");
        (void)printf("%s%s\n", message && message[0] ? ": " : "", message ?: "");
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

ExitCode verb_monitor(Ctl *ctl, const Arguments *arguments)
{
        _cleanup_free_ char *copy = strdup(arguments->options[MONITOR_TYPES] ?: "");
        _cleanup_(strv_freep) char **types = NULL;
        char *word, *position;
        Object params;

        if (!copy)
                return ctl_out_of_memory();
        for (word = strtok_r(copy, ",", &position); word; word = strtok_r(NULL, ",", &position)) {
                if (strv_append(&types, word) < 0)
                        return ctl_out_of_memory();
        }
        object_init(&params);
        if (types)
                object_strings(&params, "types", types, strv_length(types));
        object_string(&params, "pool", arguments->n_words > 0 ? arguments->words[0] : NULL);
        return ctl_call_more(ctl, "Monitor", &params, false, on_event, NULL);
}
