/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include "base/json-scan.h"
#include "config/text.h"

static int read_all(int fd, char *data, size_t size, size_t *ret_size)
{
        size_t used = 0;

        while (used < size) {
                ssize_t n = read(fd, data + used, size - used);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                used += n;
        }
        *ret_size = used;
        return 0;
}

int text_read(const char *path, size_t maximum, char **ret, size_t *ret_size, struct stat *ret_stat)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_size < 0 || (uint64_t)st.st_size > maximum)
                return -EFBIG;

        _cleanup_free_ char *data = malloc((size_t)st.st_size + 1);
        if (!data)
                return -ENOMEM;
        size_t size = 0;
        int r = read_all(fd, data, st.st_size, &size);
        if (r < 0)
                return r;
        data[size] = 0;
        *ret = TAKE_PTR(data);
        *ret_size = size;
        if (ret_stat)
                *ret_stat = st;
        return 0;
}

const char *text_strerror(int error)
{
        if (error == -EINVAL)
                return "not a regular file";
        if (error == -EFBIG)
                return "the file is too large";
        return strerror(-error);
}

const char *text_refuse_mode(const struct stat *st, bool secret)
{
        if (secret && (st->st_mode & S_IROTH))
                return "can be read by others, and may hold secrets: chmod o-rwx";
        if (st->st_mode & (S_IWGRP | S_IWOTH))
                return "can be written by more than its owner: chmod go-w";
        return NULL;
}

bool text_is_utf8(const char *text)
{
        for (const char *end = text + strlen(text); text < end;) {
                unsigned n = json_utf8_length(text, end);
                if (n == 0)
                        return false;
                text += n;
        }
        return true;
}
