/* SPDX-License-Identifier: Apache-2.0 */

#include <stdint.h>
#include "base/strv.h"

size_t strv_length(char *const *strv)
{
        size_t n = 0;

        while (strv && strv[n])
                n++;
        return n;
}

char **strv_free(char **strv)
{
        STRV_FOREACH (s, strv)
                free(*s);
        free(strv);
        return NULL;
}

int strv_copy(char ***ret, char *const *strv)
{
        _cleanup_(strv_freep) char **copy = NULL;
        size_t n = 0;

        copy = calloc(strv_length(strv) + 1, sizeof(*copy));
        if (!copy)
                return -ENOMEM;
        STRV_FOREACH (s, strv) {
                copy[n] = strdup(*s);
                if (!copy[n++])
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(copy);
        return 0;
}

int strv_append(char ***strv, const char *s)
{
        _cleanup_free_ char *copy = NULL;
        size_t n = strv_length(*strv);
        char **longer;

        copy = strdup(s);
        if (!copy)
                return -ENOMEM;
        longer = reallocarray(*strv, n + 2, sizeof(*longer));
        if (!longer)
                return -ENOMEM;
        longer[n] = TAKE_PTR(copy);
        longer[n + 1] = NULL;
        *strv = longer;
        return 0;
}

bool strv_contains(char *const *strv, const char *s)
{
        STRV_FOREACH (i, strv) {
                if (streq(*i, s))
                        return true;
        }
        return false;
}

/* The value in assignment if it is of the variable called name, which need not be terminated. */
static const char *env_match(const char *assignment, const char *name, size_t name_size)
{
        if (strncmp(assignment, name, name_size) != 0 || assignment[name_size] != '=')
                return NULL;
        return assignment + name_size + 1;
}

int strv_set_env(char ***env, const char *assignment)
{
        const char *equals = strchr(assignment, '=');
        char *copy;

        if (!equals || equals == assignment)
                return -EINVAL;
        for (char **s = *env; s && *s; s++) {
                if (!env_match(*s, assignment, (size_t)(equals - assignment)))
                        continue;
                copy = strdup(assignment);
                if (!copy)
                        return -ENOMEM;
                free(*s);
                *s = copy;
                return 0;
        }
        return strv_append(env, assignment);
}

const char *strv_get_env(char *const *env, const char *name)
{
        size_t name_size = strlen(name);

        STRV_FOREACH (s, env) {
                const char *value = env_match(*s, name, name_size);

                if (value)
                        return value;
        }
        return NULL;
}
