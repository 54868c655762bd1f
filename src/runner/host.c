/* SPDX-License-Identifier: Apache-2.0 */

#include <math.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include "base/json.h"
#include "base/strv.h"
#include "runner/host.h"
#include "runner/job.h"
#include "runner/result.h"

/* How often a heartbeat is passed on at most, where no watchdog says how often it is wanted. */
#define HEARTBEAT_INTERVAL_USEC USEC_PER_SEC
/* A quarter of the watchdog's time: one that is late, or lost with a full socket, does no harm. */
#define HEARTBEATS_PER_WATCHDOG 4

static struct {
        Slice config;
        char **config_texts; /* what config_string gave out */
        usec_t heartbeat_interval_usec;
        _Atomic usec_t heartbeat_next_usec;
} shared;

static _Thread_local char error_text[RESULT_ERROR_MAX];

const char *host_error(void)
{
        return error_text;
}

void host_clear_error(void)
{
        error_text[0] = '\0';
}

static void on_error(const char *text)
{
        (void)snprintf(error_text, sizeof(error_text), "%s", text ?: "");
}

static const char *on_config_string(const char *name)
{
        _cleanup_free_ char *text = NULL;
        Slice value = json_member(shared.config, name);

        if (value.size == 0 || json_decode_string(value, &text) < 0 ||
            strv_append(&shared.config_texts, text) < 0)
                return NULL;
        return shared.config_texts[strv_length(shared.config_texts) - 1];
}

static int on_config_int64(const char *name, int64_t *ret)
{
        Slice value = json_member(shared.config, name);

        return value.size == 0 ? -ENOENT : json_to_int64(value, ret);
}

static const char *on_input_string(const struct yardmaster_task *task, const char *name)
{
        return job_input_string(job_of_task(task), name);
}

static int on_input_int64(const struct yardmaster_task *task, const char *name, int64_t *ret)
{
        return job_input_int64(job_of_task(task), name, ret);
}

static int begin_message(Buffer *buffer, const char *type, const Job *job)
{
        int r;

        r = buffer_appendf(buffer, "{\"type\":\"%s\"", type);
        if (r >= 0 && job->id_json.size > 0) {
                r = buffer_append_string(buffer, ",\"taskId\":");
                if (r >= 0)
                        r = buffer_append_slice(buffer, job->id_json);
        }
        return r;
}

static int append_text(Buffer *buffer, const char *name, const char *text)
{
        int r;

        if (!text)
                return 0;
        r = buffer_appendf(buffer, ",\"%s\":", name);
        return r < 0 ? r : json_append_string(buffer, slice_from_string(text));
}

static int send_message(Buffer *buffer, const Job *job, int r)
{
        if (r >= 0)
                r = buffer_append_string(buffer, "}\n");
        if (r >= 0)
                r = output_write(job->output, buffer_slice(buffer));
        buffer_deinit(buffer);
        return r == -ENOBUFS ? -EMSGSIZE : r;
}

static int on_log(const struct yardmaster_task *task, const char *text)
{
        Buffer buffer = BUFFER_NULL(TASK_LINE_MAX);
        const Job *job = job_of_task(task);
        int r;

        if (!text)
                return -EINVAL;
        if (!*text)
                return 0;
        r = begin_message(&buffer, "log", job);
        if (r >= 0)
                r = append_text(&buffer, "message", text);
        return send_message(&buffer, job, r);
}

/* Hundredths, by hand: printf's decimal point is the locale's, which a handler may have set. */
static int append_percent(Buffer *buffer, double percent)
{
        unsigned hundredths;

        if (!isfinite(percent) || percent < 0)
                return 0;
        hundredths = (unsigned)(MIN(percent, 100.0) * 100 + 0.5);
        return buffer_appendf(buffer, ",\"percent\":%u.%02u", hundredths / 100, hundredths % 100);
}

static int append_data(Buffer *buffer, const char *data)
{
        Slice text = slice_from_string(data);
        int r;

        if (!data)
                return 0;
        if (json_check(text, NULL) < 0 || json_type_of(text) != JSON_OBJECT)
                return -EBADMSG;
        r = buffer_append_string(buffer, ",\"data\":");
        return r < 0 ? r : json_append_compact(buffer, text);
}

static int on_progress(const struct yardmaster_task *task, double percent, const char *stage,
                       const char *message, const char *data)
{
        Buffer buffer = BUFFER_NULL(TASK_LINE_MAX);
        const Job *job = job_of_task(task);
        int r;

        r = begin_message(&buffer, "progress", job);
        if (r >= 0)
                r = append_percent(&buffer, percent);
        if (r >= 0)
                r = append_text(&buffer, "stage", stage);
        if (r >= 0)
                r = append_text(&buffer, "message", message);
        if (r >= 0)
                r = append_data(&buffer, data);
        return send_message(&buffer, job, r);
}

/* Of all threads whose heartbeats come at the same time, one passes them on. */
static void on_heartbeat(const struct yardmaster_task *task)
{
        usec_t now = clock_monotonic_usec(), next = atomic_load(&shared.heartbeat_next_usec);

        if (now < next || !atomic_compare_exchange_strong(&shared.heartbeat_next_usec, &next,
                                                          now + shared.heartbeat_interval_usec))
                return;
        (void)sd_notify(0, "WATCHDOG=1");
}

static int on_cancelled(const struct yardmaster_task *task)
{
        return atomic_load(&job_of_task(task)->cancelled);
}

static const struct yardmaster_host host = {
        .struct_size = sizeof(host),
        .api_version = YARDMASTER_API_VERSION,
        .error = on_error,
        .config_string = on_config_string,
        .config_int64 = on_config_int64,
        .input_string = on_input_string,
        .input_int64 = on_input_int64,
        .set_status = result_set_status,
        .set_output = result_set_output,
        .add_string = result_add_string,
        .add_int64 = result_add_int64,
        .set_reason = result_set_reason,
        .set_callback_after = result_set_callback_after,
        .set_retry_after = result_set_retry_after,
        .log = on_log,
        .progress = on_progress,
        .heartbeat = on_heartbeat,
        .cancelled = on_cancelled,
};

const struct yardmaster_host *host_get(void)
{
        return &host;
}

void host_init(const char *config_json, usec_t watchdog_usec)
{
        shared.config = slice_from_string(config_json);
        shared.heartbeat_interval_usec = watchdog_usec > 0 ? watchdog_usec / HEARTBEATS_PER_WATCHDOG
                                                           : HEARTBEAT_INTERVAL_USEC;
        atomic_store(&shared.heartbeat_next_usec, 0);
}

void host_deinit(void)
{
        shared.config_texts = strv_free(shared.config_texts);
        shared.config = SLICE_NULL;
}
