#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Every verb of yardctl: the table, and what its rows call, a file for each group. */

#include "ctl/ctl.h"

/* In the order of the help; the last one has no name. */
extern const Verb verbs[];

ExitCode verb_help(Ctl *ctl, const Arguments *arguments);
void print_help(void);
void print_verb_help(const Verb *verb);

ExitCode verb_status(Ctl *ctl, const Arguments *arguments);
ExitCode verb_list_pools(Ctl *ctl, const Arguments *arguments);
ExitCode verb_list_workers(Ctl *ctl, const Arguments *arguments);
ExitCode verb_list_sources(Ctl *ctl, const Arguments *arguments);
ExitCode verb_list_tasks(Ctl *ctl, const Arguments *arguments);
ExitCode verb_source_check(Ctl *ctl, const Arguments *arguments);
ExitCode verb_outbox_list(Ctl *ctl, const Arguments *arguments);
ExitCode verb_outbox_show(Ctl *ctl, const Arguments *arguments);
ExitCode verb_outbox_retry(Ctl *ctl, const Arguments *arguments);
ExitCode verb_outbox_drop(Ctl *ctl, const Arguments *arguments);
ExitCode verb_submit(Ctl *ctl, const Arguments *arguments);
ExitCode verb_task_show(Ctl *ctl, const Arguments *arguments);
ExitCode verb_task_cancel(Ctl *ctl, const Arguments *arguments);
ExitCode verb_task_retry(Ctl *ctl, const Arguments *arguments);
ExitCode verb_task_update(Ctl *ctl, const Arguments *arguments);
ExitCode verb_task_delete(Ctl *ctl, const Arguments *arguments);
ExitCode verb_wait(Ctl *ctl, const Arguments *arguments);
ExitCode verb_scale(Ctl *ctl, const Arguments *arguments);
ExitCode verb_set(Ctl *ctl, const Arguments *arguments);
ExitCode verb_pause(Ctl *ctl, const Arguments *arguments);
ExitCode verb_resume(Ctl *ctl, const Arguments *arguments);
ExitCode verb_restart(Ctl *ctl, const Arguments *arguments);
ExitCode verb_reload(Ctl *ctl, const Arguments *arguments);
ExitCode verb_drain(Ctl *ctl, const Arguments *arguments);
ExitCode verb_config_check(Ctl *ctl, const Arguments *arguments);
ExitCode verb_config_dump(Ctl *ctl, const Arguments *arguments);
ExitCode verb_logs(Ctl *ctl, const Arguments *arguments);
/* What the journal has last of a pool or worker, at the end of its status. */
void print_last_lines(Ctl *ctl, const char *name);
ExitCode verb_monitor(Ctl *ctl, const Arguments *arguments);
ExitCode verb_metrics(Ctl *ctl, const Arguments *arguments);
ExitCode verb_health(Ctl *ctl, const Arguments *arguments);
ExitCode verb_log_level(Ctl *ctl, const Arguments *arguments);
ExitCode verb_backup(Ctl *ctl, const Arguments *arguments);
ExitCode verb_version(Ctl *ctl, const Arguments *arguments);
ExitCode verb_call(Ctl *ctl, const Arguments *arguments);
ExitCode verb_complete(Ctl *ctl, const Arguments *arguments);

/* Options that the verbs of one group share; the enum stands beside its list. */
enum {
        FILTER_STATUS,
        FILTER_TYPE,
        FILTER_SINCE,
        FILTER_SOURCE,
        _FILTER_MAX,
};
extern const Option pool_list_options[];
extern const Option worker_list_options[];
extern const Option list_options[];
extern const Option outbox_list_options[];
extern const Option outbox_change_options[];
extern const Option task_options[];
extern const Option update_options[];
extern const Option submit_options[];
extern const Option wait_options[];
extern const Option restart_options[];
extern const Option drain_options[];
extern const Option logs_options[];
extern const Option monitor_options[];
extern const Option health_options[];
extern const Option backup_options[];
extern const Option call_options[];
