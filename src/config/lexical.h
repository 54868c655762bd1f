#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What libconfig 1.5 passes over in silence or reports too thinly, found before it sees the text:
 * numbers that it would cut to 32 or 64 bits, NUL bytes, comments and texts without an end, names
 * set twice in one group (both places), names that it cannot hold, words without quotes, brackets
 * without a partner. After this, libconfig reads the text without an error of its own. Files are
 * opened by the caller, through a hook; no other state. */

#include <stdbool.h>
#include "base/slice.h"

/* Deepest nesting of groups and lists. */
#define LEXICAL_DEPTH_MAX 64
/* Most settings of one group: libconfig compares each with all others. */
#define LEXICAL_NAMES_MAX 4096
/* Files included by included files and so on; libconfig has 10. */
#define LEXICAL_INCLUDE_MAX 8

typedef struct LexicalHooks {
        /* path: dotted name of the setting, or NULL. */
        void (*report)(const char *file, unsigned line, const char *path, const char *message,
                       void *userdata);
        /* Text of a file that `file` includes at `line`, and what it is called in messages; both
         * stay the hook's and valid until the check ends. 0, -errno, or > 0 if it was refused and
         * reported. */
        int (*include)(const char *file, unsigned line, const char *name, const char **ret_file,
                       Slice *ret_text, void *userdata);
        void *userdata;
} LexicalHooks;

/* 0: libconfig will read it with a newline behind it (a number may have been reported: that setting
 * is void).
 * LEXICAL_E_INVALID: it will not, why was reported. -errno. */
#define LEXICAL_E_INVALID 1
int lexical_check(const char *file, Slice text, const LexicalHooks *hooks);
