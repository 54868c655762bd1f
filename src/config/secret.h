#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Secrets that the configuration names without having them: files, and credentials that the service
 * manager passes. No message holds what they say. */

#include "config/value.h"

/* Of a secret, and of the line end behind it. */
#define SECRET_MAX 4096

/* The folder of credentials; NULL if there is none. */
const char *secret_folder(void);

/* The text without the line end at its end. 0, VALUE_E_INVALID, -errno. */
int secret_read_file(const char *path, char **ret, char **ret_message);
int secret_read_credential(const char *name, char **ret, char **ret_message);
/* That it is there; nothing is read. */
int secret_check_credential(const char *name, char **ret_message);
