/* SPDX-License-Identifier: Apache-2.0 */

#include "control/methods.h"

const ControlMethod manager_methods[] = {
        { "Backup", method_backup, CONTROL_ADMIN, CONTROL_MORE_ALLOWED },
        { "CancelTasks", method_cancel_tasks, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "CheckConfig", method_check_config, CONTROL_READ, CONTROL_ONE_REPLY },
        { "CheckSource", method_check_source, CONTROL_READ, CONTROL_ONE_REPLY },
        { "DeleteTasks", method_delete_tasks, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "Drain", method_drain, CONTROL_ADMIN, CONTROL_MORE_ALLOWED },
        { "DropOutbox", method_drop_outbox, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "DumpConfig", method_dump_config, CONTROL_READ, CONTROL_ONE_REPLY },
        { "GetHealth", method_get_health, CONTROL_READ, CONTROL_ONE_REPLY },
        { "GetLogLevel", method_get_log_level, CONTROL_READ, CONTROL_ONE_REPLY },
        { "GetMetrics", method_get_metrics, CONTROL_READ, CONTROL_ONE_REPLY },
        { "GetOutboxMessage", method_get_outbox_message, CONTROL_READ, CONTROL_ONE_REPLY },
        { "GetStatus", method_get_status, CONTROL_READ, CONTROL_ONE_REPLY },
        { "GetTask", method_get_task, CONTROL_READ, CONTROL_ONE_REPLY },
        { "ListNames", method_list_names, CONTROL_READ, CONTROL_ONE_REPLY },
        { "ListOutbox", method_list_outbox, CONTROL_READ, CONTROL_ONE_REPLY },
        { "ListPools", method_list_pools, CONTROL_READ, CONTROL_ONE_REPLY },
        { "ListSources", method_list_sources, CONTROL_READ, CONTROL_ONE_REPLY },
        { "ListTasks", method_list_tasks, CONTROL_READ, CONTROL_MORE_ALLOWED },
        { "ListWorkers", method_list_workers, CONTROL_READ, CONTROL_ONE_REPLY },
        { "Monitor", method_monitor, CONTROL_READ, CONTROL_MORE_REQUIRED },
        { "PausePool", method_pause_pool, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "Reload", method_reload, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "RestartPool", method_restart_pool, CONTROL_ADMIN, CONTROL_MORE_ALLOWED },
        { "ResumePool", method_resume_pool, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "RetryOutbox", method_retry_outbox, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "RetryTasks", method_retry_tasks, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "Scale", method_scale, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "SetLogLevel", method_set_log_level, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "SetPool", method_set_pool, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "Submit", method_submit, CONTROL_SUBMIT, CONTROL_ONE_REPLY },
        { "SubmitMany", method_submit_many, CONTROL_SUBMIT, CONTROL_MORE_ALLOWED },
        { "UpdateTasks", method_update_tasks, CONTROL_ADMIN, CONTROL_ONE_REPLY },
        { "WaitTasks", method_wait_tasks, CONTROL_READ, CONTROL_MORE_ALLOWED },
};

const size_t n_manager_methods = ELEMENTSOF(manager_methods);
