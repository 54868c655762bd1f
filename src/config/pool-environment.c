/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "base/strv.h"
#include "config/check.h"
#include "config/environment.h"
#include "config/pool-environment.h"

static int set_variable(char ***env, const char *name, const char *value)
{
        _cleanup_free_ char *assignment = NULL;

        if (!value)
                return 0;
        if (asprintf(&assignment, "%s=%s", name, value) < 0) {
                assignment = NULL;
                return -ENOMEM;
        }
        return strv_set_env(env, assignment);
}

/* The folder that the daemon makes for the credentials of this pool alone. */
static int add_credentials(const Config *config, const ConfigPool *pool, char ***env)
{
        _cleanup_free_ char *folder = NULL;

        if (!pool->credentials || !pool->credentials[0])
                return 0;
        if (asprintf(&folder, "%s/credentials/%s", config->state_dir, pool->name) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        return set_variable(env, "CREDENTIALS_DIRECTORY", folder);
}

/* What a handler needs to speak to its server itself. */
static int add_server(const ConfigSource *source, const ConfigPool *pool, char ***env)
{
        if (!source || source->type != SOURCE_CONDUCTOR)
                return 0;
        int r = set_variable(env, "CONDUCTOR_SERVER_URL", source->conductor.url);
        if (r < 0 || !pool->pass_credentials)
                return r;
        r = set_variable(env, "CONDUCTOR_AUTH_KEY", source->conductor.auth.key_id);
        if (r < 0)
                return r;
        return set_variable(env, "CONDUCTOR_AUTH_SECRET", source->conductor.auth.secret);
}

int pool_environment_fill(Findings *findings, const Config *config, ConfigPool *pool)
{
        _cleanup_(strv_freep) char **env = NULL;
        ConfigOrigin at = check_place(pool, "environment_file");

        int r = add_server(config_find_source(config, pool->source), pool, &env);
        if (r >= 0)
                r = add_credentials(config, pool, &env);
        if (r >= 0 && pool->environment_file)
                r = environment_read(findings, at, "environment_file", pool->environment_file,
                                     false, &env);
        STRV_FOREACH (assignment, pool->environment_own) {
                if (r < 0)
                        break;
                r = strv_set_env(&env, *assignment);
        }
        if (r < 0)
                return r;
        (void)strv_free(pool->environment);
        pool->environment = TAKE_PTR(env);
        return 0;
}
