/* SPDX-License-Identifier: Apache-2.0 */

/* Sources at a Conductor server: their defaults, what the environment says over the files, secrets,
 * and what the handlers of their pools get of all that. */

#include "config-fixture.h"
#include "config/check-source.h"
#include "config/diff.h"

#define SECRET "tell-no-one"

static const char *const variables[] = {
        "CONDUCTOR_SERVER_URL",
        "CONDUCTOR_AUTH_KEY",
        "CONDUCTOR_AUTH_SECRET",
        "CONDUCTOR_REFRESH_TOKEN_INTERVAL",
        "CONDUCTOR_MAX_HTTP2_CONNECTIONS",
        "CREDENTIALS_DIRECTORY",
};

static char folder[64];

static void setup(void)
{
        scratch_make(folder);
        set_environment(folder);
        for (size_t i = 0; i < ELEMENTSOF(variables); i++)
                ck_assert_int_eq(unsetenv(variables[i]), 0);
}

static void set_variable(const char *name, const char *value)
{
        ck_assert_int_eq(setenv(name, value, 1), 0);
}

#define BASIC                                                                           \
        "sources = { prod = { type = \"conductor\"; url = \"http://h/api\"; %s }; };\n" \
        "pools = { p = { source = \"prod\"; handler = { command = [\"cat\"]; }; %s }; };\n"

static Config *load(const char *source, const char *pool)
{
        char text[2048];

        (void)snprintf(text, sizeof(text), BASIC, source, pool);
        return load_text(folder, text);
}

/* Loads what must be refused, or warned of, with exactly one line about what follows "prod". */
static void assert_line(const char *source, const char *pool, bool elsewhere, int expected,
                        const char *line)
{
        _cleanup_(config_diagnostics_freep) ConfigDiagnostics *diagnostics = NULL;
        _cleanup_(config_unrefp) Config *config = NULL;
        char text[2048], path[128], wanted[1024];

        (void)snprintf(text, sizeof(text), BASIC, source, pool);
        write_file(folder, "main.conf", text);
        (void)snprintf(path, sizeof(path), "%s/main.conf", folder);
        int r = elsewhere ? config_load_elsewhere(path, &config, &diagnostics)
                          : config_load(path, &config, &diagnostics);
        (void)snprintf(wanted, sizeof(wanted), "%s:%s", path, line);
        ck_assert_ptr_nonnull(diagnostics->lines);
        ck_assert_str_eq(diagnostics->lines[0], wanted);
        ck_assert_ptr_null(diagnostics->lines[1]);
        ck_assert_int_eq(r, expected);
        ck_assert_ptr_null(strstr(diagnostics->lines[0], SECRET));
}

START_TEST(test_defaults)
{
        setup();
        _cleanup_(config_unrefp) Config *config = load("", "");
        const ConfigSource *source = config_find_source(config, "prod");
        const ConfigPool *pool = config_find_pool(config, "p");

        ck_assert_str_eq(source->conductor.url, "http://h/api");
        ck_assert_ptr_null(source->conductor.worker_id);
        ck_assert_uint_eq(source->conductor.connections, 16);
        ck_assert_ptr_null(source->conductor.headers);
        ck_assert(source->conductor.tls.verify);
        ck_assert_ptr_null(source->conductor.proxy);
        ck_assert_ptr_null(source->conductor.auth.key_id);
        ck_assert_ptr_null(source->conductor.auth.secret);
        ck_assert_uint_eq(source->conductor.auth.refresh_usec, 45 * 60 * USEC_PER_SEC);
        ck_assert_uint_eq(source->conductor.outbox.max_bytes, (uint64_t)256 << 20);
        ck_assert_uint_eq(source->conductor.outbox.backoff.base_usec, USEC_PER_SEC / 2);
        ck_assert_uint_eq(source->conductor.outbox.backoff.max_usec, 30 * USEC_PER_SEC);
        ck_assert_uint_eq(source->conductor.outbox.attempts, 5);
        ck_assert(!source->conductor.progress_log);
        ck_assert_int_eq(pool->source_type, SOURCE_CONDUCTOR);
        ck_assert_ptr_null(pool->domain);
        ck_assert_uint_eq(pool->batch, 20);
        ck_assert_uint_eq(pool->poll_timeout_usec, 2 * USEC_PER_SEC);
        ck_assert_uint_eq(pool->poll_interval_usec, USEC_PER_SEC / 10);
        scratch_remove(folder);
}
END_TEST

