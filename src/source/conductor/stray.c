/* SPDX-License-Identifier: Apache-2.0 */

/* A stray: a task that the server calls ours and that we do not know of. One that a poll is just
 * bringing looks the same: so it has to be unknown, and to be the same handing out, when every call
 * that was under way at the search has been answered and taken. One that a cut-off poll is just
 * bringing, to nobody, looks the same, too: the server shows its tasks as in progress one by one,
 * and takes their messages out of its queue at the end. A hand-back in between is lost with the
 * message, and the task waits for ever (measured): so it has to be the same handing out after
 * STRAY_RIPE_USEC. A server may be slower than that: one that nobody was given STRAY_CHECK_USEC
 * later is handed back once more. */

#include "base/log.h"
#include "base/strv.h"
#include "source/conductor/sweep.h"

/* A server's poll of many tasks was seen to take a second from the first to the last. */
#define STRAY_RIPE_USEC  (5 * USEC_PER_SEC)
#define STRAY_CHECK_USEC (15 * USEC_PER_SEC)

/* How often it is seen whether the calls under way have ended. */
#define STRAY_WAIT_USEC (20 * USEC_PER_MSEC)

typedef struct Stray {
        ListLink link;
        ConductorSubscription *subscription; /* counted */
        int64_t poll_count;
        uint64_t barrier; /* the last call that was under way when it was found */
        usec_t ripe_usec; /* not looked at before */
        bool returned;    /* handed back once */
        char *id;
} Stray;

static Stray *stray_free(Stray *stray)
{
        if (!stray)
                return NULL;
        list_remove(&stray->link);
        (void)conductor_subscription_unref(stray->subscription);
        free(stray->id);
        free(stray);
        return NULL;
}
DEFINE_CLEANUP(Stray *, stray_free);

/* What the server writes of its own has no escapes. */
static bool is_plain(Slice text)
{
        return !text.data || !memchr(text.data, '\\', text.size);
}

void stray_set_barrier(Conductor *conductor)
{
        LIST_FOREACH (i, &conductor->sweep->strays) {
                Stray *stray = LIST_ENTRY(i, Stray, link);

                if (stray->barrier == UINT64_MAX)
                        stray->barrier = conductor->n_fetches;
        }
}

usec_t stray_wake_usec(const Conductor *conductor)
{
        const struct ConductorSweep *sweep = conductor->sweep;
        usec_t wake = USEC_INFINITY;

        if (!list_is_empty(&sweep->strays))
                wake = MAX(LIST_FIRST(&sweep->strays, Stray, link)->ripe_usec,
                           usec_add(clock_monotonic_usec(), STRAY_WAIT_USEC));
        if (!list_is_empty(&sweep->returned))
                wake = MIN(wake, LIST_FIRST(&sweep->returned, Stray, link)->ripe_usec);
        return wake;
}

void stray_free_all(struct ConductorSweep *sweep)
{
        while (!list_is_empty(&sweep->strays))
                (void)stray_free(LIST_FIRST(&sweep->strays, Stray, link));
        while (!list_is_empty(&sweep->returned))
                (void)stray_free(LIST_FIRST(&sweep->returned, Stray, link));
}

static bool is_stray(const struct ConductorSweep *sweep, const TaskView *view)
{
        LIST_FOREACH (i, (ListLink *)&sweep->strays) {
                const Stray *stray = LIST_ENTRY(i, Stray, link);

                if (stray->poll_count == view->poll_count && slice_is(view->id, stray->id))
                        return true;
        }
        return false;
}

int stray_add(ConductorSubscription *subscription, const TaskView *view)
{
        struct ConductorSweep *sweep = subscription->conductor->sweep;
        Stray *stray;

        if (!is_plain(view->id) || is_stray(sweep, view))
                return 0;
        stray = malloc(sizeof(*stray));
        if (!stray)
                return -ENOMEM;
        *stray = (Stray){
                .subscription = conductor_subscription_ref(subscription),
                .poll_count = view->poll_count,
                .barrier = UINT64_MAX,
                .ripe_usec = usec_add(clock_monotonic_usec(), STRAY_RIPE_USEC),
                .id = strndup(view->id.data, view->id.size),
        };
        if (!stray->id) {
                (void)stray_free(stray);
                return -ENOMEM;
        }
        list_append(&sweep->strays, &stray->link);
        return 0;
}

/* Neither in a pool's hands, nor with a message about it on its way. */
static bool is_unknown(const Conductor *conductor, const Stray *stray)
{
        return !outbox_knows(conductor->outbox, stray->id) &&
               !conductor_find_task(conductor, slice_from_string(stray->id));
}

static const char *type_of(const ConductorSubscription *subscription, const TaskView *view)
{
        STRV_FOREACH (type, subscription->types)
                if (view->type.data && json_key_is(view->type, *type))
                        return *type;
        return NULL;
}

/* Hand back */

