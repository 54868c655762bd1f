#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A NewTask of the control interface: read, and matched with the queue that takes it. */

#include "control/answer.h"

typedef struct NewTask {
        QueueTask task;
        Source *source;
} NewTask;

/* Why a task is not submitted; strings live as long as the call, or are static. */
typedef struct Objection {
        const char *error;   /* "InvalidTask", "TypeNotServed", "NoSuchSource" */
        const char *message; /* for people */
        const char *wrong;   /* InvalidTask: the member; TypeNotServed: the type */
} Objection;

/* 0; 1 with *ret_objection; -ENOMEM. force: although no pool serves the type. The slices point into
 * the call. */
int new_task_read(ControlCall *call, const Manager *manager, Slice object, bool force, NewTask *ret,
                  Objection *ret_objection);

/* The error's name for a verdict that is not good. */
const char *error_of_verdict(QueueVerdict verdict);
