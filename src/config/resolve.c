/* SPDX-License-Identifier: Apache-2.0 */

#include <elf.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "build-config.h"
#include "config/resolve.h"
#include "config/text.h"

/* Where programs are looked up if PATH is not set at all. */
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

/* The longest first line that execve reads. */
#define SHEBANG_MAX 256

static int join(const char *folder, size_t size, const char *name, char **ret)
{
        char *path;

        while (strncmp(name, "./", 2) == 0)
                for (name += 2; *name == '/'; name++)
                        ;
        if (streq(name, ".") || !*name) {
                *ret = strndup(folder, size);
                return *ret ? 0 : -ENOMEM;
        }
        bool slash = size > 0 && folder[size - 1] == '/';
        if (asprintf(&path, "%.*s%s%s", (int)size, folder, slash ? "" : "/", name) < 0)
                return -ENOMEM;
        *ret = path;
        return 0;
}

/* Relative to the working directory of this process. */
static int make_absolute(const char *path, char **ret)
{
        if (path[0] == '/') {
                *ret = strdup(path);
                return *ret ? 0 : -ENOMEM;
        }
        _cleanup_free_ char *here = getcwd(NULL, 0);
        if (!here)
                return -errno;
        return join(here, strlen(here), path, ret);
}

int resolve_path(const char *file, const char *path, char **ret)
{
        if (path[0] == '/')
                return make_absolute(path, ret);

        _cleanup_free_ char *absolute = NULL;
        int r = make_absolute(file, &absolute);
        if (r < 0)
                return r;
        size_t folder = strrchr(absolute, '/') - absolute;
        return join(absolute, MAX(folder, (size_t)1), path, ret);
}

/* The program behind "#!" of a script, or an empty string. */
static void read_interpreter(const char *path, char buffer[SHEBANG_MAX])
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        ssize_t n = fd < 0 ? -1 : read(fd, buffer, SHEBANG_MAX - 1);
        char *name;

        if (n < 3 || memcmp(buffer, "#!", 2) != 0) {
                buffer[0] = 0;
                return;
        }
        buffer[n] = 0;
        name = buffer + 2 + strspn(buffer + 2, " \t");
        name[strcspn(name, " \t\r\n")] = 0;
        memmove(buffer, name, strlen(name) + 1);
}

/* What may be behind a path that is not there, or not to be looked at: a service sees no homes. */
static const char *hint_at(const char *path)
{
        static const char *const homes[] = { "/home", "/root", "/run/user" };
        bool hidden = errno == EACCES || errno == ENOENT;

        for (size_t i = 0; hidden && getenv("INVOCATION_ID") && i < ELEMENTSOF(homes); i++)
                if (strncmp(path, homes[i], strlen(homes[i])) == 0 && path[strlen(homes[i])] == '/')
                        return " (a service sees it only with ProtectHome=read-only or "
                               "ProtectHome=no: systemctl edit, section [Service])";
        return "";
}

static int check_program(const char *path, char **ret_message)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return value_refuse(ret_message, "%s: %m%s", path, hint_at(path));
        if (S_ISDIR(st.st_mode))
                return value_refuse(ret_message, "%s is a directory, not a program", path);
        if (!S_ISREG(st.st_mode))
                return value_refuse(ret_message, "%s is not a regular file", path);
        if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
                return value_refuse(ret_message, "%s is not executable%s: chmod %s %s", path,
                                    st.st_mode & S_IXUSR ? " for the daemon's user" : "",
                                    st.st_mode & S_IXUSR ? "a+rx" : "+x", path);

        char interpreter[SHEBANG_MAX];
        read_interpreter(path, interpreter);
        if (interpreter[0] == '/' && access(interpreter, F_OK) < 0)
                return value_refuse(ret_message, "%s wants the interpreter %s: %m", path,
                                    interpreter);
        return 0;
}

static int check_library(const char *path, char **ret_message)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        Elf64_Ehdr header; /* type and magic are in the same place for 32 bits */

        if (fd < 0 || fstat(fd, &st) < 0)
                return value_refuse(ret_message, "%s: %m%s", path, hint_at(path));
        if (S_ISDIR(st.st_mode))
                return value_refuse(ret_message, "%s is a directory, not a library", path);
        if (!S_ISREG(st.st_mode) || read(fd, &header, sizeof(header)) < (ssize_t)sizeof(header) ||
            memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_DYN)
                return value_refuse(ret_message, "%s is no shared object", path);
        return 0;
}

/* The first file of that name in the folders of list (separated by colons) that the caller's check
 * lets pass; 0 if there is none. */
