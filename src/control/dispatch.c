/* SPDX-License-Identifier: Apache-2.0 */

/* From a call to its handler: the static tables are the only way. */

#include <stdlib.h>
#include "base/log.h"
#include "control/connection.h"

static const ControlInterface *find_interface(const ControlServer *server, Slice name)
{
        if (slice_is(name, server->service.name))
                return &server->service;
        for (size_t i = 0; i < server->n_interfaces; i++) {
                if (slice_is(name, server->interfaces[i].name))
                        return &server->interfaces[i];
        }
        return NULL;
}

static int compare_method(const void *name, const void *row)
{
        return strcmp(name, ((const ControlMethod *)row)->name);
}

static bool is_allowed(ControlCall *call, const ControlMethod *method)
{
        Connection *connection = call->connection;

        if (method->access != CONTROL_ADMIN || connection->peer.admin)
                return true;
        /* Once for each connection: a client must not be able to flood the log. */
        if (!connection->denial_logged)
                log_notice(
                        "refused %s to uid %u (pid %d): not root, this daemon's user or a member "
                        "of admin_group",
                        call->name, (unsigned)connection->peer.uid, (int)connection->peer.pid);
        connection->denial_logged = true;
        return false;
}

/* Answers what must not reach its handler. method: NULL if there is no such one. */
static int call_check(ControlCall *call, const ControlMethod *method)
{
        _cleanup_free_ char *qualified = strndup(call->wire.method.data, call->wire.method.size);

        if (!qualified)
                return -ENOMEM;
        if (!method)
                return control_call_error_strings(call, WIRE_ERROR_METHOD_NOT_FOUND, "method",
                                                  qualified, NULL);
        if (call->wire.flags & WIRE_UPGRADE)
                return control_call_error_strings(call, WIRE_ERROR_METHOD_NOT_IMPLEMENTED, "method",
                                                  qualified, NULL);
        if (!is_allowed(call, method))
                return control_call_error(call, WIRE_ERROR_PERMISSION_DENIED, NULL);
        if (method->more == CONTROL_MORE_REQUIRED && !(call->wire.flags & WIRE_MORE))
                return control_call_error(call, WIRE_ERROR_EXPECTED_MORE, NULL);
        return 0;
}

static int call_dispatch(ControlCall *call)
{
        const ControlInterface *interface;
        const ControlMethod *method = NULL;
        int r;

        if (call->problem)
                return control_call_error_strings(call, WIRE_ERROR_INVALID_MESSAGE, "message",
                                                  call->problem, NULL);
        interface =
                find_interface(call->connection->server, wire_interface_name(call->wire.method));
        if (interface)
                method = bsearch(call->name, interface->methods, interface->n_methods,
                                 sizeof(*interface->methods), compare_method);
        r = call_check(call, method);
        if (r < 0 || call->answered)
                return r;
        if (method->more == CONTROL_ONE_REPLY)
                call->wire.flags &= ~(unsigned)WIRE_MORE;
        return method->handler(call, interface->userdata);
}

void call_run(ControlCall *call)
{
        int r;

        call->running = true;
        r = call_dispatch(call);
        if (r >= 0 && !call->answered && !call->kept) {
                log_error("%s was neither answered nor kept", call->name);
                r = -EIO;
        }
        if (r < 0 && !call->answered) {
                call->kept = false;
                r = control_call_refused(call, "%s", strerror(-r));
                /* Not even that could be queued: the connection ends, so that nobody waits. */
                if (r < 0) {
                        call->connection->broken = true;
                        call->answered = true;
                }
        }
        call->running = false;
        if (call->answered) {
                call->connection->current = NULL;
                call_free(call);
        }
}
