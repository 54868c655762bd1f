/* SPDX-License-Identifier: Apache-2.0 */

/* When and how to ask for tasks.
 *
 * SQLite and Postgres hold a batch until it is full or its time is over, so a server is asked in
 * two ways that every backend answers promptly (measured): one task, waiting at the server, while
 * there is nothing to do; and as many as there is credit for, without waiting, once a poll has
 * brought something. A poll that brought less than it asked for leads back to waiting. While
 * update-v2 brings the next task with the answer to the last, there is no credit left to poll for.
 *
 * A poll is never cut off: what it would have brought is in progress on the server, with nobody. */

#include "source/conductor/internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include "base/log.h"

/* The server refuses to wait longer. */
#define POLL_TIMEOUT_MAX_USEC (5 * USEC_PER_SEC)

/* How long a waiting poll lasts while there is credit for fewer polls than there are types. */
#define POLL_TIMEOUT_SHARED_USEC (200 * USEC_PER_MSEC)

/* A domain counts as dead 10 s after its last poll ended. */
#define POLL_DOMAIN_USEC (8 * USEC_PER_SEC)

/* A server that has gone away is not expected to answer so long after the time of a poll. */
#define POLL_AWAY_USEC USEC_PER_SEC

/* Refused polls: a pause of its own for each type, the server may be well otherwise. */
static const Backoff refused_backoff = { USEC_PER_SEC, USEC_PER_MINUTE };
/* Connections end; one that does is no reason to wait. */
static const Backoff unanswered_backoff = { 50 * USEC_PER_MSEC, 30 * USEC_PER_SEC };
/* Polls that should have waited and came back empty at once: a task over its concurrentExecLimit
 * ends a poll early (measured), again and again. */
#define POLL_EARLY_MAX_USEC (2 * USEC_PER_SEC)

/* So much of an answer that makes no sense is shown. */
#define NONSENSE_MAX 100

/* While there is a backlog, places that become free one by one are gathered for so long, until half
 * of them are: a poll for each would cost as much as its task. */
#define POLL_GATHER_USEC (2 * USEC_PER_MSEC)

/* How long an answer that was too big keeps the next ones small; then twice as many may come. */
#define POLL_MOST_USEC (5 * USEC_PER_MINUTE)

struct Poll {
        ConductorSubscription *subscription; /* counted while a call is under way */
        const char *type;                    /* the subscription's */
        char *path;                          /* up to the value of count */
        ServerCall *call;
        FetchMark fetch;
        unsigned count; /* asked for, and places kept, by the call under way */
        bool waits;     /* the call under way waits at the server */
        usec_t timeout_usec;
        usec_t started_usec;
        usec_t ended_usec; /* of the last; 0: none yet */
        usec_t due_usec;   /* not before */
        bool more;         /* the last brought all that it asked for: there may be more */
        unsigned most; /* of one answer, because more did not fit into one; 0: as many as may be */
        usec_t most_usec;   /* when it was set */
        usec_t gather_usec; /* since when it waits for more places; 0: it does not */
        unsigned n_early;
        unsigned n_refused;    /* in a row */
        unsigned n_unanswered; /* in a row */
};

unsigned subscription_free_places(const ConductorSubscription *subscription)
{
        return subscription->credit > subscription->n_reserved
                       ? subscription->credit - subscription->n_reserved
                       : 0;
}

bool poll_is_running(const Poll *poll)
{
        return poll->call && server_call_is_running(poll->call);
}

static void set_problem(ConductorSubscription *subscription, const char *text)
{
        if (!text && !subscription->problem)
                return;
        free(subscription->problem);
        subscription->problem = text ? strdup(text) : NULL;
}

/* problem: what the server says, or what is wrong with that. */
static void pause_refused(Poll *poll, const char *problem, usec_t now)
{
        ConductorSubscription *subscription = poll->subscription;

        if (poll->n_refused++ == 0)
                log_full(LOG_WARNING, 0,
                         &(LogFields){ .pool = subscription->pool, .task_type = poll->type },
                         "%s; tried again with growing pauses", problem);
        set_problem(subscription, problem);
        poll->due_usec =
                usec_add(now, backoff_delay(&refused_backoff, poll->n_refused, random_u64()));
}

