/* SPDX-License-Identifier: Apache-2.0 */

/* Progress of handlers as lines of their tasks' logs, where progress_log asks for it. A courtesy:
 * one line of a task in PROGRESS_INTERVAL_USEC, and what cannot be sent at once is left out. */

#include "source/conductor/internal.h"

#include <stdio.h>

#define PROGRESS_INTERVAL_USEC (10 * USEC_PER_SEC)
#define PROGRESS_CALLS_MAX     2
#define PROGRESS_LINE_MAX      ((size_t)1000)
/* What a worker may report at once is no longer. */
#define PROGRESS_TEXT_MAX ((size_t)128 * 1024)

typedef struct ProgressCall {
        ServerCall *call;
        Buffer line;
} ProgressCall;

struct ConductorProgress {
        ProgressCall calls[PROGRESS_CALLS_MAX];
};

static int append_text(Buffer *line, const char *separator, Slice value)
{
        _cleanup_free_ char *text = NULL;
        int r;

        if (!value.data || json_type_of(value) != JSON_STRING)
                return 0;
        r = json_decode_string(value, &text);
        if (r < 0 || text[0] == '\0')
                return r;
        if (line->size > 0 && (r = buffer_append_string(line, separator)) < 0)
                return r;
        return buffer_append(line, text, strlen(text));
}

/* A character is not cut in two. */
static void cut_line(Buffer *line)
{
        size_t size = PROGRESS_LINE_MAX;
        const char *data;

        if (line->size <= size)
                return;
        data = line->data + line->start;
        while (size > 0 && ((unsigned char)data[size] & 0xC0) == 0x80)
                size--;
        buffer_truncate(line, size);
}

int progress_line_append(Buffer *line, Slice progress)
{
        Slice percent = json_member(progress, "percent");
        int r = 0;

        if (percent.data && json_type_of(percent) == JSON_NUMBER)
                r = buffer_appendf(line, "%.*s%%", (int)MIN(percent.size, (size_t)20),
                                   percent.data);
        if (r >= 0)
                r = append_text(line, " ", json_member(progress, "stage"));
        if (r >= 0)
                r = append_text(line, ": ", json_member(progress, "message"));
        if (r >= 0)
                cut_line(line);
        return r;
}

static void on_answer(ServerCall *call, Verdict verdict, const HttpAnswer *answer, void *userdata)
{
        ProgressCall *progress = userdata;

        buffer_trim(&progress->line, 0);
}

static ProgressCall *find_idle(Conductor *conductor)
{
        struct ConductorProgress *progress = conductor->progress;

        if (!progress) {
                progress = calloc(1, sizeof(*progress));
                if (!progress)
                        return NULL;
                conductor->progress = progress;
        }
        for (size_t i = 0; i < PROGRESS_CALLS_MAX; i++) {
                ProgressCall *call = &progress->calls[i];

                if (call->call && server_call_is_running(call->call))
                        continue;
                if (!call->call &&
                    server_call_new(&call->call, conductor->server, HTTP_POST, on_answer, call) < 0)
                        return NULL;
                buffer_deinit(&call->line);
                call->line = BUFFER_NULL(PROGRESS_TEXT_MAX);
                return call;
        }
        return NULL;
}

static int send_line(ProgressCall *call, const ConductorTask *holding)
{
        _cleanup_free_ char *id = server_escape(holding->task->id), *path = NULL;
        int r;

        if (!id)
                return -ENOMEM;
        if (asprintf(&path, "/tasks/%s/log", id) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = server_call_set_path(call->call, path);
        if (r < 0)
                return r;
        server_call_set_body(call->call, "text/plain", buffer_slice(&call->line));
        return server_call_start(call->call);
}

void progress_report(ConductorTask *holding, Slice progress)
{
        Conductor *conductor = holding->subscription->conductor;
        usec_t now = clock_monotonic_usec();
        ProgressCall *call;

        if (!conductor->config->conductor.progress_log || !server_may_send(conductor->server))
                return;
        if (holding->logged_usec > 0 &&
            now < usec_add(holding->logged_usec, PROGRESS_INTERVAL_USEC))
                return;
        call = find_idle(conductor);
        if (!call || progress_line_append(&call->line, progress) < 0 || call->line.size == 0)
                return;
        if (send_line(call, holding) >= 0)
                holding->logged_usec = now;
}

void progress_free(Conductor *conductor)
{
        struct ConductorProgress *progress = TAKE_PTR(conductor->progress);

        if (!progress)
                return;
        for (size_t i = 0; i < PROGRESS_CALLS_MAX; i++) {
                (void)server_call_free(progress->calls[i].call);
                buffer_deinit(&progress->calls[i].line);
        }
        free(progress);
}
