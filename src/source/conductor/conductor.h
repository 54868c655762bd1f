#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A Conductor server as a source: tasks are polled for, results go to the outbox and from there to
 * the server until it has accepted them. What the server does is described where the code relies on
 * it; "measured" means on conductor-oss 3.32.1. */

#include "outbox/outbox.h"
#include "source/source.h"

typedef struct ConductorOptions {
        sd_event *event;
        Storage *storage;
        const char *state_dir; /* the outbox lies in state_dir/outbox-NAME/ */
        const char *instance;  /* made once for this state_dir: part of the default worker id */
} ConductorOptions;

/* Opens the outbox (waits for the disk: start and reload) and settles what a dead predecessor had
 * in hand. Refused with *ret_error (fresh text). The config is copied. */
int conductor_new(Source **ret, const ConductorOptions *options, const ConfigSource *config,
                  char **ret_error);
/* Live: everything but url and worker_id. */
int conductor_alter(Source *source, const ConfigSource *config);

/* What waits for the server, and what it refused for good. */
Outbox *conductor_outbox(Source *source);

/* What an entry of it is about. Slices are the entry's. -EBADMSG: another version's. */
typedef struct ConductorMessage {
        const char *kind; /* "result", "put back", "hand back", "log"; "task": HELD */
        Slice task_type;
        Slice workflow_id;
        bool is_text; /* its body is text, else a JSON object */
} ConductorMessage;
int conductor_describe_message(const OutboxEntry *entry, ConductorMessage *ret);

/* Looks whether the server can be used, and whether its task definitions suit the pools. */

typedef enum CheckLevel {
        CHECK_OK,
        CHECK_WARNING, /* works, but not as the pool means it */
        CHECK_ERROR,   /* cannot work */
        _CHECK_LEVEL_MAX,
} CheckLevel;
const char *check_level_to_string(CheckLevel level); /* "ok", "warning", "error" */

typedef struct CheckFinding {
        CheckLevel level;
        const char *subject; /* "server", "auth", "search", or a task type */
        const char *pool;    /* NULL: the source as a whole */
        const char *text;
        const char *remedy; /* NULL: nothing to be done */
} CheckFinding;

/* pools: those on this source; copied. Answered once, later; borrowed for the call. */
typedef struct ConductorCheck ConductorCheck;
typedef void (*conductor_check_t)(const CheckFinding *findings, size_t n, void *userdata);
int conductor_check(Source *source, ConfigPool *const *pools, size_t n_pools,
                    conductor_check_t done, void *userdata, ConductorCheck **ret);
/* The asker is gone: done is not called. */
void conductor_check_abandon(ConductorCheck *check);