static void note_refusal(Poll *poll, const HttpAnswer *answer, usec_t now)
{
        char text[300], problem[600];

        answer_explain(answer, text, sizeof(text));
        (void)snprintf(problem, sizeof(problem),
                       "the server refuses to give out tasks of type %s: %s", poll->type, text);
        pause_refused(poll, problem, now);
}

/* Tasks may hold secrets: what could be the beginning of some is shown to nobody. */
static bool may_be_tasks(Slice body)
{
        for (size_t i = 0; i < body.size; i++)
                if (!strchr(" \t\r\n", body.data[i]))
                        return body.data[i] == '[' || body.data[i] == '{';
        return true;
}

/* An answer, but not of tasks. */
static void note_nonsense(Poll *poll, const HttpAnswer *answer, usec_t now)
{
        char begin[NONSENSE_MAX + 1], problem[600];
        size_t n = may_be_tasks(answer->body) ? 0 : MIN(answer->body.size, (size_t)NONSENSE_MAX);

        for (size_t i = 0; i < n; i++)
                begin[i] = answer->body.data[i] >= ' ' && answer->body.data[i] < 0x7f
                                   ? answer->body.data[i]
                                   : '?';
        begin[n] = '\0';
        (void)snprintf(problem, sizeof(problem),
                       "the answer to a poll for tasks of type %s is no list of tasks: HTTP %u, "
                       "%zu bytes%s%s; see the log of the server, or of the proxy before it",
                       poll->type, answer->status, answer->body.size, n > 0 ? ": " : "", begin);
        pause_refused(poll, problem, now);
}

/* No answer, or none of the server's, though others get theirs: else the server is away, and on_up
 * tells when it is back. */
static void pause_unanswered(Poll *poll, const HttpAnswer *answer, usec_t now)
{
        if (answer_permission(answer) == PERMISSION_DENIED)
                note_refusal(poll, answer, now);
        else
                poll->due_usec = usec_add(now, backoff_delay(&unanswered_backoff,
                                                             ++poll->n_unanswered, random_u64()));
}

/* An answer that was waited for came empty long before its time. */
static void pause_early(Poll *poll, usec_t now)
{
        const ConductorSubscription *subscription = poll->subscription;
        Backoff backoff = { MAX(subscription->poll_interval_usec, 10 * USEC_PER_MSEC),
                            POLL_EARLY_MAX_USEC };

        poll->due_usec = usec_add(now, backoff_delay(&backoff, ++poll->n_early, random_u64()));
}

static void note_answer(Poll *poll, unsigned n, usec_t now)
{
        ConductorSubscription *subscription = poll->subscription;
        usec_t took = now - poll->started_usec;

        poll->n_refused = poll->n_unanswered = 0;
        set_problem(subscription, NULL);
        subscription->status.last_poll_usec = now;
        poll->more = n > 0 && n >= poll->count;
        if (n > 0) {
                poll->n_early = 0;
                if (!poll->waits)
                        subscription->status.poll_latency_usec = took;
                return;
        }
        if (poll->waits && took < poll->timeout_usec / 2)
                pause_early(poll, now);
        else if (poll->waits)
                poll->n_early = 0;
        else if (subscription->poll_timeout_usec == 0)
                poll->due_usec = usec_add(now, subscription->poll_interval_usec);
}

static void on_answer(ServerCall *call, Verdict verdict, const HttpAnswer *answer, void *userdata)
{
        Poll *poll = userdata;
        ConductorSubscription *subscription = poll->subscription;
        usec_t now = clock_monotonic_usec();
        unsigned n = 0;
        int r = -EIO;

        poll->ended_usec = now;
        subscription_unreserve(subscription, poll->count);
        if (verdict == VERDICT_DONE)
                r = conductor_take(subscription, answer->body, &n);
        if (r >= 0) {
                note_answer(poll, n, now);
        } else if (answer->failure == HTTP_FAILED_TOO_BIG && poll->count > 1) {
                /* what it brought is found, and comes again */
                poll->most = poll->count / 2;
                poll->most_usec = now;
                conductor_suspect(subscription);
        } else {
                poll->more = false;
                if (answer->sent && verdict != VERDICT_REFUSED && verdict != VERDICT_MISSING)
                        conductor_suspect(subscription);
                if (verdict == VERDICT_DONE)
                        note_nonsense(poll, answer, now);
                else if (verdict != VERDICT_AWAY)
                        note_refusal(poll, answer, now);
                else
                        pause_unanswered(poll, answer, now);
        }
        fetch_end(&poll->fetch);
        subscription_poll(subscription);
        (void)conductor_subscription_unref(subscription);
}

