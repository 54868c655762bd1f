#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What a kind of source fills in; only sources include this. Both structs are the first member of
 * the source's own. */

#include "source/source.h"

typedef struct SourceClass {
        SourceType type;
        int (*subscribe)(Source *source, const SubscriptionOptions *options,
                         const SubscriptionCallbacks *callbacks, void *userdata,
                         Subscription **ret);
        int (*alter)(Subscription *subscription, const SubscriptionOptions *options);
        void (*set_credit)(Subscription *subscription, unsigned credit);
        void (*settle)(Subscription *subscription, Task *task, Outcome *outcome,
                       const Settlement *settlement);
        void (*release)(Subscription *subscription, Task *task, const char *reason);
        void (*report_progress)(Subscription *subscription, Task *task, Slice progress);
        bool (*is_quiet)(const Subscription *subscription);
        void (*unsubscribe)(Subscription *subscription);
        void (*free)(Source *source);
        void (*get_status)(Source *source, SourceStatus *ret);
        /* May be NULL: */
        void (*get_subscription_status)(Subscription *subscription, SubscriptionStatus *ret);
        usec_t (*busy_until_usec)(const Source *source);
        void (*visit_types)(Source *source, type_visitor_t visitor, void *userdata);
} SourceClass;

struct Source {
        const SourceClass *class;
        char *name;
};

struct Subscription {
        Source *source;
};
