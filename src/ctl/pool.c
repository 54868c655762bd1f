/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl scale, set, pause, resume, restart. */

#include <stdio.h>
#include "ctl/reply.h"
#include "ctl/verbs.h"

enum {
        RESTART_ROLLING,
        _RESTART_MAX,
};

const Option restart_options[] = {
        [RESTART_ROLLING] = { "rolling", NULL, "one worker at a time" },
        [_RESTART_MAX] = {},
};

static bool is_count(const char *text)
{
        text += *text == '+' || *text == '-';
        return *text && strspn(text, "0123456789") == strlen(text);
}

ExitCode verb_scale(Ctl *ctl, const Arguments *arguments)
{
        const char *pool = arguments->words[0], *workers = arguments->words[1];
        int64_t wanted;
        ExitCode code;
        Object params;
        Slice reply;

        if (!is_count(workers))
                return ctl_fail(EXIT_USAGE, "%s is no count of workers: 4, +1, -2", workers);
        object_init(&params);
        object_string(&params, "pool", pool);
        object_string(&params, "workers", workers);
        code = ctl_call(ctl, "Scale", &params, &reply);
        if (code != EXIT_DONE)
                return code;
        if (ctl->json)
                return ctl_print_json(reply);
        wanted = member_integer(reply, "wantedWorkers");
        (void)printf("%s: %lld worker%s wanted\n", pool, (long long)wanted, PLURAL(wanted));
        return EXIT_DONE;
}

static ExitCode add_settings(Object *settings, char **words, int n_words)
{
        for (int i = 0; i < n_words; i++) {
                _cleanup_free_ char *key = NULL;
                const char *equals = strchr(words[i], '=');

                if (!equals || equals == words[i])
                        return ctl_fail(EXIT_USAGE, "%s is not KEY=VALUE", words[i]);
                key = strndup(words[i], (size_t)(equals - words[i]));
                if (!key)
                        return ctl_out_of_memory();
                object_string(settings, key, equals + 1);
        }
        return EXIT_DONE;
}

ExitCode verb_set(Ctl *ctl, const Arguments *arguments)
{
        Object params, settings;
        ExitCode code;
        Slice reply;

        object_init(&params);
        object_init(&settings);
        object_string(&params, "pool", arguments->words[0]);
        code = add_settings(&settings, arguments->words + 1, arguments->n_words - 1);
        object_object(&params, "settings", &settings);
        if (code != EXIT_DONE) {
                object_deinit(&params);
                return code;
        }
        code = ctl_call(ctl, "SetPool", &params, &reply);
        return code == EXIT_DONE && ctl->json ? ctl_print_json(reply) : code;
}

static ExitCode call_pool(Ctl *ctl, const char *method, const char *pool)
{
        ExitCode code;
        Object params;
        Slice reply;

        object_init(&params);
        object_string(&params, "pool", pool);
        code = ctl_call(ctl, method, &params, &reply);
        return code == EXIT_DONE && ctl->json ? ctl_print_json(reply) : code;
}

ExitCode verb_pause(Ctl *ctl, const Arguments *arguments)
{
        return call_pool(ctl, "PausePool", arguments->words[0]);
}

ExitCode verb_resume(Ctl *ctl, const Arguments *arguments)
{
        return call_pool(ctl, "ResumePool", arguments->words[0]);
}

static ExitCode on_restarted(Ctl *ctl, Slice reply, void *userdata)
{
        if (ctl->json)
                return ctl_print_json(reply);
        (void)printf("%lld replaced, %lld to go\n", (long long)member_integer(reply, "replaced"),
                     (long long)member_integer(reply, "remaining"));
        (void)fflush(stdout);
        return EXIT_DONE;
}

ExitCode verb_restart(Ctl *ctl, const Arguments *arguments)
{
        Object params;

        object_init(&params);
        object_string(&params, "pool", arguments->words[0]);
        if (arguments->options[RESTART_ROLLING])
                object_true(&params, "rolling");
        return ctl_call_more(ctl, "RestartPool", &params, false, on_restarted, NULL);
}
