#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The model as the control interface shows it: manager, pools, workers and sources to JSON, nothing
 * else. All from memory. Every function returns NULL if memory is short. */

#include <json-c/json.h>
#include "manager/manager.h"

/* What the source knows of a pool's types, and the run times: the part of a pool's figures that has
 * to be computed. */
typedef struct PoolFigures {
        PoolStatus status;
        uint64_t n_queued;
        uint64_t n_delayed;
        usec_t oldest_age_usec;
        usec_t run_p50_usec;
        usec_t run_p99_usec;
        usec_t fetch_age_usec; /* USEC_INFINITY: never fetched */
        bool queued_known;     /* a server may not have been asked yet */
        bool has_server;
        SubscriptionStatus server; /* if the source is a server */
} PoolFigures;

void pool_figures(const Pool *pool, PoolFigures *ret);

/* Resident memory of the daemon itself; 0 if it cannot be read. */
uint64_t daemon_memory_bytes(void);

json_object *describe_status(const Manager *manager);
json_object *describe_pools(const Manager *manager);
json_object *describe_sources(const Manager *manager);
/* pool NULL: all pools'; name NULL: all of them. */
json_object *describe_workers(const Manager *manager, const char *pool, const char *name);

/* Types with due tasks that nobody serves. */
typedef struct UnservedType {
        const Source *source;
        const char *type;
        uint64_t n_queued;
        usec_t oldest_age_usec;
} UnservedType;
typedef void (*unserved_visitor_t)(const UnservedType *type, void *userdata);
void visit_unserved(const Manager *manager, unserved_visitor_t visitor, void *userdata);
