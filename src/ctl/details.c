/* SPDX-License-Identifier: Apache-2.0 */

#include "ctl/details.h"

#include <stdio.h>
#include <stdlib.h>

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
