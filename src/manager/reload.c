/* SPDX-License-Identifier: Apache-2.0 */

/* Reload: load, validate, compare, and only then change anything. Whatever can fail for a reason
 * outside of the daemon (files, databases) is done before the first change. */

#include "manager/manager-internal.h"

#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"
#include "base/strv.h"
#include "config/diff.h"
#include "manager/credentials.h"
#include "manager/left-outbox.h"

void reload_report_deinit(ReloadReport *report)
{
        strv_free(report->added);
        strv_free(report->removed);
        strv_free(report->changed);
        strv_free(report->restarted);
        config_diagnostics_free(report->diagnostics);
        free(report->message);
        *report = (ReloadReport){ 0 };
}

/* Pools */

static int note(char ***list, const char *name)
{
        return list ? strv_append(list, name) : 0;
}

static int retire_pool(Manager *manager, size_t i)
{
        Pool *pool = manager->pools[i];
        int r;

        r = append_pointer((void ***)&manager->retiring, &manager->n_retiring, pool);
        if (r < 0)
                return r;
        memmove(manager->pools + i, manager->pools + i + 1,
                (manager->n_pools - i - 1) * sizeof(Pool *));
        manager->n_pools--;
        pool_drain(pool);
        return 0;
}

static bool is_retiring(const Manager *manager, const char *name)
{
        for (size_t i = 0; i < manager->n_retiring; i++)
                if (streq(pool_name(manager->retiring[i]), name))
                        return true;
        return false;
}

static bool is_outdated(const Manager *manager, const char *source)
{
        return strv_contains(manager->outdated, source);
}

