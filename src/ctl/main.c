/* SPDX-License-Identifier: Apache-2.0 */

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include "build-config.h"
#include "ctl/arguments.h"
#include "ctl/client.h"
#include "ctl/connect.h"
#include "ctl/verbs.h"

static void ctl_init(Ctl *ctl)
{
        const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

        /* Only how characters are counted: numbers stay as programs read them. */
        (void)setlocale(LC_CTYPE, "");
        *ctl = (Ctl){
                .connect_timeout_usec = CONNECT_TIMEOUT_USEC,
                .legend = true,
                .color = isatty(STDOUT_FILENO) && !(no_color && no_color[0]) &&
                         !(term && streq(term, "dumb")),
                .unicode = streq(nl_langinfo(CODESET), "UTF-8"),
        };
}

static ExitCode run(Ctl *ctl, int argc, char **argv)
{
        CommandLine line;
        ExitCode code;

        code = command_line_parse(argc, argv, ctl, &line);
        if (code != EXIT_DONE)
                return code;
        if (line.version) {
                (void)printf("yardctl %s\n", YARDMASTER_VERSION);
                return EXIT_DONE;
        }
        if (line.help && line.verb) {
                print_verb_help(line.verb);
                return EXIT_DONE;
        }
        if (line.help) {
                print_help();
                return EXIT_DONE;
        }
        if (!line.verb)
                return ctl_fail(EXIT_USAGE, "what to do? (see yardctl help)");
        return line.verb->run(ctl, &line.arguments);
}

int main(int argc, char **argv)
{
        ExitCode code;
        Ctl ctl;

        ctl_init(&ctl);
        code = run(&ctl, argc, argv);
        client_free(ctl.client);
        if (fflush(stdout) != 0 || ferror(stdout))
                return code == EXIT_DONE ? ctl_fail(EXIT_REFUSED, "cannot write the output: %s",
                                                    strerror(errno))
                                         : code;
        return code;
}
