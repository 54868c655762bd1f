#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The messages between the daemon and a persistent worker: NDJSON, one object a line, both ways.
 * yardmaster-protocol(7) shows each. Pure: encodes into a Buffer, decodes a line into slices of it.
 *
 *   daemon → worker   {"type":"task","task":{…}}  {"type":"cancel","taskId":…}  {"type":"drain"}
 *   worker → daemon   {"type":"result","taskId":…,"status":…,"output":…,…}
 *                     {"type":"progress","taskId":…,"percent":…,"stage":…,"message":…,"data":…}
 *                     {"type":"log","taskId":…,"message":…}
 */

#include "base/buffer.h"
#include "base/json.h"

typedef enum MessageType {
        MESSAGE_TASK,
        MESSAGE_CANCEL,
        MESSAGE_DRAIN,
        MESSAGE_RESULT,
        MESSAGE_PROGRESS,
        MESSAGE_LOG,
        _MESSAGE_TYPE_MAX,
        _MESSAGE_TYPE_INVALID = -EINVAL,
} MessageType;

typedef struct Message {
        MessageType type;
        Slice object;  /* the whole message */
        Slice task_id; /* without quotes, decoded in place only if it had no escapes; SLICE_NULL:
                          left out */
        Slice task;    /* TASK: the task object */
} Message;

typedef enum MessageResult {
        MESSAGE_OK,      /* *ret is set */
        MESSAGE_STRAY,   /* no JSON object: a stray print */
        MESSAGE_INVALID, /* a JSON object, but none of ours: *ret_error says why (static text) */
} MessageResult;

/* Checks the whole line (json_check) once. offset of a syntax error in *ret_error where the line
 * began with '{'. The slices point into line. */
MessageResult message_parse(Slice line, Message *ret, JsonError *ret_error);

int message_append_task(Buffer *buffer, Slice task_json);
int message_append_cancel(Buffer *buffer, Slice task_id);
int message_append_drain(Buffer *buffer);
