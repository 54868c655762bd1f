/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <unistd.h>
#include "config/secret.h"
#include "config/text.h"

const char *secret_folder(void)
{
        const char *folder = getenv("CREDENTIALS_DIRECTORY");
        return folder && folder[0] == '/' ? folder : NULL;
}

static int take_text(const char *path, char *text, size_t size, char **ret, char **ret_message)
{
        if (size > 0 && text[size - 1] == '\n')
                text[--size] = '\0';
        if (size > 0 && text[size - 1] == '\r')
                text[--size] = '\0';
        if (size == 0)
                return value_refuse(ret_message, "%s is empty", path);
        if (strlen(text) != size || !text_is_utf8(text))
                return value_refuse(ret_message, "%s is not text", path);
        if (strpbrk(text, "\r\n"))
                return value_refuse(ret_message, "%s has more than one line", path);
        *ret = text;
        return 0;
}

static int read_secret(const char *path, bool check_mode, char **ret, char **ret_message)
{
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t size;

        int r = text_read(path, SECRET_MAX + strlen("\r\n"), &text, &size, &st);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return value_refuse(ret_message, "%s: %s", path, text_strerror(r));
        const char *wrong = check_mode ? text_refuse_mode(&st, true) : NULL;
        if (wrong)
                return value_refuse(ret_message, "%s %s %s", path, wrong, path);
        r = take_text(path, text, size, ret, ret_message);
        if (r == 0)
                TAKE_PTR(text);
        return r;
}

int secret_read_file(const char *path, char **ret, char **ret_message)
{
        return read_secret(path, true, ret, ret_message);
}

static int credential_path(const char *name, char **ret, char **ret_message)
{
        const char *folder = secret_folder();

        if (!folder)
                return value_refuse(ret_message,
                                    "no credentials: CREDENTIALS_DIRECTORY is not set; the service "
                                    "needs LoadCredential=%s:/path",
                                    name);
        if (asprintf(ret, "%s/%s", folder, name) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int refuse_missing(const char *path, const char *name, char **ret_message)
{
        return value_refuse(ret_message,
                            "no credential '%s': the service needs "
                            "LoadCredential=%s:/path (looked for %s)",
                            name, name, path);
}

int secret_read_credential(const char *name, char **ret, char **ret_message)
{
        _cleanup_free_ char *path = NULL;

        int r = credential_path(name, &path, ret_message);
        if (r != 0)
                return r;
        if (access(path, F_OK) < 0)
                return refuse_missing(path, name, ret_message);
        /* the folder is what keeps it from others; its files may have any mode */
        return read_secret(path, false, ret, ret_message);
}

int secret_check_credential(const char *name, char **ret_message)
{
        _cleanup_free_ char *path = NULL;

        int r = credential_path(name, &path, ret_message);
        if (r == 0 && access(path, R_OK) < 0)
                r = refuse_missing(path, name, ret_message);
        return r;
}
