/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "base/json-scan.h"
#include "base/log-journal.h"
#include "base/log.h"
#include "base/parse.h"

/* Journal fields of one entry: message, priority, identifiers and one for each of LogFields. */
#define LOG_FIELDS_MAX 12

/* Longest value of a field beside the message: a name or an id with room to spare. */
#define LOG_VALUE_MAX 320

static_assert(LOG_LINE_MAX + LOG_FIELDS_MAX * (LOG_VALUE_MAX + 32) < JOURNAL_ENTRY_MAX,
              "an entry may be too large");

static struct {
        const char *identifier;
        int level;
        bool to_journal;
        uint64_t n_missing; /* dropped since the last line that was taken */
        uint64_t n_dropped;
} log_state = { .identifier = "yardmaster", .level = LOG_INFO };

static const struct {
        const char *name;
        const char *alias;
        const char *label;
} log_levels[] = {
        [LOG_EMERG] = { "emerg", "emergency", "EMERG" },
        [LOG_ALERT] = { "alert", "alert", "ALERT" },
        [LOG_CRIT] = { "crit", "critical", "CRIT" },
        [LOG_ERR] = { "error", "err", "ERROR" },
        [LOG_WARNING] = { "warning", "warn", "WARNING" },
        [LOG_NOTICE] = { "notice", "notice", "NOTICE" },
        [LOG_INFO] = { "info", "info", "INFO" },
        [LOG_DEBUG] = { "debug", "debug", "DEBUG" },
};
_Static_assert(ELEMENTSOF(log_levels) == LOG_DEBUG + 1, "a row for each syslog level");

/* systemd names the stream it gave us by device and inode; a redirected stderr no longer matches.
 * Nor does it count where the journal's socket is out of reach (a root directory of our own). */
static bool stderr_is_journal(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        char actual[64];
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0 || access(JOURNAL_SOCKET, W_OK) < 0)
                return false;
        (void)snprintf(actual, sizeof(actual), "%ju:%ju", (uintmax_t)st.st_dev,
                       (uintmax_t)st.st_ino);
        return streq(stream, actual);
}

/* A service that starts while the journal is down gets nothing for its standard error, and would be
 * mute for good: the journal's own socket works again when the journal does. */
static bool is_mute_service(void)
{
        struct stat st;

        return getenv("INVOCATION_ID") && fstat(STDERR_FILENO, &st) >= 0 && S_ISCHR(st.st_mode) &&
               st.st_rdev == makedev(1, 3); /* null, by the kernel's list of devices */
}

void log_open(const char *identifier)
{
        log_state.identifier = identifier;
        log_state.to_journal = stderr_is_journal() || is_mute_service();
}

void log_set_level(int level)
{
        __atomic_store_n(&log_state.level, level, __ATOMIC_RELAXED);
}

int log_level(void)
{
        return __atomic_load_n(&log_state.level, __ATOMIC_RELAXED);
}

int log_level_from_string(const char *s)
{
        for (size_t i = 0; i < ELEMENTSOF(log_levels); i++) {
                if (streq(s, log_levels[i].name) || streq(s, log_levels[i].alias))
                        return (int)i;
        }
        return -EINVAL;
}

const char *log_level_to_string(int level)
{
        return log_levels[CLAMP(level, LOG_EMERG, LOG_DEBUG)].name;
}

bool log_to_journal(void)
{
        return log_state.to_journal;
}

uint64_t log_n_dropped(void)
{
        return log_state.n_dropped;
}

/* Ends a text that was cut off before a character that is not whole; returns its size. */
static size_t drop_partial_character(char *text, size_t size)
{
        size_t i = size;

        while (i > 0 && size - i < 3 && ((unsigned char)text[i - 1] & 0xC0) == 0x80)
                i--;
        if (i > 0 && (unsigned char)text[i - 1] >= 0xC0 &&
            json_utf8_length(text + i - 1, text + size) == 0)
                size = i - 1;
        text[size] = '\0';
        return size;
}

/* Copies text to the line at offset *n, control characters escaped, so that one event stays one
 * line; what does not fit is dropped. Two bytes are kept for the newline and the end. */
static void line_append(char *line, size_t *n, const char *text)
{
        for (; *text && *n + 6 < LOG_LINE_MAX; text++) {
                unsigned char c = (unsigned char)*text;

                if (c >= 0x20 && c != 0x7F)
                        line[(*n)++] = (char)c;
                else if (c == '\n')
                        *n = (size_t)(stpcpy(line + *n, "\\n") - line);
                else if (c == '\t')
                        *n = (size_t)(stpcpy(line + *n, "\\t") - line);
                else
                        *n += (size_t)sprintf(line + *n, "\\x%02x", c);
        }
}

