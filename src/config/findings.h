#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Collects what is wrong with a configuration while it is read, in any order, and turns it into
 * ConfigDiagnostics in the order of the files. Running out of memory is remembered, so that those
 * who report need not check. */

#include <stdbool.h>
#include "config/origin.h"

/* So many are kept; the rest is counted in a last line. */
#define FINDINGS_MAX 1000

typedef enum FindingKind {
        FINDING_ERROR,
        FINDING_LEXICAL, /* an error that hides what is said about the same place later */
        FINDING_WARNING,
} FindingKind;

typedef struct Finding Finding;

typedef struct Findings {
        ConfigFiles *files; /* borrowed */
        Finding *entries;
        size_t n_entries;
        size_t n_errors; /* with those beyond FINDINGS_MAX */
        size_t n_warnings;
        size_t n_dropped;
        int error; /* -ENOMEM once it happened */
} Findings;

void findings_deinit(Findings *findings);

/* at: where; line 0: the file as a whole. path: what it is about (NULL: the place says it). */
void findings_add(Findings *findings, FindingKind kind, ConfigOrigin at, const char *path,
                  const char *format, ...) _printf_(5, 6);

/* "file:line" of an origin, for messages that name a second place. */
const char *findings_place(const Findings *findings, ConfigOrigin at, char *buffer, size_t size);

int findings_to_diagnostics(Findings *findings, ConfigDiagnostics **ret);
