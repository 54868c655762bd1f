#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One handler's shared object: found, loaded, checked and copied, so that the rest of the runner
 * sees a handler of exactly this version's shape: members that an older handler does not have are
 * NULL, those that only a newer one has are left out. Never unloaded: a handler may have threads,
 * exit functions and thread-local objects of its own. */

#include "base/buffer.h"
#include "handler/yardmaster-handler.h"

typedef struct Loader {
        char *path;
        size_t struct_size; /* as the handler states it */
        struct yardmaster_handler handler;
} Loader;

#define LOADER_NULL ((Loader){ NULL })

/* 0, LOADER_E_UNUSABLE with *ret_message (fresh text: what is wrong and the remedy), or -errno. A
 * name without a slash is looked up in folders, a list with colons. */
#define LOADER_E_UNUSABLE 1
int loader_load(Loader *loader, const char *name, const char *folders, char **ret_message);
void loader_deinit(Loader *loader);

/* The checks alone, on what the handler's function returned; from may be shorter than our struct.
 */
int loader_negotiate(Loader *loader, const struct yardmaster_handler *from, char **ret_message);

/* What it is: "name: value" lines, or one JSON object on one line. */
int loader_describe_text(const Loader *loader, Buffer *buffer);
int loader_describe_json(const Loader *loader, Buffer *buffer);