/* count 0 takes nothing and keeps a domain alive (measured). */
static int start(Poll *poll, unsigned count, usec_t timeout_usec)
{
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s&count=%u&timeout=%" PRIu64, poll->path, count,
                     timeout_usec / USEC_PER_MSEC) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = server_call_set_path(poll->call, path);
        if (r < 0)
                return r;
        server_call_set_timeout(poll->call, usec_add(timeout_usec, HTTP_TIMEOUT_USEC));
        r = server_call_start(poll->call);
        if (r < 0)
                return r;
        (void)conductor_subscription_ref(poll->subscription);
        fetch_begin(poll->subscription->conductor, &poll->fetch);
        poll->count = count;
        poll->subscription->n_reserved += count;
        poll->waits = timeout_usec > 0;
        poll->timeout_usec = timeout_usec;
        poll->started_usec = clock_monotonic_usec();
        return 0;
}

/* When a poll with these places free may go. */
static usec_t gather_until(Poll *poll, unsigned places, usec_t now)
{
        const ConductorSubscription *subscription = poll->subscription;
        unsigned half = MIN(subscription->batch, places + subscription->n_tasks) / 2;

        if (!poll->more || places >= half) {
                poll->gather_usec = 0;
                return 0;
        }
        if (poll->gather_usec == 0)
                poll->gather_usec = now;
        return usec_add(poll->gather_usec, POLL_GATHER_USEC);
}

/* Tasks as large as those that did not fit may have been few. */
static unsigned most_now(Poll *poll)
{
        usec_t now = clock_monotonic_usec();

        if (now > usec_add(poll->most_usec, POLL_MOST_USEC)) {
                poll->most = poll->most <= UINT_MAX / 2 ? 2 * poll->most : UINT_MAX;
                poll->most_usec = now;
        }
        return poll->most;
}

static int start_for_credit(Poll *poll, unsigned n_idle)
{
        const ConductorSubscription *subscription = poll->subscription;
        unsigned places = subscription_free_places(subscription);
        usec_t timeout = MIN(subscription->poll_timeout_usec, POLL_TIMEOUT_MAX_USEC);

        poll->gather_usec = 0;
        if (poll->most > 0)
                places = MIN(places, most_now(poll));
        if (poll->more || timeout == 0)
                return start(poll, MIN(places, subscription->batch), 0);
        if (n_idle > places)
                timeout = MIN(timeout, POLL_TIMEOUT_SHARED_USEC);
        return start(poll, 1, timeout);
}

/* Whether a poll of nothing is due, so that tasks keep coming to the pool's domain while all its
 * places are taken, be it by what an update-v2 may bring. A pool that is paused or drains has no
 * tasks in hand, and lets it die. */
static usec_t keep_alive_usec(const Poll *poll)
{
        const ConductorSubscription *subscription = poll->subscription;

        if (!subscription->domain || subscription->n_tasks + subscription->n_reserved == 0)
                return USEC_INFINITY;
        return usec_add(poll->ended_usec, POLL_DOMAIN_USEC);
}

static bool may_poll(const ConductorSubscription *subscription)
{
        const Conductor *conductor = subscription->conductor;

        return !subscription->unsubscribed && server_may_send(conductor->server) &&
               !send_is_full(conductor);
}

static void set_timer(Conductor *conductor, usec_t wake)
{
        if (wake >= conductor->poll_wake_usec)
                return;
        conductor->poll_wake_usec = wake;
        (void)sd_event_source_set_time(conductor->poll_timer, wake);
        (void)sd_event_source_set_enabled(conductor->poll_timer, SD_EVENT_ONESHOT);
}

static unsigned count_idle(const ConductorSubscription *subscription)
{
        unsigned n = 0;

        for (size_t i = 0; i < subscription->n_types; i++)
                n += !poll_is_running(subscription->polls[i]);
        return n;
}

