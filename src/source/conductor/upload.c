/* SPDX-License-Identifier: Apache-2.0 */

/* Results whose output is over the server's limit: by way of its external storage, or, where it has
 * none, failed for that reason. */

#include <stdio.h>
#include "source/conductor/send.h"

/* Instead of the outbox's body. */
static int change_body(SendItem *item, const ResultChange *change)
{
        Buffer buffer = BUFFER_NULL(CONDUCTOR_BODY_MAX);
        int r = result_append_changed(&buffer, item->body, change);

        if (r >= 0)
                r = send_set_body(item, &buffer);
        buffer_deinit(&buffer);
        return r;
}

static int fail(SendItem *item, const char *why)
{
        char text[CONDUCTOR_REASON_MAX];
        int r;

        (void)snprintf(text, sizeof(text), "the output is over the server's limit of %zu KB: %s",
                       CONDUCTOR_OUTPUT_MAX / 1024, why);
        r = change_body(item, &(ResultChange){ .error = text });
        if (r >= 0 && item->holding)
                item->holding->status = TASK_FAILED_WITH_TERMINAL_ERROR;
        return r;
}

static void on_uploaded(int error, const char *path_or_text, void *userdata)
{
        SendItem *item = userdata;
        ConductorSend *send = item->conductor->send;
        int r;

        item->upload = NULL;
        if (error == -EAGAIN) {
                send_retry(item);
                return;
        }
        r = error < 0 ? fail(item, path_or_text)
                      : change_body(item, &(ResultChange){ .output_path = path_or_text });
        if (r < 0) {
                send_retry(item);
                return;
        }
        send_again(item);
        send_pump(send);
}

bool send_upload(SendItem *item)
{
        Slice output = json_member(item->body, "outputData");
        MessageHead head;

        if (output.size <= CONDUCTOR_OUTPUT_MAX)
                return false;
        if (message_head_parse(item->entry->head, &head) < 0 ||
            payload_upload_output(item->conductor, &head, item->entry->id, output, on_uploaded,
                                  item, &item->upload) < 0)
                send_retry(item);
        return true;
}
