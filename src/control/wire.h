#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* Varlink's messages: JSON objects, each followed by one NUL byte. Pure: text in, slices out;
 * slices in, text out. Shared by the daemon and yardctl; builds no tree.
 *
 * What is refused, beside what json_check refuses: a message that is no object, a member of a wrong
 * type, a name with escapes (no name of ours has any). A name that occurs twice: the last one
 * counts. Members that Varlink does not define are ignored, as it asks. */

#include "base/buffer.h"

#define WIRE_INTERFACE "io.yardmaster.Manager"
#define WIRE_SERVICE   "org.varlink.service"

/* Longest message either side sends or accepts, without its NUL: a task's input or output of the
 * largest size that is accepted anywhere, or 1,000 tasks of a list, fit. */
#define WIRE_MESSAGE_MAX ((size_t)16 * 1024 * 1024)
/* What a message has around its parameters: braces, method or error, flags. */
#define WIRE_ENVELOPE_MAX ((size_t)1024)
/* Longest method or error name: no interface has longer ones, and answers repeat it. */
#define WIRE_NAME_MAX ((size_t)255)

#define WIRE_ERROR_INTERFACE_NOT_FOUND    WIRE_SERVICE ".InterfaceNotFound"
#define WIRE_ERROR_METHOD_NOT_FOUND       WIRE_SERVICE ".MethodNotFound"
#define WIRE_ERROR_METHOD_NOT_IMPLEMENTED WIRE_SERVICE ".MethodNotImplemented"
#define WIRE_ERROR_INVALID_PARAMETER      WIRE_SERVICE ".InvalidParameter"
#define WIRE_ERROR_PERMISSION_DENIED      WIRE_SERVICE ".PermissionDenied"
#define WIRE_ERROR_EXPECTED_MORE          WIRE_SERVICE ".ExpectedMore"
/* The peer broke the wire: answered, then the connection is closed. */
#define WIRE_ERROR_INVALID_MESSAGE WIRE_INTERFACE ".InvalidMessage"

typedef enum WireFlags {
        WIRE_MORE = 1 << 0,    /* several replies are welcome */
        WIRE_ONEWAY = 1 << 1,  /* no reply is */
        WIRE_UPGRADE = 1 << 2, /* asks to leave Varlink; never granted here */
} WireFlags;

typedef struct WireCall {
        Slice method;     /* "interface.Method", no escapes */
        Slice parameters; /* raw object; SLICE_NULL: absent, null or {} */
        unsigned flags;   /* of WireFlags */
} WireCall;

typedef struct WireReply {
        Slice error;      /* qualified name; SLICE_NULL: none */
        Slice parameters; /* raw object; SLICE_NULL: absent, null or {} */
        bool continues;
} WireReply;

/* Both: 0, or -EBADMSG with *ret_problem (fresh text, or NULL if out of memory) saying what is
 * wrong and where. The slices point into message. */
int wire_parse_call(Slice message, WireCall *ret, char **ret_problem);
int wire_parse_reply(Slice message, WireReply *ret, char **ret_problem);

/* Append one message with its NUL, all or nothing: 0, -ENOMEM, -ENOBUFS. parameters: a raw object,
 * or SLICE_NULL. */
int wire_append_call(Buffer *buffer, const char *method, Slice parameters, unsigned flags);
int wire_append_reply(Buffer *buffer, Slice parameters, bool continues);
int wire_append_error(Buffer *buffer, const char *error, Slice parameters);

/* The last part of a qualified name: "GetStatus" of "io.yardmaster.Manager.GetStatus". */
Slice wire_member_name(Slice qualified);
/* And what stands before it; empty without a dot. */
Slice wire_interface_name(Slice qualified);
