/* SPDX-License-Identifier: Apache-2.0 */

/* Are the tasks in hand still wanted? A server tells nobody that a workflow was terminated or a
 * task has timed out, so it is asked: whether as many of them are in progress as there are. That
 * is one small answer for a hundred tasks. Only where the number is too small does it list those
 * that it knows, and what is not among them is read by itself, since an index may be behind or know
 * nothing: no task is stopped for what the index alone says. One in turn is read in any case: the
 * index does not tell that someone else has it by now.
 *
 *   due ──▶ asks ──search──▶ in progress, all of them ─────────────────────▶ asked again later
 *             │                └─ fewer ──search, listed──▶ known ────────────▶ asked again later
 *             │                                              └─ not ──▶ look ─┬▶ asked again later
 *             └────────────── few of them, or no index ──────────────▶ look ─┴▶ stopped
 */

#include "source/conductor/clock.h"

#include <stdio.h>
#include "base/log.h"

/* Asked about again after this; what is due so soon anyway goes along. With the search and the
 * look that follow, an ended task is noticed within WATCH_PROMISE_USEC. */
#define WATCH_INTERVAL_USEC (2 * USEC_PER_SEC)
#define WATCH_SLACK_USEC    (500 * USEC_PER_MSEC)
#define WATCH_PROMISE_USEC  (5 * USEC_PER_SEC)

/* Tasks of one search: 100 ids make an address of 4 KB, of the 8 KB that servers and proxies take.
 * Where they are listed their inputs come along, so those are bounded, too. */
#define WATCH_GROUP       100
#define WATCH_QUERY_MAX   ((size_t)6000)
#define WATCH_GROUP_BYTES ((size_t)8 * 1024 * 1024)

/* So few are read one by one: that is no more work, and says more. */
#define WATCH_FEW 2

/* A server that seemed to have no index is searched again after this. */
#define WATCH_BLIND_USEC (60 * USEC_PER_SEC)

struct ConductorWatch {
        ListLink asks; /* ConductorTask.watch_link: due, the longest first */
        ServerCall *search;
        bool listing; /* the search under way lists them */
        Task *group[WATCH_GROUP];
        size_t n_group;          /* 0: no search is under way */
        size_t turn;             /* which of the next group is read in any case */
        bool unlisted;           /* the last listing knew none of its group */
        usec_t blind_until_usec; /* not searched before; 0: the index works, as far as is known */
};

bool watch_is_blind(const Conductor *conductor)
{
        return conductor->watch->blind_until_usec > 0;
}

usec_t watch_delay_usec(const Conductor *conductor)
{
        usec_t now = clock_monotonic_usec(), n = 0;

        if (!watch_is_blind(conductor))
                return WATCH_PROMISE_USEC;
        LIST_FOREACH (s, (ListLink *)&conductor->subscriptions) {
                LIST_FOREACH (t, &LIST_ENTRY(s, ConductorSubscription, link)->tasks) {
                        n += LIST_ENTRY(t, ConductorTask, link)->taken_usec + WATCH_FIRST_USEC <=
                             now;
                }
        }
        return WATCH_PROMISE_USEC + n * USEC_PER_SEC / LOOKS_PER_SEC;
}

/* Its holding, while it is the same. */
static ConductorTask *holding_of(const Conductor *conductor, const Task *task)
{
        ConductorTask *holding = conductor_find_task(conductor, slice_from_string(task->id));

        return holding && holding->task == task ? holding : NULL;
}

static void ask_later(ConductorTask *holding, usec_t now)
{
        holding->asked = false;
        holding->watch_usec = usec_add(now, WATCH_INTERVAL_USEC);
        clock_wake(holding->subscription->conductor, holding->watch_usec);
}

/* What a look says */

static CancelCause cause_of(const TaskView *view)
{
        if (view && slice_is(view->status, "CANCELED"))
                return CANCEL_ASKED;
        if (view && slice_is(view->status, "TIMED_OUT"))
                return CANCEL_DEADLINE;
        return CANCEL_SETTLED;
}

