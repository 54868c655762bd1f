#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* The control socket: a Varlink server on the event loop. Owned by the daemon.
 *
 * A connection is IDLE, BUSY with one call, or CLOSING: broken or half closed by its peer, it ends
 * once its last answer is written. Calls that come while one is in hand wait in order, up to a
 * bound, and then in the kernel. The next call starts when the one before is answered and the
 * client has read its answers down to CONTROL_OUTPUT_MARK.
 *
 * A call goes to the one handler that the static table names, after flags, permission and JSON have
 * been checked. The handler answers at once, or keeps the call and answers later; with "more" it
 * may send replies before the last one. What one client does wrong ends at most its own connection.
 */

#include <json-c/json.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include "control/params.h"
#include "control/wire.h"

/* Most connections at a time: in all, and for one uid other than root. A client beyond them is told
 * (Refused) and closed. */
#define CONTROL_CONNECTIONS_MAX         256
#define CONTROL_CONNECTIONS_PER_UID_MAX 64
/* Calls that wait behind the one in hand, and their bytes; then the connection is not read. */
#define CONTROL_CALLS_QUEUED_MAX       16
#define CONTROL_CALLS_QUEUED_BYTES_MAX ((size_t)1024 * 1024)
/* Above this many unread bytes a client counts as slow: lists wait, events are dropped. */
#define CONTROL_OUTPUT_MARK ((size_t)1024 * 1024)
/* At the mark one more message of the largest size still fits, so the last reply always does. */
#define CONTROL_OUTPUT_MAX (CONTROL_OUTPUT_MARK + 2 * (WIRE_MESSAGE_MAX + WIRE_ENVELOPE_MAX))

typedef struct ControlServer ControlServer;
typedef struct ControlCall ControlCall;

/* Who may call a method: anyone who may open the socket; the same, kept apart for later; root, the
 * daemon's own uid and members of admin_group. */
typedef enum ControlAccess {
        CONTROL_READ,
        CONTROL_SUBMIT,
        CONTROL_ADMIN,
} ControlAccess;

typedef enum ControlMore {
        CONTROL_ONE_REPLY,     /* "more" is accepted and changes nothing */
        CONTROL_MORE_ALLOWED,  /* control_call_wants_more tells */
        CONTROL_MORE_REQUIRED, /* ExpectedMore without it */
} ControlMore;

/* Answers the call or keeps it (control_call_keep), and returns 0; or returns -errno, then the
 * caller is answered Refused with the error's text. `return control_call_reply(…)` is the usual
 * end: an answer of any kind returns 0 unless memory is short. */
typedef int (*control_handler_t)(ControlCall *call, void *userdata);

typedef struct ControlMethod {
        const char *name; /* without the interface; rows are in strcmp order */
        control_handler_t handler;
        ControlAccess access;
        ControlMore more;
} ControlMethod;

typedef struct ControlInterface {
        const char *name;
        const char *description; /* the text of the .varlink file */
        const ControlMethod *methods;
        size_t n_methods;
        void *userdata; /* for its handlers */
} ControlInterface;

typedef struct ControlOptions {
        const ControlInterface *interfaces; /* borrowed */
        size_t n_interfaces;
        const char *version;
        const char *admin_group; /* NULL: none; an unknown one is warned about */
        int64_t priority;        /* sd-event priority of its sources */
} ControlOptions;

/* -EINVAL if a table is out of order. Does not listen yet. */
int control_server_new(ControlServer **ret, sd_event *event, const ControlOptions *options);
/* Tells the handlers of calls in hand (on_gone), closes everything, removes a socket it made. */
ControlServer *control_server_free(ControlServer *server);
DEFINE_CLEANUP(ControlServer *, control_server_free);

/* Listens on an fd from control_listen or from systemd; owned from here on, on failure too. path:
 * removed by control_server_free; NULL: it is not ours. */
int control_server_add_listener(ControlServer *server, int fd, const char *path);
/* A connection that is there already (for tests). Owned on success. */
int control_server_add_connection(ControlServer *server, int fd);
void control_server_set_admin_group(ControlServer *server, const char *admin_group);
/* Writes what the clients can take now: the last step before the daemon ends. */
void control_server_flush(ControlServer *server);
size_t control_server_n_connections(const ControlServer *server);

/* The call: valid until its last answer, or until on_gone has returned. */

typedef struct ControlPeer {
        pid_t pid;
        uid_t uid;
        gid_t gid;
        bool admin;
} ControlPeer;

bool control_call_wants_more(const ControlCall *call);
/* Raw and checked (json_check): an object, "{}" if absent. Lives as long as the call. */
Slice control_call_parameters(const ControlCall *call);
/* Decodes the parameters by a table (control/params.h) into *ret, whose strings live as long as the
 * call. 0; or 1 if something did not fit: then the call has been answered with InvalidParameter
 * that names it, and the handler returns 0; or -ENOMEM. */
int control_call_decode(ControlCall *call, const ParamField *fields, size_t n_fields, void *ret);
/* The same for an object inside the parameters; name stands before the field in the error:
 * "task" → "task.priority". */
int control_call_decode_object(ControlCall *call, Slice object, const char *name,
                               const ParamField *fields, size_t n_fields, void *ret);
/* Where decoded text that must live as long as the call may go. */
ParamArena *control_call_arena(ControlCall *call);

typedef struct ControlCallbacks {
        /* The client has gone, or the server is being freed: forget the call. Required. */
        void (*on_gone)(ControlCall *call, void *userdata);
        /* control_call_writable had said false and says true again. May be NULL. */
        void (*on_writable)(ControlCall *call, void *userdata);
} ControlCallbacks;

/* Called in the handler of a call that is answered later, or in several replies over time. */
void control_call_keep(ControlCall *call, const ControlCallbacks *callbacks, void *userdata);

/* The last answer. parameters are consumed in any case; NULL: none. An answer over WIRE_MESSAGE_MAX
 * is replaced by Refused, which says so. 0; or, in the handler only, -errno if it could not be
 * queued: the call is then still to be answered. A kept call has ended when one of these returns: a
 * client that cannot be answered is closed. */
int control_call_reply(ControlCall *call, json_object *parameters);
int control_call_reply_raw(ControlCall *call, Slice parameters);
/* name: "NoSuchPool" (ours) or a qualified one. */
int control_call_error(ControlCall *call, const char *name, json_object *parameters);
/* The same with pairs of key and text, ended by NULL; a pair whose text is NULL is left out. */
int control_call_error_strings(ControlCall *call, const char *name, ...) __attribute__((sentinel));
int control_call_invalid_parameter(ControlCall *call, const char *parameter);
/* io.yardmaster.Manager.Refused(message) */
int control_call_refused(ControlCall *call, const char *format, ...) _printf_(2, 3);

/* A reply that others follow; the call must have "more". 0; -ENOBUFS if the client has not read
 * down to CONTROL_OUTPUT_MARK (wait for on_writable, or drop it and count); -EMSGSIZE; -ENOMEM.
 * Without "more": -EPROTO. */
int control_call_continue(ControlCall *call, json_object *parameters);
int control_call_continue_raw(ControlCall *call, Slice parameters);
bool control_call_writable(ControlCall *call);
