/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <stdio.h>
#include "base/log.h"
#include "worker/output-log.h"

void output_log_init(OutputLog *log, const char *pool, const char *worker)
{
        *log = (OutputLog){ .pool = pool, .worker = worker };
        ratelimit_init(&log->limit, OUTPUT_LINES_PER_SECOND, USEC_PER_SEC, clock_monotonic_usec());
}

void output_log_deinit(OutputLog *log)
{
        free(log->line);
        log->line = NULL;
}

void output_log_begin(OutputLog *log, pid_t pid)
{
        log->pid = pid;
}

void output_log_set_task(OutputLog *log, const Task *task)
{
        log->task = task;
}

/* Takes "<3>" off the beginning of a line. */
static int take_level(Slice *line)
{
        const char *p = line->data;
        int level;

        if (line->size < 3 || p[0] != '<' || p[1] < '0' || p[1] > '7' || p[2] != '>')
                return LOG_INFO;
        level = p[1] - '0';
        line->data += 3;
        line->size -= 3;
        return level;
}

static void output_log_write(OutputLog *log, Slice line, const char *note)
{
        char pid[16];
        LogFields fields = {
                .pool = log->pool,
                .worker = log->worker,
                .task_id = log->task ? log->task->id : NULL,
                .task_type = log->task ? log->task->type : NULL,
                .printed = true,
        };
        int level = take_level(&line);

        if (log->pid > 0) {
                (void)snprintf(pid, sizeof(pid), "%d", (int)log->pid);
                fields.pid = pid;
        }
        (void)log_full(level, 0, &fields, "%.*s%s", (int)line.size, line.size > 0 ? line.data : "",
                       note);
}

static void output_log_tell_suppressed(OutputLog *log)
{
        char text[64];

        if (log->n_suppressed == 0)
                return;
        (void)snprintf(text, sizeof(text), "(%" PRIu64 " more lines suppressed)",
                       log->n_suppressed);
        log->n_suppressed = 0;
        output_log_write(log, slice_from_string(text), "");
}

bool output_log_admit(OutputLog *log)
{
        usec_t now_usec = clock_monotonic_usec();
        uint64_t needed = log->suppressing ? OUTPUT_LINES_PER_SECOND / 2 : 1;

        log->suppressing = ratelimit_available(&log->limit, now_usec) < needed;
        if (log->suppressing) {
                log->n_suppressed++;
                return false;
        }
        ratelimit_take(&log->limit, 1, now_usec);
        output_log_tell_suppressed(log);
        return true;
}

static void output_log_whole_line(OutputLog *log, Slice line, bool cut)
{
        while (!cut && line.size > 0 && line.data[line.size - 1] == '\r')
                line.size--;
        if (line.size > 0 && output_log_admit(log))
                output_log_write(log, line, cut ? " (cut)" : "");
}

void output_log_line(OutputLog *log, Slice line)
{
        bool cut = line.size > OUTPUT_LINE_MAX;

        line.size = MIN(line.size, (size_t)OUTPUT_LINE_MAX);
        output_log_whole_line(log, line, cut);
}

static void output_log_finish_line(OutputLog *log)
{
        output_log_whole_line(log, (Slice){ log->line, log->size }, log->cut);
        log->size = 0;
        log->cut = false;
}

/* Keeps the start of a line whose end has not come yet. */
static void output_log_keep(OutputLog *log, Slice part)
{
        size_t room;

        if (part.size == 0)
                return;
        if (!log->line)
                log->line = malloc(OUTPUT_LINE_MAX);
        if (!log->line) {
                log->cut = true;
                return;
        }
        room = OUTPUT_LINE_MAX - log->size;
        if (part.size > room) {
                log->cut = true;
                part.size = room;
        }
        memcpy(log->line + log->size, part.data, part.size);
        log->size += part.size;
}

void output_log_feed(OutputLog *log, Slice bytes)
{
        while (bytes.size > 0) {
                const char *newline = memchr(bytes.data, '\n', bytes.size);
                size_t length = newline ? (size_t)(newline - bytes.data) : bytes.size;
                Slice part = { bytes.data, length };

                if (newline && log->size == 0) {
                        output_log_line(log, part);
                } else {
                        output_log_keep(log, part);
                        if (newline)
                                output_log_finish_line(log);
                }
                length += newline ? 1 : 0;
                bytes.data += length;
                bytes.size -= length;
        }
}

void output_log_end(OutputLog *log)
{
        output_log_finish_line(log);
        output_log_tell_suppressed(log);
        free(log->line);
        log->line = NULL;
}
