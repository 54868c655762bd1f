#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One line per event: to the journal with fields where stderr is a journal stream, else to stderr
 * as "2026-03-01T12:00:00.123Z LEVEL pool/worker: message", in one write(2). The worker or pool
 * that the fields name stands before the message in both, so the message need not. A line has at
 * most LOG_LINE_MAX bytes (the rest is cut off); newlines and other control characters are escaped
 * on stderr. Nothing waits for a journal that hangs, or for a pipe or terminal that nobody reads:
 * what it cannot take is dropped, and a line says how many were once it can. Library code (base,
 * task, config, worker/protocol, control/wire) stays silent; programs log once, where a decision is
 * made. */

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>
#include "base/macro.h"

#define LOG_LINE_MAX 4096

/* What an event is about; NULL members are left out. Names of the journal fields: YARDMASTER_POOL,
 * _WORKER, _TASK_ID, _TASK_TYPE, _SOURCE, _STATUS, _PID. message_id is a 128-bit id in hex (see
 * systemd/yardmaster.catalog). */
typedef struct LogFields {
        const char *pool;
        const char *worker; /* "pool/n" */
        const char *task_id;
        const char *task_type;
        const char *source;
        const char *status;
        const char *message_id;
        const char *pid; /* of the process it is about, or came from */
        /* What a worker printed: its own words, not an event. In the journal its identifier is the
         * worker's name, its SYSLOG_PID the pid, and the message stands there alone. log_level is
         * about events, so it does not count here. */
        bool printed;
} LogFields;

/* Finds out where stderr goes. Call once, first. identifier: the program's name. */
void log_open(const char *identifier);
void log_set_level(int level);
int log_level(void);
/* "error", "warning", "notice", "info", "debug" (and syslog's other names) ↔ LOG_*; -EINVAL. */
int log_level_from_string(const char *s);
const char *log_level_to_string(int level);
/* Whether log lines reach the journal directly (then workers get journal streams of their own). */
bool log_to_journal(void);
/* Lines that nobody took, so far. */
uint64_t log_n_dropped(void);

/* error: -errno or 0; if set, "%m" in format means it. Returns error, or 0. */
int log_full(int level, int error, const LogFields *fields, const char *format, ...) _printf_(4, 5);

#define log_error(...)                log_full(LOG_ERR, 0, NULL, __VA_ARGS__)
#define log_warning(...)              log_full(LOG_WARNING, 0, NULL, __VA_ARGS__)
#define log_notice(...)               log_full(LOG_NOTICE, 0, NULL, __VA_ARGS__)
#define log_info(...)                 log_full(LOG_INFO, 0, NULL, __VA_ARGS__)
#define log_debug(...)                log_full(LOG_DEBUG, 0, NULL, __VA_ARGS__)
#define log_error_errno(error, ...)   log_full(LOG_ERR, (error), NULL, __VA_ARGS__)
#define log_warning_errno(error, ...) log_full(LOG_WARNING, (error), NULL, __VA_ARGS__)
/* log_event(LOG_INFO, (&(LogFields){ .pool = name }), "started %u workers", n) */
#define log_event(level, fields, ...) log_full((level), 0, (fields), __VA_ARGS__)
