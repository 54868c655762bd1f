/* SPDX-License-Identifier: Apache-2.0 */

#include "base/json.h"
#include "base/json-scan.h"

/* One character that cannot stand for itself. */
static int append_escaped(Buffer *buffer, char c)
{
        switch (c) {
        case '"':
                return buffer_append_string(buffer, "\\\"");
        case '\\':
                return buffer_append_string(buffer, "\\\\");
        case '\n':
                return buffer_append_string(buffer, "\\n");
        case '\r':
                return buffer_append_string(buffer, "\\r");
        case '\t':
                return buffer_append_string(buffer, "\\t");
        default:
                return buffer_appendf(buffer, "\\u%04x", (unsigned)(unsigned char)c);
        }
}

static int append_content(Buffer *buffer, Slice text)
{
        const char *p = text.data, *end = p + text.size, *run;
        unsigned n;
        int r = 0;

        while (p < end && r >= 0) {
                run = p;
                p = json_skip_plain(p, end);
                r = buffer_append(buffer, run, (size_t)(p - run));
                if (r < 0 || p == end)
                        break;
                if ((unsigned char)*p < 0x80) {
                        r = append_escaped(buffer, *p++);
                        continue;
                }
                n = json_utf8_length(p, end);
                if (n > 0)
                        r = buffer_append(buffer, p, n);
                else
                        r = buffer_append_string(buffer, "\xEF\xBF\xBD");
                p += MAX(n, 1U);
        }
        return r;
}

int json_append_string(Buffer *buffer, Slice text)
{
        size_t size = buffer->size;
        int r;

        r = buffer_append_byte(buffer, '"');
        if (r >= 0 && text.size > 0)
                r = append_content(buffer, text);
        if (r >= 0)
                r = buffer_append_byte(buffer, '"');
        if (r < 0)
                buffer_truncate(buffer, size);
        return r;
}

int json_append_compact(Buffer *buffer, Slice value)
{
        const char *p = value.data, *end, *run;
        size_t size = buffer->size;
        int r;

        if (value.size == 0)
                return 0;
        for (end = p + value.size; p < end;) {
                p = json_skip_white(p, end);
                for (run = p; p < end && !json_is_white(*p);)
                        p = *p == '"' ? json_skip_string(p + 1, end) : p + 1;
                r = buffer_append(buffer, run, (size_t)(p - run));
                if (r < 0) {
                        buffer_truncate(buffer, size);
                        return r;
                }
        }
        return 0;
}
