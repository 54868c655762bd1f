/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl submit --from FILE: lines are gathered into calls of SubmitMany, a few of which are under
 * way at a time, so that the daemon always has the next batch when it has stored one. A wrong line,
 * or one that the daemon refuses, is reported by its number and left out; a full queue ends it. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/frame.h"
#include "base/parse.h"
#include "ctl/client.h"
#include "ctl/progress.h"
#include "ctl/reply.h"
#include "ctl/submit.h"
#include "ctl/task-line.h"

/* Tasks of one call, and its bytes: large enough that a commit is shared by many, small enough that
 * the first ones need not wait. */
#define BATCH_TASKS_MAX 1000
#define BATCH_BYTES_MAX ((size_t)1024 * 1024)
/* Calls under way. Their answers, 100 bytes a task, must fit what the daemon queues for a client
 * that does not read while it writes. */
#define BATCHES_MAX 4
/* Faults shown; the others are only counted. */
#define FAULTS_SHOWN 20

static const char batch_begin[] =
        "{\"method\":\"" WIRE_INTERFACE ".SubmitMany\",\"parameters\":{\"tasks\":[";
static const char batch_end[] = "]}}";
static const char batch_end_forced[] = "],\"force\":true}}";

typedef struct Batch {
        uint64_t lines[BATCH_TASKS_MAX]; /* their numbers in the file */
        size_t n;
} Batch;

typedef struct Upload {
        Ctl *ctl;
        const char *name; /* of the file */
        const char *default_type;
        bool force;
        bool print_ids;

        int fd;
        uint64_t size; /* of the file; 0: unknown */
        uint64_t bytes_read;
        uint64_t line;
        Frame frame;
        bool ended; /* nothing more to read */

        Buffer message; /* the batch being filled */
        Buffer task;    /* a task that did not fit the batch before */
        Batch batches[BATCHES_MAX];
        unsigned first; /* the oldest one under way */
        unsigned n_under_way;

        uint64_t n_submitted;
        uint64_t n_faults;
        uint64_t n_behind; /* of those submitted: behind the line at which the queue was full */
        bool stopped;      /* sends no more */
        ExitCode code;
        Progress progress;
} Upload;

static void report_fault(Upload *upload, uint64_t line, const char *text)
{
        upload->n_faults++;
        if (upload->n_faults > FAULTS_SHOWN)
                return;
        progress_clear(&upload->progress);
        (void)ctl_fail(EXIT_REFUSED, "%s:%llu: %s", upload->name, (unsigned long long)line, text);
        if (upload->n_faults == FAULTS_SHOWN)
                (void)ctl_fail(EXIT_REFUSED, "further faults are only counted");
}

static void stop(Upload *upload, ExitCode code)
{
        upload->stopped = true;
        upload->code = code;
}

static Batch *current_batch(Upload *upload)
{
        return &upload->batches[(upload->first + upload->n_under_way) % BATCHES_MAX];
}

/* The next line of the file; false at its end. */
static bool next_line(Upload *upload, Slice *ret)
{
        FrameResult result;
        ssize_t n;
        char *to;

        while (!upload->ended) {
                result = frame_next(&upload->frame, ret);
                upload->line += result != FRAME_NONE;
                if (result == FRAME_COMPLETE)
                        return true;
                if (result == FRAME_OVERSIZED) {
                        report_fault(upload, upload->line,
                                     "the line is longer than 16777216 bytes");
                        continue;
                }
                if (frame_reserve(&upload->frame, FRAME_RESERVE_MAX, &to) < 0) {
                        stop(upload, ctl_out_of_memory());
                        return false;
                }
                n = read(upload->fd, to, FRAME_RESERVE_MAX);
                if (n < 0 && errno != EINTR) {
                        stop(upload, ctl_fail(EXIT_REFUSED, "cannot read %s: %s", upload->name,
                                              strerror(errno)));
                        return false;
                }
                if (n > 0) {
                        frame_commit(&upload->frame, (size_t)n);
                        upload->bytes_read += (uint64_t)n;
                }
                if (n == 0) {
                        upload->ended = true;
                        *ret = frame_rest(&upload->frame);
                        upload->line += ret->size > 0;
                        return ret->size > 0;
                }
        }
        return false;
}

static bool is_blank(Slice line)
{
        for (size_t i = 0; i < line.size; i++) {
                if (!strchr(" \t\r", line.data[i]) || line.data[i] == '\0')
                        return false;
        }
        return true;
}

