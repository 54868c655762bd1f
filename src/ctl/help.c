/* SPDX-License-Identifier: Apache-2.0 */

/* All help is printed from the tables of verbs and options. */

#include <stdio.h>
#include "ctl/arguments.h"
#include "ctl/verbs.h"

/* Width of the first column. */
#define HELP_COLUMN 24

static void print_option(const Option *option)
{
        char letter[] = { '-', option->letter, ',', ' ', '\0' };
        int n = printf("  %s--%s%s%s", option->letter ? letter : "", option->name,
                       option->argument ? " " : "", option->argument ?: "");

        (void)printf("%*s%s\n", n < HELP_COLUMN ? HELP_COLUMN - n : 2, "", option->help);
}

static void print_options(const Option *options)
{
        for (const Option *option = options; option && option->name; option++)
                print_option(option);
}

void print_verb_help(const Verb *verb)
{
        (void)printf("yardctl %s\n\n%s.\n\n", verb->usage, verb->help ?: "");
        print_options(verb->options);
        print_options(common_options);
}

void print_help(void)
{
        (void)printf("yardctl [OPTION…] VERB …\n\nShows and steers yardmasterd.\n\n");
        for (const Verb *verb = verbs; verb->name; verb++) {
                if (verb->help)
                        (void)printf("  %-*s%s\n", HELP_COLUMN - 2, verb->name, verb->help);
        }
        (void)printf("\n");
        print_options(common_options);
        (void)printf("\n"
                     "Exit status: 0 done, 1 refused or failed, 2 usage, 3 daemon unreachable, "
                     "4 no such object,\n5 task not COMPLETED, 6 wait timed out, 7 permission. "
                     "See yardctl(1).\n");
}

ExitCode verb_help(Ctl *ctl, const Arguments *arguments)
{
        char *argv[] = { "yardctl", NULL, NULL, "--help", NULL };
        CommandLine line;

        if (arguments->n_words == 0) {
                print_help();
                return EXIT_DONE;
        }
        argv[1] = arguments->words[0];
        argv[2] = arguments->n_words > 1 ? arguments->words[1] : "--help";
        if (command_line_parse(4, argv, ctl, &line) != EXIT_DONE)
                return EXIT_USAGE;
        print_verb_help(line.verb);
        return EXIT_DONE;
}