static void log_end(const ConductorTask *holding, const TaskView *view)
{
        const Task *task = holding->task;
        const LogFields fields = {
                .pool = holding->subscription->pool,
                .task_id = task->id,
                .task_type = task->type,
        };

        if (!view)
                log_event(LOG_INFO, &fields, "task %s (%s) is gone from the server: stopping it",
                          task->id, task->type);
        else if (slice_is(view->status, "IN_PROGRESS"))
                log_event(LOG_INFO, &fields,
                          "the server has given task %s (%s) to %.*s: stopping it", task->id,
                          task->type, (int)MIN(view->worker_id.size, (size_t)100),
                          view->worker_id.data ? view->worker_id.data : "");
        else
                log_event(LOG_INFO, &fields, "task %s (%s) is %.*s at the server: stopping it",
                          task->id, task->type, (int)MIN(view->status.size, (size_t)100),
                          view->status.data);
}

/* The server does not wait for it any more; view: NULL if it is gone. From here on nobody but the
 * pool knows of the task: what it says of it is stale. */
static void end(ConductorTask *holding, const TaskView *view)
{
        ConductorSubscription *subscription = conductor_subscription_ref(holding->subscription);
        Task *task = task_ref(holding->task);

        log_end(holding, view);
        subscription->status.n_canceled++;
        conductor_task_unlink(holding);
        outbox_forget(subscription->conductor->outbox, holding->entry);
        task->holding = NULL;
        (void)conductor_task_free(holding);
        if (subscription->callbacks.on_cancel)
                subscription->callbacks.on_cancel(&subscription->subscription, task, cause_of(view),
                                                  subscription->userdata);
        (void)task_unref(task);
        (void)conductor_subscription_unref(subscription);
}

static void turn_blind(Conductor *conductor, usec_t now)
{
        struct ConductorWatch *watch = conductor->watch;

        if (watch->blind_until_usec == 0)
                log_event(LOG_NOTICE, (&(LogFields){ .source = conductor->source.name }),
                          "source %s: the server's task search does not find tasks that are in "
                          "progress; each is asked about by itself",
                          conductor->source.name);
        watch->unlisted = false;
        watch->blind_until_usec = usec_add(now, WATCH_BLIND_USEC);
}

/* pollCount is not compared: a requeue hands a task in progress out again, to us as well. */
static void on_look(void *userdata, Verdict verdict, const TaskView *view)
{
        _cleanup_(task_unrefp) Task *task = userdata;
        ConductorTask *holding = task->holding;
        Conductor *conductor;
        usec_t now;

        if (!holding || !holding_of(holding->subscription->conductor, task))
                return; /* settled meanwhile */
        conductor = holding->subscription->conductor;
        if (verdict == VERDICT_MISSING) {
                end(holding, NULL);
                return;
        }
        now = clock_monotonic_usec();
        if (view && !task_view_is_held_by(view, holding->subscription->worker_id)) {
                end(holding, view);
                return;
        }
        if (view && conductor->watch && conductor->watch->unlisted)
                turn_blind(conductor, now);
        ask_later(holding, now);
}

static void look(Conductor *conductor, ConductorTask *holding)
{
        holding->asked = true;
        if (look_at(conductor, holding->task->id, on_look, task_ref(holding->task)) < 0) {
                (void)task_unref(holding->task);
                ask_later(holding, clock_monotonic_usec());
        }
}

/* Searches */

