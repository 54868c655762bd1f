/* SPDX-License-Identifier: Apache-2.0 */

/* Backup: a copy of a queue while it is in use. */

#include "control/answer.h"

typedef struct BackupCall {
        ControlCall *call;
        QueueCall *queue_call;
        uint64_t pages_done;
        uint64_t pages_total;
        char path[];
} BackupCall;

static void on_backup_gone(ControlCall *call, void *userdata)
{
        BackupCall *backup = userdata;

        queue_call_abandon(backup->queue_call);
        free(backup);
}

static json_object *describe_backup(const BackupCall *backup, const uint64_t *size)
{
        OBJECT_CLEANUP Object object = object_new();

        object_add_uint(&object, "pagesDone", backup->pages_done);
        object_add_uint(&object, "pagesTotal", backup->pages_total);
        if (size)
                object_add_uint(&object, "sizeBytes", *size);
        return object_take(&object);
}

static void on_progress(uint64_t pages_done, uint64_t pages_total, void *userdata)
{
        BackupCall *backup = userdata;

        backup->pages_done = pages_done;
        backup->pages_total = pages_total;
        if (control_call_wants_more(backup->call) && control_call_writable(backup->call))
                (void)control_call_continue(backup->call, describe_backup(backup, NULL));
}

static void on_backed_up(int error, uint64_t size, void *userdata)
{
        _cleanup_free_ BackupCall *backup = userdata;

        if (error == -EEXIST)
                (void)control_call_refused(backup->call, "%s exists already: name a new file",
                                           backup->path);
        else if (error < 0)
                (void)control_call_refused(backup->call,
                                           "cannot back up to %s: %s; the daemon's user writes it",
                                           backup->path, strerror(-error));
        else
                (void)control_call_reply(backup->call, describe_backup(backup, &size));
}

typedef struct BackupParams {
        const char *path;
        const char *source;
} BackupParams;

static int choose_source(ControlCall *call, const Manager *manager, const char *name, Source **ret)
{
        size_t at = 0;
        Source *queue;
        int r;

        if (name)
                return find_queue(call, manager, name, ret);
        queue = next_queue(manager, &at);
        at++;
        if (queue && !next_queue(manager, &at)) {
                *ret = queue;
                return 0;
        }
        r = control_call_refused(call, queue ? "there are several queues: name one as source"
                                             : "there is no queue to back up");
        return r < 0 ? r : 1;
}

int method_backup(ControlCall *call, void *userdata)
{
        static const ControlCallbacks callbacks = { .on_gone = on_backup_gone };
        static const ParamField fields[] = {
                { "path", PARAM_STRING, true, offsetof(BackupParams, path) },
                { "source", PARAM_STRING, false, offsetof(BackupParams, source) },
        };
        BackupParams params = { 0 };
        BackupCall *backup;
        Source *source;
        size_t size;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r == 0)
                r = choose_source(call, userdata, params.source, &source);
        if (r != 0)
                return MIN(r, 0);
        if (params.path[0] != '/')
                return control_call_refused(
                        call, "path must be absolute: the daemon's folder is not the caller's");
        size = strlen(params.path) + 1;
        backup = calloc(1, sizeof(BackupCall) + size);
        if (!backup)
                return -ENOMEM;
        backup->call = call;
        memcpy(backup->path, params.path, size);
        r = queue_backup(source, params.path, on_progress, on_backed_up, backup,
                         &backup->queue_call);
        if (r < 0) {
                free(backup);
                return r;
        }
        control_call_keep(call, &callbacks, backup);
        return 0;
}
