/* SPDX-License-Identifier: Apache-2.0 */

/* CheckSource: what a server says of itself and of the pools' task types. */

#include "control/answer.h"

typedef struct CheckCall {
        ControlCall *call;
        ConductorCheck *check;
} CheckCall;

static void on_check_gone(ControlCall *call, void *userdata)
{
        CheckCall *check = userdata;

        conductor_check_abandon(check->check);
        free(check);
}

static json_object *describe_finding(const CheckFinding *finding)
{
        OBJECT_CLEANUP Object object = object_new();

        object_add_string(&object, "level", check_level_to_string(finding->level));
        object_add_string(&object, "subject", finding->subject);
        object_add_string(&object, "pool", finding->pool);
        object_add_string(&object, "message", finding->text);
        object_add_string(&object, "remedy", finding->remedy);
        return object_take(&object);
}

static void on_checked(const CheckFinding *findings, size_t n, void *userdata)
{
        _cleanup_free_ CheckCall *check = userdata;
        json_object *array = json_object_new_array();

        for (size_t i = 0; i < n; i++)
                array_add(&array, describe_finding(&findings[i]));
        if (reply_single(check->call, "findings", array) < 0)
                (void)control_call_refused(check->call, "out of memory");
}

/* The pools on source, as they are in effect; borrowed, the vector is the caller's. */
static ConfigPool **pools_of(const Manager *manager, const Source *source, size_t *ret_n)
{
        ConfigPool **pools = calloc(manager_n_pools(manager) + 1, sizeof(*pools));
        size_t n = 0;

        for (size_t i = 0; pools && i < manager_n_pools(manager); i++) {
                const Pool *pool = manager_pool(manager, i);

                if (pool_source(pool) == source)
                        pools[n++] = (ConfigPool *)pool_config(pool);
        }
        *ret_n = n;
        return pools;
}

int method_check_source(ControlCall *call, void *userdata)
{
        static const ControlCallbacks callbacks = { .on_gone = on_check_gone };
        struct {
                const char *source;
        } params = { 0 };
        static const ParamField fields[] = { { "source", PARAM_STRING, true, 0 } };
        _cleanup_free_ ConfigPool **pools = NULL;
        _cleanup_free_ CheckCall *check = NULL;
        Source *source;
        size_t n;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r == 0)
                r = find_source(call, userdata, params.source, &source);
        if (r != 0)
                return MIN(r, 0);
        if (source_type(source) != SOURCE_CONDUCTOR)
                return control_call_refused(call,
                                            "source %s is an embedded queue: there is no server to "
                                            "check; yardctl health tells how it is",
                                            params.source);
        pools = pools_of(userdata, source, &n);
        check = calloc(1, sizeof(*check));
        if (!pools || !check)
                return -ENOMEM;
        check->call = call;
        r = conductor_check(source, pools, n, on_checked, check, &check->check);
        if (r < 0)
                return r;
        control_call_keep(call, &callbacks, TAKE_PTR(check));
        return 0;
}