static void assert_url(const char *written, const char *expected)
{
        char text[512];

        (void)snprintf(text, sizeof(text),
                       "sources = { s = { type = \"conductor\"; url = \"%s\"; }; };", written);
        _cleanup_(config_unrefp) Config *config = load_text(folder, text);
        ck_assert_str_eq(config->sources[0]->conductor.url, expected);
}

START_TEST(test_url)
{
        setup();
        assert_url("http://h/api", "http://h/api");
        assert_url("http://h:1/api/", "http://h:1/api");
        assert_url("https://h:65535/api//", "https://h:65535/api");
        assert_url("HTTP://h.example/", "HTTP://h.example");
        assert_url("http://[fe80::1]:8080/x/api", "http://[fe80::1]:8080/x/api");
        scratch_remove(folder);
}
END_TEST

static char *dump(const Config *config, int (*format)(const Config *, Buffer *))
{
        Buffer buffer = BUFFER_NULL(SIZE_MAX);

        ck_assert_int_eq(format(config, &buffer), 0);
        return buffer_steal_string(&buffer);
}

static void assert_dump_has(const Config *config, const char *text, const char *json)
{
        _cleanup_free_ char *as_text = dump(config, config_dump_text);
        _cleanup_free_ char *as_json = dump(config, config_dump_json);

        ck_assert_msg(strstr(as_text, text) != NULL, "no '%s' in:\n%s", text, as_text);
        ck_assert_msg(strstr(as_json, json) != NULL, "no '%s' in:\n%s", json, as_json);
        ck_assert_ptr_null(strstr(as_text, SECRET));
        ck_assert_ptr_null(strstr(as_json, SECRET));
}

/* They win over the file, for each source, and the dump says so. */
START_TEST(test_environment)
{
        setup();
        write_bytes(folder, "key", "from the file\n", 14, 0600);
        set_variable("CONDUCTOR_SERVER_URL", "http://env:8080/api/");
        set_variable("CONDUCTOR_AUTH_KEY", "env-key");
        set_variable("CONDUCTOR_AUTH_SECRET", SECRET);
        set_variable("CONDUCTOR_REFRESH_TOKEN_INTERVAL", "90");
        set_variable("CONDUCTOR_MAX_HTTP2_CONNECTIONS", "3");
        _cleanup_(config_unrefp) Config *config =
                load("connections = 5; auth = { key_id = \"k\"; secret_file = \"key\"; };", "");
        const ConfigSource *source = config_find_source(config, "prod");

        ck_assert_str_eq(source->conductor.url, "http://env:8080/api");
        ck_assert_str_eq(source->conductor.auth.key_id, "env-key");
        ck_assert_str_eq(source->conductor.auth.secret, SECRET);
        ck_assert_uint_eq(source->conductor.auth.refresh_usec, 90 * USEC_PER_SEC);
        ck_assert_uint_eq(source->conductor.connections, 3);

        assert_dump_has(config,
                        "url = \"http://env:8080/api\";  # environment CONDUCTOR_SERVER_URL\n",
                        "\"sources.prod.url\",\"value\":\"http://env:8080/api\",\"origin\":"
                        "\"environment CONDUCTOR_SERVER_URL\",\"live\":false");
        assert_dump_has(config, "connections = 3;  # environment CONDUCTOR_MAX_HTTP2_CONNECTIONS\n",
                        "\"environment CONDUCTOR_MAX_HTTP2_CONNECTIONS\"");
        assert_dump_has(config,
                        "# secret = \"(not shown)\";  # environment CONDUCTOR_AUTH_SECRET\n",
                        "\"sources.prod.auth.secret\",\"value\":\"(not shown)\"");
        scratch_remove(folder);
}
END_TEST

