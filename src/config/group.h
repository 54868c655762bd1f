#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* A libconfig group of anything as JSON text, for the init of a library; and JSON text as libconfig
 * text, for the dump. */

#include <libconfig.h>
#include "base/buffer.h"

/* Appends the setting's value. 0; -EILSEQ if a text is not UTF-8, -ERANGE if a number is not finite
 * (*ret_culprit: the setting that it is about); -ENOBUFS, -ENOMEM. */
int group_append_json(const config_setting_t *setting, Buffer *buffer,
                      const config_setting_t **ret_culprit);

/* Appends a JSON value that json_check accepted, in libconfig's syntax: objects as groups, arrays
 * as lists. Members whose name libconfig cannot hold do not occur in what it read itself. */
int group_append_config(Slice json, Buffer *buffer);
/* Text in quotes with libconfig's escapes. */
int group_append_text(Slice text, Buffer *buffer);
