/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include "base/parse.h"
#include "config/resolve.h"

/* What a name has at most in DNS. */
#define HOST_MAX 253

/* Of one header; servers take some 8 KiB of all together. */
#define HEADER_MAX 4096

/* Where in the URL its host begins; 0 if no scheme of the list stands in front. */
static size_t skip_scheme(const char *url, const char *const *schemes)
{
        for (; *schemes; schemes++) {
                size_t size = strlen(*schemes);
                if (strncasecmp(url, *schemes, size) == 0 && strncmp(url + size, "://", 3) == 0)
                        return size + 3;
        }
        return 0;
}

static bool is_port(const char *text, size_t size)
{
        unsigned port = 0;

        if (size == 0 || size > 5)
                return false;
        for (size_t i = 0; i < size; i++) {
                if (!isdigit((unsigned char)text[i]))
                        return false;
                port = port * 10 + (unsigned)(text[i] - '0');
        }
        return port > 0 && port <= 65535;
}

/* "host", "host:port", "[::1]:port"; NULL, or what is wrong with it. */
static const char *refuse_authority(const char *text, size_t size)
{
        const char *end = text + size;
        size_t host = 0;

        if (memchr(text, '@', size))
                return "user and password do not belong into a URL, where logs would show them";
        if (size > 0 && text[0] == '[') {
                const char *bracket = memchr(text, ']', size);

                if (!bracket)
                        return "the ] behind the address is missing";
                host = bracket + 1 - text;
        } else {
                while (host < size && text[host] != ':')
                        host++;
                for (size_t i = 0; i < host; i++)
                        if (!isalnum((unsigned char)text[i]) && !strchr("-._~%", text[i]) &&
                            !((unsigned char)text[i] & 0x80))
                                return "the host has a character that no host has";
        }
        if (host == 0)
                return "the host is missing";
        if (host > HOST_MAX)
                return "the host is too long";
        if (text + host < end && (text[host] != ':' || !is_port(text + host + 1, size - host - 1)))
                return "the port is not a number from 1 to 65535";
        return NULL;
}

static bool has_space_or_control(const char *text)
{
        for (; *text; text++)
                if (iscntrl((unsigned char)*text) || *text == ' ')
                        return true;
        return false;
}

/* Messages do not show what they refuse: it may hold a secret that should not be there. */

int resolve_url(const char *text, char **ret, char **ret_message)
{
        static const char *const schemes[] = { "http", "https", NULL };
        size_t start = skip_scheme(text, schemes), size = strlen(text);

        if (start == 0)
                return value_refuse(ret_message, "not a URL, like \"http://host:8080/api\"");
        if (has_space_or_control(text))
                return value_refuse(ret_message, "a URL has no blanks and no control characters");
        const char *wrong = refuse_authority(text + start, strcspn(text + start, "/?#"));
        if (wrong)
                return value_refuse(ret_message, "%s", wrong);
        if (strpbrk(text, "?#"))
                return value_refuse(ret_message, "the base of an API has no ? and no #");
        while (size > start && text[size - 1] == '/')
                size--;
        *ret = strndup(text, size);
        return *ret ? 0 : -ENOMEM;
}

int resolve_proxy(const char *text, char **ret_message)
{
        static const char *const schemes[] = { "http",   "https",   "socks4", "socks4a",
                                               "socks5", "socks5h", NULL };
        size_t start = skip_scheme(text, schemes);

        if (start == 0)
                return value_refuse(ret_message, "not a proxy's URL, like \"http://proxy:3128\"");
        if (has_space_or_control(text))
                return value_refuse(ret_message, "a URL has no blanks and no control characters");
        size_t size = strcspn(text + start, "/?#");
        const char *wrong = refuse_authority(text + start, size);
        if (wrong)
                return value_refuse(ret_message, "%s", wrong);
        if (text[start + size] && !streq(text + start + size, "/"))
                return value_refuse(ret_message, "a proxy has a host and a port, nothing else");
        return 0;
}

