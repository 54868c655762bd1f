/* SPDX-License-Identifier: Apache-2.0 */

#include "source/conductor/internal.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include "base/log.h"
#include "base/strv.h"
#include "config/object.h"

/* Tasks in hand */

ConductorTask *conductor_find_task(const Conductor *conductor, Slice id)
{
        TableLink *link = table_find(&conductor->tasks, task_id_hash(id));

        for (; link; link = table_next(link)) {
                ConductorTask *holding = container_of(link, ConductorTask, by_id);

                if (slice_is(id, holding->task->id))
                        return holding;
        }
        return NULL;
}

void conductor_task_unlink(ConductorTask *holding)
{
        ConductorSubscription *subscription = holding->subscription;

        if (!list_is_linked(&holding->link))
                return;
        clock_remove(holding);
        payload_fetch_abandon(holding);
        list_remove(&holding->link);
        table_remove(&subscription->conductor->tasks, &holding->by_id);
        subscription->n_tasks--;
}

ConductorTask *conductor_task_free(ConductorTask *holding)
{
        if (!holding)
                return NULL;
        conductor_task_unlink(holding);
        if (holding->task)
                holding->task->holding = NULL;
        task_unref(holding->task);
        conductor_subscription_unref(holding->subscription);
        free(holding);
        return NULL;
}

/* Subscriptions */

static ConductorSubscription *subscription_of(Subscription *subscription)
{
        return container_of(subscription, ConductorSubscription, subscription);
}

ConductorSubscription *conductor_subscription_ref(ConductorSubscription *subscription)
{
        subscription->n_ref++;
        return subscription;
}

ConductorSubscription *conductor_subscription_unref(ConductorSubscription *subscription)
{
        if (!subscription || --subscription->n_ref > 0)
                return NULL;
        list_remove(&subscription->link);
        depth_free(subscription);
        for (size_t i = 0; i < subscription->n_types && subscription->polls; i++)
                (void)poll_free(subscription->polls[i]);
        free(subscription->polls);
        (void)strv_free(subscription->types);
        free(subscription->pool);
        free(subscription->domain);
        free(subscription->worker_id);
        free(subscription->problem);
        free(subscription);
        return NULL;
}

/* host:pool:instance, so that two hosts, or two daemons on one, never take each other's tasks. */
static char *make_worker_id(const Conductor *conductor, const char *pool)
{
        const char *configured = conductor->config->conductor.worker_id;
        char *id;

        if (configured)
                return strdup(configured);
        return asprintf(&id, "%s:%s:%s", conductor->host, pool, conductor->instance) < 0 ? NULL
                                                                                         : id;
}