/* A url need not stand in the file then; a queue and empty variables are left alone. */
START_TEST(test_environment_alone)
{
        setup();
        set_variable("CONDUCTOR_SERVER_URL", "http://env/api");
        set_variable("CONDUCTOR_MAX_HTTP2_CONNECTIONS", "");
        _cleanup_(config_unrefp) Config *config =
                load_text(folder, "sources = { a = { type = \"conductor\"; }; "
                                  "b = { type = \"conductor\"; url = \"http://b/api\"; }; "
                                  "q = { type = \"queue\"; }; };");

        ck_assert_str_eq(config->sources[0]->conductor.url, "http://env/api");
        ck_assert_str_eq(config->sources[1]->conductor.url, "http://env/api");
        ck_assert_uint_eq(config->sources[0]->conductor.connections, 16);
        ck_assert_ptr_null(config->sources[2]->conductor.url);
        scratch_remove(folder);
}
END_TEST

START_TEST(test_environment_refused)
{
        setup();
        write_bytes(folder, "key", "x", 1, 0600);
        set_variable("CONDUCTOR_SERVER_URL", "env:8080");
        assert_line("", "", false, CONFIG_E_INVALID,
                    "1: sources.prod.url: environment CONDUCTOR_SERVER_URL: not a URL, like "
                    "\"http://host:8080/api\"");
        set_variable("CONDUCTOR_SERVER_URL", "");
        set_variable("CONDUCTOR_MAX_HTTP2_CONNECTIONS", "many");
        assert_line("", "", false, CONFIG_E_INVALID,
                    "1: sources.prod.connections: environment CONDUCTOR_MAX_HTTP2_CONNECTIONS: "
                    "'many' is not a whole number, like 4");
        set_variable("CONDUCTOR_MAX_HTTP2_CONNECTIONS", "");
        set_variable("CONDUCTOR_AUTH_KEY", "\xff");
        assert_line("auth = { secret_file = \"key\"; };", "", false, CONFIG_E_INVALID,
                    "1: sources.prod.auth.key_id: environment CONDUCTOR_AUTH_KEY: the text is not "
                    "UTF-8");
        set_variable("CONDUCTOR_AUTH_KEY", "");
        set_variable("CONDUCTOR_AUTH_SECRET", SECRET);
        assert_line("", "", false, CONFIG_E_INVALID,
                    "1: sources.prod.auth.secret: is of no use without auth.key_id");
        scratch_remove(folder);
}
END_TEST

#define AUTH_FILE "auth = { key_id = \"k\"; secret_file = \"key\"; };"

static void assert_secret(const char *content, const char *expected)
{
        write_bytes(folder, "key", content, strlen(content), 0600);
        _cleanup_(config_unrefp) Config *config = load(AUTH_FILE, "");

        ck_assert_str_eq(config->sources[0]->conductor.auth.secret, expected);
        assert_dump_has(config, "# secret = \"(not shown)\";", "(not shown)");
}

static void assert_secret_refused(const char *content, size_t size, mode_t mode, const char *what)
{
        char line[256];

        write_bytes(folder, "key", content, size, mode);
        (void)snprintf(line, sizeof(line), "1: sources.prod.auth.secret_file: %s/key%s%s%s", folder,
                       what, strstr(what, "chmod") ? folder : "",
                       strstr(what, "chmod") ? "/key" : "");
        assert_line(AUTH_FILE, "", false, CONFIG_E_INVALID, line);
}

START_TEST(test_secret_file)
{
        char big[4100];

        setup();
        assert_secret(SECRET, SECRET);
        assert_secret(SECRET "\n", SECRET);
        assert_secret(SECRET "\r\n", SECRET);
        assert_secret(" " SECRET " ", " " SECRET " ");
        memset(big, 'x', sizeof(big));
        assert_secret_refused(SECRET, 11, 0644,
                              " can be read by others, and may hold secrets: chmod o-rwx ");
        assert_secret_refused(SECRET, 11, 0620,
                              " can be written by more than its owner: chmod go-w ");
        assert_secret_refused("\n", 1, 0600, " is empty");
        assert_secret_refused(SECRET "\n" SECRET, 23, 0600, " has more than one line");
        assert_secret_refused(SECRET "\0x", 13, 0600, " is not text");
        assert_secret_refused("\xff", 1, 0600, " is not text");
        assert_secret_refused(big, sizeof(big), 0600, ": the file is too large");
        scratch_remove(folder);
}
END_TEST

