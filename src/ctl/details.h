#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Details of one object, a line each: a right-aligned name, a colon, what it is. */

/* Width of the names. */
#define LABEL_WIDTH 11

/* What follows is the caller's to print. */
void print_label(const char *label);
/* text is fresh and consumed; nothing is printed for NULL. */
void print_line(const char *label, char *text);
