/* SPDX-License-Identifier: Apache-2.0 */

#include "ctl/details.h"

#include <stdio.h>
#include <stdlib.h>
#include "ctl/reply.h"

void print_label(const char *label)
{
        (void)printf("%*s: ", LABEL_WIDTH, label);
}

void print_line(const char *label, char *text)
{
        if (text) {
                print_label(label);
                (void)printf("%s\n", text);
        }
        free(text);
}

ExitCode show_each(Ctl *ctl, const Arguments *arguments, const char *method, const char *parameter,
                   const char *member, void (*print)(const Ctl *ctl, Slice object))
{
        ExitCode code, worst = EXIT_DONE;

        for (int i = 0; i < arguments->n_words; i++) {
                Object params;
                Slice reply;

                object_init(&params);
                object_string(&params, parameter, arguments->words[i]);
                code = ctl_call(ctl, method, &params, &reply);
                if (code == EXIT_UNREACHABLE)
                        return code;
                worst = MAX(worst, code);
                if (code != EXIT_DONE)
                        continue;
                if (ctl->json)
                        (void)ctl_print_json(reply);
                else
                        print(ctl, member_object(reply, member));
        }
        return worst;
}