/* A changed secret reaches the source with the next reload, though no key has changed. */
START_TEST(test_secret_changes)
{
        setup();
        write_bytes(folder, "key", "one\n", 4, 0600);
        _cleanup_(config_unrefp) Config *before = load(AUTH_FILE, "pass_credentials = true;");
        write_bytes(folder, "key", "two\n", 4, 0600);
        _cleanup_(config_unrefp) Config *after = load(AUTH_FILE, "pass_credentials = true;");
        _cleanup_(config_unrefp) Config *copy = NULL;

        ck_assert_ptr_null(config_unreloadable(before, after));
        ck_assert_str_eq(after->sources[0]->conductor.auth.secret, "two");
        ck_assert_int_eq(config_pool_compare(before->pools[0], after->pools[0]), POOL_RESTART);
        ck_assert_int_eq(config_with_pools(after, NULL, 0, &copy), 0);
        ck_assert_str_eq(copy->sources[0]->conductor.auth.secret, "two");
        scratch_remove(folder);
}
END_TEST

#define AUTH_CREDENTIAL "auth = { key_id = \"k\"; secret_credential = \"key\"; };"

/* Which differences make it another server's source. */
START_TEST(test_replaced)
{
        setup();
        _cleanup_(config_unrefp) Config *config = load("", "");
        _cleanup_(config_unrefp) Config *same =
                load("connections = 3; headers = [\"A: b\"]; proxy = \"http://p:1\"; "
                     "outbox = { attempts = 2; }; progress_log = true;",
                     "");
        _cleanup_(config_unrefp) Config *renamed = load("worker_id = \"me\";", "");
        set_variable("CONDUCTOR_SERVER_URL", "http://other/api");
        _cleanup_(config_unrefp) Config *moved = load("", "");

        ck_assert(!config_source_replaced(config->sources[0], same->sources[0]));
        ck_assert(config_source_replaced(config->sources[0], renamed->sources[0]));
        ck_assert(config_source_replaced(config->sources[0], moved->sources[0]));
        ck_assert_ptr_null(config_unreloadable(config, moved));
        scratch_remove(folder);
}
END_TEST

START_TEST(test_credential)
{
        char line[512];

        setup();
        assert_line(AUTH_CREDENTIAL, "", false, CONFIG_E_INVALID,
                    "1: sources.prod.auth.secret_credential: no credentials: CREDENTIALS_DIRECTORY "
                    "is not set; the service needs LoadCredential=key:/path");
        assert_line(AUTH_CREDENTIAL, "", true, 0,
                    "1: sources.prod.auth.secret_credential: warning: no credentials: "
                    "CREDENTIALS_DIRECTORY is not set; the service needs LoadCredential=key:/path");

        set_variable("CREDENTIALS_DIRECTORY", folder);
        (void)snprintf(line, sizeof(line),
                       "1: sources.prod.auth.secret_credential: no credential 'key': the service "
                       "needs LoadCredential=key:/path (looked for %s/key)",
                       folder);
        assert_line(AUTH_CREDENTIAL, "", true, CONFIG_E_INVALID, line);

        write_file(folder, "key", SECRET "\n");
        _cleanup_(config_unrefp) Config *config = load(AUTH_CREDENTIAL, "");
        ck_assert_str_eq(config->sources[0]->conductor.auth.secret, SECRET);
        assert_dump_has(config, "secret_credential = \"key\";", "\"key\"");
        scratch_remove(folder);
}
END_TEST

START_TEST(test_tls_key_mode)
{
        char line[256];

        setup();
        set_variable("CONDUCTOR_SERVER_URL", "https://h/api");
        write_file(folder, "pem", "-----BEGIN CERTIFICATE-----\n");
        write_bytes(folder, "key", "-----BEGIN PRIVATE KEY-----\n", 28, 0644);
        (void)snprintf(line, sizeof(line),
                       "1: sources.prod.tls.key: %s/key can be read by others, and may hold "
                       "secrets: chmod o-rwx %s/key",
                       folder, folder);
        assert_line("tls = { certificate = \"pem\"; key = \"key\"; };", "", false, CONFIG_E_INVALID,
                    line);
        scratch_remove(folder);
}
END_TEST

