#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Faults on demand: rules that the stub server's requests are matched against. The first rule that
 * is not used up and matches decides; at most one for a request. */

#include "base/list.h"
#include "stub/text.h"
#include "stub/timer.h"

typedef enum FaultKind {
        FAULT_STATUS,       /* another status, with a body of its own; applied only if it says so */
        FAULT_RESET_BEFORE, /* RST when the head of the request has come; not applied */
        FAULT_RESET_MIDDLE, /* RST when part of its body has come; not applied */
        FAULT_RESET_AFTER,  /* applied, then RST instead of the answer */
        FAULT_TRUNCATE,     /* applied; half of the answer, then the end of the connection */
        FAULT_GARBAGE,      /* applied; a body that is cut, with a length that is right */
        FAULT_SLOW,         /* applied; the answer late, or byte by byte */
        FAULT_NEVER,        /* applied unless it says otherwise; no answer, connection left open */
        FAULT_EMPTY,        /* a poll: [] at once */
        FAULT_MORE,         /* a poll: more tasks than it asked for */
        FAULT_UNDECIDED,    /* an update: stored, then 500; the workflow is owed a decide */
        _FAULT_KIND_MAX,
} FaultKind;

typedef struct Fault {
        ListLink link;
        unsigned id;
        FaultKind kind;
        char *method, *path; /* NULL: any; path is a glob */
        uint64_t skip, left; /* matches that pass first; matches that it is for */
        uint64_t every;      /* of these, each Nth */
        usec_t until;
        uint64_t n_seen, n_fired;
        bool apply;
        unsigned status;
        char *body, *content_type, *retry_after;
        usec_t delay, byte_interval;
        size_t extra;
} Fault;

/* The rule for this request, counted as fired, or NULL. */
const Fault *fault_match(Slice method, Slice path);
/* POST /stub/faults: appends a rule. 0, or -EINVAL with what is wrong. */
int fault_add(Slice object, unsigned *ret_id, const char **ret_error);
/* [{"id":…,"kind":…,"seen":…,"fired":…}] */
void faults_put(Buffer *buffer);
/* No rule matches from now on; connections may still hold one. */
void faults_clear(void);
void faults_deinit(void);
