#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Between the files of yardctl submit, and what others share with it. */

#include "ctl/ctl.h"

enum {
        SUBMIT_WAIT,
        SUBMIT_TIMEOUT,
        SUBMIT_PRIORITY,
        SUBMIT_DELAY,
        SUBMIT_RUN_AT,
        SUBMIT_UNIQUE,
        SUBMIT_CONFLICT,
        SUBMIT_ATTEMPTS,
        SUBMIT_DEADLINE,
        SUBMIT_SOURCE,
        SUBMIT_FORCE,
        SUBMIT_FROM,
        SUBMIT_IDS,
        _SUBMIT_MAX,
};

/* yardctl submit --from FILE [TYPE] */
ExitCode submit_file(Ctl *ctl, const Arguments *arguments);

/* JSON | - | @FILE → the text, unchecked. */
ExitCode read_json_argument(const char *word, Buffer *ret);
/* what: for the message, "the input". */
ExitCode check_object(const char *what, Slice text);
/* Initialises *params for WaitTasks, on failure too. */
ExitCode wait_parameters(Object *params, char *const *ids, size_t n_ids, const char *timeout);