static int look_up(const char *list, const char *name, bool executable, char **ret)
{
        while (*list) {
                size_t size = strcspn(list, ":");
                _cleanup_free_ char *path = NULL;
                struct stat st;

                if (size > 0) {
                        int r = join(list, size, name, &path);
                        if (r < 0)
                                return r;
                        if (stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
                            (!executable || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0))
                                return make_absolute(path, ret) < 0 ? -ENOMEM : 1;
                }
                list += size + (list[size] == ':');
        }
        return 0;
}

static int resolve_and_check(const char *file, const char *name,
                             int (*check)(const char *path, char **ret_message), char **ret,
                             char **ret_message)
{
        _cleanup_free_ char *path = NULL;
        int r = resolve_path(file, name, &path);
        if (r < 0)
                return r;
        r = check(path, ret_message);
        if (r == 0)
                *ret = TAKE_PTR(path);
        return r;
}

int resolve_program(const char *file, const char *name, char **ret, char **ret_message)
{
        const char *list = getenv("PATH") ?: PATH_DEFAULT;
        _cleanup_free_ char *path = NULL;

        if (strchr(name, '/'))
                return resolve_and_check(file, name, check_program, ret, ret_message);

        int r = look_up(list, name, true, &path);
        if (r < 0)
                return r;
        if (r > 0) {
                r = check_program(path, ret_message);
                if (r == 0)
                        *ret = TAKE_PTR(path);
                return r;
        }
        if (strchr(name, ' '))
                return value_refuse(ret_message,
                                    "no program '%s' in PATH: write the arguments as entries of "
                                    "their own, [\"program\", \"argument\"]",
                                    name);
        return value_refuse(ret_message, "no program '%s' in PATH (%s)", name, list);
}

int resolve_library(const char *file, const char *name, char **ret, char **ret_message)
{
        const char *list = getenv("YARDMASTER_HANDLER_PATH") ?: "";
        _cleanup_free_ char *path = NULL;

        if (strchr(name, '/'))
                return resolve_and_check(file, name, check_library, ret, ret_message);

        int r = look_up(list, name, false, &path);
        if (r == 0)
                r = look_up(YARDMASTER_HANDLER_DIR, name, false, &path);
        if (r < 0)
                return r;
        if (r == 0)
                return value_refuse(ret_message, "no library '%s' in %s%s%s", name, list,
                                    list[0] ? ":" : "", YARDMASTER_HANDLER_DIR);
        r = check_library(path, ret_message);
        if (r == 0)
                *ret = TAKE_PTR(path);
        return r;
}

static int check_directory(const char *path, char **ret_message)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return value_refuse(ret_message, "%s: %m%s", path, hint_at(path));
        if (!S_ISDIR(st.st_mode))
                return value_refuse(ret_message, "%s is not a directory", path);
        if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
                return value_refuse(ret_message, "%s: %m", path);
        return 0;
}

int resolve_directory(const char *file, const char *path, char **ret, char **ret_message)
{
        return resolve_and_check(file, path, check_directory, ret, ret_message);
}

/* Bundles of all known authorities have some 250 KB. */
#define PEM_MAX ((size_t)4 * 1024 * 1024)

static int check_pem(const char *path, bool secret, char **ret_message)
{
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t size;

        int r = text_read(path, PEM_MAX, &text, &size, &st);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return value_refuse(ret_message, "%s: %s", path, text_strerror(r));
        const char *wrong = text_refuse_mode(&st, secret);
        if (secret && wrong)
                return value_refuse(ret_message, "%s %s %s", path, wrong, path);
        if (!strstr(text, "-----BEGIN "))
                return value_refuse(ret_message, "%s is not in PEM format", path);
        return 0;
}

int resolve_pem(const char *file, const char *path, bool secret, char **ret, char **ret_message)
{
        _cleanup_free_ char *absolute = NULL;

        int r = resolve_path(file, path, &absolute);
        if (r == 0)
                r = check_pem(absolute, secret, ret_message);
        if (r == 0)
                *ret = TAKE_PTR(absolute);
        return r;
}

static int check_socket(const char *path, char **ret_message)
{
        size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

        if (strlen(path) > most)
                return value_refuse(ret_message, "%s has %zu bytes, a socket's path at most %zu",
                                    path, strlen(path), most);
        return 0;
}

int resolve_socket(const char *file, const char *path, char **ret, char **ret_message)
{
        return resolve_and_check(file, path, check_socket, ret, ret_message);
}

int resolve_unix_group(const char *name, char **ret_message)
{
        errno = 0;
        if (getgrnam(name))
                return 0;
        if (errno != 0 && errno != ENOENT && errno != ESRCH)
                return value_refuse(ret_message, "group '%s' cannot be looked up: %m", name);
        return value_refuse(ret_message, "no group '%s' on this system", name);
}
