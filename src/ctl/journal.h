#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* How journalctl is asked for what a daemon, one of its pools, a worker or a task said: its own
 * events have fields, what a worker prints has the worker's name as identifier. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct JournalQuery {
        const char *unit;     /* the service; NULL: not known */
        bool user;            /* a user's */
        int64_t uid;          /* who it runs as; -1: not known */
        const char *pool;     /* NULL: all */
        const char *worker;   /* "pool/n", or NULL */
        const char *task;     /* its id, or NULL */
        char *const *workers; /* names of the pool's, or of all, that may have printed something */
} JournalQuery;

/* Appends what selects them to the words of a journalctl command. 0 or -ENOMEM. */
int journal_append_matches(char ***words, const JournalQuery *query);

/* Appends the names of the pool's workers that the journal on this machine knows, and "pool/1" to
 * a little beyond the last, for those that will come. pool NULL: of all that are like such a name.
 * A journal that cannot be read knows none. 0 or -ENOMEM. */
int journal_append_workers(char ***names, const char *pool, unsigned n_wanted);

/* 0; -EACCES: there is a journal of the system, and it may not be read. */
int journal_check_access(void);
