#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The command line: options of everyone (--json …) anywhere, a verb, its words and options. Few
 * options have a letter, and words that begin with "-" are options only where they are known: "-",
 * "-2" and task inputs are words. "--" ends the options. */

#include "ctl/ctl.h"

typedef struct CommandLine {
        const Verb *verb; /* NULL: none was given */
        bool help;
        bool version;
        Arguments arguments;
} CommandLine;

/* EXIT_DONE; or EXIT_USAGE, reported. Sets the common options in *ctl. argv is reordered. */
ExitCode command_line_parse(int argc, char **argv, Ctl *ctl, CommandLine *ret);

/* The verb that the first words name, and how many of them it takes; NULL: none. */
const Verb *verb_find(char *const *words, int n_words, int *ret_taken);

extern const Option common_options[];
