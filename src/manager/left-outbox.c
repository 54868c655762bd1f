/* SPDX-License-Identifier: Apache-2.0 */

#include "manager/left-outbox.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include "base/log-ids.h"
#include "base/log.h"

#define OUTBOX_PREFIX "outbox-"

/* More than this many sources were hardly ever configured in one place. */
#define LEFT_MAX 1000

void left_outbox_tell(const char *source, const char *state_dir, const Outbox *outbox)
{
        OutboxStatus status;

        outbox_get_status(outbox, &status);
        if (status.n_held + status.n_waiting + status.n_dead == 0)
                return;
        log_event(LOG_WARNING, (&(LogFields){ .source = source, .message_id = LOG_ID_OUTBOX_LEFT }),
                  "source %s is not configured any more, and its server has not accepted %" PRIu64
                  " results, refused %" PRIu64 " and has not heard of %" PRIu64
                  " tasks in hand; they stay in %s/" OUTBOX_PREFIX
                  "%s: configure the source again to deliver them, or remove the folder",
                  source, status.n_waiting, status.n_dead, status.n_held, state_dir, source);
}

static void on_ready(Outbox *outbox, OutboxEntry *entry, Slice body, void *userdata)
{
}

static void on_change(Outbox *outbox, void *userdata)
{
}

static void look_at(const Config *config, const char *source, sd_event *event, Storage *storage)
{
        _cleanup_free_ char *folder = NULL, *problem = NULL;
        _cleanup_(outbox_closep) Outbox *outbox = NULL;
        OutboxOptions options = {
                .event = event,
                .storage = storage,
                .max_bytes = UINT64_MAX,
                .callbacks = { .on_ready = on_ready, .on_change = on_change },
        };

        if (asprintf(&folder, "%s/" OUTBOX_PREFIX "%s", config->state_dir, source) < 0) {
                folder = NULL;
                return;
        }
        options.folder = folder;
        if (outbox_open(&outbox, &options, &problem) < 0)
                log_event(LOG_WARNING, (&(LogFields){ .source = source }),
                          "source %s is not configured any more, and %s cannot be read: %s", source,
                          folder, problem ? problem : "out of memory");
        else
                left_outbox_tell(source, config->state_dir, outbox);
}

void left_outboxes_tell(const Config *config, sd_event *event, Storage *storage)
{
        DIR *folder = opendir(config->state_dir);
        struct dirent *entry;
        size_t n = 0;

        if (!folder)
                return; /* whoever opens a source there says why */
        while ((entry = readdir(folder)) && n < LEFT_MAX) {
                const char *source = entry->d_name + strlen(OUTBOX_PREFIX);

                if (strncmp(entry->d_name, OUTBOX_PREFIX, strlen(OUTBOX_PREFIX)) != 0 ||
                    config_find_source(config, source))
                        continue;
                n++;
                look_at(config, source, event, storage);
        }
        (void)closedir(folder);
}
