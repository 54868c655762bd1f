#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Reading an HTTP/1.1 request: as much as clients of a Conductor server send. Pure. */

#include "stub/text.h"

typedef struct RequestHead {
        Slice method, path, query, authorization;
        size_t size; /* with the empty line */
        size_t content_length;
        bool chunked, wants_close, expects_continue;
} RequestHead;

/* 1: there is a whole head; 0: not yet; -EBADMSG. */
int request_parse_head(Slice in, RequestHead *ret);
/* The same of the whole request: *ret_used bytes of in. A chunked body goes through decoded. */
int request_body(const RequestHead *head, Slice in, Buffer *decoded, Slice *ret_body,
                 size_t *ret_used);