static int append_bodies(const Stray *stray, const TaskView *view, const char *type, Buffer *head,
                         Buffer *body)
{
        const MessageHead message = {
                .workflow_id = view->workflow_id,
                .type = slice_from_string(type),
                .domain = view->domain,
                .worker_id = slice_from_string(stray->subscription->worker_id),
                .poll_count = view->poll_count,
        };
        int64_t delay = hand_back_delay_sec(clock_epoch_msec(), view->scheduled_msec,
                                            view->poll_timeout_sec);
        int r = message_head_append(head, &message);

        return r < 0 ? r : hand_back_append(body, &message, stray->id, view->output, delay);
}

static int put_back(Conductor *conductor, const Stray *stray, const TaskView *view,
                    const char *type)
{
        Buffer head = BUFFER_NULL(OUTBOX_HEAD_MAX), body = BUFFER_NULL(HTTP_ANSWER_MAX);
        OutboxEntry *entry;
        int r = append_bodies(stray, view, type, &head, &body);

        if (r >= 0)
                r = outbox_hold(conductor->outbox, stray->id, buffer_slice(&head), &entry);
        if (r >= 0) {
                /* it never ran: what is remembered of daemons that died over it stays so */
                r = outbox_put(conductor->outbox, entry, MESSAGE_HAND_BACK, buffer_slice(&body),
                               entry->n_crashes > 0);
                if (r < 0)
                        outbox_forget(conductor->outbox, entry);
        }
        buffer_deinit(&head);
        buffer_deinit(&body);
        return r;
}

static void hand_back(Conductor *conductor, const Stray *stray, const TaskView *view)
{
        ConductorSubscription *subscription = stray->subscription;
        const char *type = type_of(subscription, view);
        const LogFields fields = {
                .pool = subscription->pool,
                .task_id = stray->id,
                .task_type = type,
                .status = "HANDED_BACK",
        };
        int r;

        if (!type || !view->workflow_id.data || !is_plain(view->workflow_id) ||
            !is_plain(view->domain))
                return;
        r = put_back(conductor, stray, view, type);
        if (r < 0) {
                log_full(LOG_ERR, r, &fields,
                         "cannot hand back task %s (%s), its response timeout will: %m", stray->id,
                         type);
                return;
        }
        if (stray->returned)
                return;
        subscription->status.n_handed_back++;
        log_event(LOG_NOTICE, &fields,
                  "task %s (%s) handed back: it was given to us in an answer that never came",
                  stray->id, type);
}

/* Its message may have been lost in the server's queue; if not, this only moves it a second. */
static void check_returned(Conductor *conductor, Stray *stray, const TaskView *view)
{
        if (slice_is(view->status, "SCHEDULED") && view->poll_count == stray->poll_count &&
            is_unknown(conductor, stray))
                hand_back(conductor, stray, view);
}

static void look_again(Conductor *conductor, Stray *stray, ListLink *list, usec_t delay_usec)
{
        stray->ripe_usec = usec_add(clock_monotonic_usec(), delay_usec);
        list_append(list, &stray->link);
        sweep_resume(conductor);
}

static void on_look(void *userdata, Verdict verdict, const TaskView *view)
{
        _cleanup_(stray_freep) Stray *stray = userdata;
        Conductor *conductor = stray->subscription->conductor;
        struct ConductorSweep *sweep = conductor->sweep;

        if (verdict == VERDICT_AWAY || verdict == VERDICT_BUSY) {
                if (stray->returned)
                        look_again(conductor, TAKE_PTR(stray), &sweep->returned, STRAY_CHECK_USEC);
                else
                        look_again(conductor, TAKE_PTR(stray), &sweep->strays, STRAY_RIPE_USEC);
                return;
        }
        if (!view)
                return;
        if (stray->returned) {
                check_returned(conductor, stray, view);
                return;
        }
        if (!task_view_is_held_by(view, stray->subscription->worker_id) ||
            view->poll_count != stray->poll_count || !is_unknown(conductor, stray))
                return;
        hand_back(conductor, stray, view);
        stray->returned = true;
        stray->barrier = 0;
        look_again(conductor, TAKE_PTR(stray), &sweep->returned, STRAY_CHECK_USEC);
}

/* Those that are ripe, and that no call under way can bring any more, are read once more, each by
 * itself. */
static void look_at_ripe(Conductor *conductor, ListLink *strays)
{
        usec_t now = clock_monotonic_usec();

        while (!list_is_empty(strays)) {
                Stray *stray = LIST_FIRST(strays, Stray, link);

                if (stray->ripe_usec > now || fetch_is_under_way(conductor, stray->barrier))
                        break;
                list_remove(&stray->link);
                if (!is_unknown(conductor, stray) ||
                    look_at(conductor, stray->id, on_look, stray) < 0)
                        (void)stray_free(stray);
        }
}

void stray_look(Conductor *conductor)
{
        look_at_ripe(conductor, &conductor->sweep->strays);
        look_at_ripe(conductor, &conductor->sweep->returned);
}
