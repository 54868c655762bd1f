/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include "source/queue/internal.h"

int holding_new(QueueSubscription *subscription, Task *task, Holding **ret)
{
        Holding *holding = malloc(sizeof(*holding));

        if (!holding)
                return -ENOMEM;
        *holding = (Holding){
                .subscription = subscription_ref(subscription),
                .task = task_ref(task),
                .scheduled_msec = task->scheduled_msec,
        };
        subscription->n_unsettled++;
        *ret = holding;
        return 0;
}

Holding *holding_free(Holding *holding)
{
        if (!holding)
                return NULL;
        list_remove(&holding->link);
        list_remove(&holding->reporting);
        holding->subscription->n_unsettled--;
        subscription_unref(holding->subscription);
        (void)task_unref(holding->task);
        (void)outcome_free(holding->outcome);
        free(holding->progress);
        free(holding->worker);
        free(holding->reason);
        free(holding);
        return NULL;
}

Holding *holding_find(const Queue *queue, int64_t row)
{
        TableLink *link = table_find(&queue->holdings, (uint64_t)row);

        return link ? container_of(link, Holding, by_row) : NULL;
}

void holding_cancel(Queue *queue, int64_t row, CancelCause cause)
{
        Holding *holding = holding_find(queue, row);
        _cleanup_(task_unrefp) Task *task = NULL;
        QueueSubscription *subscription;

        if (!holding)
                return; /* a settlement was under way: it comes back as stale */
        table_remove(&queue->holdings, &holding->by_row);
        task = task_ref(holding->task);
        subscription = subscription_ref(holding->subscription);
        (void)holding_free(holding);
        if (subscription->callbacks.on_cancel)
                subscription->callbacks.on_cancel(&subscription->subscription, task, cause,
                                                  subscription->userdata);
        subscription_unref(subscription);
}
