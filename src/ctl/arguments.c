/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "base/parse.h"
#include "ctl/arguments.h"
#include "ctl/verbs.h"

enum {
        COMMON_JSON,
        COMMON_SOCKET,
        COMMON_INSTANCE,
        COMMON_CONNECT_TIMEOUT,
        COMMON_NO_LEGEND,
        COMMON_HELP,
        COMMON_VERSION,
        _COMMON_MAX,
};

const Option common_options[] = {
        [COMMON_JSON] = { "json", NULL, "print the daemon's replies as received, one on a line" },
        [COMMON_SOCKET] = { "socket", "PATH", "where the daemon listens (or YARDMASTER_SOCKET)" },
        [COMMON_INSTANCE] = { "instance", "NAME",
                              "the daemon that listens in yardmaster-NAME instead of yardmaster" },
        [COMMON_CONNECT_TIMEOUT] = { "connect-timeout", "SPAN",
                                     "how long to wait for a daemon that does not answer (90s)" },
        [COMMON_NO_LEGEND] = { "no-legend", NULL, "print tables without headings" },
        [COMMON_HELP] = { "help", NULL, "show help, also for one verb", 'h' },
        [COMMON_VERSION] = { "version", NULL, "show the version" },
        [_COMMON_MAX] = {},
};

/* Where the words of the verb's name end: 0 if it does not fit the first words. */
static int verb_matches(const Verb *verb, char *const *words, int n_words)
{
        const char *space = strchr(verb->name, ' ');

        if (n_words < 1)
                return 0;
        if (!space)
                return streq(words[0], verb->name) ? 1 : 0;
        if (n_words < 2 || strncmp(words[0], verb->name, (size_t)(space - verb->name)) != 0 ||
            words[0][space - verb->name] != '\0')
                return 0;
        return streq(words[1], space + 1) ? 2 : 0;
}

const Verb *verb_find(char *const *words, int n_words, int *ret_taken)
{
        for (const Verb *verb = verbs; verb->name; verb++) {
                *ret_taken = verb_matches(verb, words, n_words);
                if (*ret_taken > 0)
                        return verb;
        }
        return NULL;
}

/* "list" of "list pools": what may follow. */
static bool report_group(const char *word)
{
        size_t size = strlen(word);
        bool found = false;

        for (size_t i = 0; verbs[i].name; i++) {
                if (strncmp(verbs[i].name, word, size) != 0 || verbs[i].name[size] != ' ')
                        continue;
                if (!found)
                        (void)fprintf(stderr, "yardctl: %s what? One of:\n", word);
                found = true;
                (void)fprintf(stderr, "  yardctl %s\n", verbs[i].usage);
        }
        return found;
}

static ExitCode find_verb(CommandLine *line)
{
        Arguments *arguments = &line->arguments;
        int taken = 0;

        if (arguments->n_words == 0)
                return EXIT_DONE;
        line->verb = verb_find(arguments->words, arguments->n_words, &taken);
        if (!line->verb) {
                if (!report_group(arguments->words[0]))
                        (void)ctl_fail(EXIT_USAGE, "there is no %s %s (see yardctl help)",
                                       strncmp(arguments->words[0], "--", 2) == 0 ? "option"
                                                                                  : "verb",
                                       arguments->words[0]);
                return EXIT_USAGE;
        }
        arguments->words += taken;
        arguments->n_words -= taken;
        return EXIT_DONE;
}

/* The index in a list of options, or -1. word is "--name", "--name=value", "-n" or "-nVALUE". */
static int find_option(const Option *options, const char *word)
{
        size_t size = strcspn(word, "=");
        bool is_long = strncmp(word, "--", 2) == 0;

        for (int i = 0; options && options[i].name; i++) {
                if (is_long && strlen(options[i].name) + 2 == size &&
                    strncmp(options[i].name, word + 2, size - 2) == 0)
                        return i;
                if (!is_long && word[0] == '-' && options[i].letter &&
                    word[1] == options[i].letter && (!word[2] || options[i].argument))
                        return i;
        }
        return -1;
}

/* What stands in the option's own word: behind "=", or behind its letter; else NULL. */
static const char *attached_value(const char *word)
{
        const char *equals = strchr(word, '=');

        if (strncmp(word, "--", 2) == 0)
                return equals ? equals + 1 : NULL;
        return word[2] ? word + 2 : NULL;
}

