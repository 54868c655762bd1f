#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The configuration as the daemon uses it: immutable once loaded, counted, made from the main file
 * and conf.d/ (config_load), or by altering one pool of an existing one (config_pool_with).
 *
 * What each key means, its range, default and unit stand in config/schema.c, one row per key; the
 * members below have the same names. All durations in microseconds, all sizes in bytes. */

#include <stdbool.h>
#include "base/backoff.h"
#include "base/buffer.h"
#include "base/clock.h"

typedef struct Config Config;
typedef struct ConfigPool ConfigPool;
typedef struct ConfigSource ConfigSource;
typedef struct ConfigDiagnostics ConfigDiagnostics;
typedef struct ConfigOrigins ConfigOrigins;

typedef enum HandlerMode {
        HANDLER_PER_TASK,   /* command, one process per task */
        HANDLER_PERSISTENT, /* command, NDJSON */
        HANDLER_LIBRARY,    /* .so in yardmaster-runner */
        _HANDLER_MODE_MAX,
        _HANDLER_MODE_INVALID = -EINVAL,
} HandlerMode;

typedef enum SourceType {
        SOURCE_QUEUE,
        SOURCE_CONDUCTOR,
        _SOURCE_TYPE_MAX,
        _SOURCE_TYPE_INVALID = -EINVAL,
} SourceType;

typedef enum Durability {
        DURABILITY_FULL,   /* synced before it counts */
        DURABILITY_NORMAL, /* survives kill -9; a power cut may lose the last moments */
        _DURABILITY_MAX,
        _DURABILITY_INVALID = -EINVAL,
} Durability;

/* Names as in the configuration. */
const char *handler_mode_to_string(HandlerMode mode);
HandlerMode handler_mode_from_string(const char *s);

struct ConfigPool {
        unsigned n_ref;
        char *name;
        char *file; /* where it was defined, for messages */
        unsigned line;

        char *source;
        SourceType source_type;    /* of that source; follows from it */
        char **task_type;          /* at least one; the pool's name if not set */
        char *domain;              /* Conductor: NULL: none */
        unsigned batch;            /* Conductor: most tasks in one answer */
        usec_t poll_timeout_usec;  /* Conductor: how long a poll waits at the server */
        usec_t poll_interval_usec; /* Conductor: pause after a poll that brought nothing */

        struct {
                HandlerMode mode;
                char **command;   /* argv; [0] resolved to a path that was executable when loaded */
                char *library;    /* resolved path of the .so */
                char *config;     /* JSON object for the library's init; "{}" if not set */
                unsigned threads; /* library: tasks at a time in each runner */
                bool notify;      /* wait for READY=1 */
        } handler;

        unsigned workers;     /* processes; 0 is allowed: the pool then fetches nothing */
        unsigned concurrency; /* tasks at a time in each; per-task: 1; library: threads */
        uint64_t rate_count;  /* 0: no limit */
        usec_t rate_interval_usec;

        usec_t task_timeout_usec; /* USEC_INFINITY: none */
        usec_t watchdog_usec;     /* 0: off */
        usec_t start_timeout_usec;
        usec_t stop_timeout_usec;

        struct {
                unsigned attempts;
                Backoff backoff;
        } retry;
        struct {
                Backoff backoff;
        } restart;
        struct {
                unsigned after;  /* 0: off */
                Backoff backoff; /* key delay is the base, max the cap */
        } error_backoff;
        struct {
                unsigned tasks;  /* 0: never */
                usec_t age_usec; /* 0: never */
                uint64_t memory; /* 0: never */
        } recycle;
        struct {
                uint64_t memory;      /* without cgroups the RSS of the tree; 0: none */
                uint64_t memory_high; /* from here on only with cgroups; 0: none */
                uint64_t swap;        /* UINT64_MAX: no limit */
                uint64_t processes;   /* 0: none */
                unsigned cpu_quota;   /* per cent of one CPU; 0: none */
                unsigned cpu_weight;  /* of the pool; 0: the kernel's own, 100 */
                uint64_t open_files;  /* RLIMIT_NOFILE; 0: inherited */
                uint64_t output;      /* largest result message or stdout of a per-task command */
                usec_t cpu_usec;      /* per-task: CPU time; 0: none */
        } limits;

        char **environment; /* "NAME=value": the source's, the file's, the pool's own, which win */
        char **environment_own; /* the pool's own alone; the rest may be secret, no dump has it */
        char *environment_file; /* NULL: none */
        char **credentials;     /* names in $CREDENTIALS_DIRECTORY; NULL: none */
        bool pass_credentials;  /* Conductor: the handler gets those of the source */
        char *working_directory;
        bool working_directory_is_read_only; /* to the daemon and its handlers, when loaded */
        int nice;
        int *terminal_exit_codes;
        size_t n_terminal_exit_codes;
        bool leave_children;

