/* SPDX-License-Identifier: Apache-2.0 */

#include "manager/manager-internal.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>
#include "base/log-ids.h"
#include "base/log.h"
#include "base/strv.h"
#include "build-config.h"
#include "manager/credentials.h"
#include "manager/environment.h"
#include "manager/left-outbox.h"

/* "pool/65535" and the like: what a worker's socket adds to its pool's name. */
#define WORKER_SUFFIX_MAX 8

/* queue_full is told once per this interval: a full queue refuses every submission. */
#define QUEUE_FULL_INTERVAL_USEC (10 * USEC_PER_SEC)

int append_pointer(void ***array, size_t *n, void *pointer)
{
        void **grown = reallocarray(*array, *n + 1, sizeof(void *));

        if (!grown)
                return -ENOMEM;
        grown[(*n)++] = pointer;
        *array = grown;
        return 0;
}

void manager_emit(Manager *manager, EventType type, const char *message)
{
        Event event = { .type = type, .time_msec = clock_epoch_msec(), .message = message };

        event_hub_emit(&manager->hub, &event);
}

static void on_pool_change(Pool *pool, void *userdata)
{
        Manager *manager = userdata;

        manager_update_state(manager);
        manager_check_drain(manager);
}

static void on_pool_event(const Event *event, void *userdata)
{
        Manager *manager = userdata;

        event_hub_emit(&manager->hub, event);
}

static bool everything_turns(usec_t max_usec, void *userdata)
{
        const Manager *manager = userdata;
        usec_t now = clock_monotonic_usec();

        for (size_t i = 0; i < manager->n_pools; i++)
                if (!pool_turns(manager->pools[i], now, max_usec))
                        return false;
        return true;
}

/* Sources */

static void tell_canceled(Manager *manager, const Source *source, const QueueEvent *event)
{
        const Pool *pool = manager_pool_for_type(manager, source, slice_from_string(event->type));

        event_hub_emit(&manager->hub, &(Event){
                                              .type = EVENT_TASK_CANCELED,
                                              .time_msec = clock_epoch_msec(),
                                              .pool = pool ? pool_name(pool) : NULL,
                                              .task_id = event->id,
                                              .task_type = event->type,
                                              .status = task_status_to_string(event->status),
                                      });
}

static void tell_full(Manager *manager, const Source *source)
{
        usec_t now = clock_monotonic_usec();

        if (manager->queue_full_usec > 0 &&
            now - manager->queue_full_usec < QUEUE_FULL_INTERVAL_USEC)
                return;
        manager->queue_full_usec = now;
        log_event(LOG_WARNING,
                  (&(LogFields){ .source = source_name(source), .message_id = LOG_ID_QUEUE_FULL }),
                  "source %s refuses tasks: it or its disk is full", source_name(source));
        manager_emit(manager, EVENT_QUEUE_FULL, source_name(source));
}

static void on_queue_event(Source *source, const QueueEvent *event, void *userdata)
{
        Manager *manager = userdata;
        EventSet wanted = manager->pool_context.events_wanted;

        switch (event->kind) {
        case QUEUE_EVENT_ENDED:
                if ((event->status == TASK_CANCELED || event->status == TASK_TIMED_OUT) &&
                    event_set_has(wanted, EVENT_TASK_CANCELED))
                        tell_canceled(manager, source, event);
                waiters_notify(&manager->waiters, source, event->id);
                break;
        case QUEUE_EVENT_REFUSED:
                tell_full(manager, source);
                break;
        default:
                break;
        }
}

int manager_open_source(Manager *manager, const ConfigSource *config, Source **ret,
                        char **ret_error)
{
        const ConductorOptions conductor = {
                .event = manager->event,
                .storage = manager->storage,
                .state_dir = manager->config->state_dir,
                .instance = manager->state_dir.instance,
        };
        int r;

        if (config->type == SOURCE_CONDUCTOR)
                return conductor_new(ret, &conductor, config, ret_error);
        r = queue_new(ret, manager->storage, manager->event, config, manager->config->state_dir,
                      ret_error);
        if (r != 0)
                return r;
        queue_set_listener(*ret, on_queue_event, manager);
        return 0;
}