/* The option's value: in its word, or the next word, which is then taken. */
static ExitCode take_value(const Option *option, const char *word, char *next, const char **ret,
                           bool *ret_took_next)
{
        const char *attached = attached_value(word);

        *ret_took_next = false;
        if (!option->argument) {
                *ret = "";
                return attached ? ctl_fail(EXIT_USAGE, "--%s takes no value", option->name)
                                : EXIT_DONE;
        }
        if (!attached && !next)
                return ctl_fail(EXIT_USAGE, "--%s needs %s", option->name, option->argument);
        *ret = attached ?: next;
        *ret_took_next = !attached;
        return EXIT_DONE;
}

static ExitCode apply_common(int option, const char *value, Ctl *ctl, CommandLine *line)
{
        switch (option) {
        case COMMON_JSON:
                ctl->json = true;
                break;
        case COMMON_SOCKET:
                ctl->socket = value;
                break;
        case COMMON_INSTANCE:
                if (!value[0] || strchr(value, '/'))
                        return ctl_fail(EXIT_USAGE, "--instance: \"%s\" is no name of an instance",
                                        value);
                ctl->instance = value;
                break;
        case COMMON_CONNECT_TIMEOUT:
                if (parse_duration(value, &ctl->connect_timeout_usec) < 0)
                        return ctl_fail(EXIT_USAGE, "--connect-timeout %s is no span (10s, 5m)",
                                        value);
                break;
        case COMMON_NO_LEGEND:
                ctl->legend = false;
                break;
        case COMMON_HELP:
                line->help = true;
                break;
        case COMMON_VERSION:
                line->version = true;
                break;
        }
        return EXIT_DONE;
}

/* One pass over the options. Before the verb is known (options NULL, early) the unknown ones are
 * left in place for the second pass; whether they take a value is then not known, but no verb
 * stands behind an option of its own. */
static ExitCode parse_pass(char **words, int *n_words, const Option *options, bool early, Ctl *ctl,
                           CommandLine *line)
{
        int n = 0, count = *n_words;

        for (int i = 0; i < count; i++) {
                const Option *list = common_options;
                const char *value, *word = words[i];
                bool took_next;
                int index;

                if (streq(word, "--")) {
                        for (int rest = early ? i : i + 1; rest < count; rest++)
                                words[n++] = words[rest];
                        break;
                }
                index = find_option(common_options, word);
                if (index < 0) {
                        list = options;
                        index = find_option(options, word);
                }
                if (index < 0 && (early || strncmp(word, "--", 2) != 0)) {
                        words[n++] = words[i];
                        continue;
                }
                if (index < 0)
                        return ctl_fail(EXIT_USAGE, "unknown option %s (see yardctl %s --help)",
                                        words[i], line->verb ? line->verb->name : "");
                if (take_value(&list[index], word, i + 1 < count ? words[i + 1] : NULL, &value,
                               &took_next) != EXIT_DONE)
                        return EXIT_USAGE;
                i += took_next;
                if (list != common_options)
                        line->arguments.options[index] = value;
                else if (apply_common(index, value, ctl, line) != EXIT_DONE)
                        return EXIT_USAGE;
        }
        *n_words = n;
        return EXIT_DONE;
}

static ExitCode check_count(const CommandLine *line)
{
        const Verb *verb = line->verb;
        int n = line->arguments.n_words;

        if (n >= verb->min_words && (verb->max_words < 0 || n <= verb->max_words))
                return EXIT_DONE;
        return ctl_fail(EXIT_USAGE, "%s: usage: yardctl %s",
                        n < verb->min_words ? "too few words" : "too many words", verb->usage);
}

ExitCode command_line_parse(int argc, char **argv, Ctl *ctl, CommandLine *ret)
{
        CommandLine line = { .arguments = { .words = argv + 1, .n_words = argc - 1 } };
        ExitCode code;

        code = parse_pass(line.arguments.words, &line.arguments.n_words, NULL, true, ctl, &line);
        if (code == EXIT_DONE && !line.version)
                code = find_verb(&line);
        if (code == EXIT_DONE && line.verb)
                code = parse_pass(line.arguments.words, &line.arguments.n_words, line.verb->options,
                                  false, ctl, &line);
        if (code == EXIT_DONE && line.verb && !line.help)
                code = check_count(&line);
        if (code == EXIT_DONE)
                *ret = line;
        return code;
}
