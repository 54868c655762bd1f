/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include "base/json.h"
#include "base/strv.h"
#include "worker/environment.h"

static const char *const variable_names[] = {
        [ENVIRONMENT_WORKER] = "YARDMASTER_WORKER",
        [ENVIRONMENT_NOTIFY_SOCKET] = "NOTIFY_SOCKET",
        [ENVIRONMENT_WATCHDOG_USEC] = "WATCHDOG_USEC",
        [ENVIRONMENT_HANDLER_CONFIG] = "YARDMASTER_HANDLER_CONFIG",
        [ENVIRONMENT_TASK_TIMEOUT] = "YARDMASTER_TASK_TIMEOUT_USEC",
        [ENVIRONMENT_TASK_TYPE] = "TASK_TYPE",
        [ENVIRONMENT_TASK_ID] = "TASK_ID",
        [ENVIRONMENT_WORKFLOW_ID] = "WORKFLOW_ID",
        [ENVIRONMENT_EXECUTION_ID] = "EXECUTION_ID",
        [ENVIRONMENT_POLL_DOMAIN] = "POLL_DOMAIN",
};
static_assert(ELEMENTSOF(variable_names) == _ENVIRONMENT_VARIABLE_MAX, "a variable has no name");

typedef struct OwnVariable {
        char *assignment; /* "NAME=value" */
        size_t capacity;
        bool is_set;
} OwnVariable;

struct Environment {
        OwnVariable own[_ENVIRONMENT_VARIABLE_MAX];
        size_t n_borrowed;
        char *vector[]; /* borrowed entries, then room for all of own, then NULL */
};

static size_t name_length(const char *assignment)
{
        return strcspn(assignment, "=");
}

static bool has_name(const char *assignment, const char *name, size_t length)
{
        return strncmp(assignment, name, length) == 0 && assignment[length] == '=';
}

static bool is_own(const char *assignment)
{
        size_t length = name_length(assignment);

        for (size_t i = 0; i < _ENVIRONMENT_VARIABLE_MAX; i++) {
                if (strlen(variable_names[i]) == length &&
                    strncmp(assignment, variable_names[i], length) == 0)
                        return true;
        }
        return false;
}

static bool is_named_in(const char *assignment, char *const *strv)
{
        size_t length = name_length(assignment);

        STRV_FOREACH (s, strv) {
                if (has_name(*s, assignment, length))
                        return true;
        }
        return false;
}

/* Own variables follow the borrowed ones; called after each change. */
static void environment_finish(Environment *environment)
{
        size_t n = environment->n_borrowed;

        for (size_t i = 0; i < _ENVIRONMENT_VARIABLE_MAX; i++) {
                if (environment->own[i].is_set)
                        environment->vector[n++] = environment->own[i].assignment;
        }
        environment->vector[n] = NULL;
}

int environment_new(Environment **ret, char *const *inherited, char *const *pool)
{
        size_t n_max = strv_length(inherited) + strv_length(pool) + _ENVIRONMENT_VARIABLE_MAX + 1;
        Environment *environment;

        environment = calloc(1, sizeof(*environment) + n_max * sizeof(char *));
        if (!environment)
                return -ENOMEM;
        STRV_FOREACH (s, inherited) {
                if (!is_own(*s) && !is_named_in(*s, pool))
                        environment->vector[environment->n_borrowed++] = *s;
        }
        STRV_FOREACH (s, pool) {
                if (!is_own(*s))
                        environment->vector[environment->n_borrowed++] = *s;
        }
        *ret = environment;
        return 0;
}

Environment *environment_free(Environment *environment)
{
        if (!environment)
                return NULL;
        for (size_t i = 0; i < _ENVIRONMENT_VARIABLE_MAX; i++)
                free(environment->own[i].assignment);
        free(environment);
        return NULL;
}

static int own_variable_write(OwnVariable *own, const char *name, const char *value)
{
        size_t name_size = strlen(name), value_size = strlen(value);
        size_t size = name_size + 1 + value_size + 1;

        if (own->capacity < size) {
                char *larger = realloc(own->assignment, size);

                if (!larger)
                        return -ENOMEM;
                own->assignment = larger;
                own->capacity = size;
        }
        memcpy(own->assignment, name, name_size);
        own->assignment[name_size] = '=';
        memcpy(own->assignment + name_size + 1, value, value_size + 1);
        return 0;
}

static int environment_write(Environment *environment, EnvironmentVariable variable,
                             const char *value)
{
        OwnVariable *own = &environment->own[variable];
        int r;

        own->is_set = false;
        if (!value)
                return 0;
        r = own_variable_write(own, variable_names[variable], value);
        if (r < 0)
                return r;
        own->is_set = true;
        return 0;
}

int environment_set(Environment *environment, EnvironmentVariable variable, const char *value)
{
        int r;

        r = environment_write(environment, variable, value);
        environment_finish(environment);
        return r;
}

static int decode_optional(Slice value, char **ret)
{
        if (value.size == 0 || json_type_of(value) != JSON_STRING) {
                *ret = NULL;
                return 0;
        }
        return json_decode_string(value, ret);
}

int environment_set_task(Environment *environment, const Task *task)
{
        Slice key, value, workflow_value = SLICE_NULL, domain_value = SLICE_NULL;
        _cleanup_free_ char *workflow = NULL, *domain = NULL;
        int r;

        JSON_FOREACH_MEMBER (key, value, task->json) {
                if (slice_equal(key, SLICE_LITERAL("workflowInstanceId")))
                        workflow_value = value;
                else if (slice_equal(key, SLICE_LITERAL("domain")))
                        domain_value = value;
        }
        r = decode_optional(workflow_value, &workflow);
        if (r >= 0)
                r = decode_optional(domain_value, &domain);
        if (r >= 0)
                r = environment_write(environment, ENVIRONMENT_TASK_TYPE, task->type);
        if (r >= 0)
                r = environment_write(environment, ENVIRONMENT_TASK_ID, task->id);
        if (r >= 0)
                r = environment_write(environment, ENVIRONMENT_WORKFLOW_ID,
                                      workflow ? workflow : "");
        if (r >= 0)
                r = environment_write(environment, ENVIRONMENT_EXECUTION_ID,
                                      workflow ? workflow : "");
        if (r >= 0)
                r = environment_write(environment, ENVIRONMENT_POLL_DOMAIN,
                                      domain && *domain ? domain : NULL);
        environment_finish(environment);
        return r;
}

const char *environment_get(const Environment *environment, EnvironmentVariable variable)
{
        const OwnVariable *own = &environment->own[variable];

        return own->is_set ? own->assignment + strlen(variable_names[variable]) + 1 : NULL;
}

char *const *environment_vector(const Environment *environment)
{
        return environment->vector;
}
