/* SPDX-License-Identifier: Apache-2.0 */

#include "base/strv.h"
#include "source/queue/internal.h"

static inline QueueSubscription *subscription_of(Subscription *subscription)
{
        return container_of(subscription, QueueSubscription, subscription);
}

QueueSubscription *subscription_ref(QueueSubscription *subscription)
{
        subscription->n_ref++;
        return subscription;
}

void subscription_unref(QueueSubscription *subscription)
{
        if (--subscription->n_ref > 0)
                return;
        free(subscription->types);
        free(subscription->pool);
        free(subscription->pool_json);
        free(subscription);
}

static void count_subscription(QueueSubscription *subscription, int by)
{
        for (size_t i = 0; i < subscription->n_types; i++)
                subscription->types[i]->n_subscriptions += (unsigned)by;
}

int queue_subscription_alter(Subscription *base, const SubscriptionOptions *options)
{
        QueueSubscription *subscription = subscription_of(base);
        Queue *queue = queue_of(base->source);
        size_t n_types = strv_length(options->task_type);
        _cleanup_free_ QueueType **types = NULL;

        if (n_types == 0)
                return -EINVAL;
        types = calloc(n_types, sizeof(*types));
        if (!types)
                return -ENOMEM;
        for (size_t i = 0; i < n_types; i++) {
                int r = queue_type_get(queue, slice_from_string(options->task_type[i]),
                                       QUEUE_TYPES_SERVED_MAX, &types[i]);

                if (r < 0)
                        return r;
        }
        count_subscription(subscription, -1);
        free(subscription->types);
        subscription->types = TAKE_PTR(types);
        subscription->n_types = n_types;
        subscription->turn = 0;
        subscription->last_claim_empty = false;
        subscription->retry_attempts = options->retry_attempts;
        subscription->retry_backoff = options->retry_backoff;
        count_subscription(subscription, 1);
        queue_wake(queue);
        return 0;
}

static int set_pool(QueueSubscription *subscription, const char *pool)
{
        Buffer json = BUFFER_NULL(TASK_MESSAGE_MAX);
        int r;

        subscription->pool = strdup(pool);
        r = subscription->pool ? json_append_string(&json, slice_from_string(pool)) : -ENOMEM;
        if (r >= 0 && !(subscription->pool_json = buffer_steal_string(&json)))
                r = -ENOMEM;
        buffer_deinit(&json);
        return r;
}

int queue_subscribe(Source *source, const SubscriptionOptions *options,
                    const SubscriptionCallbacks *callbacks, void *userdata, Subscription **ret)
{
        QueueSubscription *subscription = malloc(sizeof(*subscription));
        int r;

        if (!subscription)
                return -ENOMEM;
        *subscription = (QueueSubscription){
                .subscription.source = source,
                .n_ref = 1,
                .callbacks = *callbacks,
                .userdata = userdata,
        };
        list_init(&subscription->held);
        r = set_pool(subscription, options->pool);
        if (r >= 0)
                r = queue_subscription_alter(&subscription->subscription, options);
        if (r < 0) {
                subscription_unref(subscription);
                return r;
        }
        list_append(&queue_of(source)->subscriptions, &subscription->link);
        *ret = &subscription->subscription;
        return 0;
}

void queue_set_credit(Subscription *base, unsigned credit)
{
        QueueSubscription *subscription = subscription_of(base);

        subscription->credit = credit;
        if (credit > 0)
                queue_wake(queue_of(base->source));
}

bool queue_is_quiet(const Subscription *base)
{
        const QueueSubscription *subscription =
                container_of(base, const QueueSubscription, subscription);

        return subscription->n_unsettled == 0 && !subscription->claiming;
}

/* What the pool still had in hand goes back; from now on it is told nothing. */
void queue_unsubscribe(Subscription *base)
{
        QueueSubscription *subscription = subscription_of(base);

        subscription->callbacks = (SubscriptionCallbacks){ 0 };
        subscription->credit = 0;
        LIST_FOREACH_SAFE (i, &subscription->held) {
                queue_release(base, LIST_ENTRY(i, Holding, link)->task, "its pool ended");
        }
        list_remove(&subscription->link);
        count_subscription(subscription, -1);
        subscription_unref(subscription);
}
