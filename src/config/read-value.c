/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include "base/strv.h"
#include "config/environment.h"
#include "config/group.h"
#include "config/read-value.h"
#include "config/resolve.h"
#include "config/text.h"

/* Largest handler.config as JSON: it goes to the runner in one variable, and the kernel takes no
 * more than 128 KiB in one. */
#define GROUP_JSON_MAX ((size_t)64 * 1024)

/* Reports message if r says that a value was refused; what is left is 0 or -errno. */
static int refused(const ReadTarget *target, const config_setting_t *setting, int r, char *message)
{
        if (r == VALUE_E_INVALID)
                read_error(target->reader, setting, "%s", message);
        free(message);
        return r;
}

const char *read_found(const config_setting_t *setting)
{
        switch (config_setting_type(setting)) {
        case CONFIG_TYPE_GROUP:
                return "a group";
        case CONFIG_TYPE_ARRAY:
        case CONFIG_TYPE_LIST:
                return "a list";
        case CONFIG_TYPE_INT:
        case CONFIG_TYPE_INT64:
                return "a number";
        case CONFIG_TYPE_FLOAT:
                return "a number with a fraction";
        case CONFIG_TYPE_BOOL:
                return "true or false";
        default:
                return "text";
        }
}

static const char *expected(SchemaType type)
{
        static const char *const shapes[_SCHEMA_TYPE_MAX] = {
                [SCHEMA_STRING] = "text in quotes",
                [SCHEMA_STRINGS] = "text in quotes, or a list [\"a\", \"b\"]",
                [SCHEMA_UINT] = "a whole number",
                [SCHEMA_UINT64] = "a whole number",
                [SCHEMA_INT] = "a whole number",
                [SCHEMA_BOOL] = "true or false",
                [SCHEMA_DURATION] = "a duration, like \"30s\"",
                [SCHEMA_SIZE] = "a size, like \"512M\"",
                [SCHEMA_PERCENT] = "a percentage, like \"50%\"",
                [SCHEMA_RATE] = "a rate, like \"10/s\"",
                [SCHEMA_ENUM] = "a word in quotes",
                [SCHEMA_INTS] = "a list of numbers [1, 2]",
                [SCHEMA_ENVIRONMENT] = "a group { NAME = \"value\"; } or a list [\"NAME=value\"]",
                [SCHEMA_JSON] = "a group { … }",
                [SCHEMA_GROUP] = "a group { … }",
        };
        return shapes[type];
}

static int wrong_type(const ReadTarget *target)
{
        read_error(target->reader, target->setting, "expected %s, found %s",
                   expected(target->row->type), read_found(target->setting));
        return VALUE_E_INVALID;
}

static int check_text(const ReadTarget *target, const config_setting_t *setting)
{
        const char *text = config_setting_get_string(setting);

        if (strlen(text) > CONFIG_TEXT_MAX)
                read_error(target->reader, setting, "the text has more than %d bytes",
                           CONFIG_TEXT_MAX);
        else if (!text_is_utf8(text))
                read_error(target->reader, setting, "the text is not UTF-8");
        else
                return 0;
        return VALUE_E_INVALID;
}

static bool is_list(const config_setting_t *setting)
{
        return config_setting_is_array(setting) || config_setting_is_list(setting);
}

/* A bounded list, or one element that stands for a list of one. */
static int list_length(const ReadTarget *target, int *ret)
{
        int n = is_list(target->setting) ? config_setting_length(target->setting) : 1;

        if (n > CONFIG_LIST_MAX)
                read_error(target->reader, target->setting, "more than %d entries",
                           CONFIG_LIST_MAX);
        else if (n == 0 && (target->row->flags & SCHEMA_NOT_EMPTY))
                read_error(target->reader, target->setting, "must not be empty");
        else {
                *ret = n;
                return 0;
        }
        return VALUE_E_INVALID;
}

static const config_setting_t *list_element(const ReadTarget *target, int i)
{
        return is_list(target->setting) ? config_setting_get_elem(target->setting, i)
                                        : target->setting;
}

/* What an entry stands for: *ret is fresh, or NULL if the text itself is the value. */
static int resolve_entry(const ReadTarget *target, const char *text, int i, char **ret,
                         char **ret_message)
{
        switch (target->row->role) {
        case SCHEMA_TASK_TYPES:
                return resolve_task_type(text, ret_message);
        case SCHEMA_HEADERS:
                return resolve_header(text, ret_message);
        case SCHEMA_CREDENTIAL:
                return resolve_credential_name(text, ret_message);
        case SCHEMA_PROGRAM:
                if (i > 0)
                        return 0;
                if (!text[0])
                        return value_refuse(ret_message, "must not be empty");
                return resolve_program(target->file, text, ret, ret_message);
        default:
                return 0;
        }
}

