#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Entries to the journal, in its native protocol: one datagram each.
 *
 * A journald that is merely busy is waited for, one that hangs is not: libsystemd's own functions
 * block until it reads, and with them whoever logs. All waits of a second are JOURNAL_WAIT_USEC at
 * most; once they were in vain the journal counts as stuck, and is not waited for until it takes an
 * entry again. Entries are small (JOURNAL_ENTRY_MAX), so a datagram always carries one; the memory
 * file that larger ones go into is never needed.
 *
 * Process-wide and for one thread, as the log is. */

#include <stdbool.h>
#include "base/clock.h"
#include "base/slice.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* What all fields of an entry may have: a message of LOG_LINE_MAX and a dozen names and ids. */
#define JOURNAL_ENTRY_MAX ((size_t)12 * 1024)

/* Not felt by a task, and long for a journald that runs: it reads an entry in 20 to 100 us. */
#define JOURNAL_WAIT_USEC (100 * USEC_PER_MSEC)

typedef struct JournalField {
        const char *name;
        Slice value; /* any bytes */
} JournalField;

/* 0: taken. -EAGAIN: it takes none for now. -E2BIG. Other -errno: there is no journal. */
int journal_send(const JournalField fields[], size_t n_fields);

/* It took nothing when it was last tried and waited for. */
bool journal_is_stuck(void);
