#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One setting into one member, by the type and role of its row: the inner part of read.h. */

#include "config/read.h"

/* A setting on its way into a member. */
typedef struct ReadTarget {
        Reader *reader;
        const SchemaRow *row;
        void *object;
        const config_setting_t *setting;
        ConfigOrigin at;
        const char *file; /* that the setting stands in */
} ReadTarget;

/* 0, VALUE_E_INVALID (reported), -errno. */
int read_value(const ReadTarget *target);

/* What kind of thing a setting is, for messages: "a group", "text", … */
const char *read_found(const config_setting_t *setting);
