#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What the methods share: finding what a caller named, and the errors that say what was wrong. */

#include "control/methods.h"
#include "control/object.h"
#include "manager/manager.h"

/* A vector of names for suggest_word; entries borrowed, the vector is the caller's. NULL: memory.
 */
const char **pool_names(const Manager *manager);
const char **type_names(const Manager *manager);

/* 0 with *ret, or 1: the caller has been answered NoSuchPool / NoSuchSource; or -ENOMEM. */
int find_pool(ControlCall *call, const Manager *manager, const char *name, Pool **ret);
int find_source(ControlCall *call, const Manager *manager, const char *name, Source **ret);
/* The same, or answered Refused: the tasks of a server are not ours to change. */
int find_queue(ControlCall *call, const Manager *manager, const char *name, Source **ret);
/* The queue at *at or behind it among the manager's sources, where *at is then; NULL: no more. */
Source *next_queue(const Manager *manager, size_t *at);

/* Answers {key: value}; value is consumed. */
int reply_single(ControlCall *call, const char *key, json_object *value);
/* Answers with a finished object, or lets the call fail if memory was short. */
int reply_object(ControlCall *call, Object *object);

/* {"pool": …} of the methods that take a pool's name and nothing else: as find_pool. */
int find_pool_parameter(ControlCall *call, const Manager *manager, Pool **ret);
