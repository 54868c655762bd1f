/* SPDX-License-Identifier: Apache-2.0 */

/* The result of a per-task command, by the contract of Conductor's command line: exit 0 and one
 * JSON object on stdout, or FAILED with a reason in its words. */

#include <stdio.h>
#include "base/json.h"
#include "base/parse.h"
#include "worker/exit-text.h"
#include "worker/per-task.h"

/* The end of stderr that stands in a reason: a server keeps 500 characters, a person reads some
 * lines. */
#define REASON_TAIL_MAX ((size_t)2048)

/* How much of a refused answer is kept as a log line. */
#define REFUSED_ANSWER_MAX ((size_t)64 * 1024)

/* JSON text of one log line: every byte may become six, and the names around it. */
#define LOG_LINE_MAX (6 * REFUSED_ANSWER_MAX + 128)

void per_task_keep_stderr(Worker *worker, Slice bytes)
{
        Buffer *tail = &worker->per_task->stderr_tail;

        if (buffer_append_slice(tail, bytes) >= 0 && tail->size > STDERR_TAIL_MAX)
                buffer_consume(tail, tail->size - STDERR_TAIL_MAX);
}

void per_task_end_oversized(Worker *worker)
{
        char limit[FORMAT_MAX];

        worker_terminate(worker, WORKER_EXIT_PROTOCOL, "output is larger than limits.output (%s)",
                         format_size(limit, worker->config->limits.output));
}

bool per_task_needs_outcome(const Worker *worker, const HeldTask *held)
{
        /* A process that was only stopped, and completed its task before it obeyed. */
        if (held->fate == FATE_RETURN)
                return worker->child->code == CLD_EXITED && worker->child->value == 0;
        return held->fate == FATE_NONE;
}

static Slice trim(Slice text)
{
        while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]) &&
               text.data[text.size - 1] != '\0')
                text.size--;
        return text;
}

/* At most size bytes of its end, from the start of a character. */
static Slice tail_of(Slice text, size_t size)
{
        if (text.size > size) {
                text.data += text.size - size;
                text.size = size;
                while (text.size > 0 && ((unsigned char)*text.data & 0xC0) == 0x80) {
                        text.data++;
                        text.size--;
                }
        }
        return text;
}

static int outcome_add_log_line(Outcome **outcome, Slice text)
{
        _cleanup_(buffer_deinit) Buffer line = BUFFER_NULL(LOG_LINE_MAX);
        int r;

        if (text.size == 0)
                return 0;
        r = buffer_append_string(&line, "{\"log\":");
        if (r >= 0)
                r = json_append_string(&line, text);
        if (r >= 0)
                r = buffer_appendf(&line, ",\"createdTime\":%lld}", (long long)clock_epoch_msec());
        return r < 0 ? r : outcome_prepend_logs(outcome, buffer_slice(&line));
}

/* FAILED: reason, what stderr ended with, and line as its log. */
static Outcome *per_task_failed(Worker *worker, TaskStatus status, const char *reason, Slice line)
{
        Slice errors = trim(buffer_slice(&worker->per_task->stderr_tail));
        Slice tail = tail_of(errors, REASON_TAIL_MAX);
        Outcome *outcome;
        int r;

        if (tail.size > 0)
                r = outcome_newf(&outcome, status, "%s; stderr: %.*s", reason, (int)tail.size,
                                 tail.data);
        else
                r = outcome_new(&outcome, status, reason);
        if (r < 0)
                return NULL;
        if (line.size == 0)
                line = errors;
        (void)outcome_add_log_line(&outcome, line);
        return outcome;
}

static bool is_terminal(const ConfigPool *config, int exit_code)
{
        for (size_t i = 0; i < config->n_terminal_exit_codes; i++) {
                if (config->terminal_exit_codes[i] == exit_code)
                        return true;
        }
        return false;
}

static Outcome *per_task_exit_outcome(Worker *worker)
{
        const Child *child = worker->child;
        TaskStatus status = TASK_FAILED;
        char reason[EXIT_TEXT_MAX + 32], how[EXIT_TEXT_MAX];

        if (child->code == CLD_EXITED && is_terminal(worker->config, child->value))
                status = TASK_FAILED_WITH_TERMINAL_ERROR;
        (void)snprintf(reason, sizeof(reason), "worker execution failed: %s",
                       exit_to_contract_text(child->code, child->value, how));
        return per_task_failed(worker, status, reason, SLICE_NULL);
}

static Outcome *per_task_refused(Worker *worker, const char *what)
{
        Slice answer = trim(buffer_slice(&worker->per_task->stdout_bytes));
        char reason[512];

        (void)snprintf(reason, sizeof(reason), "invalid worker stdout JSON: %s", what);
        answer.size = MIN(answer.size, REFUSED_ANSWER_MAX);
        return per_task_failed(worker, TASK_FAILED, reason, answer);
}

static Outcome *per_task_answer_outcome(Worker *worker)
{
        Slice answer = buffer_slice(&worker->per_task->stdout_bytes);
        _cleanup_free_ char *error = NULL;
        char text[160];
        JsonError where;
        Outcome *outcome;
        int r;

        if (trim(answer).size == 0)
                return per_task_refused(worker, "it is empty");
        if (json_check(answer, &where) < 0) {
                (void)snprintf(text, sizeof(text), "%s at byte %zu", where.message, where.offset);
                return per_task_refused(worker, text);
        }
        if (json_type_of(answer) != JSON_OBJECT) {
                (void)snprintf(text, sizeof(text), "it must be an object, not %s",
                               json_type_to_string(json_type_of(answer)));
                return per_task_refused(worker, text);
        }
        r = outcome_parse(answer, &outcome, &error);
        if (r == -EBADMSG)
                return per_task_refused(worker, error);
        return r < 0 ? NULL : outcome;
}

static Outcome *per_task_killed_outcome(Worker *worker, WorkerExitCause cause)
{
        char reason[sizeof(worker->why) + 32];

        if (cause == WORKER_EXIT_PROTOCOL)
                return per_task_failed(worker, TASK_FAILED, worker->why, SLICE_NULL);
        (void)snprintf(reason, sizeof(reason), "worker killed%s: %s",
                       cause == WORKER_EXIT_WATCHDOG ? " by watchdog" : "", worker->why);
        return per_task_failed(worker, TASK_FAILED, reason, SLICE_NULL);
}

Outcome *per_task_outcome(Worker *worker)
{
        const Child *child = worker->child;
        HeldTask *held = LIST_FIRST(&worker->tasks, HeldTask, link);
        Outcome *outcome;

        if (worker->kill_cause >= 0)
                return per_task_killed_outcome(worker, worker->kill_cause);
        if (child->code != CLD_EXITED || child->value != 0)
                return per_task_exit_outcome(worker);
        outcome = per_task_answer_outcome(worker);
        if (outcome && held->fate == FATE_RETURN && outcome->status != TASK_COMPLETED)
                return outcome_free(outcome);
        return outcome;
}