void subscription_poll(ConductorSubscription *subscription)
{
        usec_t now, wake = USEC_INFINITY;
        unsigned n_idle;

        if (!may_poll(subscription))
                return;
        if (subscription_free_places(subscription) == 0 && !subscription->domain)
                return;
        n_idle = count_idle(subscription);
        now = clock_monotonic_usec();
        for (size_t i = 0; i < subscription->n_types && n_idle > 0; i++) {
                Poll *poll = subscription->polls[(subscription->turn + i) % subscription->n_types];
                unsigned places = subscription_free_places(subscription);
                usec_t due = places > 0 ? poll->due_usec : keep_alive_usec(poll);
                int r;

                if (poll_is_running(poll))
                        continue;
                if (places > 0)
                        due = MAX(due, gather_until(poll, places, now));
                if (due > now) {
                        wake = MIN(wake, due);
                        continue;
                }
                r = places > 0 ? start_for_credit(poll, n_idle) : start(poll, 0, 0);
                if (r < 0)
                        wake = MIN(wake, usec_add(now, USEC_PER_SEC));
                n_idle--;
        }
        subscription->turn = (subscription->turn + 1) % subscription->n_types;
        set_timer(subscription->conductor, wake);
}

void conductor_poll_all(Conductor *conductor)
{
        LIST_FOREACH_SAFE (i, &conductor->subscriptions) {
                subscription_poll(LIST_ENTRY(i, ConductorSubscription, link));
        }
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Conductor *conductor = userdata;

        conductor->poll_wake_usec = USEC_INFINITY;
        conductor_poll_all(conductor);
        return 0;
}

int poll_timer_new(Conductor *conductor)
{
        int r = sd_event_add_time(conductor->event, &conductor->poll_timer, CLOCK_MONOTONIC, 0,
                                  USEC_PER_MSEC, on_timer, conductor);

        if (r < 0)
                return r;
        (void)sd_event_source_set_description(conductor->poll_timer, "conductor-poll");
        return sd_event_source_set_enabled(conductor->poll_timer, SD_EVENT_OFF);
}

bool subscription_reserve(ConductorSubscription *subscription)
{
        if (subscription->unsubscribed || send_is_full(subscription->conductor))
                return false;
        subscription->n_reserved++;
        return true;
}

bool subscription_has_room(const ConductorSubscription *subscription)
{
        return !subscription->unsubscribed && subscription->credit >= subscription->n_reserved;
}

void subscription_unreserve(ConductorSubscription *subscription, unsigned n)
{
        subscription->n_reserved -= MIN(n, subscription->n_reserved);
}

usec_t subscription_busy_until_usec(const ConductorSubscription *subscription)
{
        usec_t patience = server_may_send(subscription->conductor->server) ? HTTP_TIMEOUT_USEC
                                                                           : POLL_AWAY_USEC,
               until = 0;

        for (size_t i = 0; i < subscription->n_types; i++) {
                const Poll *poll = subscription->polls[i];

                if (poll_is_running(poll))
                        until = MAX(until, usec_add(poll->started_usec,
                                                    usec_add(poll->timeout_usec, patience)));
        }
        return until;
}

static int make_path(Poll *poll)
{
        const ConductorSubscription *subscription = poll->subscription;
        _cleanup_free_ char *type = server_escape(poll->type), *domain = NULL,
                            *worker = server_escape(subscription->worker_id);

        if (subscription->domain)
                domain = server_escape(subscription->domain);
        if (!type || !worker || (subscription->domain && !domain))
                return -ENOMEM;
        /* an empty domain= would be a queue of its own */
        if (asprintf(&poll->path, "/tasks/poll/batch/%s?workerid=%s%s%s", type, worker,
                     domain ? "&domain=" : "", domain ? domain : "") < 0) {
                poll->path = NULL;
                return -ENOMEM;
        }
        return 0;
}

int poll_new(Poll **ret, ConductorSubscription *subscription, const char *type)
{
        Poll *poll = malloc(sizeof(*poll));
        int r;

        if (!poll)
                return -ENOMEM;
        *poll = (Poll){ .subscription = subscription, .type = type };
        if ((r = make_path(poll)) < 0 ||
            (r = server_call_new(&poll->call, subscription->conductor->server, HTTP_GET, on_answer,
                                 poll)) < 0) {
                (void)poll_free(poll);
                return r;
        }
        *ret = poll;
        return 0;
}

void poll_abort(Poll *poll)
{
        if (!poll_is_running(poll))
                return;
        poll->call = server_call_free(poll->call);
        fetch_end(&poll->fetch);
        (void)conductor_subscription_unref(poll->subscription);
}

Poll *poll_free(Poll *poll)
{
        if (!poll)
                return NULL;
        (void)server_call_free(poll->call);
        fetch_end(&poll->fetch);
        free(poll->path);
        free(poll);
        return NULL;
}