static int retire_unwanted(Manager *manager, ReloadReport *report)
{
        for (size_t i = manager->n_pools; i-- > 0;) {
                Pool *pool = manager->pools[i];
                const ConfigPool *wanted = config_find_pool(manager->config, pool_name(pool));
                char ***list = NULL;
                int r;

                if (wanted && !is_outdated(manager, source_name(pool_source(pool))) &&
                    config_pool_compare(pool_base_config(pool), wanted) != POOL_REPLACE)
                        continue;
                if (report)
                        list = wanted ? &report->restarted : &report->removed;
                r = note(list, pool_name(pool));
                if (r < 0)
                        return r;
                r = retire_pool(manager, i);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Without them a handler fails in its own words, which says more than a pool that is missing. */
static void link_credentials(const Manager *manager, const ConfigPool *pool)
{
        int r = credentials_link(manager->config->state_dir, pool);

        if (r < 0)
                log_event(LOG_ERR, (&(LogFields){ .pool = pool->name }),
                          "cannot pass credentials on to the pool's handlers: %s", strerror(-r));
}

static int alter_pool(Manager *manager, Pool *pool, ConfigPool *wanted, ReloadReport *report)
{
        PoolChange change = config_pool_compare(pool_base_config(pool), wanted);
        int r;

        if (change == POOL_UNCHANGED)
                return 0;
        link_credentials(manager, wanted);
        r = pool_apply(pool, wanted);
        if (r < 0)
                return r;
        if (!report)
                return 0;
        return note(change == POOL_LIVE ? &report->changed : &report->restarted, wanted->name);
}

static int make_pool(Manager *manager, ConfigPool *wanted)
{
        Source *source = manager_find_source(manager, wanted->source);
        Pool *pool;
        int r;

        if (!source)
                return -ENOENT;
        link_credentials(manager, wanted);
        r = pool_new(&pool, &manager->pool_context, source, wanted);
        if (r < 0)
                return r;
        r = append_pointer((void ***)&manager->pools, &manager->n_pools, pool);
        if (r < 0)
                pool_free(pool);
        return r;
}

/* Sorted as the configuration is, so that lists look the same each time. */
static void sort_pools(Manager *manager)
{
        size_t n = 0;

        for (size_t c = 0; c < manager->config->n_pools; c++)
                for (size_t i = n; i < manager->n_pools; i++)
                        if (streq(pool_name(manager->pools[i]), manager->config->pools[c]->name)) {
                                Pool *pool = manager->pools[i];

                                manager->pools[i] = manager->pools[n];
                                manager->pools[n++] = pool;
                                break;
                        }
}

/* Sources that have become others */

static bool is_used(const Manager *manager, const Source *source)
{
        for (size_t i = 0; i < manager->n_pools; i++)
                if (pool_source(manager->pools[i]) == source)
                        return true;
        for (size_t i = 0; i < manager->n_retiring; i++)
                if (pool_source(manager->retiring[i]) == source)
                        return true;
        return false;
}

static int note_outdated(Manager *manager, const Config *config)
{
        for (size_t i = 0; i < config->n_sources; i++) {
                const ConfigSource *wanted = config->sources[i];
                const ConfigSource *before = config_find_source(manager->config, wanted->name);

                if (!before || !config_source_replaced(before, wanted) ||
                    is_outdated(manager, wanted->name))
                        continue;
                int r = strv_append(&manager->outdated, wanted->name);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void close_source(Manager *manager, const Source *source)
{
        for (size_t i = 0; i < manager->n_sources; i++) {
                Source *found = manager->sources[i];

                if (found != source)
                        continue;
                memmove(manager->sources + i, manager->sources + i + 1,
                        (manager->n_sources - i - 1) * sizeof(Source *));
                manager->n_sources--;
                source_free(found);
                return;
        }
}

/* There is room: one has just been closed. What was in its outbox is in that of the new one. */
static void open_anew(Manager *manager, const ConfigSource *config)
{
        const LogFields fields = { .source = config->name };
        _cleanup_free_ char *problem = NULL;
        Source *source;

        int r = manager_open_source(manager, config, &source, &problem);
        if (r != 0) {
                log_event(LOG_ERR, &fields,
                          "cannot open source %s anew, its pools are gone until the next reload: "
                          "%s",
                          config->name, problem ? problem : strerror(r < 0 ? -r : EIO));
                return;
        }
        manager->sources[manager->n_sources++] = source;
        log_event(LOG_NOTICE, &fields, "source %s is now as the configuration has it",
                  config->name);
}

/* Opens sources anew that have become others, once no pool uses the old ones. */
static void renew_sources(Manager *manager)
{
        size_t n = 0;

        for (size_t i = 0; manager->outdated && manager->outdated[i]; i++) {
                char *name = manager->outdated[i];
                const ConfigSource *wanted = config_find_source(manager->config, name);
                Source *source = manager_find_source(manager, name);

                if (wanted && source && is_used(manager, source)) {
                        manager->outdated[n++] = name;
                        continue;
                }
                if (wanted && source) {
                        close_source(manager, source);
                        open_anew(manager, wanted);
                }
                free(name);
        }
        if (manager->outdated)
                manager->outdated[n] = NULL;
}

/* Pools again */

int manager_sync_pools(Manager *manager, ReloadReport *report)
{
        int r;

        r = retire_unwanted(manager, report);
        if (r < 0)
                return r;
        renew_sources(manager);
        for (size_t i = 0; i < manager->config->n_pools; i++) {
                ConfigPool *wanted = manager->config->pools[i];
                Pool *pool = manager_find_pool(manager, wanted->name);

                if (pool) {
                        r = alter_pool(manager, pool, wanted, report);
                        if (r < 0)
                                return r;
                        continue;
                }
                /* otherwise made when its predecessor has gone: they share their workers' names;
                 * or when its source is there */
                if (!is_retiring(manager, wanted->name) && !is_outdated(manager, wanted->source) &&
                    manager_find_source(manager, wanted->source)) {
                        r = make_pool(manager, wanted);
                        if (r < 0)
                                return r;
                }
                if (report && !strv_contains(report->restarted, wanted->name)) {
                        r = note(&report->added, wanted->name);
                        if (r < 0)
                                return r;
                }
        }
        sort_pools(manager);
        return 0;
}

/* Sources */

/* Opens what is new into *ret_new; nothing else changes yet. */
static int open_new_sources(Manager *manager, const Config *config, Source ***ret_new,
                            size_t *ret_n, char **ret_error)
{
        for (size_t i = 0; i < config->n_sources; i++) {
                Source *source;
                int r;

                if (manager_find_source(manager, config->sources[i]->name))
                        continue;
                r = manager_open_source(manager, config->sources[i], &source, ret_error);
                if (r != 0)
                        return r;
                r = append_pointer((void ***)ret_new, ret_n, source);
                if (r < 0) {
                        source_free(source);
                        return r;
                }
        }
        return 0;
}

/* All or none. */
static int adopt_sources(Manager *manager, Source **fresh, size_t *n_fresh)
{
        Source **all =
                reallocarray(manager->sources, manager->n_sources + *n_fresh + 1, sizeof(Source *));

        if (!all)
                return -ENOMEM;
        manager->sources = all;
        for (size_t i = 0; i < *n_fresh; i++)
                all[manager->n_sources++] = fresh[i];
        *n_fresh = 0;
        return 0;
}

static bool is_wanted(const Manager *manager, const Source *source)
{
        if (config_find_source(manager->config, source_name(source)))
                return true;
        for (size_t i = 0; i < manager->n_retiring; i++)
                if (pool_source(manager->retiring[i]) == source)
                        return true;
        return false;
}

/* Closing one answers who still asks it, and they may go on to the next: so it leaves first. */
static bool close_one_unwanted(Manager *manager)
{
        for (size_t i = 0; i < manager->n_sources; i++) {
                Source *source = manager->sources[i];

                if (is_wanted(manager, source))
                        continue;
                if (source_type(source) == SOURCE_CONDUCTOR)
                        left_outbox_tell(source_name(source), manager->config->state_dir,
                                         conductor_outbox(source));
                close_source(manager, source);
                return true;
        }
        return false;
}

void manager_close_unwanted_sources(Manager *manager)
{
        while (close_one_unwanted(manager))
                ;
}

static void alter_sources(Manager *manager)
{
        for (size_t i = 0; i < manager->config->n_sources; i++) {
                const ConfigSource *config = manager->config->sources[i];
                Source *source = manager_find_source(manager, config->name);
                int r = 0;

                if (is_outdated(manager, config->name))
                        continue; /* it stays what it is as long as there is something in hand */
                if (source && config->type == SOURCE_CONDUCTOR)
                        r = conductor_alter(source, config);
                else if (source)
                        r = queue_alter(source, config);
                if (r < 0)
                        log_error_errno(r, "cannot change source %s: %m", config->name);
        }
}

/* The whole */

static int remember_problem(Manager *manager, const char *problem)
{
        char *copy = problem ? strdup(problem) : NULL;

        if (problem && !copy)
                return -ENOMEM;
        free(manager->config_problem);
        manager->config_problem = copy;
        return 0;
}

static void reject(Manager *manager, const char *problem)
{
        log_event(LOG_ERR, (&(LogFields){ .message_id = LOG_ID_CONFIG_REJECTED }),
                  "reload refused, nothing has changed: %s", problem);
        if (remember_problem(manager, problem) < 0)
                log_error("cannot remember why: out of memory");
        manager_emit(manager, EVENT_CONFIG_REJECTED, problem);
}

static void log_diagnostics(const ConfigDiagnostics *diagnostics)
{
        STRV_FOREACH (line, diagnostics->lines)
                log_warning("%s", *line);
}

/* From here on only memory can be short. */
static int put_in_effect(Manager *manager, Config *config, ReloadReport *report)
{
        int r;

        /* what 'yardctl log-level' set stays unless the file says something new */
        if (config->log_level != manager->config->log_level)
                log_set_level(config->log_level);
        r = note_outdated(manager, config);
        if (r < 0)
                return r;
        config_unref(manager->config);
        manager->config = config_ref(config);
        manager->config_msec = clock_epoch_msec();
        alter_sources(manager);
        r = manager_sync_pools(manager, report);
        if (r < 0)
                return r;
        manager_close_unwanted_sources(manager);
        event_hook_apply(manager->hook, config);
        return remember_problem(manager, NULL);
}

static int refuse_unreloadable(const char *key, ReloadReport *report)
{
        if (asprintf(&report->message, "%s cannot change while the daemon runs: restart it", key) <
            0)
                return -ENOMEM;
        return MANAGER_E_REFUSED;
}

static int load_and_apply(Manager *manager, ReloadReport *report)
{
        _cleanup_(config_unrefp) Config *config = NULL;
        Source **fresh = NULL;
        size_t n_fresh = 0;
        const char *key;
        int r;

        r = config_load(manager->config->path, &config, &report->diagnostics);
        if (r < 0)
                return r;
        if (r == CONFIG_E_INVALID)
                return MANAGER_E_INVALID;
        key = config_unreloadable(manager->config, config);
        if (key)
                return refuse_unreloadable(key, report);

        r = open_new_sources(manager, config, &fresh, &n_fresh, &report->message);
        if (r == 0)
                r = adopt_sources(manager, fresh, &n_fresh);
        for (size_t i = 0; i < n_fresh; i++)
                source_free(fresh[i]);
        free(fresh);
        if (r != 0)
                return report->message ? MANAGER_E_REFUSED : r;
        return put_in_effect(manager, config, report);
}

int manager_reload(Manager *manager, ReloadReport *ret)
{
        _cleanup_(notify_readyp) Notify *notify = NULL;
        int r;

        *ret = (ReloadReport){ 0 };
        if (manager->drain_stage != DRAIN_NONE) {
                ret->message = strdup("the daemon is draining");
                return ret->message ? MANAGER_E_REFUSED : -ENOMEM;
        }
        if (manager->config->fileless) {
                ret->message = strdup("everything stands on the command line, there are no files "
                                      "to read again");
                return ret->message ? MANAGER_E_REFUSED : -ENOMEM;
        }
        if (manager->state == MANAGER_RUNNING) {
                notify = manager->notify;
                notify_reloading(notify);
        }
        r = load_and_apply(manager, ret);
        if (ret->diagnostics)
                log_diagnostics(ret->diagnostics);
        if (r == 0) {
                log_event(LOG_NOTICE, (&(LogFields){ .message_id = LOG_ID_CONFIG_RELOADED }),
                          "reloaded %s: %zu pool%s added, %zu removed, %zu changed, %zu restarted",
                          manager->config->path, strv_length(ret->added),
                          PLURAL(strv_length(ret->added)), strv_length(ret->removed),
                          strv_length(ret->changed), strv_length(ret->restarted));
                manager_emit(manager, EVENT_CONFIG_RELOADED, NULL);
        } else if (r == MANAGER_E_INVALID)
                reject(manager, ret->diagnostics->lines[0]);
        else
                reject(manager, ret->message ? ret->message : strerror(-r));
        manager_update_state(manager);
        return r;
}

void manager_reload_on_signal(Manager *manager)
{
        ReloadReport report;

        (void)manager_reload(manager, &report);
        reload_report_deinit(&report);
}
