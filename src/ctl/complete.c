/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl __complete -- WORD…: what the last word may become, one on each line, or ":files". The
 * shells' completion scripts ask nothing else, so that verbs and options stand in their tables only
 * and names come from the daemon. Where that does not answer, there is nothing to offer. */

#include <fcntl.h>
#include <stdio.h>
#include "ctl/arguments.h"
#include "ctl/reply.h"
#include "ctl/verbs.h"

/* What the value of an option is, of one verb or of all, and words that are no names of the
 * daemon's. */
static const char *const option_kinds[][2] = {
        { "type", "types" },      { "source", "sources" }, { "status", "statuses" },
        { "from", "files" },      { "socket", "files" },   { "conflict", "conflicts" },
        { "state", "states" },    { "output", "outputs" }, { "logs output", "modes" },
        { "priority", "levels" },
};

static const char *const fixed_words[][2] = {
        { "levels", "error warning notice info debug" },
        { "statuses", "SCHEDULED IN_PROGRESS COMPLETED FAILED FAILED_WITH_TERMINAL_ERROR CANCELED "
                      "TIMED_OUT" },
        { "conflicts", "error return_existing replace" },
        { "states", "waiting dead" },
        { "outputs", "wide" },
        { "modes",
          "short short-iso short-precise short-monotonic with-unit verbose cat json json-pretty" },
};

static const char *find_pair(const char *const (*pairs)[2], size_t n, const char *key)
{
        for (size_t i = 0; i < n; i++) {
                if (streq(pairs[i][0], key))
                        return pairs[i][1];
        }
        return NULL;
}

static void offer(const char *word, size_t size, const char *prefix)
{
        if (strncmp(word, prefix, strlen(prefix)) == 0 && size >= strlen(prefix))
                (void)printf("%.*s\n", (int)size, word);
}

static void offer_words(const char *words, const char *prefix)
{
        for (size_t size; *words; words += size + (words[size] == ' ')) {
                size = strcspn(words, " ");
                offer(words, size, prefix);
        }
}

/* The first words of all verbs, or what may follow the first. */
static void offer_verbs(const char *first, const char *prefix)
{
        size_t size = first ? strlen(first) : 0, taken;
        const char *last = "";

        for (const Verb *verb = verbs; verb->name; verb++) {
                if (!verb->help)
                        continue;
                if (first && strncmp(verb->name, first, size) == 0 && verb->name[size] == ' ')
                        offer(verb->name + size + 1, strlen(verb->name + size + 1), prefix);
                taken = strcspn(verb->name, " ");
                if (first || (strncmp(last, verb->name, taken) == 0 && strcspn(last, " ") == taken))
                        continue;
                offer(verb->name, taken, prefix);
                last = verb->name;
        }
}

static void offer_options(const Option *options, const char *prefix)
{
        for (const Option *option = options; option && option->name; option++) {
                if (strncmp(option->name, prefix + 2, strlen(prefix) - 2) == 0)
                        (void)printf("--%s\n", option->name);
        }
}

static void offer_names(Ctl *ctl, const char *kind, const char *prefix)
{
        Slice reply, names, name;
        Object params;

        object_init(&params);
        object_string(&params, "kind", kind);
        if (ctl_call(ctl, "ListNames", &params, &reply) != EXIT_DONE)
                return;
        names = member_array(reply, "names");
        JSON_FOREACH_ELEMENT (name, names) {
                _cleanup_free_ char *text = value_text(name);

                if (text)
                        offer(text, strlen(text), prefix);
        }
}

/* kinds: one or more, separated by spaces. */
static void offer_kinds(Ctl *ctl, const char *kinds, const char *prefix)
{
        char kind[32];

        for (size_t size; *kinds; kinds += size + (kinds[size] == ' ')) {
                size = strcspn(kinds, " ");
                (void)snprintf(kind, sizeof(kind), "%.*s", (int)size, kinds);
                if (streq(kind, "files"))
                        (void)printf(":files\n");
                else if (streq(kind, "verbs"))
                        offer_verbs(NULL, prefix);
                else if (find_pair(fixed_words, ELEMENTSOF(fixed_words), kind))
                        offer_words(find_pair(fixed_words, ELEMENTSOF(fixed_words), kind), prefix);
                else
                        offer_names(ctl, kind, prefix);
        }
}

static const Option *option_with_value(const Option *options, const char *word)
{
        for (const Option *option = options; option && option->name; option++) {
                if (option->argument && strncmp(word, "--", 2) == 0 &&
                    streq(word + 2, option->name))
                        return option;
        }
        return NULL;
}

/* Drops the common options and their values from the words before the last one. */
static int drop_common(Ctl *ctl, char **words, int n_words)
{
        const Option *option;
        int n = 0;

        for (int i = 0; i < n_words; i++) {
                option = option_with_value(common_options, words[i]);
                if (option && i + 1 < n_words) {
                        if (streq(option->name, "socket"))
                                ctl->socket = words[i + 1];
                        if (streq(option->name, "instance"))
                                ctl->instance = words[i + 1];
                        i++;
                } else if (option || !streq(words[i], "--json")) {
                        words[n++] = words[i];
                }
        }
        return n;
}

static const char *kinds_of(const Verb *verb, const Option *option)
{
        const char *kinds = NULL;
        char key[64];

        (void)snprintf(key, sizeof(key), "%s %s", verb ? verb->name : "", option->name);
        kinds = find_pair(option_kinds, ELEMENTSOF(option_kinds), key);
        if (!kinds)
                kinds = find_pair(option_kinds, ELEMENTSOF(option_kinds), option->name);
        return kinds ?: "";
}

static void complete(Ctl *ctl, char **words, int n_words, const char *prefix)
{
        const char *before = n_words > 0 ? words[n_words - 1] : "";
        const Option *option;
        const Verb *verb;
        int taken = 0;

        verb = verb_find(words, n_words, &taken);
        option = option_with_value(common_options, before);
        if (!option && verb)
                option = option_with_value(verb->options, before);
        if (option) {
                offer_kinds(ctl, kinds_of(verb, option), prefix);
        } else if (strncmp(prefix, "--", 2) == 0) {
                offer_options(verb ? verb->options : NULL, prefix);
                offer_options(common_options, prefix);
        } else if (!verb && n_words < 2) {
                offer_verbs(n_words > 0 ? words[0] : NULL, prefix);
        } else if (verb && n_words == taken) {
                offer_kinds(ctl, verb->completes ?: "", prefix);
        }
}

ExitCode verb_complete(Ctl *ctl, const Arguments *arguments)
{
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC), n = arguments->n_words;

        if (n == 0 || null < 0 || dup2(null, STDERR_FILENO) < 0)
                return EXIT_REFUSED;
        (void)close_fd(null);
        ctl->connect_timeout_usec = 0; /* who waits for a list of words? */
        complete(ctl, arguments->words, drop_common(ctl, arguments->words, n - 1),
                 arguments->words[n - 1]);
        return EXIT_DONE;
}
