/* SPDX-License-Identifier: Apache-2.0 */

/* Tasks that a daemon had in hand when it died. Whether they are still ours only the server knows:
 * their hand-back has no body until they have been read (verdict.c). */

#include "base/log-ids.h"
#include "base/log.h"
#include "source/conductor/send.h"

/* Daemons in a row that die over a task before it counts as poison. */
#define CRASHES_MAX 3

typedef struct Recovery {
        Conductor *conductor;
        unsigned n_handed_back;
} Recovery;

static int fail_poison(Conductor *conductor, OutboxEntry *entry)
{
        _cleanup_(buffer_deinit) Buffer body = BUFFER_NULL(CONDUCTOR_BODY_MAX);
        _cleanup_(buffer_deinit) Buffer rest = BUFFER_NULL(CONDUCTOR_LOG_TEXT_MAX);
        _cleanup_(outcome_freep) Outcome *outcome = NULL;
        MessageHead head;
        int r;

        r = outcome_newf(&outcome, TASK_FAILED, "%d daemons in a row died while they ran this task",
                         CRASHES_MAX);
        if (r >= 0)
                r = message_head_parse(entry->head, &head);
        if (r >= 0)
                r = result_append(&body, &head, entry->id, outcome, &rest);
        if (r >= 0)
                r = outbox_put(conductor->outbox, entry, MESSAGE_RESULT, buffer_slice(&body),
                               false);
        if (r >= 0)
                log_event(LOG_ERR,
                          (&(LogFields){ .source = conductor->source.name,
                                         .task_id = entry->id,
                                         .status = "FAILED",
                                         .message_id = LOG_ID_TASK_FAILED }),
                          "task %s fails: %.*s", entry->id, (int)outcome->reason.size,
                          outcome->reason.data);
        return r;
}

static void recover(OutboxEntry *entry, void *userdata)
{
        Recovery *recovery = userdata;
        Conductor *conductor = recovery->conductor;
        int r;

        if (entry->state != OUTBOX_HELD)
                return;
        if (entry->n_crashes >= CRASHES_MAX) {
                r = fail_poison(conductor, entry);
        } else {
                r = outbox_put(conductor->outbox, entry, MESSAGE_HAND_BACK, SLICE_NULL, true);
                recovery->n_handed_back += r >= 0;
        }
        if (r < 0)
                log_full(LOG_ERR, r,
                         &(LogFields){ .source = conductor->source.name, .task_id = entry->id },
                         "cannot settle task %s, which the last daemon had in hand: %m", entry->id);
}

void conductor_recover(Conductor *conductor)
{
        Recovery recovery = { .conductor = conductor };
        int r;

        r = outbox_visit(conductor->outbox, recover, &recovery);
        if (r < 0)
                log_error_errno(r, "source %s: cannot settle what the last daemon had in hand: %m",
                                conductor->source.name);
        if (recovery.n_handed_back > 0)
                log_event(LOG_NOTICE, (&(LogFields){ .source = conductor->source.name }),
                          "source %s: handing back %u tasks that the last daemon had in hand when "
                          "it died",
                          conductor->source.name, recovery.n_handed_back);
}
