/* SPDX-License-Identifier: Apache-2.0 */

#include "control/new-task.h"

#include <stdarg.h>
#include <stdio.h>
#include "config/suggest.h"
#include "control/answer.h"

typedef struct NewTaskParams {
        Slice type;
        Slice input;
        int64_t priority;
        int64_t delay_msec;
        int64_t run_msec;
        Slice unique;
        Slice conflict;
        int64_t attempts;
        int64_t deadline_msec;
        const char *source;
} NewTaskParams;

/* An attempts member that is not there: 0 is refused. */
#define ABSENT INT64_MIN

#define FIELD(key, type, required, member)                           \
        {                                                            \
                key, type, required, offsetof(NewTaskParams, member) \
        }

static const ParamField new_task_fields[] = {
        FIELD("type", PARAM_TEXT, true, type),
        FIELD("input", PARAM_OBJECT, false, input),
        FIELD("priority", PARAM_INTEGER, false, priority),
        FIELD("delayMsec", PARAM_INTEGER, false, delay_msec),
        FIELD("runTime", PARAM_INTEGER, false, run_msec),
        FIELD("unique", PARAM_TEXT, false, unique),
        FIELD("conflict", PARAM_TEXT, false, conflict),
        FIELD("attempts", PARAM_INTEGER, false, attempts),
        FIELD("deadlineTime", PARAM_INTEGER, false, deadline_msec),
        FIELD("source", PARAM_STRING, false, source),
};

static int object_to(Objection *ret, const char *error, const char *wrong, const char *message)
{
        *ret = (Objection){ .error = error, .wrong = wrong, .message = message };
        return 1;
}

static const char *format_in_arena(ControlCall *call, const char *format, ...) _printf_(2, 3);

static const char *format_in_arena(ControlCall *call, const char *format, ...)
{
        char text[512], *copy;
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        copy = param_arena_allocate(control_call_arena(call), strlen(text) + 1);
        return copy ? strcpy(copy, text) : "out of memory";
}

static int check_ranges(ControlCall *call, const NewTaskParams *params, QueueConflict *ret_conflict,
                        Objection *ret)
{
        QueueConflict conflict = QUEUE_CONFLICT_ERROR;

        if (params->type.size == 0)
                return object_to(ret, "InvalidTask", "type", "type: it is empty");
        if (params->priority < -QUEUE_PRIORITY_MAX || params->priority > QUEUE_PRIORITY_MAX)
                return object_to(ret, "InvalidTask", "priority",
                                 "priority: a whole number from -100 to 100");
        if (params->delay_msec < 0)
                return object_to(ret, "InvalidTask", "delayMsec", "delayMsec: not below 0");
        if (params->delay_msec > 0 && params->run_msec > 0)
                return object_to(ret, "InvalidTask", "runTime",
                                 "either a delay or a time to run at, not both");
        if (params->attempts != ABSENT &&
            (params->attempts < 1 || params->attempts > QUEUE_ATTEMPTS_MAX))
                return object_to(ret, "InvalidTask", "attempts",
                                 "attempts: a whole number from 1 to 1000000");
        if (params->conflict.size > 0)
                conflict = queue_conflict_from_slice(params->conflict);
        if (conflict < 0)
                return object_to(ret, "InvalidTask", "conflict",
                                 "conflict: error, return_existing or replace");
        *ret_conflict = conflict;
        return 0;
}

static int object_unserved(ControlCall *call, const Manager *manager, Slice type, Objection *ret)
{
        const char *name =
                format_in_arena(call, "%.*s", (int)MIN(type.size, (size_t)300), type.data);
        _cleanup_free_ const char **names = type_names(manager);
        const char *near;

        if (!names)
                return -ENOMEM;
        near = suggest_word(names, name);
        return object_to(
                ret, "TypeNotServed", name,
                near ? format_in_arena(call, "no pool serves the type \"%s\"; did you mean \"%s\"?",
                                       name, near)
                     : format_in_arena(call,
                                       "no pool serves the type \"%s\": nothing would run it "
                                       "(force submits it all the same)",
                                       name));
}

/* NULL: there is none, or there are several. */
static Source *only_queue(const Manager *manager, bool *ret_several)
{
        size_t at = 0;
        Source *queue = next_queue(manager, &at);

        at++;
        *ret_several = queue && next_queue(manager, &at);
        return *ret_several ? NULL : queue;
}

