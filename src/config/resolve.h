#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What a text of the configuration stands for in this system: paths, programs, libraries, groups.
 * All answer 0, -errno, or VALUE_E_INVALID with fresh text in *ret_message. */

#include "config/value.h"

/* path itself if it is absolute, else beside file (whose folder may be relative to the working
 * directory); always absolute. */
int resolve_path(const char *file, const char *path, char **ret);

/* An executable file: name as a path beside file if it has a slash, else looked up in PATH. */
int resolve_program(const char *file, const char *name, char **ret, char **ret_message);
/* A shared object: likewise, but looked up in YARDMASTER_HANDLER_PATH and the installed handlers.
 */
int resolve_library(const char *file, const char *name, char **ret, char **ret_message);
int resolve_directory(const char *file, const char *path, char **ret, char **ret_message);
int resolve_socket(const char *file, const char *path, char **ret, char **ret_message);
int resolve_unix_group(const char *name, char **ret_message);
/* A file with certificates or keys in PEM. secret: others must not read it. */
int resolve_pem(const char *file, const char *path, bool secret, char **ret, char **ret_message);

/* Text that becomes part of a URL or a header. */

/* The base of an API: http or https and a host; *ret: without slashes at its end. */
int resolve_url(const char *text, char **ret, char **ret_message);
int resolve_proxy(const char *text, char **ret_message);
int resolve_header(const char *text, char **ret_message);
/* Printable, of at most RESOLVE_WORD_MAX bytes. */
#define RESOLVE_WORD_MAX 256
int resolve_word(const char *text, char **ret_message);
int resolve_task_type(const char *text, char **ret_message);
/* The name of a credential: of a file, without a folder. */
int resolve_credential_name(const char *text, char **ret_message);

/* A row's value from text that stands in no file (a variable, an option): checked and resolved as
 * in one beside the working directory. For the roles of sources, places and task types. */
int resolve_and_set(const SchemaRow *row, void *object, const char *text, char **ret_message);
