#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The options that choose tasks (--status --type --since --source), as a TaskFilter. */

#include "ctl/ctl.h"
#include "ctl/object.h"

#define FILTER_OPTIONS                                                                            \
        [FILTER_STATUS] = { "status", "S,…", "with one of these statuses" },                      \
        [FILTER_TYPE] = { "type", "TYPE", "of this type; * and ? match any text and character" }, \
        [FILTER_SINCE] = { "since", "WHEN", "submitted since then (\"2h\" ago, or a time)" },     \
        [FILTER_SOURCE] = { "source", "SOURCE", "of this source" }

bool has_filter(const Arguments *arguments);
/* Adds the member "filter" if anything is asked for: the ids, or else the options. */
ExitCode add_filter(Object *params, const Arguments *arguments, char *const *ids, size_t n_ids);

/* "SCHEDULED,failed" → a JSON array in upper case; the daemon knows which there are. */
ExitCode status_list(const char *text, Object *params, const char *key);
/* A time, or a span that begins (ago) or ends (ahead) now, as epoch milliseconds. */
ExitCode parse_when(const char *option, const char *text, bool ago, int64_t *ret_epoch_msec);
