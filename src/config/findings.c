/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdio.h>
#include "base/strv.h"
#include "config/findings.h"

struct Finding {
        FindingKind kind;
        ConfigOrigin at;
        size_t sequence;
        char *path;
        char *text;
};

static void finding_free(Finding *finding)
{
        free(finding->path);
        free(finding->text);
}

void findings_deinit(Findings *findings)
{
        for (size_t i = 0; i < findings->n_entries; i++)
                finding_free(&findings->entries[i]);
        free(findings->entries);
        *findings = (Findings){ 0 };
}

const char *findings_place(const Findings *findings, ConfigOrigin at, char *buffer, size_t size)
{
        (void)snprintf(buffer, size, "%s:%u", findings->files->paths[at.file], at.line);
        return buffer;
}

/* Whether what stands there was found to be void already. */
static bool hidden(const Findings *findings, FindingKind kind, ConfigOrigin at, const char *path)
{
        if (kind == FINDING_LEXICAL)
                return false;
        for (size_t i = 0; i < findings->n_entries; i++) {
                const Finding *entry = &findings->entries[i];
                if (entry->kind == FINDING_LEXICAL && entry->at.file == at.file &&
                    entry->at.line == at.line &&
                    (!entry->path || !path || streq(entry->path, path)))
                        return true;
        }
        return false;
}

static char *finding_format(const Findings *findings, FindingKind kind, ConfigOrigin at,
                            const char *path, const char *what)
{
        char line[16] = "";
        char *text;

        if (at.line > 0)
                (void)snprintf(line, sizeof(line), ":%u", at.line);
        if (asprintf(&text, "%s%s: %s%s%s%s", findings->files->paths[at.file], line,
                     path ? path : "", path ? ": " : "", kind == FINDING_WARNING ? "warning: " : "",
                     what) < 0)
                return NULL;
        return text;
}

void findings_add(Findings *findings, FindingKind kind, ConfigOrigin at, const char *path,
                  const char *format, ...)
{
        if (findings->error < 0 || hidden(findings, kind, at, path))
                return;
        if (kind == FINDING_WARNING)
                findings->n_warnings++;
        else
                findings->n_errors++;
        if (findings->n_entries >= FINDINGS_MAX) {
                findings->n_dropped++;
                return;
        }

        _cleanup_free_ char *what = NULL;
        va_list ap;
        va_start(ap, format);
        int r = vasprintf(&what, format, ap);
        va_end(ap);
        if (r < 0) {
                what = NULL;
                findings->error = -ENOMEM;
                return;
        }

        Finding *entries =
                reallocarray(findings->entries, findings->n_entries + 1, sizeof(*entries));
        if (!entries) {
                findings->error = -ENOMEM;
                return;
        }
        findings->entries = entries;

        Finding finding = { .kind = kind, .at = at, .sequence = findings->n_entries };
        finding.path = path ? strdup(path) : NULL;
        finding.text = finding_format(findings, kind, at, path, what);
        if (!finding.text || (path && !finding.path)) {
                finding_free(&finding);
                findings->error = -ENOMEM;
                return;
        }
        entries[findings->n_entries++] = finding;
}

static int compare(const void *left, const void *right)
{
        const Finding *a = left, *b = right;

        if (a->at.file != b->at.file)
                return a->at.file < b->at.file ? -1 : 1;
        if (a->at.line != b->at.line)
                return a->at.line < b->at.line ? -1 : 1;
        return a->sequence < b->sequence ? -1 : 1;
}

int findings_to_diagnostics(Findings *findings, ConfigDiagnostics **ret)
{
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics =
                calloc(1, sizeof(*diagnostics));
        int r;

        if (!diagnostics)
                return -ENOMEM;
        if (findings->error < 0)
                return findings->error;
        if (findings->n_entries > 0)
                qsort(findings->entries, findings->n_entries, sizeof(findings->entries[0]),
                      compare);

        for (size_t i = 0; i < findings->n_entries; i++) {
                r = strv_append(&diagnostics->lines, findings->entries[i].text);
                if (r < 0)
                        return r;
        }
        if (findings->n_dropped > 0) {
                char text[64];
                (void)snprintf(text, sizeof(text), "and %zu more", findings->n_dropped);
                r = strv_append(&diagnostics->lines, text);
                if (r < 0)
                        return r;
        }
        diagnostics->n_errors = findings->n_errors;
        diagnostics->n_warnings = findings->n_warnings;
        *ret = TAKE_PTR(diagnostics);
        return 0;
}

ConfigDiagnostics *config_diagnostics_free(ConfigDiagnostics *diagnostics)
{
        if (!diagnostics)
                return NULL;
        (void)strv_free(diagnostics->lines);
        free(diagnostics);
        return NULL;
}
