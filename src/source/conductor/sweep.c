/* SPDX-License-Identifier: Apache-2.0 */

/* Tasks that were handed to us in an answer that never reached us: the server has them in progress
 * with our worker id, until their response time-out. After each call that ended without a readable
 * answer, and at start, its task search is asked for such tasks: at once, and again later, since a
 * server goes on giving out tasks for as long as a poll that was cut off would have lasted, and its
 * index may be behind.
 *
 *   suspicion ──due──▶ search, page by page ──strays──▶ calls under way have ended ──▶ look ─▶ hand
 *                                                                                       back
 *
 * stray.c says which of them are none. */

#include "source/conductor/sweep.h"

#include <stdio.h>
#include "base/log.h"
#include "base/strv.h"

/* Looks after a suspicion. One that is due this little later than another serves both. */
static const usec_t look_delays_usec[] = { 0, 5 * USEC_PER_SEC, 30 * USEC_PER_SEC };
#define SWEEP_MERGE_USEC (2 * USEC_PER_SEC)
#define SWEEP_LOOKS_MAX  32

/* One that came so late, with the server away, is followed by another. */
#define SWEEP_LATE_USEC   (5 * USEC_PER_SEC)
#define SWEEP_AGAIN_USEC  (5 * USEC_PER_SEC)
#define SWEEP_FAILED_USEC (2 * USEC_PER_SEC)

/* The tasks in progress of a type, everybody's: the latest of them. */
#define SWEEP_PAGE      100
#define SWEEP_PAGES_MAX 20

struct Suspicion {
        ListLink link;
        ConductorSubscription *subscription; /* counted */
        usec_t due_usec[SWEEP_LOOKS_MAX];
        size_t n_due;
};

/* When to look: pure */

void sweep_plan(usec_t due_usec[], size_t *n_due, size_t max, usec_t now_usec)
{
        for (size_t i = 0; i < ELEMENTSOF(look_delays_usec) && *n_due < max; i++) {
                usec_t at = usec_add(now_usec, look_delays_usec[i]);
                bool served = false;

                for (size_t j = 0; j < *n_due; j++)
                        served |= due_usec[j] >= at && due_usec[j] - at <= SWEEP_MERGE_USEC;
                if (!served)
                        due_usec[(*n_due)++] = at;
        }
}

static usec_t first_due(const Suspicion *suspicion)
{
        usec_t first = USEC_INFINITY;

        for (size_t i = 0; i < suspicion->n_due; i++)
                first = MIN(first, suspicion->due_usec[i]);
        return first;
}

static void add_due(Suspicion *suspicion, usec_t at)
{
        if (suspicion->n_due < SWEEP_LOOKS_MAX)
                suspicion->due_usec[suspicion->n_due++] = at;
}

/* The looks that are due by now are one. */
static void take_due(Suspicion *suspicion, usec_t now)
{
        usec_t first = first_due(suspicion);
        size_t n = 0;

        for (size_t i = 0; i < suspicion->n_due; i++)
                if (suspicion->due_usec[i] > now)
                        suspicion->due_usec[n++] = suspicion->due_usec[i];
        suspicion->n_due = n;
        if (now - first > SWEEP_LATE_USEC)
                add_due(suspicion, usec_add(now, SWEEP_AGAIN_USEC));
}

static void suspicion_free(Suspicion *suspicion)
{
        list_remove(&suspicion->link);
        (void)conductor_subscription_unref(suspicion->subscription);
        free(suspicion);
}