        ConfigOrigins *origins; /* for the dump: where each value came from */
};

struct ConfigSource {
        char *name;
        char *file;
        unsigned line;
        SourceType type;
        Durability durability;
        uint64_t max_tasks;        /* unfinished tasks */
        uint64_t max_bytes;        /* of the database; 0: none */
        usec_t retention_usec;     /* how long finished tasks are kept; USEC_INFINITY: for ever */
        usec_t priority_step_usec; /* how much longer waiting one step of priority outweighs */

        struct {
                char *url;       /* base of all calls, without a slash at the end */
                char *worker_id; /* as it is; NULL: host:pool:ID, and stranded tasks are found */
                unsigned connections; /* updates under way at a time; polls have their own */
                char **headers;       /* "Name: value" of every request */
                struct {
                        char *ca_file;     /* NULL: the system's */
                        char *certificate; /* PEM file of the client; NULL: none */
                        char *key;         /* PEM file; NULL: in certificate */
                        bool verify;
                } tls;
                char *proxy; /* URL; NULL: none */
                struct {
                        char *key_id;            /* NULL: no authentication */
                        char *secret;            /* text, from one of the two below or the
                                                    environment; in no dump */
                        char *secret_file;       /* path */
                        char *secret_credential; /* name */
                        usec_t refresh_usec;     /* the longest a token is used */
                } auth;
                struct {
                        uint64_t max_bytes;
                        Backoff backoff;   /* between tries of one result */
                        unsigned attempts; /* answers 500 "not retryable" before it is a dead letter
                                            */
                } outbox;
                bool progress_log; /* progress of tasks as lines of their log */
        } conductor;

        ConfigOrigins *origins;
};

struct Config {
        unsigned n_ref;
        char *path;
        bool fileless;   /* from a command line: there is nothing to read again */
        char *socket;    /* absolute; default by XDG or /run */
        char *state_dir; /* absolute */
        int log_level;
        char *admin_group; /* NULL: root and the daemon's uid only */
        usec_t drain_timeout_usec;

        ConfigSource **sources;
        size_t n_sources;
        ConfigPool **pools;
        size_t n_pools;

        struct {
                char **command; /* NULL: no hook */
                char **events;  /* which; NULL: all */
        } on_event;

        ConfigOrigins *origins;
};

/* Loads FILE and conf.d/ beside it. 0, CONFIG_E_INVALID with every error found in *ret_diagnostics
 * (which exists in both cases; warnings may stand in it after success), or -errno. */
#define CONFIG_E_INVALID 1
int config_load(const char *path, Config **ret, ConfigDiagnostics **ret_diagnostics);

/* The same without the environment that the service manager gives the daemon, so to say what a file
 * is worth but not to run it: credentials that are not there are a warning. */
int config_load_elsewhere(const char *path, Config **ret, ConfigDiagnostics **ret_diagnostics);

Config *config_ref(Config *config);
Config *config_unref(Config *config);
DEFINE_CLEANUP(Config *, config_unref);

ConfigPool *config_pool_ref(ConfigPool *pool);
ConfigPool *config_pool_unref(ConfigPool *pool);
DEFINE_CLEANUP(ConfigPool *, config_pool_unref);

/* A copy of config with these pools in place of its own (references are taken): what really holds
 * after `yardctl set`. */
int config_with_pools(const Config *config, const ConfigPool *const *pools, size_t n_pools,
                      Config **ret);

ConfigPool *config_find_pool(const Config *config, const char *name);
ConfigSource *config_find_source(const Config *config, const char *name);

/* A pool with all defaults and this name, for `yardmasterd run`. The caller sets handler and
 * task_type. */
int config_pool_new_default(const char *name, ConfigPool **ret);

/* A copy of pool with key (dotted, as in the file: "retry.attempts") set to value, as `yardctl set`
 * does. CONFIG_E_INVALID with *ret_message saying what is wrong (unknown key with a "did you mean",
 * a restart key, a value out of range). */
int config_pool_with(const ConfigPool *pool, const char *key, const char *value, ConfigPool **ret,
                     char **ret_message);

/* "file:line: path: what is wrong", one per line. */
struct ConfigDiagnostics {
        char **lines;
        size_t n_errors;
        size_t n_warnings;
};
ConfigDiagnostics *config_diagnostics_free(ConfigDiagnostics *diagnostics);
DEFINE_CLEANUP(ConfigDiagnostics *, config_diagnostics_free);

/* The whole effective configuration: as libconfig text with a comment on each line that says where
 * the value came from ("file:line", "defaults (file:line)", "default" or "set"), or as JSON
 * {"path":…,"settings":[{"path","value","origin","live"}]}. */
int config_dump_text(const Config *config, Buffer *buffer);
int config_dump_json(const Config *config, Buffer *buffer);