/* Its own server always, the key only where the pool says so; its own environment wins. */
START_TEST(test_handler_environment)
{
        setup();
        write_bytes(folder, "key", SECRET, strlen(SECRET), 0600);
        _cleanup_(config_unrefp) Config *plain = load(AUTH_FILE, "");
        _cleanup_(config_unrefp) Config *passed = load(AUTH_FILE, "pass_credentials = true;");
        _cleanup_(config_unrefp) Config *own =
                load("", "environment = { CONDUCTOR_SERVER_URL = \"http://mine\"; };");

        char **environment = plain->pools[0]->environment;
        ck_assert_str_eq(strv_get_env(environment, "CONDUCTOR_SERVER_URL"), "http://h/api");
        ck_assert_ptr_null(strv_get_env(environment, "CONDUCTOR_AUTH_KEY"));
        ck_assert_ptr_null(strv_get_env(environment, "CONDUCTOR_AUTH_SECRET"));

        environment = passed->pools[0]->environment;
        ck_assert_str_eq(strv_get_env(environment, "CONDUCTOR_AUTH_KEY"), "k");
        ck_assert_str_eq(strv_get_env(environment, "CONDUCTOR_AUTH_SECRET"), SECRET);
        assert_dump_has(passed, "pass_credentials = true;", "pass_credentials");

        environment = own->pools[0]->environment;
        ck_assert_str_eq(strv_get_env(environment, "CONDUCTOR_SERVER_URL"), "http://mine");
        ck_assert_int_eq(config_pool_compare(plain->pools[0], passed->pools[0]), POOL_RESTART);
        scratch_remove(folder);
}
END_TEST

static void assert_not_with(const ConfigPool *pool, const char *key, const char *value,
                            const char *expected)
{
        _cleanup_free_ char *message = NULL;
        ConfigPool *altered = NULL;

        ck_assert_int_eq(config_pool_with(pool, key, value, &altered, &message), CONFIG_E_INVALID);
        ck_assert_str_eq(message, expected);
}

START_TEST(test_set)
{
        setup();
        _cleanup_(config_unrefp) Config *config = load("", "");
        _cleanup_(config_unrefp) Config *queue =
                load_text(folder, "sources = { q = { type = \"queue\"; }; }; pools = { p = { "
                                  "source = \"q\"; handler = { command = [\"cat\"]; }; }; };");
        _cleanup_(config_pool_unrefp) ConfigPool *altered = NULL, *again = NULL;
        _cleanup_free_ char *message = NULL;

        ck_assert_int_eq(
                config_pool_with(config->pools[0], "poll_timeout", "500ms", &altered, &message), 0);
        ck_assert_uint_eq(altered->poll_timeout_usec, USEC_PER_SEC / 2);
        ck_assert_int_eq(config_pool_with(altered, "batch", "7", &again, &message), 0);
        ck_assert_int_eq(config_pool_compare(config->pools[0], again), POOL_LIVE);

        assert_not_with(again, "poll_timeout", "5001ms",
                        "poll_timeout: 5001ms is out of range: 0s to 5s");
        assert_not_with(again, "retry.attempts", "3",
                        "retry.attempts: has no effect for a source of type \"conductor\"");
        assert_not_with(again, "task_timeout", "infinity",
                        "task_timeout: infinity needs watchdog, else a task that hangs is kept "
                        "from other workers for ever: set watchdog, or a task_timeout");
        assert_not_with(again, "domain", "d",
                        "domain: cannot change while workers run: change it in the file and "
                        "reload");
        assert_not_with(queue->pools[0], "batch", "7",
                        "batch: has no effect for a source of type \"queue\"");
        scratch_remove(folder);
}
END_TEST

UNIT_MAIN("config-conductor", test_defaults, test_url, test_environment, test_environment_alone,
          test_environment_refused, test_secret_file, test_secret_changes, test_replaced,
          test_credential, test_tls_key_mode, test_handler_environment, test_set);
