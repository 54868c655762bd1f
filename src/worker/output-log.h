#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What a worker prints, as log lines under its name: stderr, and stray lines on stdout.
 *
 * Embedded in its worker. A line that begins with "<N>" has syslog's level N (3: error, 7: debug),
 * as a journal stream has it; another is LOG_INFO. A line longer than OUTPUT_LINE_MAX is logged
 * once, cut. A flood is thinned to OUTPUT_LINES_PER_SECOND, in runs of half of them, so that it
 * stays readable; how many lines were left out is said with the next line that passes or when the
 * process has ended. */

#include <sys/types.h>
#include "base/ratelimit.h"
#include "base/slice.h"
#include "task/task.h"

/* What people still read in a log; more is a dump. */
#define OUTPUT_LINE_MAX 2048
/* A talkative program in trouble stays complete, a loop that prints does not drown the log. */
#define OUTPUT_LINES_PER_SECOND 200

typedef struct OutputLog {
        const char *pool;   /* borrowed */
        const char *worker; /* borrowed */
        char *line;         /* what came of an unfinished line; OUTPUT_LINE_MAX bytes once used */
        size_t size;
        pid_t pid;
        const Task *task; /* borrowed; NULL: none, or which one cannot be told */
        bool cut;         /* the rest of this line is dropped */
        RateLimit limit;
        bool suppressing;
        uint64_t n_suppressed;
} OutputLog;

void output_log_init(OutputLog *log, const char *pool, const char *worker);
void output_log_deinit(OutputLog *log);

/* pid: whose output the next bytes are. */
void output_log_begin(OutputLog *log, pid_t pid);
/* What it is printed for from now on; NULL: nothing in particular. */
void output_log_set_task(OutputLog *log, const Task *task);
/* Bytes as they came; each complete line is logged. */
void output_log_feed(OutputLog *log, Slice bytes);
/* One whole line. */
void output_log_line(OutputLog *log, Slice line);
/* False: it was suppressed. For a message about what the worker sent, logged by the caller. */
bool output_log_admit(OutputLog *log);
/* The end of a process: an unfinished line and the count of suppressed ones are logged. */
void output_log_end(OutputLog *log);