/* Makes upload->task from the next line that is one; false if there is none. */
static bool next_task(Upload *upload)
{
        Slice line;
        int r;

        while (next_line(upload, &line)) {
                _cleanup_free_ char *problem = NULL;

                if (is_blank(line))
                        continue;
                r = task_from_line(line, upload->default_type, &upload->task, &problem);
                if (r >= 0)
                        return true;
                if (r == -ENOMEM) {
                        stop(upload, ctl_out_of_memory());
                        return false;
                }
                report_fault(upload, upload->line,
                             r == -ENOBUFS ? "the task is too long" : problem ?: "out of memory");
        }
        return false;
}

static bool batch_takes(Upload *upload, const Batch *batch)
{
        if (batch->n == 0)
                return true;
        return batch->n < BATCH_TASKS_MAX &&
               upload->message.size + upload->task.size < BATCH_BYTES_MAX;
}

static ExitCode add_task(Upload *upload, Batch *batch)
{
        int r = 0;

        if (batch->n == 0)
                r = buffer_append_string(&upload->message, batch_begin);
        else
                r = buffer_append_byte(&upload->message, ',');
        if (r >= 0)
                r = buffer_append_slice(&upload->message, buffer_slice(&upload->task));
        if (r < 0)
                return ctl_out_of_memory();
        buffer_clear(&upload->task);
        batch->lines[batch->n++] = upload->line;
        return EXIT_DONE;
}

/* Fills one batch, and sends it unless it stayed empty. */
static void send_batch(Upload *upload)
{
        Batch *batch = current_batch(upload);
        ExitCode code = EXIT_DONE;
        int r;

        batch->n = 0;
        while (code == EXIT_DONE && (upload->task.size > 0 || next_task(upload)) &&
               batch_takes(upload, batch))
                code = add_task(upload, batch);
        if (code == EXIT_DONE && batch->n > 0 && !upload->stopped) {
                r = upload->force ? buffer_append(&upload->message, batch_end_forced,
                                                  sizeof(batch_end_forced))
                                  : buffer_append(&upload->message, batch_end, sizeof(batch_end));
                code = r < 0 ? ctl_out_of_memory()
                             : client_send_raw(upload->ctl->client, buffer_slice(&upload->message));
                upload->n_under_way++;
        }
        buffer_clear(&upload->message);
        if (code != EXIT_DONE)
                stop(upload, code);
}

static bool is_error(const char *error, const char *name)
{
        return error && slice_is(wire_member_name(slice_from_string(error)), name);
}

/* Told once: what was under way behind that line is most likely refused as well. */
static void take_queue_full(Upload *upload, uint64_t line, const char *message)
{
        upload->n_faults++;
        if (upload->stopped)
                return;
        progress_clear(&upload->progress);
        stop(upload, ctl_fail(EXIT_REFUSED, "stopped at line %llu: %s", (unsigned long long)line,
                              message ?: "the queue is full"));
}

static void take_result(Upload *upload, uint64_t line, Slice result)
{
        _cleanup_free_ char *error = NULL, *message = NULL, *id = NULL;
        char text[500];

        if (!member_is_set(result, "error")) {
                upload->n_submitted++;
                upload->n_behind += upload->stopped;
                if (upload->print_ids) {
                        id = member_text(result, "taskId");
                        (void)printf("%s\n", id ?: "");
                }
                return;
        }
        error = member_text(result, "error");
        message = member_text(result, "message");
        if (is_error(error, "QueueFull")) {
                take_queue_full(upload, line, message);
                return;
        }
        (void)snprintf(text, sizeof(text), "%s%s%s%s", error ?: "refused", message ? ": " : "",
                       message ?: "",
                       is_error(error, "TypeNotServed") ? " (--force submits it all the same)"
                                                        : "");
        report_fault(upload, line, text);
}

static void take_reply(Upload *upload)
{
        Batch *batch = &upload->batches[upload->first];
        Slice result, results;
        WireReply reply;
        ExitCode code;
        size_t i = 0;
        bool ended;

        upload->first = (upload->first + 1) % BATCHES_MAX;
        upload->n_under_way--;
        code = client_receive(upload->ctl->client, &reply, &ended);
        if (code != EXIT_DONE || reply.error.size > 0) {
                progress_clear(&upload->progress);
                if (code == EXIT_DONE)
                        code = client_report_error(&reply);
                else
                        upload->n_under_way = 0;
                upload->n_faults += batch->n;
                stop(upload, ctl_fail(code, "%slines %llu to %llu may not have been submitted",
                                      ended ? "the daemon closed the connection; " : "",
                                      (unsigned long long)batch->lines[0],
                                      (unsigned long long)batch->lines[batch->n - 1]));
                return;
        }
        if (upload->ctl->json)
                (void)ctl_print_json(reply.parameters);
        results = member_array(reply.parameters.size > 0 ? reply.parameters : SLICE_LITERAL("{}"),
                               "results");
        JSON_FOREACH_ELEMENT (result, results) {
                if (i < batch->n)
                        take_result(upload, batch->lines[i++], result);
        }
        progress_update(&upload->progress, upload->n_submitted, upload->bytes_read, upload->size);
}

