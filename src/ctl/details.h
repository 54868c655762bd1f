#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Details of one object, a line each: a right-aligned name, a colon, what it is. */

#include "ctl/verbs.h"

/* Width of the names. */
#define LABEL_WIDTH 11

/* What follows is the caller's to print. */
void print_label(const char *label);
/* text is fresh and consumed; nothing is printed for NULL. */
void print_line(const char *label, char *text);

/* For each word of the line: method is called with it as parameter, and print is given the reply's
 * member; with --json the reply itself is printed. The worst of the exit codes. */
ExitCode show_each(Ctl *ctl, const Arguments *arguments, const char *method, const char *parameter,
                   const char *member, void (*print)(const Ctl *ctl, Slice object));
