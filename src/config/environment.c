/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <sys/stat.h>
#include "base/strv.h"
#include "config/environment.h"
#include "config/text.h"

/* Variables that the daemon sets for each worker or task. */
static const char *const reserved[] = {
        "EXECUTION_ID", "NOTIFY_SOCKET", "TASK_ID",     "TASK_TYPE",
        "WATCHDOG_PID", "WATCHDOG_USEC", "WORKFLOW_ID", "YARDMASTER_WORKER",
};

const char *environment_refuse_name(const char *name, size_t size)
{
        if (size == 0)
                return "the name is missing";
        if (isdigit((unsigned char)name[0]))
                return "a variable's name does not begin with a digit";
        for (size_t i = 0; i < size; i++)
                if (!isalnum((unsigned char)name[i]) && name[i] != '_')
                        return "a variable's name has letters, digits and _ only";
        for (size_t i = 0; i < ELEMENTSOF(reserved); i++)
                if (strlen(reserved[i]) == size && memcmp(reserved[i], name, size) == 0)
                        return "the daemon sets this variable itself";
        return NULL;
}

/* The value in place, without quotes; NULL or why not. */
static const char *unquote(char *value)
{
        size_t size = strlen(value);
        char quote = value[0];

        if (quote != '"' && quote != '\'') {
                if (size > 0 && value[size - 1] == '\\')
                        return "a line cannot be continued: put the value in one line";
                return NULL;
        }

        char *out = value;
        const char *p = value + 1;
        for (; *p && *p != quote; p++) {
                if (quote == '"' && *p == '\\' && p[1] && strchr("\"\\$`", p[1]))
                        p++;
                *out++ = *p;
        }
        if (!*p)
                return "the closing quote is missing";
        if (p[1])
                return "text after the closing quote";
        *out = 0;
        return NULL;
}

static char *trim(char *line)
{
        line += strspn(line, " \t");
        size_t size = strlen(line);
        while (size > 0 && strchr(" \t\r", line[size - 1]))
                line[--size] = 0;
        return line;
}

/* One line of the file; NULL, or what is wrong with it. */
static const char *read_line(char *line, char ***env, int *ret_error)
{
        line = trim(line);
        if (!*line || *line == '#' || *line == ';')
                return NULL;
        if (!text_is_utf8(line))
                return "this is not UTF-8";

        char *equals = strchr(line, '=');
        if (!equals)
                return "expected NAME=value";
        if (strncmp(line, "export ", 7) == 0)
                return "write NAME=value without export";
        const char *wrong = environment_refuse_name(line, equals - line);
        if (wrong)
                return wrong;
        wrong = unquote(equals + 1);
        if (wrong)
                return wrong;
        *ret_error = strv_set_env(env, line);
        return NULL;
}

int environment_read(Findings *findings, ConfigOrigin at, const char *path, const char *file,
                     bool secret, char ***ret)
{
        _cleanup_(strv_freep) char **env = NULL;
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t size;

        int r = text_read(file, ENVIRONMENT_FILE_MAX, &text, &size, &st);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                findings_add(findings, FINDING_ERROR, at, path, "%s: %s", file, text_strerror(r));
                return 0;
        }
        const char *refused = text_refuse_mode(&st, secret);
        if (refused) {
                findings_add(findings, FINDING_ERROR, at, path, "%s %s %s", file, refused, file);
                return 0;
        }

        ConfigOrigin place = { .kind = ORIGIN_FILE };
        r = config_files_add(findings->files, file, &place.file);
        if (r < 0)
                return r;
        if (strlen(text) != size) {
                findings_add(findings, FINDING_ERROR, place, path, "the file has a NUL byte");
                return 0;
        }

        char *rest = text;
        for (char *line; (line = strsep(&rest, "\n"));) {
                int error = 0;
                place.line++;
                const char *wrong = read_line(line, &env, &error);
                if (error < 0)
                        return error;
                if (wrong)
                        findings_add(findings, FINDING_ERROR, place, path, "%s", wrong);
        }
        *ret = TAKE_PTR(env);
        return 0;
}