static ExitCode upload_run(Upload *upload)
{
        while (!upload->stopped && (!upload->ended || upload->task.size > 0)) {
                if (upload->n_under_way == BATCHES_MAX)
                        take_reply(upload);
                if (!upload->stopped)
                        send_batch(upload);
        }
        while (upload->n_under_way > 0)
                take_reply(upload);
        progress_clear(&upload->progress);
        return upload->code;
}

static ExitCode report_summary(const Upload *upload)
{
        usec_t spent = clock_monotonic_usec() - upload->progress.started_usec;
        char span[FORMAT_MAX];

        (void)fflush(stdout);
        (void)fprintf(stderr, "yardctl: %llu tasks submitted in %s (%.0f/s)",
                      (unsigned long long)upload->n_submitted, format_span(span, spent),
                      (double)upload->n_submitted * USEC_PER_SEC / (double)MAX(spent, (usec_t)1));
        if (upload->n_faults > 0)
                (void)fprintf(stderr, ", %llu not", (unsigned long long)upload->n_faults);
        if (upload->n_behind > 0)
                (void)fprintf(stderr, "; %llu of them behind the line where it stopped",
                              (unsigned long long)upload->n_behind);
        (void)fputc('\n', stderr);
        if (upload->code != EXIT_DONE)
                return upload->code;
        return upload->n_faults > 0 ? EXIT_REFUSED : EXIT_DONE;
}

static ExitCode upload_open(Upload *upload, const char *path)
{
        struct stat st;

        upload->name = streq(path, "-") ? "stdin" : path;
        upload->fd = streq(path, "-") ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
        if (upload->fd < 0)
                return ctl_fail(EXIT_REFUSED, "cannot open %s: %s", upload->name, strerror(errno));
        if (fstat(upload->fd, &st) == 0 && S_ISREG(st.st_mode))
                upload->size = (uint64_t)st.st_size;
        return EXIT_DONE;
}

static ExitCode check_options(const Arguments *arguments)
{
        static const int refused[] = { SUBMIT_WAIT,     SUBMIT_TIMEOUT,  SUBMIT_PRIORITY,
                                       SUBMIT_DELAY,    SUBMIT_RUN_AT,   SUBMIT_UNIQUE,
                                       SUBMIT_CONFLICT, SUBMIT_ATTEMPTS, SUBMIT_DEADLINE,
                                       SUBMIT_SOURCE };

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                if (arguments->options[refused[i]])
                        return ctl_fail(EXIT_USAGE, "with --from, such options stand on the lines: "
                                                    "{\"type\", \"input\", \"priority\", …}");
        }
        if (arguments->n_words > 1)
                return ctl_fail(EXIT_USAGE, "with --from, the inputs stand on the lines");
        return EXIT_DONE;
}

ExitCode submit_file(Ctl *ctl, const Arguments *arguments)
{
        Upload *upload;
        ExitCode code;

        code = check_options(arguments);
        if (code != EXIT_DONE)
                return code;
        upload = malloc(sizeof(*upload));
        if (!upload)
                return ctl_out_of_memory();
        *upload = (Upload){
                .ctl = ctl,
                .default_type = arguments->n_words > 0 ? arguments->words[0] : NULL,
                .force = arguments->options[SUBMIT_FORCE],
                .print_ids = arguments->options[SUBMIT_IDS] && !ctl->json,
                .message = BUFFER_NULL(WIRE_MESSAGE_MAX + 1),
                .task = BUFFER_NULL(WIRE_MESSAGE_MAX - WIRE_ENVELOPE_MAX),
        };
        frame_init(&upload->frame, '\n', WIRE_MESSAGE_MAX);
        progress_init(&upload->progress);
        code = upload_open(upload, arguments->options[SUBMIT_FROM]);
        if (code == EXIT_DONE)
                code = client_new(&ctl->client, ctl);
        if (code == EXIT_DONE) {
                (void)upload_run(upload);
                code = report_summary(upload);
        }
        (void)close_fd(upload->fd);
        frame_deinit(&upload->frame);
        buffer_deinit(&upload->message);
        buffer_deinit(&upload->task);
        free(upload);
        return code;
}