static void arm(Conductor *conductor)
{
        struct ConductorSweep *sweep = conductor->sweep;
        usec_t wake = stray_wake_usec(conductor);

        if (!sweep->subject && server_may_send(conductor->server))
                LIST_FOREACH (i, &sweep->suspicions) {
                        wake = MIN(wake, first_due(LIST_ENTRY(i, Suspicion, link)));
                }
        if (wake < USEC_INFINITY)
                (void)sd_event_source_set_time(sweep->timer, wake);
        (void)sd_event_source_set_enabled(sweep->timer,
                                          wake < USEC_INFINITY ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* Search */

static bool is_searchable(const char *type)
{
        return !type[strcspn(type, "'\"(),=<>\\")];
}

/* The worker id cannot be asked for: indexes do not have it (measured). Without the types where one
 * of them cannot be written in a query. */
int sweep_query_append(Buffer *buffer, char *const *types)
{
        int r = buffer_append_string(buffer, "status IN (IN_PROGRESS)");

        STRV_FOREACH (type, types)
                if (!is_searchable(*type))
                        return r;
        STRV_FOREACH (type, types) {
                if (r >= 0)
                        r = buffer_append_string(buffer,
                                                 type == types ? " AND taskType IN (" : ",");
                if (r >= 0)
                        r = buffer_append_string(buffer, *type);
        }
        return r < 0 ? r : buffer_append_byte(buffer, ')');
}

static int start_search(Conductor *conductor)
{
        struct ConductorSweep *sweep = conductor->sweep;
        Buffer query = BUFFER_NULL(OUTBOX_HEAD_MAX);
        _cleanup_free_ char *text = NULL, *escaped = NULL, *path = NULL;
        int r = sweep_query_append(&query, sweep->subject->subscription->types);

        text = r < 0 ? NULL : buffer_steal_string(&query);
        escaped = text ? server_escape(text) : NULL;
        buffer_deinit(&query);
        if (!escaped)
                return -ENOMEM;
        if (asprintf(&path, "/tasks/search-v2?start=%u&size=%u&sort=updateTime:DESC&query=%s",
                     sweep->n_pages * SWEEP_PAGE, SWEEP_PAGE, escaped) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = server_call_set_path(sweep->search, path);
        return r < 0 ? r : server_call_start(sweep->search);
}

/* The number of rows, or -EBADMSG. */
static int take_page(Conductor *conductor, Slice body)
{
        struct ConductorSweep *sweep = conductor->sweep;
        ConductorSubscription *subscription = sweep->subject->subscription;
        Slice results, row;
        int n = 0;

        if (json_check(body, NULL) < 0 || json_type_of(body) != JSON_OBJECT)
                return -EBADMSG;
        results = json_member(body, "results");
        if (!results.data || json_type_of(results) != JSON_ARRAY)
                return -EBADMSG;
        JSON_FOREACH_ELEMENT (row, results) {
                TaskView view;

                n++;
                if (task_view_parse(row, &view) < 0 ||
                    !task_view_is_held_by(&view, subscription->worker_id) ||
                    conductor_find_task(conductor, view.id))
                        continue;
                if (stray_add(subscription, &view) < 0)
                        return -ENOMEM;
        }
        return n;
}

static void end_search(Conductor *conductor, usec_t again_usec)
{
        struct ConductorSweep *sweep = conductor->sweep;
        Suspicion *subject = TAKE_PTR(sweep->subject);

        if (again_usec > 0)
                add_due(subject, again_usec);
        if (subject->n_due == 0)
                suspicion_free(subject);
        else
                list_append(&sweep->suspicions, &subject->link);
        stray_look(conductor);
        arm(conductor);
}

static void note_refused(Conductor *conductor)
{
        if (!conductor->sweep->refused)
                log_event(LOG_NOTICE, (&(LogFields){ .source = conductor->source.name }),
                          "source %s: the server does not search tasks; those that it gives out in "
                          "an answer that never comes wait for their response timeout",
                          conductor->source.name);
        conductor->sweep->refused = true;
}

static void on_search(ServerCall *call, Verdict verdict, const HttpAnswer *answer, void *userdata)
{
        Conductor *conductor = userdata;
        struct ConductorSweep *sweep = conductor->sweep;
        usec_t again = usec_add(clock_monotonic_usec(), SWEEP_FAILED_USEC);
        int n;

        if (verdict == VERDICT_AWAY || verdict == VERDICT_BUSY) {
                if (answer_is_withheld(answer))
                        note_refused(conductor);
                end_search(conductor, again);
                return;
        }
        n = verdict == VERDICT_DONE ? take_page(conductor, answer->body) : -EBADMSG;
        if (n == -EBADMSG)
                note_refused(conductor);
        else
                sweep->refused = false;
        stray_set_barrier(conductor);
        if (n == SWEEP_PAGE && ++sweep->n_pages < SWEEP_PAGES_MAX && start_search(conductor) >= 0)
                return;
        end_search(conductor, n == -ENOMEM ? again : 0);
}

/* The suspicion whose look is due first, if any is. */
static Suspicion *find_due(struct ConductorSweep *sweep, usec_t now)
{
        Suspicion *found = NULL;

        LIST_FOREACH (i, &sweep->suspicions) {
                Suspicion *suspicion = LIST_ENTRY(i, Suspicion, link);

                if (first_due(suspicion) <= now &&
                    (!found || first_due(suspicion) < first_due(found)))
                        found = suspicion;
        }
        return found;
}

void sweep_run(Conductor *conductor)
{
        struct ConductorSweep *sweep = conductor->sweep;
        usec_t now = clock_monotonic_usec();
        Suspicion *due;

        stray_look(conductor);
        if (!sweep->subject && server_may_send(conductor->server) && (due = find_due(sweep, now))) {
                list_remove(&due->link);
                take_due(due, now);
                sweep->subject = due;
                sweep->n_pages = 0;
                if (start_search(conductor) < 0) {
                        end_search(conductor, usec_add(now, SWEEP_FAILED_USEC));
                        return;
                }
        }
        arm(conductor);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        sweep_run(userdata);
        return 0;
}

static Suspicion *find_suspicion(struct ConductorSweep *sweep,
                                 const ConductorSubscription *subscription)
{
        if (sweep->subject && sweep->subject->subscription == subscription)
                return sweep->subject;
        LIST_FOREACH (i, &sweep->suspicions) {
                Suspicion *suspicion = LIST_ENTRY(i, Suspicion, link);

                if (suspicion->subscription == subscription)
                        return suspicion;
        }
        return NULL;
}

void conductor_suspect(ConductorSubscription *subscription)
{
        Conductor *conductor = subscription->conductor;
        Suspicion *suspicion;

        if (!conductor->sweep || conductor->config->conductor.worker_id)
                return;
        suspicion = find_suspicion(conductor->sweep, subscription);
        if (!suspicion) {
                suspicion = malloc(sizeof(*suspicion));
                if (!suspicion)
                        return; /* the response time-out is left */
                *suspicion = (Suspicion){
                        .subscription = conductor_subscription_ref(subscription),
                };
                list_append(&conductor->sweep->suspicions, &suspicion->link);
        }
        sweep_plan(suspicion->due_usec, &suspicion->n_due, SWEEP_LOOKS_MAX, clock_monotonic_usec());
        arm(conductor);
}

void sweep_resume(Conductor *conductor)
{
        arm(conductor);
}

const char *sweep_problem(const Conductor *conductor)
{
        if (conductor->config->conductor.worker_id)
                return "worker_id is configured";
        if (conductor->sweep->refused)
                return "the server does not search tasks";
        if (watch_is_blind(conductor))
                return "the server's task search does not know them";
        return NULL;
}

int sweep_new(Conductor *conductor)
{
        struct ConductorSweep *sweep = calloc(1, sizeof(*sweep));
        int r;

        if (!sweep)
                return -ENOMEM;
        conductor->sweep = sweep;
        list_init(&sweep->suspicions);
        list_init(&sweep->strays);
        list_init(&sweep->returned);
        if ((r = server_call_new(&sweep->search, conductor->server, HTTP_GET, on_search,
                                 conductor)) < 0 ||
            (r = sd_event_add_time(conductor->event, &sweep->timer, CLOCK_MONOTONIC, 0,
                                   USEC_PER_MSEC, on_timer, conductor)) < 0 ||
            (r = sd_event_source_set_enabled(sweep->timer, SD_EVENT_OFF)) < 0)
                return r;
        (void)sd_event_source_set_description(sweep->timer, "conductor-sweep");
        server_call_set_repeatable(sweep->search, true);
        return 0;
}

void sweep_free(Conductor *conductor)
{
        struct ConductorSweep *sweep = TAKE_PTR(conductor->sweep);

        if (!sweep)
                return;
        (void)server_call_free(sweep->search);
        (void)sd_event_source_disable_unref(sweep->timer);
        stray_free_all(sweep);
        while (!list_is_empty(&sweep->suspicions))
                suspicion_free(LIST_FIRST(&sweep->suspicions, Suspicion, link));
        if (sweep->subject)
                suspicion_free(sweep->subject);
        free(sweep);
}