/* What the daemon or the connection sets itself: a second one would break requests. */
static const char *const own_headers[] = {
        "Accept-Encoding",
        "Connection",
        "Content-Encoding",
        "Content-Length",
        "Content-Type",
        "Expect",
        "Host",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
};

int resolve_header(const char *text, char **ret_message)
{
        size_t name = strcspn(text, ":");

        if (strlen(text) > HEADER_MAX)
                return value_refuse(ret_message, "a header has at most %d bytes", HEADER_MAX);
        for (const char *p = text; *p; p++)
                if (iscntrl((unsigned char)*p) && *p != '\t')
                        return value_refuse(ret_message, "a header has no control characters");
        if (name == 0 || !text[name])
                return value_refuse(ret_message, "not a header, like \"Name: value\"");
        for (size_t i = 0; i < name; i++)
                if (!isalnum((unsigned char)text[i]) && !strchr("!#$%&'*+-.^_`|~", text[i]))
                        return value_refuse(ret_message,
                                            "'%.*s' is not a header's name: it has letters, "
                                            "digits and - only",
                                            (int)name, text);
        for (size_t i = 0; i < ELEMENTSOF(own_headers); i++)
                if (strlen(own_headers[i]) == name && strncasecmp(own_headers[i], text, name) == 0)
                        return value_refuse(ret_message, "the daemon sets %s itself",
                                            own_headers[i]);
        if (name == strlen("X-Authorization") && strncasecmp(text, "X-Authorization", name) == 0)
                return value_refuse(ret_message, "a token belongs to auth, which renews it");
        return 0;
}

int resolve_word(const char *text, char **ret_message)
{
        if (strlen(text) > RESOLVE_WORD_MAX)
                return value_refuse(ret_message, "more than %d bytes", RESOLVE_WORD_MAX);
        for (const char *p = text; *p; p++)
                if (iscntrl((unsigned char)*p))
                        return value_refuse(ret_message, "has a control character");
        if (text[strspn(text, " ")] == '\0')
                return value_refuse(ret_message, "must not be empty");
        return 0;
}

int resolve_credential_name(const char *text, char **ret_message)
{
        if (!text[0] || strchr(text, '/') || streq(text, ".") || streq(text, ".."))
                return value_refuse(ret_message,
                                    "'%s' is not a credential's name: it is that of a file, "
                                    "without a folder",
                                    text);
        return resolve_word(text, ret_message);
}

int resolve_task_type(const char *text, char **ret_message)
{
        if (!text[0])
                return value_refuse(ret_message, "must not be empty");
        if (strlen(text) > CONFIG_TASK_TYPE_MAX)
                return value_refuse(ret_message, "a task type has at most %d bytes",
                                    CONFIG_TASK_TYPE_MAX);
        for (const char *p = text; *p; p++)
                if (iscntrl((unsigned char)*p))
                        return value_refuse(ret_message, "a task type has no control characters");
        return 0;
}

static int resolve_role(SchemaRole role, const char *text, char **ret, char **ret_message)
{
        switch (role) {
        case SCHEMA_URL:
                return resolve_url(text, ret, ret_message);
        case SCHEMA_WORD:
                return resolve_word(text, ret_message);
        case SCHEMA_TASK_TYPES:
                return resolve_task_type(text, ret_message);
        case SCHEMA_PATH:
                return resolve_path("./", text, ret);
        case SCHEMA_SOCKET:
                return resolve_socket("./", text, ret, ret_message);
        default:
                return 0;
        }
}

int resolve_and_set(const SchemaRow *row, void *object, const char *text, char **ret_message)
{
        _cleanup_free_ char *resolved = NULL;

        int r = resolve_role(row->role, text, &resolved, ret_message);
        return r == 0 ? value_set_text(row, object, resolved ?: text, ret_message) : r;
}
