/* SPDX-License-Identifier: Apache-2.0 */

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include "base/explain.h"
#include "base/json.h"
#include "runner/loader.h"

/* A handler states at least this much of itself: everything up to execute. */
#define STRUCT_SIZE_MIN \
        (offsetof(struct yardmaster_handler, execute) + sizeof(((Loader *)NULL)->handler.execute))

int loader_negotiate(Loader *loader, const struct yardmaster_handler *from, char **ret_message)
{
        struct yardmaster_handler handler = {};

        /* The first two members are of every version. */
        if (from->api_version != YARDMASTER_API_VERSION)
                return explain(LOADER_E_UNUSABLE, ret_message,
                               "made for API version %u, this runner speaks version %d: build the "
                               "handler with this release's yardmaster-handler.h",
                               from->api_version, YARDMASTER_API_VERSION);
        if (from->struct_size < STRUCT_SIZE_MIN)
                return explain(LOADER_E_UNUSABLE, ret_message,
                               "its struct_size is %zu, at least %zu is needed: name the handler "
                               "with YARDMASTER_HANDLER(…), which sets it",
                               from->struct_size, STRUCT_SIZE_MIN);
        memcpy(&handler, from, MIN(from->struct_size, sizeof(handler)));
        if (!handler.execute)
                return explain(LOADER_E_UNUSABLE, ret_message,
                               "it has no execute: set that member");
        if (!handler.name || !*handler.name)
                return explain(LOADER_E_UNUSABLE, ret_message, "it has no name: set that member");

        loader->struct_size = from->struct_size;
        loader->handler = handler;
        return 0;
}

/* dlopen would look for a bare name in the system's library folders. If it is in none of ours, it
 * is the last one's that is missed. */
static int resolve(const char *name, const char *folders, char **ret)
{
        if (strchr(name, '/')) {
                *ret = strdup(name);
                return *ret ? 0 : -ENOMEM;
        }
        for (;;) {
                _cleanup_free_ char *path = NULL;
                size_t size = strcspn(folders, ":");

                if (asprintf(&path, "%.*s/%s", (int)size, folders, name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                if (!folders[size] || access(path, F_OK) == 0) {
                        *ret = TAKE_PTR(path);
                        return 0;
                }
                folders += size + 1;
        }
}

static int load(Loader *loader, char **ret_message)
{
        yardmaster_handler_function function;
        const struct yardmaster_handler *handler;
        void *object;

        object = dlopen(loader->path, RTLD_NOW | RTLD_LOCAL);
        if (!object)
                return explain(LOADER_E_UNUSABLE, ret_message, "cannot be loaded: %s", dlerror());
        function = (yardmaster_handler_function)dlsym(object, YARDMASTER_HANDLER_SYMBOL);
        if (!function)
                return explain(LOADER_E_UNUSABLE, ret_message,
                               "exports no %s: name its handler with YARDMASTER_HANDLER(…)",
                               YARDMASTER_HANDLER_SYMBOL);
        handler = function();
        if (!handler)
                return explain(LOADER_E_UNUSABLE, ret_message, "%s returned NULL",
                               YARDMASTER_HANDLER_SYMBOL);
        return loader_negotiate(loader, handler, ret_message);
}

int loader_load(Loader *loader, const char *name, const char *folders, char **ret_message)
{
        int r;

        r = resolve(name, folders, &loader->path);
        return r < 0 ? r : load(loader, ret_message);
}

void loader_deinit(Loader *loader)
{
        free(loader->path);
        *loader = LOADER_NULL;
}

typedef struct CallbackName {
        const char *name;
        bool present;
} CallbackName;

#define N_CALLBACKS 6

static void list_callbacks(const struct yardmaster_handler *handler,
                           CallbackName callbacks[N_CALLBACKS])
{
        callbacks[0] = (CallbackName){ "init", handler->init };
        callbacks[1] = (CallbackName){ "thread_init", handler->thread_init };
        callbacks[2] = (CallbackName){ "execute", handler->execute };
        callbacks[3] = (CallbackName){ "cancel", handler->cancel };
        callbacks[4] = (CallbackName){ "thread_deinit", handler->thread_deinit };
        callbacks[5] = (CallbackName){ "deinit", handler->deinit };
}

int loader_describe_text(const Loader *loader, Buffer *buffer)
{
        const struct yardmaster_handler *handler = &loader->handler;
        CallbackName callbacks[N_CALLBACKS];
        int r;

        r = buffer_appendf(buffer,
                           "file: %s\nname: %s\nversion: %s\ndescription: %s\napi version: %u\n"
                           "struct size: %zu\ncallbacks:",
                           loader->path, handler->name, handler->version ?: "-",
                           handler->description ?: "-", handler->api_version, loader->struct_size);
        list_callbacks(handler, callbacks);
        for (unsigned i = 0; i < N_CALLBACKS && r >= 0; i++) {
                if (callbacks[i].present)
                        r = buffer_appendf(buffer, " %s", callbacks[i].name);
        }
        return r < 0 ? r : buffer_append_byte(buffer, '\n');
}

static int append_member(Buffer *buffer, const char *name, const char *text)
{
        int r;

        r = buffer_appendf(buffer, "\"%s\":", name);
        if (r >= 0)
                r = text ? json_append_string(buffer, slice_from_string(text))
                         : buffer_append_string(buffer, "null");
        return r < 0 ? r : buffer_append_byte(buffer, ',');
}

int loader_describe_json(const Loader *loader, Buffer *buffer)
{
        const struct yardmaster_handler *handler = &loader->handler;
        CallbackName callbacks[N_CALLBACKS];
        const char *comma = "";
        int r;

        r = buffer_append_byte(buffer, '{');
        if (r >= 0)
                r = append_member(buffer, "file", loader->path);
        if (r >= 0)
                r = append_member(buffer, "name", handler->name);
        if (r >= 0)
                r = append_member(buffer, "version", handler->version);
        if (r >= 0)
                r = append_member(buffer, "description", handler->description);
        if (r >= 0)
                r = buffer_appendf(buffer, "\"apiVersion\":%u,\"structSize\":%zu,\"callbacks\":[",
                                   handler->api_version, loader->struct_size);
        list_callbacks(handler, callbacks);
        for (unsigned i = 0; i < N_CALLBACKS && r >= 0; i++) {
                if (!callbacks[i].present)
                        continue;
                r = buffer_appendf(buffer, "%s\"%s\"", comma, callbacks[i].name);
                comma = ",";
        }
        return r < 0 ? r : buffer_append_string(buffer, "]}\n");
}
