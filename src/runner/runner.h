#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One handler at work: the main thread reads messages, n_threads threads run tasks, and each writes
 * its own answers.
 *
 *   runner_start   init, then thread_init in every thread; nothing is read before all succeeded
 *   runner_serve   until drain or the end of the input; then what is in hand is finished
 *   runner_stop    thread_deinit and deinit */

#include "base/clock.h"
#include "base/frame.h"
#include "runner/loader.h"
#include "runner/output.h"
#include "runner/queue.h"

typedef struct Runner Runner;
typedef struct RunnerThread RunnerThread;

/* As handler.threads in the configuration. */
#define RUNNER_THREADS_MAX 256

typedef struct RunnerOptions {
        const struct yardmaster_handler *handler; /* borrowed */
        const char *config_json;                  /* borrowed; checked */
        unsigned n_threads;
        usec_t task_timeout_usec; /* 0: none */
        usec_t watchdog_usec;     /* 0: none */
        int input_fd;             /* both are the runner's, on failure too */
        int output_fd;
} RunnerOptions;

/* RUNNER_E_HANDLER: init or thread_init failed; *ret_message (fresh text) says which and why, and
 * *ret_handler_error is what it returned. */
#define RUNNER_E_HANDLER 1
int runner_start(Runner **ret, const RunnerOptions *options, char **ret_message,
                 int *ret_handler_error);
/* 0, or -errno of reading. */
int runner_serve(Runner *runner);
Runner *runner_stop(Runner *runner);