static bool is_plain(const char *id)
{
        return id[strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_")] ==
               '\0';
}

int watch_query_append(Buffer *buffer, Task *const *tasks, size_t n)
{
        int r = buffer_append_string(buffer, "taskId IN (");

        for (size_t i = 0; r >= 0 && i < n; i++) {
                if (i > 0)
                        r = buffer_append_byte(buffer, ',');
                if (r >= 0)
                        r = buffer_append_string(buffer, tasks[i]->id);
        }
        return r < 0 ? r : buffer_append_string(buffer, ") AND status IN (IN_PROGRESS)");
}

static int start_search(Conductor *conductor, bool listing)
{
        struct ConductorWatch *watch = conductor->watch;
        Buffer query = BUFFER_NULL(2 * WATCH_QUERY_MAX);
        _cleanup_free_ char *text = NULL, *escaped = NULL, *path = NULL;
        int r = watch_query_append(&query, watch->group, watch->n_group);

        text = r < 0 ? NULL : buffer_steal_string(&query);
        escaped = text ? server_escape(text) : NULL;
        buffer_deinit(&query);
        if (!escaped)
                return -ENOMEM;
        if (asprintf(&path, "/tasks/search?start=0&size=%zu&query=%s", listing ? watch->n_group : 0,
                     escaped) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        watch->listing = listing;
        r = server_call_set_path(watch->search, path);
        return r < 0 ? r : server_call_start(watch->search);
}

static void clear_group(struct ConductorWatch *watch)
{
        for (size_t i = 0; i < watch->n_group; i++)
                (void)task_unref(watch->group[i]);
        watch->n_group = 0;
}

/* All of them later. */
static void give_up_group(Conductor *conductor, usec_t now)
{
        struct ConductorWatch *watch = conductor->watch;

        for (size_t i = 0; i < watch->n_group; i++) {
                ConductorTask *holding = holding_of(conductor, watch->group[i]);

                if (holding)
                        ask_later(holding, now);
        }
        clear_group(watch);
}

/* What the search did not vouch for is read. */
static void look_at_group(Conductor *conductor, const bool *known)
{
        struct ConductorWatch *watch = conductor->watch;
        size_t turn = watch->turn++ % watch->n_group;
        usec_t now = clock_monotonic_usec();

        for (size_t i = 0; i < watch->n_group; i++) {
                ConductorTask *holding = holding_of(conductor, watch->group[i]);

                if (!holding)
                        continue;
                if (known[i] && i != turn)
                        ask_later(holding, now);
                else
                        look(conductor, holding);
        }
}

static void match_rows(const struct ConductorWatch *watch, Slice results, bool *known)
{
        Slice row;

        JSON_FOREACH_ELEMENT (row, results) {
                Slice id =
                        json_type_of(row) == JSON_OBJECT ? json_member(row, "taskId") : SLICE_NULL;

                if (!id.data || json_raw_string(id, &id) < 0)
                        continue;
                for (size_t i = 0; i < watch->n_group; i++)
                        if (slice_is(id, watch->group[i]->id))
                                known[i] = true;
        }
}

/* "totalHits" and "results" of an answer; -EBADMSG. */
static int cut_answer(Slice body, int64_t *ret_n_hits, Slice *ret_results)
{
        Slice hits, results;

        if (json_check(body, NULL) < 0 || json_type_of(body) != JSON_OBJECT)
                return -EBADMSG;
        hits = json_member(body, "totalHits");
        results = json_member(body, "results");
        if (!hits.data || json_to_int64(hits, ret_n_hits) < 0 || !results.data ||
            json_type_of(results) != JSON_ARRAY)
                return -EBADMSG;
        *ret_results = results;
        return 0;
}

static void note_answer(Conductor *conductor, Slice body)
{
        struct ConductorWatch *watch = conductor->watch;
        bool known[WATCH_GROUP] = { false };
        int64_t n_hits;
        Slice results;
        size_t n = 0;

        if (cut_answer(body, &n_hits, &results) < 0) {
                turn_blind(conductor, clock_monotonic_usec());
        } else if (!watch->listing && n_hits >= (int64_t)watch->n_group) {
                memset(known, true, sizeof(known));
                watch->unlisted = false;
                watch->blind_until_usec = 0;
        } else if (!watch->listing) {
                if (start_search(conductor, true) >= 0)
                        return;
        } else {
                match_rows(watch, results, known);
                for (size_t i = 0; i < watch->n_group; i++)
                        n += known[i];
                watch->unlisted = n == 0;
                if (n > 0)
                        watch->blind_until_usec = 0;
        }
        look_at_group(conductor, known);
        clear_group(watch);
}

static void on_search(ServerCall *call, Verdict verdict, const HttpAnswer *answer, void *userdata)
{
        Conductor *conductor = userdata;
        usec_t now = clock_monotonic_usec();

        if (verdict == VERDICT_DONE)
                note_answer(conductor, answer->body);
        else {
                if ((verdict != VERDICT_AWAY && verdict != VERDICT_BUSY) ||
                    answer_is_withheld(answer))
                        turn_blind(conductor, now);
                give_up_group(conductor, now);
        }
        watch_run(conductor, now);
}

/* Which go into a search */

static size_t fill_group(struct ConductorWatch *watch)
{
        size_t bytes = 0, query = 0;

        while (watch->n_group < WATCH_GROUP && !list_is_empty(&watch->asks)) {
                ConductorTask *holding = LIST_FIRST(&watch->asks, ConductorTask, watch_link);
                const Task *task = holding->task;

                bytes += task->json.size;
                query += strlen(task->id) + 3; /* and an escaped comma */
                if (watch->n_group > 0 && (bytes > WATCH_GROUP_BYTES || query > WATCH_QUERY_MAX))
                        break;
                list_remove(&holding->watch_link);
                holding->asked = true;
                watch->group[watch->n_group++] = task_ref(holding->task);
        }
        return watch->n_group;
}

/* Moves what is due, or nearly so, to asks. */
static void queue_due(Conductor *conductor, usec_t now)
{
        LIST_FOREACH (s, &conductor->subscriptions) {
                LIST_FOREACH (t, &LIST_ENTRY(s, ConductorSubscription, link)->tasks) {
                        ConductorTask *holding = LIST_ENTRY(t, ConductorTask, link);

                        if (holding->asked || holding->watch_usec > usec_add(now, WATCH_SLACK_USEC))
                                continue;
                        holding->watch_usec = USEC_INFINITY;
                        list_append(&conductor->watch->asks, &holding->watch_link);
                }
        }
}

static bool must_look(const struct ConductorWatch *watch, const ConductorTask *holding, usec_t now)
{
        return now < watch->blind_until_usec || !is_plain(holding->task->id);
}

static void pass_over(struct ConductorWatch *watch, usec_t now)
{
        while (!list_is_empty(&watch->asks)) {
                ConductorTask *holding = LIST_FIRST(&watch->asks, ConductorTask, watch_link);

                list_remove(&holding->watch_link);
                ask_later(holding, now);
        }
}

static void ask(Conductor *conductor, usec_t now)
{
        struct ConductorWatch *watch = conductor->watch;
        size_t n = 0;

        LIST_FOREACH_SAFE (i, &watch->asks) {
                ConductorTask *holding = LIST_ENTRY(i, ConductorTask, watch_link);

                if (must_look(watch, holding, now)) {
                        list_remove(&holding->watch_link);
                        look(conductor, holding);
                } else
                        n++;
        }
        if (n > WATCH_FEW) {
                (void)fill_group(watch);
                if (start_search(conductor, false) < 0)
                        give_up_group(conductor, now);
                return;
        }
        LIST_FOREACH_SAFE (i, &watch->asks) {
                list_remove(i);
                look(conductor, LIST_ENTRY(i, ConductorTask, watch_link));
        }
}

void watch_run(Conductor *conductor, usec_t now_usec)
{
        struct ConductorWatch *watch = conductor->watch;

        queue_due(conductor, now_usec);
        if (!server_may_send(conductor->server))
                pass_over(watch, now_usec);
        else if (watch->n_group == 0)
                ask(conductor, now_usec);
}

int watch_new(Conductor *conductor)
{
        struct ConductorWatch *watch = calloc(1, sizeof(*watch));
        int r;

        if (!watch)
                return -ENOMEM;
        conductor->watch = watch;
        list_init(&watch->asks);
        r = server_call_new(&watch->search, conductor->server, HTTP_GET, on_search, conductor);
        if (r < 0)
                return r;
        server_call_set_repeatable(watch->search, true);
        return 0;
}

void watch_free(Conductor *conductor)
{
        struct ConductorWatch *watch = conductor->watch;

        if (!watch)
                return;
        (void)server_call_free(watch->search);
        clear_group(watch);
        while (list_pop_first(&watch->asks))
                ;
        free(watch);
        conductor->watch = NULL;
}