/* No queue's pool serves it, but a server's may. */
static Pool *server_pool_for_type(const Manager *manager, Slice type)
{
        Pool *pool = NULL;

        for (size_t i = 0; !pool && i < manager_n_sources(manager); i++) {
                Source *source = manager_source(manager, i);

                if (source_type(source) != SOURCE_QUEUE)
                        pool = manager_pool_for_type(manager, source, type);
        }
        return pool;
}

static int object_unserved_here(ControlCall *call, const Manager *manager,
                                const NewTaskParams *params, Objection *ret)
{
        const Pool *pool = params->source ? NULL : server_pool_for_type(manager, params->type);

        if (!pool)
                return object_unserved(call, manager, params->type, ret);
        return object_to(ret, "InvalidTask", "type",
                         format_in_arena(call,
                                         "pool %s takes its tasks from source %s, a Conductor "
                                         "server, which makes them itself: start a workflow there",
                                         pool_name(pool), source_name(pool_source(pool))));
}

/* The queue it names, else that of the pool that serves its type, else the only one there is. */
static int choose_source(ControlCall *call, const Manager *manager, const NewTaskParams *params,
                         bool force, Source **ret, Objection *ret_objection)
{
        Source *source = NULL;
        bool several;
        Pool *pool;

        if (params->source) {
                source = manager_find_source(manager, params->source);
                if (!source)
                        return object_to(
                                ret_objection, "NoSuchSource", params->source,
                                format_in_arena(call, "there is no source \"%s\"", params->source));
                if (source_type(source) != SOURCE_QUEUE)
                        return object_to(
                                ret_objection, "InvalidTask", "source",
                                format_in_arena(call,
                                                "source %s is a Conductor server, which makes its "
                                                "tasks itself: start a workflow there",
                                                params->source));
        }
        pool = manager_pool_for_type(manager, source, params->type);
        if (!pool && !force)
                return object_unserved_here(call, manager, params, ret_objection);
        if (!source && pool)
                source = pool_source(pool);
        if (!source)
                source = only_queue(manager, &several);
        if (!source)
                return object_to(ret_objection, "InvalidTask", "source",
                                 several ? "there are several queues: name one as source"
                                         : "no queue is configured: add one under sources");
        *ret = source;
        return 0;
}

int new_task_read(ControlCall *call, const Manager *manager, Slice object, bool force, NewTask *ret,
                  Objection *ret_objection)
{
        NewTaskParams params = { .attempts = ABSENT };
        const char *wrong;
        int r;

        if (json_type_of(object) != JSON_OBJECT)
                return object_to(ret_objection, "InvalidTask", "task", "a task is a JSON object");
        r = params_decode(object, new_task_fields, ELEMENTSOF(new_task_fields),
                          control_call_arena(call), &params, &wrong);
        if (r == -EINVAL)
                return object_to(
                        ret_objection, "InvalidTask", wrong,
                        format_in_arena(call, "%s: unknown, missing or of the wrong type", wrong));
        if (r < 0)
                return r;
        *ret = (NewTask){ .task = {
                                  .type = params.type,
                                  .input = params.input,
                                  .priority = (int)params.priority,
                                  .delay_msec = params.delay_msec,
                                  .run_at_msec = params.run_msec,
                                  .unique_key = params.unique,
                                  .deadline_msec = params.deadline_msec,
                          } };
        r = check_ranges(call, &params, &ret->task.conflict, ret_objection);
        if (r != 0)
                return r;
        if (params.attempts != ABSENT)
                ret->task.attempts = (unsigned)params.attempts;
        return choose_source(call, manager, &params, force, &ret->source, ret_objection);
}

const char *error_of_verdict(QueueVerdict verdict)
{
        switch (verdict) {
        case QUEUE_DUPLICATE:
                return "DuplicateTask";
        case QUEUE_FULL:
        case QUEUE_DISK_FULL:
                return "QueueFull";
        case QUEUE_TOO_BIG:
        case QUEUE_INVALID:
                return "InvalidTask";
        case QUEUE_NO_SUCH_TASK:
                return "NoSuchTask";
        default:
                return "Refused";
        }
}
