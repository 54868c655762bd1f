/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <strings.h>
#include "source/conductor/transfer.h"

/* A payload at a slow storage: 10 MB at 100 KB/s. */
#define MOVE_TIMEOUT_USEC (2 * USEC_PER_MINUTE)

/* Refusals in a row that are believed: an address that the storage signed may have run out in
 * between. */
#define REFUSALS_MAX 3

static const Backoff transfer_backoff = { .base_usec = 500 * USEC_PER_MSEC,
                                          .max_usec = 15 * USEC_PER_SEC };

struct Transfer {
        Conductor *conductor;
        ListLink link; /* of conductor->transfers, while it waits for its turn */
        bool in_turn;
        char *path; /* as in the options; of a write: as the server says */
        bool writes;
        Slice body;
        unsigned n_tries_max;
        transfer_done_t done;
        void *userdata;
        ServerCall *call; /* locate or move, whichever is under way */
        sd_event_source *timer;
        unsigned n_tries;
        unsigned n_refusals;
};

static void transfer_begin(Transfer *transfer);

/* Turns */

static void turn_begin(Transfer *transfer)
{
        transfer->in_turn = true;
        transfer->conductor->n_transfers++;
        transfer_begin(transfer);
}

static void turn_end(Transfer *transfer)
{
        Conductor *conductor = transfer->conductor;
        Transfer *next;

        list_remove(&transfer->link);
        if (!transfer->in_turn)
                return;
        transfer->in_turn = false;
        conductor->n_transfers--;
        next = LIST_FIRST(&conductor->transfers, Transfer, link);
        if (!next)
                return;
        list_remove(&next->link);
        turn_begin(next);
}

/* Ends and pauses */

static void transfer_end(Transfer *transfer, TransferResult result, Slice data, const char *text)
{
        transfer->done(transfer, result, data, transfer->path, text, transfer->userdata);
}

static void transfer_pause(Transfer *transfer, unsigned n)
{
        (void)sd_event_source_set_time(transfer->timer,
                                       usec_add(clock_monotonic_usec(),
                                                backoff_delay(&transfer_backoff, n, random_u64())));
        (void)sd_event_source_set_enabled(transfer->timer, SD_EVENT_ONESHOT);
}

static void transfer_fail(Transfer *transfer, bool refused, const char *text)
{
        if (refused && ++transfer->n_refusals >= REFUSALS_MAX)
                transfer_end(transfer, TRANSFER_REFUSED, SLICE_NULL, text);
        else if (!refused && ++transfer->n_tries >= transfer->n_tries_max)
                transfer_end(transfer, TRANSFER_LATER, SLICE_NULL, text);
        else
                transfer_pause(transfer, transfer->n_refusals + transfer->n_tries);
}

static void fail_answered(Transfer *transfer, const char *who, Verdict verdict,
                          const HttpAnswer *answer)
{
        bool refused = verdict != VERDICT_AWAY && verdict != VERDICT_BUSY;
        char said[256], text[300];

        answer_explain(answer, said, sizeof(said));
        (void)snprintf(text, sizeof(text), "%s: %s", who, said);
        transfer_fail(transfer, refused, text);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        transfer_begin(userdata);
        return 0;
}

/* Moving */

static void on_moved(ServerCall *call, Verdict verdict, const HttpAnswer *answer, void *userdata)
{
        Transfer *transfer = userdata;

        if (verdict == VERDICT_DONE)
                transfer_end(transfer, TRANSFER_DONE, answer->body, NULL);
        else
                fail_answered(transfer, "the storage", verdict, answer);
}

static int call_renew(Transfer *transfer, HttpMethod method, server_callback_t callback)
{
        transfer->call = server_call_free(transfer->call);
        return server_call_new(&transfer->call, transfer->conductor->server, method, callback,
                               transfer);
}

static int transfer_move(Transfer *transfer, const char *uri)
{
        int r = call_renew(transfer, transfer->writes ? HTTP_PUT : HTTP_GET, on_moved);

        if (r < 0 || (r = server_call_set_url(transfer->call, uri)) < 0)
                return r;
        /* The same bytes to the same place. */
        server_call_set_repeatable(transfer->call, true);
        server_call_set_timeout(transfer->call, MOVE_TIMEOUT_USEC);
        if (transfer->writes)
                /* S3 signs the content type, too. */
                server_call_set_body(transfer->call, "application/json", transfer->body);
        return server_call_start(transfer->call);
}