/* One entry of a list: its characters, and what it stands for. *ret is fresh. */
static int read_entry(const ReadTarget *target, int i, char **ret)
{
        const config_setting_t *element = list_element(target, i);
        const char *text = config_setting_get_string(element);
        char *message = NULL, *value = NULL;
        int r;

        if (!text) {
                read_error(target->reader, element, "expected text in quotes, found %s",
                           read_found(element));
                return VALUE_E_INVALID;
        }
        r = check_text(target, element);
        if (r != 0)
                return r;
        r = value_check_word(target->row, text, &message);
        if (r == 0)
                r = resolve_entry(target, text, i, &value, &message);
        if (r == 0 && !value)
                value = strdup(text);
        if (r != 0)
                return refused(target, element, r, message);
        *ret = value;
        return value ? 0 : -ENOMEM;
}

static int read_strings(const ReadTarget *target)
{
        _cleanup_(strv_freep) char **list = NULL;
        int n, wrong = 0;

        if (!is_list(target->setting) && !config_setting_get_string(target->setting))
                return wrong_type(target);
        int r = list_length(target, &n);
        if (r != 0)
                return r;
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *entry = NULL;

                r = read_entry(target, i, &entry);
                if (r == 0) {
                        if (target->row->role == SCHEMA_TASK_TYPES && strv_contains(list, entry)) {
                                read_error(target->reader, target->setting, "'%s' stands twice",
                                           entry);
                                wrong = VALUE_E_INVALID;
                        }
                        r = strv_append(&list, entry);
                }
                if (r < 0)
                        return r;
                wrong |= r;
        }
        if (wrong)
                return VALUE_E_INVALID;
        value_take_strings(target->row, target->object, TAKE_PTR(list));
        return 0;
}

static int read_ints(const ReadTarget *target)
{
        _cleanup_free_ int *values = NULL;
        int n, wrong = 0;

        if (!is_list(target->setting) && !config_setting_is_number(target->setting))
                return wrong_type(target);
        int r = list_length(target, &n);
        if (r != 0)
                return r;
        values = calloc(MAX(n, 1), sizeof(*values));
        if (!values)
                return -ENOMEM;
        for (int i = 0; i < n; i++) {
                const config_setting_t *element = list_element(target, i);
                char *message = NULL;

                if (config_setting_type(element) != CONFIG_TYPE_INT)
                        r = value_refuse(&message, "expected a whole number, found %s",
                                         read_found(element));
                else
                        r = value_check_number(target->row, config_setting_get_int(element),
                                               &message);
                if (r < 0)
                        return r;
                wrong |= refused(target, element, r, message);
                values[i] = config_setting_get_int(element);
        }
        if (wrong)
                return VALUE_E_INVALID;
        value_take_ints(target->row, target->object, TAKE_PTR(values), n);
        return 0;
}

