/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include "base/parse.h"
#include "base/strv.h"
#include "ctl/filter.h"
#include "ctl/verbs.h"

bool has_filter(const Arguments *arguments)
{
        for (size_t i = 0; i < _FILTER_MAX; i++) {
                if (arguments->options[i])
                        return true;
        }
        return false;
}

ExitCode parse_when(const char *option, const char *text, bool ago, int64_t *ret_epoch_msec)
{
        int64_t now = clock_epoch_msec(), span;
        usec_t usec;

        if (parse_duration(text, &usec) >= 0 && usec != USEC_INFINITY) {
                span = (int64_t)MIN(usec / USEC_PER_MSEC, (usec_t)now);
                *ret_epoch_msec = ago ? now - span : now + span;
                return EXIT_DONE;
        }
        if (parse_timestamp(text, ret_epoch_msec) >= 0)
                return EXIT_DONE;
        return ctl_fail(EXIT_USAGE,
                        "%s %s is neither a span (10m, 2h) nor a time (2026-03-01T12:00:00Z, "
                        "2026-03-01 12:00, @1795211450)",
                        option, text);
}

static bool is_status(const char *word)
{
        static const char *const statuses[] = { "SCHEDULED",
                                                "IN_PROGRESS",
                                                "COMPLETED",
                                                "FAILED",
                                                "CANCELED",
                                                "TIMED_OUT",
                                                "FAILED_WITH_TERMINAL_ERROR" };

        for (size_t i = 0; i < ELEMENTSOF(statuses); i++) {
                if (streq(word, statuses[i]))
                        return true;
        }
        return false;
}

ExitCode status_list(const char *text, Object *params, const char *key)
{
        _cleanup_(strv_freep) char **list = NULL;
        _cleanup_free_ char *copy = strdup(text);
        char *position, *word;

        if (!copy)
                return ctl_out_of_memory();
        for (char *c = copy; *c; c++)
                *c = (char)toupper((unsigned char)*c);
        for (word = strtok_r(copy, ",", &position); word; word = strtok_r(NULL, ",", &position)) {
                if (!is_status(word))
                        return ctl_fail(EXIT_USAGE,
                                        "--status %s is none of SCHEDULED, IN_PROGRESS, COMPLETED, "
                                        "FAILED, FAILED_WITH_TERMINAL_ERROR, CANCELED, TIMED_OUT",
                                        word);
                if (strv_append(&list, word) < 0)
                        return ctl_out_of_memory();
        }
        object_strings(params, key, list, strv_length(list));
        return EXIT_DONE;
}

ExitCode add_filter(Object *params, const Arguments *arguments, char *const *ids, size_t n_ids)
{
        const char *status = arguments->options[FILTER_STATUS];
        const char *since = arguments->options[FILTER_SINCE];
        ExitCode code = EXIT_DONE;
        int64_t epoch_msec;
        Object filter;

        if (n_ids == 0 && !has_filter(arguments))
                return EXIT_DONE;
        object_init(&filter);
        if (n_ids > 0) {
                object_strings(&filter, "ids", ids, n_ids);
        } else {
                object_string(&filter, "type", arguments->options[FILTER_TYPE]);
                object_string(&filter, "source", arguments->options[FILTER_SOURCE]);
                if (status)
                        code = status_list(status, &filter, "status");
                if (code == EXIT_DONE && since)
                        code = parse_when("--since", since, true, &epoch_msec);
                if (code == EXIT_DONE && since)
                        object_integer(&filter, "sinceTime", epoch_msec);
        }
        object_object(params, "filter", &filter);
        return code;
}
