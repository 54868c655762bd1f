#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The messages between the daemon and a persistent worker: NDJSON, one object a line, both ways.
 * yardmaster-protocol(7) shows each. Pure: encodes into a Buffer, decodes a line into slices of it.
 *
 *   daemon → worker   {"type":"task","task":{…}}  {"type":"cancel","taskId":…}  {"type":"drain"}
 *   worker → daemon   {"type":"result","taskId":…,"status":…,"output":…,…}
 *                     {"type":"progress","taskId":…,"percent":…,"stage":…,"message":…,"data":…}
 *                     {"type":"log","taskId":…,"message":…}
 *
 * Unknown members are ignored, of duplicates the last counts. */

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

const char *message_type_to_string(MessageType type);

/* Longest taskId that may be written with escapes: far above any source's ids (without escapes
 * only the line bounds it). */
#define MESSAGE_TASK_ID_MAX 255

/* Not to be copied: task_id may point into it. Its slices live as long as the line and it. */
typedef struct Message {
        MessageType type;
        Slice object;                            /* the whole message */
        Slice task_id;                           /* decoded, without quotes; SLICE_NULL: left out */
        Slice task;                              /* TASK: the task object */
        char task_id_bytes[MESSAGE_TASK_ID_MAX]; /* of a task_id that had escapes */
} Message;

typedef enum MessageResult {
        MESSAGE_OK,
        MESSAGE_STRAY,   /* no JSON object: a stray print */
        MESSAGE_INVALID, /* none of ours, though an object; or one of ours that is broken */
} MessageResult;

/* Checks the whole line (json_check) once. *ret_error says what is wrong, with static text:
 *
 *   STRAY    where the line began with '{', the syntax error, else no message;
 *   INVALID  an object of no known type (ret->type is _MESSAGE_TYPE_INVALID), a known one with a
 *            wrong member, or a line that broke only after it had named its type: a result with NaN
 *            in it. Then ret->type is set, and ret->task_id if it came before the break: enough
 *            to fail the task that is meant rather than to wait for it. */
MessageResult message_parse(Slice line, Message *ret, JsonError *ret_error);

/* Append one line with its newline, or nothing: 0, -ENOMEM, -ENOBUFS. */
int message_append_task(Buffer *buffer, Slice task_json); /* one line */
int message_append_cancel(Buffer *buffer, Slice task_id);
int message_append_drain(Buffer *buffer);
