/* SPDX-License-Identifier: Apache-2.0 */

/* org.varlink.service: what a client can learn about us without knowing us. */

#include "control/connection.h"

#define SERVICE_VENDOR  "Yardmaster"
#define SERVICE_PRODUCT "yardmasterd"
#define SERVICE_URL     "man:io.yardmaster.Manager(7)"

typedef struct DescriptionParams {
        const char *interface;
} DescriptionParams;

static int append_pair(Buffer *text, const char *key, const char *value)
{
        int r;

        r = buffer_appendf(text, "\"%s\":", key);
        if (r >= 0)
                r = json_append_string(text, slice_from_string(value));
        if (r >= 0)
                r = buffer_append_byte(text, ',');
        return r;
}

static int append_info(const ControlServer *server, Buffer *text)
{
        int r;

        r = buffer_append_byte(text, '{');
        if (r >= 0)
                r = append_pair(text, "vendor", SERVICE_VENDOR);
        if (r >= 0)
                r = append_pair(text, "product", SERVICE_PRODUCT);
        if (r >= 0)
                r = append_pair(text, "version", server->version);
        if (r >= 0)
                r = append_pair(text, "url", SERVICE_URL);
        if (r >= 0)
                r = buffer_append_string(text, "\"interfaces\":[\"" WIRE_SERVICE "\"");
        for (size_t i = 0; r >= 0 && i < server->n_interfaces; i++)
                r = buffer_appendf(text, ",\"%s\"", server->interfaces[i].name);
        if (r >= 0)
                r = buffer_append_string(text, "]}");
        return r;
}

static int service_get_info(ControlCall *call, void *userdata)
{
        Buffer text = BUFFER_NULL(WIRE_MESSAGE_MAX);
        int r;

        r = control_call_decode(call, NULL, 0, NULL);
        if (r == 0)
                r = append_info(userdata, &text);
        if (r == 0)
                r = control_call_reply_raw(call, buffer_slice(&text));
        buffer_deinit(&text);
        return r < 0 ? r : 0;
}

static const char *find_description(const ControlServer *server, const char *name)
{
        if (streq(name, server->service.name))
                return server->service.description;
        for (size_t i = 0; i < server->n_interfaces; i++) {
                if (streq(name, server->interfaces[i].name))
                        return server->interfaces[i].description;
        }
        return NULL;
}

static int reply_description(ControlCall *call, const char *description)
{
        Buffer text = BUFFER_NULL(WIRE_MESSAGE_MAX);
        int r;

        r = buffer_append_string(&text, "{\"description\":");
        if (r >= 0)
                r = json_append_string(&text, slice_from_string(description));
        if (r >= 0)
                r = buffer_append_byte(&text, '}');
        if (r >= 0)
                r = control_call_reply_raw(call, buffer_slice(&text));
        buffer_deinit(&text);
        return r;
}

static int service_get_interface_description(ControlCall *call, void *userdata)
{
        static const ParamField fields[] = {
                { "interface", PARAM_STRING, true, offsetof(DescriptionParams, interface) },
        };
        const char *description;
        DescriptionParams params;
        int r;

        r = control_call_decode(call, fields, ELEMENTSOF(fields), &params);
        if (r != 0)
                return r < 0 ? r : 0;
        description = find_description(userdata, params.interface);
        if (!description)
                return control_call_error_strings(call, WIRE_ERROR_INTERFACE_NOT_FOUND, "interface",
                                                  params.interface, NULL);
        return reply_description(call, description);
}

const ControlMethod service_methods[] = {
        { "GetInfo", service_get_info, CONTROL_READ, CONTROL_ONE_REPLY },
        { "GetInterfaceDescription", service_get_interface_description, CONTROL_READ,
          CONTROL_ONE_REPLY },
};

const size_t n_service_methods = ELEMENTSOF(service_methods);
