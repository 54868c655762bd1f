/* SPDX-License-Identifier: Apache-2.0 */

#define SD_JOURNAL_SUPPRESS_LOCATION

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <systemd/sd-journal.h>
#include "base/json-scan.h"
#include "base/log.h"
#include "base/parse.h"

/* Journal fields of one entry: message, priority, identifier and one for each of LogFields. */
#define LOG_FIELDS_MAX 11

/* Longest field beside the message: a name and an id with room to spare; a longer value is cut. */
#define LOG_FIELD_SIZE 320

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static struct {
        const char *identifier;
        int level;
        bool to_journal;
        uint64_t n_dropped; /* since the last line that stderr took */
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
 * Where the journal's socket is out of reach (a root directory of our own), sd_journal_sendv would
 * drop every entry and call it success. */
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

void log_open(const char *identifier)
{
        log_state.identifier = identifier;
        log_state.to_journal = stderr_is_journal();
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
        return write(STDERR_FILENO, line, n) >= 0 || errno != EAGAIN;
}

static void write_or_drop(int level, const char *message)
{
        char text[96];

        if (log_state.n_dropped > 0) {
                (void)snprintf(text, sizeof(text),
                               "%" PRIu64 " lines are missing here: nobody was reading stderr",
                               log_state.n_dropped);
                if (write_line(LOG_WARNING, text))
                        log_state.n_dropped = 0;
        }
        if (log_state.n_dropped > 0 || !write_line(level, message))
                log_state.n_dropped++;
}

typedef struct JournalEntry {
        struct iovec fields[LOG_FIELDS_MAX];
        char texts[LOG_FIELDS_MAX][LOG_FIELD_SIZE];
        int n;
} JournalEntry;

static void entry_add(JournalEntry *entry, const char *name, const char *value)
{
        char *text = entry->texts[entry->n];
        int size;

        if (!value)
                return;
        size = snprintf(text, LOG_FIELD_SIZE, "%s=%s", name, value);
        if (size < 0)
                return;
        entry->fields[entry->n++] = (struct iovec){
                .iov_base = text,
                .iov_len = MIN((size_t)size, LOG_FIELD_SIZE - 1),
        };
}

static int send_entry(int level, const LogFields *fields, char *message_field)
{
        char priority[2] = { (char)('0' + level), '\0' };
        JournalEntry entry = { .n = 1 };

        entry.fields[0].iov_base = message_field;
        entry.fields[0].iov_len = strlen(message_field);
        entry_add(&entry, "PRIORITY", priority);
        entry_add(&entry, "SYSLOG_IDENTIFIER", log_state.identifier);
        if (fields) {
                entry_add(&entry, "MESSAGE_ID", fields->message_id);
                entry_add(&entry, "YARDMASTER_POOL", fields->pool);
                entry_add(&entry, "YARDMASTER_WORKER", fields->worker);
                entry_add(&entry, "YARDMASTER_TASK_ID", fields->task_id);
                entry_add(&entry, "YARDMASTER_TASK_TYPE", fields->task_type);
                entry_add(&entry, "YARDMASTER_SOURCE", fields->source);
                entry_add(&entry, "YARDMASTER_STATUS", fields->status);
                entry_add(&entry, "YARDMASTER_PID", fields->pid);
        }
        return sd_journal_sendv(entry.fields, entry.n);
}

int log_full(int level, int error, const LogFields *fields, const char *format, ...)
{
        static const char prefix[] = "MESSAGE=";
        char text[sizeof(prefix) + LOG_LINE_MAX] = "MESSAGE=";
        char *message = text + sizeof(prefix) - 1;
        const char *subject = fields ? fields->worker ?: fields->pool : NULL;
        int saved_errno = errno, n = 0;
        va_list args;

        error = error > 0 ? -error : error;
        level = CLAMP(level, LOG_EMERG, LOG_DEBUG);
        if (level > log_level())
                return error;

        if (subject)
                n = snprintf(message, LOG_LINE_MAX / 2, "%s: ", subject);
        n = CLAMP(n, 0, LOG_LINE_MAX / 2 - 1);
        errno = -error;
        va_start(args, format);
        n += vsnprintf(message + n, (size_t)(LOG_LINE_MAX - n), format, args);
        va_end(args);
        if (n >= LOG_LINE_MAX)
                (void)drop_partial_character(message, LOG_LINE_MAX - 1);
        if (!log_state.to_journal || send_entry(level, fields, text) < 0)
                write_or_drop(level, message);
        errno = saved_errno;
        return error;
}
