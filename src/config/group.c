/* SPDX-License-Identifier: Apache-2.0 */

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include "base/json-scan.h"
#include "base/json.h"
#include "config/group.h"
#include "config/text.h"

/* The shortest decimal that reads back as the same number, and as one with a fraction. */
static int append_float(double value, Buffer *buffer)
{
        char text[40];

        if (!isfinite(value))
                return -ERANGE;
        for (int digits = 1; digits <= 17; digits++) {
                (void)snprintf(text, sizeof(text), "%.*g", digits, value);
                if (strtod(text, NULL) == value)
                        break;
        }
        int r = buffer_append_string(buffer, text);
        if (r >= 0 && !strpbrk(text, ".e"))
                r = buffer_append_string(buffer, ".0");
        return r;
}

static int append_string(const char *text, Buffer *buffer)
{
        if (!text_is_utf8(text))
                return -EILSEQ;
        return json_append_string(buffer, slice_from_string(text));
}

static int append_scalar(const config_setting_t *setting, Buffer *buffer)
{
        switch (config_setting_type(setting)) {
        case CONFIG_TYPE_INT:
                return buffer_append_int(buffer, config_setting_get_int(setting));
        case CONFIG_TYPE_INT64:
                return buffer_append_int(buffer, config_setting_get_int64(setting));
        case CONFIG_TYPE_FLOAT:
                return append_float(config_setting_get_float(setting), buffer);
        case CONFIG_TYPE_BOOL:
                return buffer_append_string(buffer,
                                            config_setting_get_bool(setting) ? "true" : "false");
        case CONFIG_TYPE_STRING:
                return append_string(config_setting_get_string(setting), buffer);
        default:
                return buffer_append_string(buffer, "null");
        }
}

int group_append_json(const config_setting_t *setting, Buffer *buffer,
                      const config_setting_t **ret_culprit)
{
        bool group = config_setting_type(setting) == CONFIG_TYPE_GROUP;
        int r;

        *ret_culprit = setting;
        if (!config_setting_is_aggregate(setting))
                return append_scalar(setting, buffer);

        r = buffer_append_byte(buffer, group ? '{' : '[');
        for (int i = 0; r >= 0 && i < config_setting_length(setting); i++) {
                const config_setting_t *member = config_setting_get_elem(setting, i);

                if (i > 0)
                        r = buffer_append_byte(buffer, ',');
                if (r >= 0 && group)
                        r = buffer_appendf(buffer, "\"%s\":", config_setting_name(member));
                if (r >= 0)
                        r = group_append_json(member, buffer, ret_culprit);
        }
        if (r < 0)
                return r;
        return buffer_append_byte(buffer, group ? '}' : ']');
}

int group_append_text(Slice text, Buffer *buffer)
{
        int r = buffer_append_byte(buffer, '"');

        for (size_t i = 0; r >= 0 && i < text.size; i++) {
                unsigned char c = text.data[i];

                if (c == '"' || c == '\\')
                        r = buffer_appendf(buffer, "\\%c", c);
                else if (c == '\n')
                        r = buffer_append_string(buffer, "\\n");
                else if (c < 0x20 || c == 0x7f)
                        r = buffer_appendf(buffer, "\\x%02x", c);
                else
                        r = buffer_append_byte(buffer, c);
        }
        if (r < 0)
                return r;
        return buffer_append_byte(buffer, '"');
}

static int append_number(Slice json, Buffer *buffer)
{
        int64_t value;
        int r = buffer_append_slice(buffer, json);

        if (r >= 0 && !memchr(json.data, '.', json.size) && !memchr(json.data, 'e', json.size) &&
            json_to_int64(json, &value) == 0 && (value < INT_MIN || value > INT_MAX))
                r = buffer_append_byte(buffer, 'L');
        return r;
}

static int append_members(Slice json, Buffer *buffer)
{
        Slice key, value;
        int r = buffer_append_byte(buffer, '{');

        JSON_FOREACH_MEMBER (key, value, json) {
                if (r >= 0)
                        r = buffer_appendf(buffer, " %.*s = ", (int)key.size, key.data);
                if (r >= 0)
                        r = group_append_config(value, buffer);
                if (r >= 0)
                        r = buffer_append_byte(buffer, ';');
        }
        if (r < 0)
                return r;
        return buffer_append_string(buffer, " }");
}

static int append_elements(Slice json, Buffer *buffer)
{
        Slice value;
        const char *separator = "";
        int r = buffer_append_byte(buffer, '(');

        JSON_FOREACH_ELEMENT (value, json) {
                if (r >= 0)
                        r = buffer_append_string(buffer, separator);
                if (r >= 0)
                        r = group_append_config(value, buffer);
                separator = ", ";
        }
        if (r < 0)
                return r;
        return buffer_append_byte(buffer, ')');
}

int group_append_config(Slice json, Buffer *buffer)
{
        _cleanup_free_ char *text = NULL;
        int r;

        switch (json_type_of(json)) {
        case JSON_OBJECT:
                return append_members(json, buffer);
        case JSON_ARRAY:
                return append_elements(json, buffer);
        case JSON_STRING:
                r = json_decode_string(json, &text);
                if (r < 0)
                        return r;
                return group_append_text(slice_from_string(text), buffer);
        case JSON_NUMBER:
                return append_number(json, buffer);
        default:
                return buffer_append_slice(buffer, json);
        }
}
