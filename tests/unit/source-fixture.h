#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A whole Conductor source beside a scripted server, and a pool "p" of type "big" that has one
 * place and keeps the task that came. */

#include <ftw.h>
#include "config/object.h"
#include "server-fixture.h"
#include "source/conductor/internal.h"

#define POLL   "GET /api/tasks/poll/batch/big?"
#define SEARCH "GET /api/tasks/search"
#define EMPTY  "{\"totalHits\":0,\"results\":[]}"

typedef struct Host {
        Fixture f;
        ServerPath paths[16];
        char folder[64];
        Storage *storage;
        ConfigSource *config;
        Source *source;
        Subscription *subscription; /* NULL once it is unsubscribed */
        Task *task;                 /* that came */
} Host;

static inline void host_on_tasks(Subscription *subscription, Task **tasks, size_t n, void *userdata)
{
        Host *host = userdata;

        ck_assert_uint_eq(n, 1);
        ck_assert_ptr_null(host->task);
        host->task = tasks[0];
}

/* host->config may be changed before host_start. */
static inline void host_open(Host *host, Route *routes)
{
        *host = (Host){ 0 };
        fixture_open(&host->f, routes, host->paths);
        strcpy(host->folder, "/tmp/test-source-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(host->folder));
        ck_assert_int_eq(storage_new(&host->storage, host->f.event), 0);
        ck_assert_int_eq(source_new("prod", &host->config), 0);
        host->config->type = SOURCE_CONDUCTOR;
        host->config->conductor.url = strdup(host->f.url);
}

static inline void host_start(Host *host)
{
        _cleanup_free_ char *error = NULL;

        ck_assert_int_eq(conductor_new(&host->source,
                                       &(ConductorOptions){ .event = host->f.event,
                                                            .storage = host->storage,
                                                            .state_dir = host->folder,
                                                            .instance = "i" },
                                       host->config, &error),
                         0);
}

static inline void host_subscribe(Host *host)
{
        static const SubscriptionCallbacks callbacks = { .on_tasks = host_on_tasks };
        char *types[] = { (char *)"big", NULL };

        ck_assert_int_eq(
                source_subscribe(host->source,
                                 &(SubscriptionOptions){ .pool = "p",
                                                         .task_type = types,
                                                         .batch = 1,
                                                         .poll_timeout_usec = USEC_PER_SEC,
                                                         .poll_interval_usec = USEC_PER_SEC },
                                 &callbacks, host, &host->subscription),
                0);
        source_set_credit(host->subscription, 1);
}

static inline int host_remove_one(const char *path, const struct stat *st, int flag,
                                  struct FTW *ftw)
{
        return remove(path);
}

static inline void host_close(Host *host)
{
        (void)task_unref(host->task);
        fixture_release(&host->f);
        if (host->subscription)
                (void)source_unsubscribe(host->subscription);
        (void)source_free(host->source);
        (void)storage_free(host->storage);
        (void)config_source_free(host->config);
        fixture_close(&host->f);
        (void)nftw(host->folder, host_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