static bool is_http(const char *uri)
{
        return uri[0] == '/' || strncasecmp(uri, "http://", 7) == 0 ||
               strncasecmp(uri, "https://", 8) == 0;
}

/* Locating */

static char *member_text(Slice object, const char *key)
{
        Slice value = json_member(object, key);
        char *text = NULL;

        return value.data && json_decode_string(value, &text) >= 0 ? text : NULL;
}

static void on_place(Transfer *transfer, Slice place)
{
        _cleanup_free_ char *uri = member_text(place, "uri"), *path = member_text(place, "path");

        if (!uri || !uri[0] || (transfer->writes && !path)) {
                transfer_end(transfer, TRANSFER_NO_STORAGE, SLICE_NULL, NULL);
                return;
        }
        if (!is_http(uri)) {
                transfer_fail(transfer, true, "the server names a place that is no HTTP address");
                return;
        }
        if (transfer->writes) {
                free(transfer->path);
                transfer->path = TAKE_PTR(path);
        }
        if (transfer_move(transfer, uri) < 0)
                transfer_fail(transfer, false, "out of memory");
}

static void on_located(ServerCall *call, Verdict verdict, const HttpAnswer *answer, void *userdata)
{
        Transfer *transfer = userdata;

        if (verdict == VERDICT_MISSING)
                transfer_end(transfer, TRANSFER_NO_STORAGE, SLICE_NULL, NULL);
        else if (verdict != VERDICT_DONE)
                fail_answered(transfer, "the server", verdict, answer);
        else if (json_check(answer->body, NULL) < 0 || json_type_of(answer->body) != JSON_OBJECT)
                transfer_fail(transfer, true, "the server's answer about the place is no object");
        else
                on_place(transfer, answer->body);
}

static int transfer_locate(Transfer *transfer)
{
        _cleanup_free_ char *escaped = server_escape(transfer->writes ? "" : transfer->path);
        _cleanup_free_ char *path = NULL;
        int r;

        if (!escaped)
                return -ENOMEM;
        if (asprintf(&path, "/tasks/externalstoragelocation?path=%s&operation=%s&payloadType=%s",
                     escaped, transfer->writes ? "WRITE" : "READ",
                     transfer->writes ? "TASK_OUTPUT" : "TASK_INPUT") < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if ((r = call_renew(transfer, HTTP_GET, on_located)) < 0 ||
            (r = server_call_set_path(transfer->call, path)) < 0)
                return r;
        server_call_set_repeatable(transfer->call, true);
        return server_call_start(transfer->call);
}

static void transfer_begin(Transfer *transfer)
{
        if (!server_may_send(transfer->conductor->server) || transfer_locate(transfer) < 0)
                transfer_pause(transfer, transfer->n_tries + 1);
}

/* Life */

int transfer_new(Transfer **ret, Conductor *conductor, const TransferOptions *options)
{
        Transfer *transfer = calloc(1, sizeof(*transfer));
        int r;

        if (!transfer)
                return -ENOMEM;
        transfer->conductor = conductor;
        transfer->writes = !options->path;
        transfer->body = options->body;
        transfer->n_tries_max = options->n_tries;
        transfer->done = options->done;
        transfer->userdata = options->userdata;
        transfer->path = options->path ? strdup(options->path) : NULL;
        r = options->path && !transfer->path ? -ENOMEM : 0;
        if (r >= 0)
                r = sd_event_add_time(conductor->event, &transfer->timer, CLOCK_MONOTONIC, 0, 0,
                                      on_timer, transfer);
        if (r >= 0)
                r = sd_event_source_set_enabled(transfer->timer, SD_EVENT_OFF);
        if (r < 0) {
                (void)transfer_free(transfer);
                return r;
        }
        (void)sd_event_source_set_description(transfer->timer, "conductor-transfer");
        *ret = transfer;
        if (conductor->n_transfers < TRANSFERS_MAX)
                turn_begin(transfer);
        else
                list_append(&conductor->transfers, &transfer->link);
        return 0;
}

Transfer *transfer_free(Transfer *transfer)
{
        if (!transfer)
                return NULL;
        turn_end(transfer);
        (void)sd_event_source_disable_unref(transfer->timer);
        (void)server_call_free(transfer->call);
        free(transfer->path);
        free(transfer);
        return NULL;
}
