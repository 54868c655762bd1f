/* SPDX-License-Identifier: Apache-2.0 */

/* Tasks that a daemon had in hand when it died. Whether they are still ours only the server knows:
 * their hand-back has no body until they have been read (verdict.c). */

#include "base/log-ids.h"
#include "base/log.h"
#include "source/conductor/send.h"

/* Daemons in a row that die over a task before it counts as poison. */
#define CRASHES_MAX 3

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

/* Whether it is handed back. */
static bool recover(Conductor *conductor, OutboxEntry *entry)
{
        bool is_poison = entry->n_crashes >= CRASHES_MAX;
        int r = is_poison
                        ? fail_poison(conductor, entry)
                        : outbox_put(conductor->outbox, entry, MESSAGE_HAND_BACK, SLICE_NULL, true);

        if (r < 0)
                log_full(LOG_ERR, r,
                         &(LogFields){ .source = conductor->source.name, .task_id = entry->id },
                         "cannot settle task %s, which the last daemon had in hand: %m", entry->id);
        return r >= 0 && !is_poison;
}

void conductor_recover(Conductor *conductor)
{
        unsigned n_handed_back = 0;

        OUTBOX_FOREACH (entry, conductor->outbox, OUTBOX_HELD) {
                n_handed_back += recover(conductor, entry);
        }
        if (n_handed_back > 0)
                log_event(LOG_NOTICE, (&(LogFields){ .source = conductor->source.name }),
                          "source %s: handing back %u task%s that the last daemon had in hand when "
                          "it died",
                          conductor->source.name, n_handed_back, PLURAL(n_handed_back));
}
