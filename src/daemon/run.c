/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/run.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "base/log.h"
#include "base/parse.h"
#include "base/strv.h"
#include "config/make.h"
#include "config/place.h"
#include "daemon/exit.h"
#include "daemon/handler.h"
#include "daemon/serve.h"

/* Its name in logs and for yardctl. */
#define SOURCE_NAME "server"

/* Letters of a task type that names of pools and folders take over: names of sockets are short. */
#define LABEL_MAX 32

typedef struct Run {
        const DaemonOptions *options;
        Config *config;
        char label[LABEL_MAX + 1]; /* the task type, as far as a name can say it */
} Run;

static void run_deinit(Run *run)
{
        config_unref(run->config);
}

static void make_label(Run *run)
{
        const char *type = run->options->task_type;
        size_t n = 0;

        for (; type[n] && n < LABEL_MAX; n++)
                run->label[n] = isalnum((unsigned char)type[n]) || type[n] == '-' ? type[n] : '_';
        if (!isalpha((unsigned char)run->label[0]))
                run->label[0] = 't';
}

/* What the user gave, as the schema's text; 0, CONFIG_E_INVALID after saying what is wrong. */
static int set(Run *run, SchemaScope scope, const char *key, const char *option, const char *text)
{
        _cleanup_free_ char *message = NULL;

        if (!text)
                return 0;
        int r = config_make_set(run->config, scope, key, text, &message);
        if (r > 0)
                (void)fprintf(stderr, "yardmasterd: %s: %s (see --help)\n", option, message);
        return r;
}

/* A plain number is milliseconds here. */
static int set_poll_timeout(Run *run)
{
        const char *text = run->options->poll_timeout;
        _cleanup_free_ char *with_unit = NULL;

        if (text && text[0] && !text[strspn(text, "0123456789")]) {
                if (asprintf(&with_unit, "%sms", text) < 0) {
                        with_unit = NULL;
                        return -ENOMEM;
                }
                text = with_unit;
        }
        return set(run, SCHEMA_POOL, "poll_timeout", "--poll-timeout", text);
}

static int set_task_timeout(Run *run)
{
        char text[FORMAT_MAX];

        if (run->options->task_timeout_usec == 0)
                return 0;
        return set(run, SCHEMA_POOL, "task_timeout", "--exec-timeout",
                   format_duration(text, run->options->task_timeout_usec));
}

static int set_options(Run *run)
{
        const DaemonOptions *options = run->options;
        const struct {
                SchemaScope scope;
                const char *key, *option, *text;
        } settings[] = {
                { SCHEMA_SOURCE, "url", "--url", options->url },
                { SCHEMA_SOURCE, "worker_id", "--worker-id", options->worker_id },
                { SCHEMA_POOL, "task_type", "TYPE", options->task_type },
                { SCHEMA_POOL, "domain", "--domain", options->domain },
                { SCHEMA_POOL, "workers", "--count", options->count },
                { SCHEMA_POOL, "pass_credentials", "--pass-credentials",
                  options->pass_credentials },
                { SCHEMA_TOP, "drain_timeout", "", "infinity" }, /* a second signal cuts it short */
        };

        for (size_t i = 0; i < ELEMENTSOF(settings); i++) {
                int r = set(run, settings[i].scope, settings[i].key, settings[i].option,
                            settings[i].text);
                if (r != 0)
                        return r;
        }
        int r = set_poll_timeout(run);
        if (r == 0)
                r = set_task_timeout(run);
        if (r == 0 && run->config->pools[0]->workers == 0) {
                (void)fprintf(stderr, "yardmasterd: --count: at least 1 (see --help)\n");
                return CONFIG_E_INVALID;
        }
        return r;
}

/* 0, or the exit code. */
static int make_config(Run *run)
{
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;
        _cleanup_free_ char *message = NULL;

        make_label(run);
        int r = config_make(SOURCE_CONDUCTOR, SOURCE_NAME, run->label, &run->config);
        if (r == 0)
                r = set_options(run);
        if (r == 0) {
                r = handler_from_options(run->config->pools[0], run->options, &message);
                if (r > 0)
                        (void)fprintf(stderr, "yardmasterd: %s\n", message);
        }
        if (r == 0)
                r = config_make_finish(run->config, &diagnostics);
        if (diagnostics)
                STRV_FOREACH (line, diagnostics->lines)
                        (void)fprintf(stderr, "yardmasterd: %s\n", *line);
        if (r < 0)
                (void)fprintf(stderr, "yardmasterd: run: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : r > 0 ? EXIT_USAGE : 0;
}

/* FNV-1a, with the NUL between two texts. */
static uint64_t mix(uint64_t hash, const char *text)
{
        do
                hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
        while (*text++);
        return hash;
}

/* Results wait in state_dir for the server that they are for: the same command finds the same one
 * again. */
static int place_state(Run *run)
{
        const ConfigPool *pool = run->config->pools[0];
        _cleanup_free_ char *base = NULL, *path = NULL;
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        hash = mix(hash, run->config->sources[0]->conductor.url);
        hash = mix(hash, pool->task_type[0]);
        hash = mix(hash, pool->domain ?: "");
        if (run->options->state_dir)
                return set(run, SCHEMA_TOP, "state_dir", "--state-dir", run->options->state_dir);
        int r = place_state_dir(&base);
        if (r == -ENXIO) {
                (void)fprintf(stderr, "yardmasterd: run: neither XDG_STATE_HOME nor HOME is set: "
                                      "say where results wait with --state-dir\n");
                return CONFIG_E_INVALID;
        }
        if (r < 0)
                return r;
        if (asprintf(&path, "%s/run-%s-%08" PRIx32, base, run->label, (uint32_t)(hash >> 32)) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return set(run, SCHEMA_TOP, "state_dir", "--state-dir", path);
}

/* The control socket, and beside it the workers' own: where paths are short. Of the state_dir, so
 * that two of them do not meet. */
static int place_socket_of(Run *run)
{
        const char *folder = getenv("XDG_RUNTIME_DIR");
        _cleanup_free_ char *path = NULL;
        uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), run->config->state_dir);

        if (!folder || folder[0] != '/' || access(folder, W_OK | X_OK) < 0)
                folder = geteuid() == 0 ? "/run" : "/tmp";
        if (asprintf(&path, "%s/yardmaster-run-%08" PRIx32, folder, (uint32_t)(hash >> 32)) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return set(run, SCHEMA_TOP, "socket", "XDG_RUNTIME_DIR", path);
}

static void tell_start(const Run *run)
{
        const ConfigPool *pool = run->config->pools[0];
        const ConfigSource *source = run->config->sources[0];

        log_notice("serving tasks of type %s%s%s from %s, %u at a time", pool->task_type[0],
                   pool->domain ? " in domain " : "", pool->domain ?: "", source->conductor.url,
                   pool->workers);
        log_notice("results wait in %s; look in with yardctl --socket %s status; stop with "
                   "Ctrl-C, which lets running tasks finish",
                   run->config->state_dir, run->config->socket);
}

int run(const DaemonOptions *options)
{
        _cleanup_(run_deinit) Run run = { .options = options };

        int code = make_config(&run);
        if (code != 0)
                return code;
        int r = place_state(&run);
        if (r == 0)
                r = place_socket_of(&run);
        if (r != 0)
                return r > 0 ? EXIT_USAGE : EXIT_FAILURE;
        tell_start(&run);
        code = serve(run.config);
        if (code == EXIT_LOCKED)
                (void)fprintf(stderr,
                              "yardmasterd: run: that one serves the same: give it a higher "
                              "--count, or this one a --state-dir of its own\n");
        return code;
}