static int fill_subscription(ConductorSubscription *subscription,
                             const SubscriptionOptions *options)
{
        int r;

        subscription->n_types = strv_length(options->task_type);
        if (subscription->n_types == 0)
                return -EINVAL;
        r = strv_copy(&subscription->types, options->task_type);
        if (r < 0)
                return r;
        subscription->pool = strdup(options->pool);
        subscription->worker_id = make_worker_id(subscription->conductor, options->pool);
        subscription->domain = options->domain ? strdup(options->domain) : NULL;
        subscription->polls = calloc(subscription->n_types, sizeof(*subscription->polls));
        if (!subscription->pool || !subscription->worker_id ||
            (options->domain && !subscription->domain) || !subscription->polls)
                return -ENOMEM;
        for (size_t i = 0; i < subscription->n_types; i++) {
                r = poll_new(&subscription->polls[i], subscription, subscription->types[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Types and domain never change: the pool is made anew then. */
static int subscription_alter(Subscription *base, const SubscriptionOptions *options)
{
        ConductorSubscription *subscription = subscription_of(base);

        subscription->batch = MAX(options->batch, 1U);
        subscription->poll_timeout_usec = options->poll_timeout_usec;
        subscription->poll_interval_usec = options->poll_interval_usec;
        return 0;
}

static int subscribe(Source *source, const SubscriptionOptions *options,
                     const SubscriptionCallbacks *callbacks, void *userdata, Subscription **ret)
{
        Conductor *conductor = conductor_of(source);
        ConductorSubscription *subscription = malloc(sizeof(*subscription));
        int r;

        if (!subscription)
                return -ENOMEM;
        *subscription = (ConductorSubscription){
                .subscription.source = source,
                .conductor = conductor,
                .n_ref = 1,
                .callbacks = *callbacks,
                .userdata = userdata,
        };
        list_init(&subscription->tasks);
        (void)subscription_alter(&subscription->subscription, options);
        r = fill_subscription(subscription, options);
        if (r < 0) {
                (void)conductor_subscription_unref(subscription);
                return r;
        }
        list_append(&conductor->subscriptions, &subscription->link);
        conductor_suspect(subscription);
        *ret = &subscription->subscription;
        return 0;
}

static void set_credit(Subscription *base, unsigned credit)
{
        ConductorSubscription *subscription = subscription_of(base);

        subscription->credit = credit;
        if (credit > subscription->n_reserved)
                subscription_poll(subscription);
}

static bool is_quiet(const Subscription *base)
{
        const ConductorSubscription *subscription =
                container_of(base, const ConductorSubscription, subscription);

        if (subscription->n_tasks > 0 ||
            subscription_busy_until_usec(subscription) > clock_monotonic_usec())
                return false;
        /* what a server that is away has not accepted yet is safe in the outbox */
        if (!server_may_send(subscription->conductor->server))
                return true;
        return subscription->n_reserved == 0 && !send_is_worth_waiting(subscription);
}

/* What the pool still had in hand goes back; from now on it is told nothing. What a poll that is
 * under way brings goes back, too. */
static void unsubscribe(Subscription *base)
{
        ConductorSubscription *subscription = subscription_of(base);

        subscription->callbacks = (SubscriptionCallbacks){ 0 };
        subscription->credit = 0;
        subscription->unsubscribed = true;
        LIST_FOREACH_SAFE (i, &subscription->tasks) {
                conductor_release(base, LIST_ENTRY(i, ConductorTask, link)->task, "its pool ended");
        }
        (void)conductor_subscription_unref(subscription);
}

static void get_subscription_status(Subscription *base, SubscriptionStatus *ret)
{
        ConductorSubscription *subscription = subscription_of(base);

        depth_want(subscription);
        *ret = subscription->status;
        ret->n_in_hand = subscription->n_tasks;
        ret->n_polls = 0;
        for (size_t i = 0; i < subscription->n_types; i++)
                ret->n_polls += poll_is_running(subscription->polls[i]);
        ret->worker_id = subscription->worker_id;
        ret->problem = subscription->problem;
}

/* The source */

static usec_t busy_until_usec(const Source *source)
{
        const Conductor *conductor = container_of(source, const Conductor, source);
        usec_t until = send_busy_until_usec(conductor);

        LIST_FOREACH (i, &conductor->subscriptions) {
                until = MAX(until, subscription_busy_until_usec(
                                           LIST_ENTRY(i, ConductorSubscription, link)));
        }
        return until;
}

static void get_status(Source *source, SourceStatus *ret)
{
        Conductor *conductor = conductor_of(source);
        const char *problem = outbox_problem(conductor->outbox);
        OutboxStatus outbox;
        ServerStatus server;

        outbox_get_status(conductor->outbox, &outbox);
        server_get_status(conductor->server, &server);
        if (problem)
                (void)snprintf(conductor->problem, sizeof(conductor->problem), "%s", problem);
        else if (server.message)
                (void)snprintf(conductor->problem, sizeof(conductor->problem), "%s",
                               server.message);
        *ret = (SourceStatus){
                .state = problem                   ? "stalled"
                         : send_is_full(conductor) ? "full"
                         : server.cause            ? "failing"
                                                   : "ok",
                .problem = problem || server.message ? conductor->problem : NULL,
                .problem_usec = problem ? 0 : server.away_usec,
                .n_in_progress = conductor->tasks.n_items,
                .n_settled = conductor->n_settled,
                .bytes = outbox.disk_bytes,
                .last_fetch_usec = server.last_good_usec,
                .cause = server.cause,
                .n_failures = server.n_failures,
                .retry_usec = server.retry_usec,
                .sweep_problem = sweep_problem(conductor),
                .watch_usec = watch_delay_usec(conductor),
                .n_resent = conductor->n_resent,
        };
}

static void visit_types(Source *source, type_visitor_t visitor, void *userdata)
{
        const Conductor *conductor = conductor_of(source);

        LIST_FOREACH (i, &conductor->subscriptions) {
                const ConductorSubscription *subscription =
                        LIST_ENTRY(i, ConductorSubscription, link);

                if (subscription->unsubscribed)
                        continue;
                STRV_FOREACH (type, subscription->types) {
                        TypeStatus status = { .type = *type, .served = true };

                        LIST_FOREACH (j, &subscription->tasks) {
                                const ConductorTask *holding = LIST_ENTRY(j, ConductorTask, link);

                                status.n_in_progress += streq(holding->task->type, *type);
                        }
                        visitor(&status, userdata);
                }
        }
}

static void on_up(Server *server, void *userdata)
{
        Conductor *conductor = userdata;

        send_resume(conductor);
        clock_resume(conductor);
        sweep_resume(conductor);
        conductor_poll_all(conductor);
}

static void on_outbox_change(Outbox *outbox, void *userdata)
{
        conductor_poll_all(userdata);
}

static void report_progress(Subscription *subscription, Task *task, Slice progress)
{
        if (task->holding)
                progress_report(task->holding, progress);
}

static void end_subscription(ConductorSubscription *subscription)
{
        (void)conductor_subscription_ref(subscription);
        if (!subscription->unsubscribed)
                unsubscribe(&subscription->subscription);
        for (size_t i = 0; i < subscription->n_types; i++)
                poll_abort(subscription->polls[i]);
        (void)conductor_subscription_unref(subscription);
}

/* Of a task that never came to the pool: its input was still being fetched. */
static void forget_holdings(Conductor *conductor)
{
        OUTBOX_FOREACH (entry, conductor->outbox, OUTBOX_HELD) {
                (void)conductor_task_free(entry->userdata);
                entry->userdata = NULL;
        }
}

static void conductor_free(Source *source)
{
        Conductor *conductor = conductor_of(source);

        conductor_end_checks(conductor);
        clock_free(conductor);
        sweep_free(conductor);
        LIST_FOREACH_SAFE (i, &conductor->subscriptions) {
                end_subscription(LIST_ENTRY(i, ConductorSubscription, link));
        }
        send_free(conductor);
        if (conductor->outbox)
                forget_holdings(conductor);
        (void)sd_event_source_disable_unref(conductor->poll_timer);
        (void)outbox_close(conductor->outbox);
        (void)server_free(conductor->server);
        table_deinit(&conductor->tasks);
        buffer_deinit(&conductor->scratch);
        (void)config_source_free(conductor->config);
        (void)sd_event_unref(conductor->event);
        free(conductor->source.name);
        free(conductor->host);
        free(conductor->instance);
        free(conductor);
}

static const SourceClass conductor_class = {
        .type = SOURCE_CONDUCTOR,
        .subscribe = subscribe,
        .alter = subscription_alter,
        .set_credit = set_credit,
        .settle = conductor_settle,
        .release = conductor_release,
        .report_progress = report_progress,
        .is_quiet = is_quiet,
        .unsubscribe = unsubscribe,
        .free = conductor_free,
        .get_status = get_status,
        .get_subscription_status = get_subscription_status,
        .busy_until_usec = busy_until_usec,
        .visit_types = visit_types,
};

static int copy_identity(Conductor *conductor, const ConductorOptions *options,
                         const ConfigSource *config)
{
        char host[HOST_NAME_MAX + 1] = "";

        if (gethostname(host, sizeof(host) - 1) < 0)
                return -errno;
        conductor->source.name = strdup(config->name);
        conductor->host = strdup(host);
        conductor->instance = strdup(options->instance);
        if (!conductor->source.name || !conductor->host || !conductor->instance)
                return -ENOMEM;
        return source_copy(config, &conductor->config);
}

static int open_outbox(Conductor *conductor, const ConductorOptions *options, char **ret_error)
{
        _cleanup_free_ char *folder = NULL, *told = NULL;
        OutboxOptions outbox = {
                .event = options->event,
                .storage = options->storage,
                .max_bytes = conductor->config->conductor.outbox.max_bytes,
                .callbacks = { .on_ready = send_on_ready,
                               .on_gone = send_on_gone,
                               .on_change = on_outbox_change },
                .userdata = conductor,
        };
        int r;

        if (asprintf(&folder, "%s/outbox-%s", options->state_dir, conductor->source.name) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        outbox.folder = folder;
        r = outbox_open(&conductor->outbox, &outbox, &told);
        if (r < 0)
                *ret_error = TAKE_PTR(told);
        else if (told)
                log_error("source %s: %s", conductor->source.name, told);
        return r;
}

static int conductor_start(Conductor *conductor, const ConductorOptions *options, char **ret_error)
{
        const ServerCallbacks callbacks = { .on_up = on_up };
        int r;

        if ((r = server_new(&conductor->server, conductor->event, conductor->source.name,
                            &callbacks, conductor)) < 0 ||
            (r = server_configure(conductor->server, conductor->config)) < 0 ||
            (r = poll_timer_new(conductor)) < 0 || (r = send_new(conductor)) < 0 ||
            (r = clock_new(conductor)) < 0 || (r = sweep_new(conductor)) < 0)
                return r;
        return open_outbox(conductor, options, ret_error);
}

int conductor_new(Source **ret, const ConductorOptions *options, const ConfigSource *config,
                  char **ret_error)
{
        _cleanup_(source_freep) Source *source = NULL;
        Conductor *conductor = calloc(1, sizeof(*conductor));
        int r;

        if (!conductor)
                return -ENOMEM;
        source = &conductor->source;
        source->class = &conductor_class;
        conductor->event = sd_event_ref(options->event);
        conductor->has_update_v2 = true;
        conductor->poll_wake_usec = USEC_INFINITY;
        conductor->scratch = BUFFER_NULL(OUTBOX_HEAD_MAX);
        list_init(&conductor->subscriptions);
        list_init(&conductor->fetches);
        list_init(&conductor->transfers);
        list_init(&conductor->checks);
        if ((r = copy_identity(conductor, options, config)) < 0 ||
            (r = conductor_start(conductor, options, ret_error)) < 0)
                return r;
        conductor_recover(conductor);
        *ret = TAKE_PTR(source);
        return 0;
}

int conductor_alter(Source *source, const ConfigSource *config)
{
        Conductor *conductor = conductor_of(source);
        _cleanup_(config_source_freep) ConfigSource *copy = NULL;
        int r;

        r = source_copy(config, &copy);
        if (r >= 0)
                r = server_configure(conductor->server, copy);
        if (r < 0)
                return r;
        (void)config_source_free(conductor->config);
        conductor->config = TAKE_PTR(copy);
        outbox_set_max_bytes(conductor->outbox, config->conductor.outbox.max_bytes);
        conductor_poll_all(conductor);
        return 0;
}

Outbox *conductor_outbox(Source *source)
{
        return conductor_of(source)->outbox;
}

int conductor_describe_message(const OutboxEntry *entry, ConductorMessage *ret)
{
        static const char *const kinds[] = {
                [MESSAGE_NONE] = "task",         [MESSAGE_RESULT] = "result",
                [MESSAGE_PUT_BACK] = "put back", [MESSAGE_HAND_BACK] = "hand back",
                [MESSAGE_LOG] = "log",
        };
        MessageHead head;
        int r;

        static_assert(ELEMENTSOF(kinds) == _MESSAGE_MAX, "a name for each kind");
        if (entry->kind >= _MESSAGE_MAX)
                return -EBADMSG;
        r = message_head_parse(entry->head, &head);
        if (r < 0)
                return r;
        *ret = (ConductorMessage){
                .kind = kinds[entry->kind],
                .task_type = head.type,
                .workflow_id = head.workflow_id,
                .is_text = entry->kind == MESSAGE_LOG,
        };
        return 0;
}