/* "NAME=value" of one member of the group or list. */
static int read_variable(const ReadTarget *target, int i, char **ret)
{
        const config_setting_t *element = config_setting_get_elem(target->setting, i);
        const char *text = config_setting_get_string(element);
        const char *name = config_setting_name(element);
        const char *wrong = NULL;

        if (!text)
                wrong = "expected text in quotes";
        else if (!name && !strchr(text, '='))
                wrong = "expected \"NAME=value\"";
        else
                wrong = environment_refuse_name(name ?: text, strcspn(name ?: text, "="));
        if (wrong) {
                read_error(target->reader, element, "%s", wrong);
                return VALUE_E_INVALID;
        }
        int r = check_text(target, element);
        if (r != 0)
                return r;
        if (asprintf(ret, "%s%s%s", name ?: "", name ? "=" : "", text) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

/* Over what defaults have set. */
static int read_environment(const ReadTarget *target)
{
        char ***env = value_member(target->row, target->object);
        int n, wrong = 0;

        if (!config_setting_is_group(target->setting) && !is_list(target->setting))
                return wrong_type(target);
        n = config_setting_length(target->setting);
        if (n > CONFIG_LIST_MAX) {
                read_error(target->reader, target->setting, "more than %d entries",
                           CONFIG_LIST_MAX);
                return VALUE_E_INVALID;
        }
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *assignment = NULL;

                int r = read_variable(target, i, &assignment);
                if (r == 0)
                        r = strv_set_env(env, assignment);
                if (r < 0)
                        return r;
                wrong |= r;
        }
        return wrong;
}

static int read_json(const ReadTarget *target)
{
        Buffer buffer = BUFFER_NULL(GROUP_JSON_MAX);
        const config_setting_t *culprit;
        char *text = NULL;

        if (!config_setting_is_group(target->setting))
                return wrong_type(target);
        int r = group_append_json(target->setting, &buffer, &culprit);
        if (r >= 0) {
                text = buffer_steal_string(&buffer);
                r = text ? 0 : -ENOMEM;
        }
        buffer_deinit(&buffer);
        if (r == -EILSEQ)
                read_error(target->reader, culprit, "the text is not UTF-8");
        else if (r == -ERANGE)
                read_error(target->reader, culprit, "the number is too large");
        else if (r == -ENOBUFS)
                read_error(target->reader, target->setting,
                           "is more than %zu KiB as JSON: put it into a file and name that",
                           GROUP_JSON_MAX / 1024);
        else if (r < 0)
                return r;
        if (r < 0)
                return VALUE_E_INVALID;
        value_take_string(target->row, target->object, text);
        return 0;
}

static int read_env_file(const ReadTarget *target, const char *text, char **ret)
{
        _cleanup_(strv_freep) char **env = NULL;
        _cleanup_free_ char *path = read_path(target->setting);
        int r;

        if (!path)
                return -ENOMEM;
        r = resolve_path(target->file, text, ret);
        if (r < 0)
                return r;
        return environment_read(target->reader->findings, target->at, path, *ret,
                                target->row->flags & SCHEMA_SECRET, &env);
}

/* What a text stands for: *ret is fresh, or NULL if the text itself is the value. */
static int resolve(const ReadTarget *target, const char *text, char **ret, char **ret_message)
{
        switch (target->row->role) {
        case SCHEMA_PATH:
                return resolve_path(target->file, text, ret);
        case SCHEMA_SOCKET:
                return resolve_socket(target->file, text, ret, ret_message);
        case SCHEMA_DIRECTORY:
                return resolve_directory(target->file, text, ret, ret_message);
        case SCHEMA_LIBRARY:
                return resolve_library(target->file, text, ret, ret_message);
        case SCHEMA_ENV_FILE:
                return read_env_file(target, text, ret);
        case SCHEMA_UNIX_GROUP:
                return resolve_unix_group(text, ret_message);
        case SCHEMA_PEM:
                return resolve_pem(target->file, text, target->row->flags & SCHEMA_SECRET, ret,
                                   ret_message);
        case SCHEMA_URL:
                return resolve_url(text, ret, ret_message);
        case SCHEMA_PROXY:
                return resolve_proxy(text, ret_message);
        case SCHEMA_WORD:
                return resolve_word(text, ret_message);
        case SCHEMA_CREDENTIAL:
                return resolve_credential_name(text, ret_message);
        default:
                return 0;
        }
}

static int read_string(const ReadTarget *target)
{
        const char *text = config_setting_get_string(target->setting);
        _cleanup_free_ char *value = NULL;
        char *message = NULL;
        int r;

        if (!text)
                return wrong_type(target);
        r = check_text(target, target->setting);
        if (r != 0)
                return r;
        if (target->row->flags & SCHEMA_HIDDEN)
                r = value_refuse(&message,
                                 "a secret does not belong into the configuration: put "
                                 "it into a file of its own and name that as %s_file",
                                 target->row->key);
        else if (!text[0] && (target->row->flags & SCHEMA_NOT_EMPTY))
                r = value_refuse(&message, "must not be empty");
        else
                r = resolve(target, text, &value, &message);
        if (r == 0)
                r = value_set_text(target->row, target->object, value ?: text, &message);
        return refused(target, target->setting, r, message);
}

/* Which of libconfig's types a scalar may have, and its text. */
static const char *scalar_text(const ReadTarget *target, char *buffer, size_t size)
{
        SchemaType type = target->row->type;
        bool quantity = type == SCHEMA_DURATION || type == SCHEMA_SIZE || type == SCHEMA_PERCENT;
        bool number = type == SCHEMA_UINT || type == SCHEMA_UINT64 || type == SCHEMA_INT;

        switch (config_setting_type(target->setting)) {
        case CONFIG_TYPE_STRING:
                if (quantity || type == SCHEMA_RATE || type == SCHEMA_ENUM)
                        return config_setting_get_string(target->setting);
                return NULL;
        case CONFIG_TYPE_INT:
        case CONFIG_TYPE_INT64:
                if (!quantity && !number)
                        return NULL;
                (void)snprintf(buffer, size, "%lld", config_setting_get_int64(target->setting));
                return buffer;
        case CONFIG_TYPE_FLOAT:
                if (type != SCHEMA_DURATION)
                        return NULL;
                (void)snprintf(buffer, size, "%.6f", config_setting_get_float(target->setting));
                return buffer;
        case CONFIG_TYPE_BOOL:
                if (type != SCHEMA_BOOL)
                        return NULL;
                return config_setting_get_bool(target->setting) ? "true" : "false";
        default:
                return NULL;
        }
}

static int read_scalar(const ReadTarget *target)
{
        char buffer[400]; /* the largest float has 309 digits before the point */
        const char *text = scalar_text(target, buffer, sizeof(buffer));
        char *message = NULL;
        int r;

        if (!text)
                return wrong_type(target);
        if (text != buffer && config_setting_type(target->setting) == CONFIG_TYPE_STRING) {
                r = check_text(target, target->setting);
                if (r != 0)
                        return r;
        }
        r = value_set_text(target->row, target->object, text, &message);
        return refused(target, target->setting, r, message);
}

int read_value(const ReadTarget *target)
{
        switch (target->row->type) {
        case SCHEMA_STRING:
                return read_string(target);
        case SCHEMA_STRINGS:
                return read_strings(target);
        case SCHEMA_INTS:
                return read_ints(target);
        case SCHEMA_ENVIRONMENT:
                return read_environment(target);
        case SCHEMA_JSON:
                return read_json(target);
        default:
                return read_scalar(target);
        }
}
