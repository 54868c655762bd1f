#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What a handler says of the task in hand, one object per thread, used again for each task; and the
 * message that is made of it. */

#include <stdbool.h>
#include "base/buffer.h"
#include "base/json.h"
#include "handler/yardmaster-handler.h"
#include "task/task.h"

typedef struct yardmaster_result Result;

/* The message of yardmaster_host.error is cut to this: a line for people, not a document. */
#define RESULT_ERROR_MAX 4096

struct yardmaster_result {
        enum yardmaster_status status;
        Buffer output;          /* empty, or an object without white space around it */
        bool output_is_empty;   /* it has no members */
        JsonError output_error; /* message set: the last set_output was no JSON object */
        Buffer reason;
        bool has_reason;
        int64_t callback_after_msec; /* -1: not set */
        int64_t retry_after_msec;    /* -1: not set */
};

void result_init(Result *result);
void result_deinit(Result *result);
/* For the next task. */
void result_reset(Result *result);

/* As the host's functions of the same name. */
int result_set_status(Result *result, enum yardmaster_status status);
int result_set_output(Result *result, const char *json, size_t size);
int result_add_string(Result *result, const char *name, const char *text);
int result_add_int64(Result *result, const char *name, int64_t value);
int result_set_reason(Result *result, const char *text);
int result_set_callback_after(Result *result, int64_t msec);
int result_set_retry_after(Result *result, int64_t msec);

/* execute has returned value, with this text from error() ("" if none): settles status and reason.
 */
int result_conclude(Result *result, int value, const char *error);

/* The result message with its newline. id_json: as in Job. -ENOBUFS: longer than a line may be. */
int result_append_message(const Result *result, Slice id_json, Buffer *buffer);