/* Never waits: a pipe that says so takes a whole line. */
static bool write_line(int level, const char *message)
{
        struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
        char line[LOG_LINE_MAX], time[FORMAT_MAX];
        size_t n = 0;

        if (poll(&out, 1, 0) == 0)
                return false;
        line_append(line, &n, format_timestamp(time, clock_epoch_msec()));
        line_append(line, &n, " ");
        line_append(line, &n, log_levels[level].label);
        line_append(line, &n, " ");
        line_append(line, &n, message);
        n = drop_partial_character(line, n);
        line[n++] = '\n';
        return write(STDERR_FILENO, line, n) >= 0;
}

typedef struct JournalEntry {
        JournalField fields[LOG_FIELDS_MAX];
        size_t n;
} JournalEntry;

static void entry_add(JournalEntry *entry, const char *name, const char *value)
{
        if (!value)
                return;
        entry->fields[entry->n++] = (JournalField){
                .name = name,
                .value = { value, MIN(strlen(value), (size_t)LOG_VALUE_MAX) },
        };
}

static void entry_add_fields(JournalEntry *entry, const LogFields *fields)
{
        entry_add(entry, "MESSAGE_ID", fields->message_id);
        entry_add(entry, "YARDMASTER_POOL", fields->pool);
        entry_add(entry, "YARDMASTER_WORKER", fields->worker);
        entry_add(entry, "YARDMASTER_TASK_ID", fields->task_id);
        entry_add(entry, "YARDMASTER_TASK_TYPE", fields->task_type);
        entry_add(entry, "YARDMASTER_SOURCE", fields->source);
        entry_add(entry, "YARDMASTER_STATUS", fields->status);
        entry_add(entry, "YARDMASTER_PID", fields->pid);
        if (fields->printed)
                entry_add(entry, "SYSLOG_PID", fields->pid);
}

/* A line of text: subject, if there is one, stands before the message. */
typedef struct LogLine {
        int level;
        const LogFields *fields;
        const char *text;
        size_t subject_size;
} LogLine;

static int send_entry(const LogLine *line)
{
        char priority[2] = { (char)('0' + line->level), '\0' };
        bool printed = line->fields && line->fields->printed;
        const char *message = line->text + (printed ? line->subject_size : 0);
        JournalEntry entry = { .n = 1 };

        entry.fields[0] = (JournalField){ "MESSAGE", slice_from_string(message) };
        entry_add(&entry, "PRIORITY", priority);
        entry_add(&entry, "SYSLOG_IDENTIFIER",
                  printed ? line->fields->worker : log_state.identifier);
        if (line->fields)
                entry_add_fields(&entry, line->fields);
        return journal_send(entry.fields, entry.n);
}

/* A journal that does not take it for now would get it out of order from stderr; one that is not
 * there any more leaves only that. */
static bool line_deliver(const LogLine *line)
{
        int r = log_state.to_journal ? send_entry(line) : -ENOENT;

        return r >= 0 || (r != -EAGAIN && write_line(line->level, line->text));
}

static void line_deliver_or_drop(const LogLine *line)
{
        char text[96];

        if (log_state.n_missing > 0) {
                (void)snprintf(text, sizeof(text), "%" PRIu64 " lines are missing here: %s",
                               log_state.n_missing,
                               log_state.to_journal ? "the journal took none"
                                                    : "nobody was reading stderr");
                if (line_deliver(&(LogLine){ .level = LOG_WARNING, .text = text }))
                        log_state.n_missing = 0;
        }
        if (log_state.n_missing == 0 && line_deliver(line))
                return;
        log_state.n_missing++;
        log_state.n_dropped++;
}

int log_full(int level, int error, const LogFields *fields, const char *format, ...)
{
        const char *subject = fields ? fields->worker ?: fields->pool : NULL;
        LogLine line = { .level = CLAMP(level, LOG_EMERG, LOG_DEBUG), .fields = fields };
        int saved_errno = errno, n = 0;
        char text[LOG_LINE_MAX];
        va_list args;

        error = error > 0 ? -error : error;
        if (line.level > log_level() && !(fields && fields->printed))
                return error;

        if (subject)
                n = snprintf(text, LOG_LINE_MAX / 2, "%s: ", subject);
        n = CLAMP(n, 0, LOG_LINE_MAX / 2 - 1);
        line.text = text;
        line.subject_size = (size_t)n;
        errno = -error;
        va_start(args, format);
        n += vsnprintf(text + n, (size_t)(LOG_LINE_MAX - n), format, args);
        va_end(args);
        if (n >= LOG_LINE_MAX)
                (void)drop_partial_character(text, LOG_LINE_MAX - 1);
        line_deliver_or_drop(&line);
        errno = saved_errno;
        return error;
}
