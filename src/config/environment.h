#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Variables for a handler: their names, and files of them. */

#include "config/findings.h"

/* Largest environment file: twice what execve takes for one string. */
#define ENVIRONMENT_FILE_MAX ((size_t)256 * 1024)

/* NULL if a handler's environment may set this name, else why not (static text). */
const char *environment_refuse_name(const char *name, size_t size);

/* Reads NAME=value lines into *ret. Everything that is wrong is reported as being about path, at
 * the file's own lines, or at `at` where the file as a whole is refused: others can read it though
 * it is secret, or more than its owner can write it. 0 (with or without findings), or -errno. */
int environment_read(Findings *findings, ConfigOrigin at, const char *path, const char *file,
                     bool secret, char ***ret);