static int open_sources(Manager *manager, char **ret_error)
{
        const Config *config = manager->config;

        manager->sources = calloc(config->n_sources + 1, sizeof(Source *));
        if (!manager->sources)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_sources; i++) {
                int r = manager_open_source(manager, config->sources[i], &manager->sources[i],
                                            ret_error);

                if (r != 0)
                        return r;
                manager->n_sources++;
        }
        left_outboxes_tell(config, manager->event, manager->storage);
        return 0;
}

/* Signals */

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *info,
                        void *userdata)
{
        Manager *manager = userdata;

        log_notice("received %s", info->ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
        manager_drain(manager, USEC_INFINITY);
        return 0;
}

/* Without files it means what it means to every program: the terminal is gone. */
static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Manager *manager = userdata;

        if (manager->config->fileless) {
                log_notice("received SIGHUP");
                manager_drain(manager, USEC_INFINITY);
        } else
                manager_reload_on_signal(manager);
        return 0;
}

static int add_signals(Manager *manager)
{
        int r;

        r = sd_event_add_signal(manager->event, NULL, SIGTERM, on_terminate, manager);
        if (r < 0)
                return r;
        r = sd_event_add_signal(manager->event, NULL, SIGINT, on_terminate, manager);
        if (r < 0)
                return r;
        return sd_event_add_signal(manager->event, NULL, SIGHUP, on_hangup, manager);
}

/* Life */

static int find_program(const char *variable, const char *installed, char **ret)
{
        const char *path = getenv(variable);

        *ret = strdup(path && path[0] == '/' ? path : installed);
        return *ret ? 0 : -ENOMEM;
}

int manager_find_runner(char **ret)
{
        return find_program("YARDMASTER_RUNNER_PATH", YARDMASTER_RUNNER, ret);
}

int manager_find_launcher(char **ret)
{
        return find_program("YARDMASTER_LAUNCHER_PATH", YARDMASTER_LAUNCHER, ret);
}

/* Without groups everything goes on; status says why. */
static int take_cgroups(Manager *manager)
{
        CgroupObstacle obstacle;
        int error, r;

        r = cgroups_new(&manager->cgroups, manager->event);
        if (r < 0)
                return r;
        obstacle = cgroups_obstacle(manager->cgroups, &error);
        if (obstacle == CGROUP_OBSTACLE_ERROR)
                log_warning_errno(error, "workers get no cgroups, %s: %m",
                                  cgroup_obstacle_to_string(obstacle));
        else if (obstacle != CGROUP_OBSTACLE_NONE && !manager->config->fileless)
                log_info("workers get no cgroups: %s", cgroup_obstacle_to_string(obstacle));
        if (cgroups_n_leftovers(manager->cgroups) > 0)
                log_event(LOG_NOTICE, (&(LogFields){ .message_id = LOG_ID_LEFTOVER_KILLED }),
                          "removed %u cgroup%s that a dead daemon left behind, with all processes "
                          "in there",
                          cgroups_n_leftovers(manager->cgroups),
                          PLURAL(cgroups_n_leftovers(manager->cgroups)));
        return 0;
}

static int prepare_folders(Manager *manager, char **ret_error)
{
        const Config *config = manager->config;
        size_t longest = 0;
        int r;

        r = state_dir_open(&manager->state_dir, config->state_dir, ret_error);
        if (r == STATE_DIR_E_LOCKED)
                return MANAGER_E_LOCKED;
        if (r < 0)
                return r;
        for (size_t i = 0; i < config->n_pools; i++)
                longest = MAX(longest, strlen(config->pools[i]->name));
        return state_dir_make_runtime(&manager->state_dir, config->socket,
                                      longest + WORKER_SUFFIX_MAX, ret_error);
}

