#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Small regular files, read whole; and what text is. */

#include <sys/stat.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/macro.h"

/* At most maximum bytes of a regular file, NUL-terminated (NULs inside count in *ret_size). -EFBIG,
 * -EISDIR, -EINVAL if it is no regular file, or as open and read say. ret_stat may be NULL. */
int text_read(const char *path, size_t maximum, char **ret, size_t *ret_size,
              struct stat *ret_stat);
/* What such an error means, for people. */
const char *text_strerror(int error);

/* NULL, or why a file of this mode is not trusted, with the command that mends it, but for the
 * file's name: "can be read by others, …: chmod o-rwx". secret: nobody else may read it. */
const char *text_refuse_mode(const struct stat *st, bool secret);

bool text_is_utf8(const char *text);
