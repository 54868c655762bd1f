#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of io.yardmaster.Manager: one table, and the handlers that it names. Their userdata
 * is the Manager. Each is in the methods-*.c of its group. */

#include "control/server.h"

int method_backup(ControlCall *call, void *userdata);
int method_cancel_tasks(ControlCall *call, void *userdata);
int method_check_config(ControlCall *call, void *userdata);
int method_check_source(ControlCall *call, void *userdata);
int method_delete_tasks(ControlCall *call, void *userdata);
int method_drain(ControlCall *call, void *userdata);
int method_drop_outbox(ControlCall *call, void *userdata);
int method_dump_config(ControlCall *call, void *userdata);
int method_get_health(ControlCall *call, void *userdata);
int method_get_log_level(ControlCall *call, void *userdata);
int method_get_metrics(ControlCall *call, void *userdata);
int method_get_outbox_message(ControlCall *call, void *userdata);
int method_get_status(ControlCall *call, void *userdata);
int method_get_task(ControlCall *call, void *userdata);
int method_list_names(ControlCall *call, void *userdata);
int method_list_outbox(ControlCall *call, void *userdata);
int method_list_pools(ControlCall *call, void *userdata);
int method_list_sources(ControlCall *call, void *userdata);
int method_list_tasks(ControlCall *call, void *userdata);
int method_list_workers(ControlCall *call, void *userdata);
int method_monitor(ControlCall *call, void *userdata);
int method_pause_pool(ControlCall *call, void *userdata);
int method_reload(ControlCall *call, void *userdata);
int method_restart_pool(ControlCall *call, void *userdata);
int method_resume_pool(ControlCall *call, void *userdata);
int method_retry_outbox(ControlCall *call, void *userdata);
int method_retry_tasks(ControlCall *call, void *userdata);
int method_scale(ControlCall *call, void *userdata);
int method_set_log_level(ControlCall *call, void *userdata);
int method_set_pool(ControlCall *call, void *userdata);
int method_submit(ControlCall *call, void *userdata);
int method_submit_many(ControlCall *call, void *userdata);
int method_update_tasks(ControlCall *call, void *userdata);
int method_wait_tasks(ControlCall *call, void *userdata);

/* In the order of their names, as ControlInterface wants it. */
extern const ControlMethod manager_methods[];
extern const size_t n_manager_methods;

/* The text of io.yardmaster.Manager.varlink. */
extern const char manager_interface[];
