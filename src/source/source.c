/* SPDX-License-Identifier: Apache-2.0 */

#include "source/source-class.h"

int source_subscribe(Source *source, const SubscriptionOptions *options,
                     const SubscriptionCallbacks *callbacks, void *userdata, Subscription **ret)
{
        return source->class->subscribe(source, options, callbacks, userdata, ret);
}

int source_alter(Subscription *subscription, const SubscriptionOptions *options)
{
        return subscription->source->class->alter(subscription, options);
}

void source_set_credit(Subscription *subscription, unsigned credit)
{
        subscription->source->class->set_credit(subscription, credit);
}

void source_settle(Subscription *subscription, Task *task, Outcome *outcome,
                   const Settlement *settlement)
{
        subscription->source->class->settle(subscription, task, outcome, settlement);
}

void source_release(Subscription *subscription, Task *task, const char *reason)
{
        subscription->source->class->release(subscription, task, reason);
}

void source_report_progress(Subscription *subscription, Task *task, Slice progress)
{
        subscription->source->class->report_progress(subscription, task, progress);
}

bool source_is_quiet(const Subscription *subscription)
{
        return subscription->source->class->is_quiet(subscription);
}

Subscription *source_unsubscribe(Subscription *subscription)
{
        if (subscription)
                subscription->source->class->unsubscribe(subscription);
        return NULL;
}

Source *source_free(Source *source)
{
        if (source)
                source->class->free(source);
        return NULL;
}

const char *source_name(const Source *source)
{
        return source->name;
}

SourceType source_type(const Source *source)
{
        return source->class->type;
}

void source_get_status(Source *source, SourceStatus *ret)
{
        source->class->get_status(source, ret);
}

void source_get_subscription_status(Subscription *subscription, SubscriptionStatus *ret)
{
        const SourceClass *class = subscription->source->class;

        *ret = (SubscriptionStatus){ .n_queued = -1 };
        if (class->get_subscription_status)
                class->get_subscription_status(subscription, ret);
}

usec_t source_busy_until_usec(const Source *source)
{
        return source->class->busy_until_usec ? source->class->busy_until_usec(source) : 0;
}

void source_visit_types(Source *source, type_visitor_t visitor, void *userdata)
{
        source->class->visit_types(source, visitor, userdata);
}