static int start_machinery(Manager *manager)
{
        int r;

        r = take_cgroups(manager);
        if (r < 0)
                return r;
        r = storage_new(&manager->storage, manager->event);
        if (r < 0)
                return r;
        r = spawner_new(&manager->spawner, manager->event);
        if (r < 0)
                return r;
        r = spawner_raise_open_files(manager->spawner);
        if (r < 0)
                log_warning_errno(r, "cannot raise the limit on open files: %m");
        r = reaper_new(&manager->reaper, manager->event, manager->spawner,
                       manager->state_dir.instance);
        if (r < 0)
                return r;
        r = reaper_sweep(manager->reaper);
        if (r > 0)
                log_event(LOG_NOTICE, (&(LogFields){ .message_id = LOG_ID_LEFTOVER_KILLED }),
                          "killed %d processes that a dead daemon left behind", r);
        r = environment_for_workers(environ, &manager->environment);
        if (r < 0)
                return r;
        r = manager_find_runner(&manager->runner_path);
        if (r >= 0)
                r = manager_find_launcher(&manager->launcher_path);
        if (r < 0)
                return r;
        r = notify_new(&manager->notify, manager->event, everything_turns, manager);
        if (r < 0)
                return r;
        return event_hook_new(&manager->hook, &(EventHookOptions){
                                                      .event = manager->event,
                                                      .spawner = manager->spawner,
                                                      .reaper = manager->reaper,
                                                      .hub = &manager->hub,
                                                      .environment = manager->environment,
                                              });
}

static void set_contexts(Manager *manager)
{
        manager->worker_context = (WorkerContext){
                .event = manager->event,
                .spawner = manager->spawner,
                .reaper = manager->reaper,
                .runtime_dir = manager->state_dir.runtime_dir,
                .instance = manager->state_dir.instance,
                .environment = manager->environment,
                .runner_path = manager->runner_path,
                .launcher_path = manager->launcher_path,
                .cgroups = manager->cgroups,
        };
        manager->pool_context.event = manager->event;
        manager->pool_context.worker = &manager->worker_context;
        manager->pool_context.on_event = on_pool_event;
        manager->pool_context.on_change = on_pool_change;
        manager->pool_context.userdata = manager;
}

int manager_new(Manager **ret, Config *config, char **ret_error)
{
        _cleanup_(manager_freep) Manager *manager = calloc(1, sizeof(Manager));
        int r;

        *ret_error = NULL;
        if (!manager)
                return -ENOMEM;
        manager->state_dir = STATE_DIR_NULL;
        list_init(&manager->drain_listeners);
        manager->config = config_ref(config);
        manager->config_msec = clock_epoch_msec();
        manager->started_usec = clock_monotonic_usec();
        event_hub_init(&manager->hub, &manager->pool_context.events_wanted);

        r = sd_event_default(&manager->event);
        if (r < 0)
                return r;
        r = prepare_folders(manager, ret_error);
        if (r != 0)
                return r;
        r = start_machinery(manager);
        if (r < 0)
                return r;
        set_contexts(manager);
        event_hook_apply(manager->hook, config);
        r = open_sources(manager, ret_error);
        if (r != 0)
                return r;
        credentials_clean(config->state_dir, config);
        r = manager_sync_pools(manager, NULL);
        if (r < 0)
                return r;
        r = add_signals(manager);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(manager);
        return 0;
}

