#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* yardctl: a client of the control socket, with no logic that another client could not have. A verb
 * makes calls, prints the replies as a table, or as received with --json, and returns an exit code.
 */

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "control/wire.h"
#include "ctl/object.h"

/* What yardctl exits with; yardctl(1) says the same. */
typedef enum ExitCode {
        EXIT_DONE = 0,
        EXIT_REFUSED = 1, /* the daemon refused, or it failed */
        EXIT_USAGE = 2,
        EXIT_UNREACHABLE = 3,
        EXIT_NO_OBJECT = 4,
        EXIT_NOT_COMPLETED = 5,
        EXIT_WAIT_TIMED_OUT = 6,
        EXIT_PERMISSION = 7,
} ExitCode;

typedef struct Client Client;

typedef struct Ctl {
        const char *socket;   /* --socket */
        const char *instance; /* --instance */
        usec_t connect_timeout_usec;
        bool json;   /* --json */
        bool legend; /* headings and the like */
        bool color;
        bool unicode; /* the terminal shows more than ASCII */
        bool quiet;   /* a call may fail: nothing is said of it */
        Client *client;
} Ctl;

/* A long option of a verb. */
typedef struct Option {
        const char *name;     /* without the dashes; NULL ends the list */
        const char *argument; /* its name for the help; NULL: a flag */
        const char *help;
        char letter; /* "-n" as well; 0: none */
} Option;

/* Most options of one verb. */
#define OPTIONS_MAX 16

typedef struct Arguments {
        char **words; /* what is no option, behind the verb */
        int n_words;
        const char
                *options[OPTIONS_MAX]; /* by the verb's table: NULL, or the value ("" for a flag) */
} Arguments;

typedef struct Verb {
        const char *name; /* one or two words */
        int min_words;
        int max_words; /* -1: any number */
        const char *usage;
        const char *help;
        const Option *options;
        ExitCode (*run)(Ctl *ctl, const Arguments *arguments);
        const char *completes; /* what its first word is, for the shell: see ctl/complete.c */
} Verb;

/* One line on stderr, after the program's name; returns code. */
ExitCode ctl_fail(ExitCode code, const char *format, ...) _printf_(2, 3);
ExitCode ctl_out_of_memory(void);

/* One call and its only reply, valid until the next call. Failures are reported here. parameters
 * are consumed; NULL: none. */
ExitCode ctl_call(Ctl *ctl, const char *method, Object *parameters, Slice *ret_reply);
/* The same with "more": on_reply is called for each, until it returns other than EXIT_DONE.
 * expect_end: that the daemon closes the connection after a reply is no failure. */
typedef ExitCode (*reply_callback_t)(Ctl *ctl, Slice reply, void *userdata);
ExitCode ctl_call_more(Ctl *ctl, const char *method, Object *parameters, bool expect_end,
                       reply_callback_t on_reply, void *userdata);
/* The reply as it came, on a line. */
ExitCode ctl_print_json(Slice reply);
/* Asks on the terminal; false where there is none to ask. */
bool ctl_confirm(const char *question);
