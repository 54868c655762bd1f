/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdio.h>
#include "base/parse.h"
#include "base/strv.h"
#include "config/check-source.h"
#include "config/object.h"
#include "config/override.h"
#include "config/secret.h"

/* Headers of each request; servers take about a hundred. */
#define HEADERS_MAX 32

static ConfigOrigin *origin_of(const ConfigSource *source, const char *key)
{
        size_t n;
        return &source->origins
                        ->at[schema_find(SCHEMA_SOURCE, key) - schema_rows(SCHEMA_SOURCE, &n)];
}

static bool is_set(const ConfigSource *source, const char *key)
{
        return origin_of(source, key)->kind != ORIGIN_DEFAULT;
}

ConfigOrigin check_source_place(const ConfigSource *source, const char *key)
{
        ConfigOrigin origin = object_origin(SCHEMA_SOURCE, source->origins, key);

        if (origin.kind == ORIGIN_FILE)
                return origin;
        return origins_place(source->origins, source->file, source->line);
}

static void _printf_(5, 6) add(Findings *findings, FindingKind kind, const ConfigSource *source,
                               const char *key, const char *format, ...)
{
        char path[CONFIG_NAME_MAX + 64];
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
        (void)snprintf(path, sizeof(path), "sources.%s%s%s", source->name, key[0] ? "." : "", key);
        findings_add(findings, kind, check_source_place(source, key), path, "%s", what);
}

#define error(findings, source, key, ...) add(findings, FINDING_ERROR, source, key, __VA_ARGS__)

static void check_applicable(Findings *findings, const ConfigSource *source)
{
        size_t n;
        const SchemaRow *rows = schema_rows(SCHEMA_SOURCE, &n);

        for (size_t i = 0; i < n; i++)
                if (rows[i].sources && !(rows[i].sources & 1u << source->type) &&
                    source->origins->at[i].kind == ORIGIN_FILE)
                        error(findings, source, rows[i].key,
                              "means nothing for a source of type \"%s\": remove it",
                              schema_source_type_to_string(source->type));
}

static void check_url(Findings *findings, const ConfigSource *source)
{
        const char *url = source->conductor.url;
        size_t size = url ? strlen(url) : 0;

        if (!is_set(source, "url"))
                error(findings, source, "url", "is missing, like url = \"http://host:8080/api\"");
        else if (size > 4 && !streq(url + size - 4, "/api"))
                add(findings, FINDING_WARNING, source, "url",
                    "%s does not end in /api, where a Conductor server has its API", url);
}

static void check_tls(Findings *findings, const ConfigSource *source)
{
        static const char *const keys[] = { "tls.ca_file", "tls.certificate", "tls.key",
                                            "tls.verify" };

        if (source->conductor.tls.key && !source->conductor.tls.certificate)
                error(findings, source, "tls.key", "is of no use without tls.certificate");
        if (!source->conductor.url || strncmp(source->conductor.url, "https:", 6) == 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (is_set(source, keys[i]))
                        add(findings, FINDING_WARNING, source, keys[i],
                            "has no effect: url is not https");
}

/* From a file or a credential, unless the environment had it. */
static int read_secret(Findings *findings, ConfigSource *source, bool elsewhere)
{
        char **secret = &source->conductor.auth.secret;
        bool file = source->conductor.auth.secret_file;
        const char *key = file ? "auth.secret_file" : "auth.secret_credential";
        _cleanup_free_ char *message = NULL;
        int r;

        if (file)
                r = secret_read_file(source->conductor.auth.secret_file, secret, &message);
        else
                r = secret_read_credential(source->conductor.auth.secret_credential, secret,
                                           &message);
        if (r > 0)
                add(findings,
                    !file && elsewhere && !secret_folder() ? FINDING_WARNING : FINDING_ERROR,
                    source, key, "%s", message);
        else if (r == 0)
                *origin_of(source, "auth.secret") = *origin_of(source, key);
        return MIN(r, 0);
}

static int check_auth(Findings *findings, ConfigSource *source, bool elsewhere)
{
        bool file = is_set(source, "auth.secret_file");
        bool credential = is_set(source, "auth.secret_credential");
        bool secret = is_set(source, "auth.secret");
        bool key = is_set(source, "auth.key_id");

        if (file && credential)
                error(findings, source, "auth.secret_credential",
                      "there is auth.secret_file already: remove one of them");
        else if (key && !file && !credential && !secret)
                error(findings, source, "auth.key_id",
                      "its secret is missing: name it in auth.secret_file or "
                      "auth.secret_credential, or set CONDUCTOR_AUTH_SECRET");
        else if (!key && (file || credential || secret))
                error(findings, source,
                      file         ? "auth.secret_file"
                      : credential ? "auth.secret_credential"
                                   : "auth.secret",
                      "is of no use without auth.key_id");
        else if (!secret &&
                 (source->conductor.auth.secret_file || source->conductor.auth.secret_credential))
                return read_secret(findings, source, elsewhere);
        return 0;
}

static void check_backoff(Findings *findings, const ConfigSource *source)
{
        const Backoff *backoff = &source->conductor.outbox.backoff;
        char base[FORMAT_MAX], max[FORMAT_MAX];

        if (backoff->base_usec > backoff->max_usec)
                error(findings, source, "outbox.backoff",
                      "%s is longer than outbox.backoff_max, which is %s",
                      format_duration(base, backoff->base_usec),
                      format_duration(max, backoff->max_usec));
}

static int check_conductor(Findings *findings, ConfigSource *source, bool elsewhere)
{
        int r = override_source(findings, source,
                                origins_place(source->origins, source->file, source->line));
        if (r < 0)
                return r;
        check_url(findings, source);
        check_tls(findings, source);
        check_backoff(findings, source);
        if (strv_length(source->conductor.headers) > HEADERS_MAX)
                error(findings, source, "headers", "more than %d headers", HEADERS_MAX);
        return check_auth(findings, source, elsewhere);
}

int check_source(Findings *findings, ConfigSource *source, bool elsewhere)
{
        if (!is_set(source, "type")) {
                error(findings, source, "",
                      "type is missing, like type = \"queue\" or type = \"conductor\"");
                return 0;
        }
        check_applicable(findings, source);
        if (source->type != SOURCE_CONDUCTOR)
                return 0;
        return check_conductor(findings, source, elsewhere);
}
