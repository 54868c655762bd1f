/* SPDX-License-Identifier: Apache-2.0 */

#include <strings.h>
#include "base/json-scan.h"
#include "stub/request.h"

#define HEAD_MAX 8192 /* the server's own */

static bool has_name(Slice line, const char *name, Slice *ret_value)
{
        size_t size = strlen(name);

        if (line.size < size || strncasecmp(line.data, name, size) != 0)
                return false;
        while (size < line.size && line.data[size] == ' ')
                size++;
        *ret_value = (Slice){ line.data + size, line.size - size };
        return true;
}

static int parse_header(Slice line, RequestHead *head)
{
        Slice value;
        int64_t number;

        switch (line.data[0] | 0x20) {
        case 'c':
                if (has_name(line, "content-length:", &value)) {
                        if (text_number(value, &number) < 0 || number < 0)
                                return -EBADMSG;
                        head->content_length = (size_t)number;
                } else if (has_name(line, "connection:", &value)) {
                        head->wants_close =
                                value.size == 5 && strncasecmp(value.data, "close", 5) == 0;
                }
                break;
        case 'e':
                if (has_name(line, "expect:", &value))
                        head->expects_continue = true;
                break;
        case 't':
                if (has_name(line, "transfer-encoding:", &value))
                        head->chunked =
                                value.size == 7 && strncasecmp(value.data, "chunked", 7) == 0;
                break;
        case 'x':
                if (has_name(line, "x-authorization:", &value))
                        head->authorization = value;
                break;
        }
        return 0;
}

static int parse_request_line(Slice line, RequestHead *head)
{
        const char *end = line.data + line.size, *space = memchr(line.data, ' ', line.size),
                   *second, *question;

        if (!space)
                return -EBADMSG;
        head->method = (Slice){ line.data, (size_t)(space - line.data) };
        space++;
        second = memchr(space, ' ', (size_t)(end - space));
        if (!second || !slice_is((Slice){ second, (size_t)(end - second) }, " HTTP/1.1"))
                return -EBADMSG;
        question = memchr(space, '?', (size_t)(second - space)) ?: second;
        head->path = (Slice){ space, (size_t)(question - space) };
        head->query = question < second ? (Slice){ question + 1, (size_t)(second - question) - 1 }
                                        : (Slice){ second, 0 };
        return 0;
}

int request_parse_head(Slice in, RequestHead *ret)
{
        RequestHead head = { .method = SLICE_NULL };
        const char *end = memmem(in.data, in.size, "\r\n\r\n", 4), *p = in.data, *next;

        if (!end)
                return in.size > HEAD_MAX ? -EBADMSG : 0;
        head.size = (size_t)(end - in.data) + 4;
        if (head.size > HEAD_MAX)
                return -EBADMSG;
        for (; p < end + 2; p = next + 2) {
                Slice line;

                next = memmem(p, (size_t)(end + 2 - p), "\r\n", 2);
                line = (Slice){ p, (size_t)(next - p) };
                if (line.size == 0 || (p == in.data ? parse_request_line(line, &head)
                                                    : parse_header(line, &head)) < 0)
                        return -EBADMSG;
        }
        *ret = head;
        return 1;
}

static int chunked_body(Slice in, Buffer *decoded, size_t *ret_used)
{
        const char *p = in.data, *end = in.data + in.size;

        buffer_clear(decoded);
        for (;;) {
                const char *line = memmem(p, (size_t)(end - p), "\r\n", 2);
                size_t size = 0;

                if (!line)
                        return 0;
                for (; p < line && json_hex_digit(*p) >= 0; p++)
                        size = size << 4 | (size_t)json_hex_digit(*p);
                p = line + 2;
                if ((size_t)(end - p) < size + 2)
                        return 0;
                if (memcmp(p + size, "\r\n", 2) != 0)
                        return -EBADMSG;
                if (size > 0)
                        must(buffer_append(decoded, p, size));
                p += size + 2;
                if (size == 0) {
                        *ret_used = (size_t)(p - in.data);
                        return 1;
                }
        }
}

int request_body(const RequestHead *head, Slice in, Buffer *decoded, Slice *ret_body,
                 size_t *ret_used)
{
        size_t used = 0;
        int r;

        if (head->chunked) {
                r = chunked_body((Slice){ in.data + head->size, in.size - head->size }, decoded,
                                 &used);
                if (r <= 0)
                        return r;
                *ret_body = buffer_slice(decoded);
                *ret_used = head->size + used;
                return 1;
        }
        if (in.size - head->size < head->content_length)
                return 0;
        *ret_body = (Slice){ in.data + head->size, head->content_length };
        *ret_used = head->size + head->content_length;
        return 1;
}