Manager *manager_free(Manager *manager)
{
        if (!manager)
                return NULL;
        for (size_t i = 0; i < manager->n_pools; i++)
                pool_free(manager->pools[i]);
        for (size_t i = 0; i < manager->n_retiring; i++)
                pool_free(manager->retiring[i]);
        for (size_t i = 0; i < manager->n_sources; i++)
                source_free(manager->sources[i]);
        free(manager->pools);
        free(manager->retiring);
        free(manager->sources);
        strv_free(manager->outdated);
        event_hook_free(manager->hook);
        notify_free(manager->notify);
        sd_event_source_disable_unref(manager->start_timer);
        sd_event_source_disable_unref(manager->drain_timer);
        storage_free(manager->storage);
        reaper_free(manager->reaper);
        spawner_free(manager->spawner);
        cgroups_free(manager->cgroups);
        state_dir_close(&manager->state_dir);
        waiters_deinit(&manager->waiters);
        strv_free(manager->environment);
        free(manager->runner_path);
        free(manager->launcher_path);
        free(manager->config_problem);
        config_unref(manager->config);
        sd_event_unref(manager->event);
        free(manager);
        return NULL;
}

int manager_run(Manager *manager)
{
        manager->listening = true;
        manager_update_state(manager);
        manager_watch_start(manager);
        return sd_event_loop(manager->event);
}

bool manager_store_fd(Manager *manager, const char *name, int fd, bool replace)
{
        if (replace)
                notify_forget_fd(manager->notify, name);
        return notify_store_fd(manager->notify, name, fd);
}

/* Looking in */

sd_event *manager_event(const Manager *manager)
{
        return manager->event;
}

Config *manager_config(const Manager *manager)
{
        return manager->config;
}

ManagerState manager_state(const Manager *manager)
{
        return manager->state;
}

const char *manager_status_text(const Manager *manager)
{
        return manager->status_text;
}

usec_t manager_started_usec(const Manager *manager)
{
        return manager->started_usec;
}

int64_t manager_config_msec(const Manager *manager)
{
        return manager->config_msec;
}

const char *manager_config_problem(const Manager *manager)
{
        return manager->config_problem;
}

usec_t manager_stall_usec(const Manager *manager)
{
        return storage_stall_usec(manager->storage);
}

uint64_t manager_n_events_dropped(const Manager *manager)
{
        return event_hook_n_dropped(manager->hook);
}

const Cgroups *manager_cgroups(const Manager *manager)
{
        return manager->cgroups;
}

size_t manager_n_pools(const Manager *manager)
{
        return manager->n_pools;
}

Pool *manager_pool(const Manager *manager, size_t i)
{
        assert(i < manager->n_pools);
        return manager->pools[i];
}

size_t manager_n_retiring(const Manager *manager)
{
        return manager->n_retiring;
}

Pool *manager_retiring(const Manager *manager, size_t i)
{
        assert(i < manager->n_retiring);
        return manager->retiring[i];
}

Pool *manager_find_pool(const Manager *manager, const char *name)
{
        for (size_t i = 0; i < manager->n_pools; i++)
                if (streq(pool_name(manager->pools[i]), name))
                        return manager->pools[i];
        return NULL;
}

size_t manager_n_sources(const Manager *manager)
{
        return manager->n_sources;
}

Source *manager_source(const Manager *manager, size_t i)
{
        assert(i < manager->n_sources);
        return manager->sources[i];
}

Source *manager_find_source(const Manager *manager, const char *name)
{
        for (size_t i = 0; i < manager->n_sources; i++)
                if (streq(source_name(manager->sources[i]), name))
                        return manager->sources[i];
        return NULL;
}

Pool *manager_pool_for_type(const Manager *manager, const Source *source, Slice type)
{
        for (size_t i = 0; i < manager->n_pools; i++) {
                Pool *pool = manager->pools[i];

                if (source ? pool_source(pool) != source
                           : source_type(pool_source(pool)) != SOURCE_QUEUE)
                        continue;
                STRV_FOREACH (t, pool_config(pool)->task_type)
                        if (slice_is(type, *t))
                                return pool;
        }
        return NULL;
}

EventHub *manager_event_hub(Manager *manager)
{
        return &manager->hub;
}

Waiters *manager_waiters(Manager *manager)
{
        return &manager->waiters;
}
