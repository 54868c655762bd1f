/* SPDX-License-Identifier: Apache-2.0 */

#include "outbox/outbox-internal.h"

/* The flush waits for what a pass of the loop brings, unless much has gathered. */
#define FLUSH_PRIORITY  (SD_EVENT_PRIORITY_NORMAL + 1)
#define URGENT_PRIORITY (SD_EVENT_PRIORITY_NORMAL - 1)

/* Of other sources, before the flush goes ahead of them: a busy loop may always have some. */
#define PASSED_OVER_MAX 64

/* sd-event's own would be a quarter of a second: longer than results may stay unsynced. */
#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)

/* Before the loop waits for events, while a flush waits for its turn. */
static int on_prepare(sd_event_source *source, void *userdata)
{
        Outbox *outbox = userdata;

        if (++outbox->n_passed_over >= PASSED_OVER_MAX)
                outbox_wake(outbox, true);
        return 0;
}

static int on_record(const Record *record, Segment *segment, uint64_t offset, void *userdata)
{
        return replay_record(userdata, record, segment, offset);
}

static void on_synced(Journal *journal, int error, void *userdata)
{
        disk_on_synced(userdata, error);
}

static void on_renewed(Journal *journal, int error, void *userdata)
{
        disk_on_renewed(userdata, error);
}

static int add_sources(Outbox *outbox)
{
        sd_event *event = outbox->options.event;
        int r;

        if ((r = sd_event_add_defer(event, &outbox->flush_source, outbox_on_pass, outbox)) < 0 ||
            (r = sd_event_source_set_enabled(outbox->flush_source, SD_EVENT_OFF)) < 0 ||
            (r = sd_event_source_set_priority(outbox->flush_source, FLUSH_PRIORITY)) < 0 ||
            (r = sd_event_source_set_prepare(outbox->flush_source, on_prepare)) < 0 ||
            (r = sd_event_add_defer(event, &outbox->urgent_source, outbox_on_pass, outbox)) < 0 ||
            (r = sd_event_source_set_enabled(outbox->urgent_source, SD_EVENT_OFF)) < 0 ||
            (r = sd_event_source_set_priority(outbox->urgent_source, URGENT_PRIORITY)) < 0 ||
            (r = sd_event_add_time(event, &outbox->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY_USEC,
                                   outbox_on_timer, outbox)) < 0 ||
            (r = sd_event_source_set_enabled(outbox->timer, SD_EVENT_OFF)) < 0)
                return r;
        (void)sd_event_source_set_description(outbox->flush_source, "outbox-flush");
        (void)sd_event_source_set_description(outbox->urgent_source, "outbox-urgent");
        (void)sd_event_source_set_description(outbox->timer, "outbox-timer");
        return 0;
}

/* A disk that is full now may have room later: the source can send what waits meanwhile. */
static void start_journal(Outbox *outbox)
{
        int r = journal_start(outbox->journal, outbox->next_number);

        if (r < 0)
                disk_set_error(outbox, r, DISK_RENEW);
}

static int start(Outbox *outbox, char **ret_error)
{
        const OutboxOptions *options = &outbox->options;
        const JournalOptions journal = {
                .storage = options->storage,
                .folder = options->folder,
                .callbacks = { .on_record = on_record,
                               .on_synced = on_synced,
                               .on_renewed = on_renewed },
                .userdata = outbox,
        };
        int r;

        r = add_sources(outbox);
        if (r < 0)
                return r;
        r = journal_open(&outbox->journal, &journal, ret_error);
        if (r < 0)
                return r;
        start_journal(outbox);
        r = replay_end(outbox);
        if (r < 0)
                return r;
        outbox->options.folder = NULL; /* the journal has a copy */
        outbox_wake(outbox, false);
        return 0;
}

static void free_entries(Outbox *outbox)
{
        for (size_t i = 0; i < ELEMENTSOF(outbox->states); i++) {
                for (ListLink *link; (link = list_pop_first(&outbox->states[i]));) {
                        Entry *entry = LIST_ENTRY(link, Entry, of_state);

                        free(entry->body);
                        free(entry->public.reason);
                        free(entry);
                }
        }
}

static Outbox *outbox_free(Outbox *outbox)
{
        outbox->closing = true;
        (void)sd_event_source_disable_unref(outbox->flush_source);
        (void)sd_event_source_disable_unref(outbox->urgent_source);
        (void)sd_event_source_disable_unref(outbox->timer);
        (void)journal_close(outbox->journal);
        free_entries(outbox);
        table_deinit(&outbox->by_number);
        table_deinit(&outbox->by_id);
        free(outbox->postponed);
        free(outbox->problem);
        free(outbox);
        return NULL;
}

int outbox_open(Outbox **ret, const OutboxOptions *options, char **ret_error)
{
        Outbox *outbox = calloc(1, sizeof(*outbox));
        int r;

        *ret_error = NULL;
        if (!outbox)
                return -ENOMEM;
        outbox->options = *options;
        outbox->next_number = 1;
        outbox->timer_usec = outbox->flush_by_usec = USEC_INFINITY;
        for (size_t i = 0; i < ELEMENTSOF(outbox->states); i++)
                list_init(&outbox->states[i]);
        list_init(&outbox->unwritten);
        list_init(&outbox->unsynced);
        list_init(&outbox->ready);
        list_init(&outbox->reads);
        outbox->is_clean = true;
        r = start(outbox, ret_error);
        if (r < 0) {
                (void)outbox_free(outbox);
                return r;
        }
        *ret = outbox;
        return 0;
}

/* The end of a log that was written to its end says so, and is synced. */
static void write_rest(Outbox *outbox)
{
        const Record closed = { .type = RECORD_CLOSED };

        if (outbox->must_renew) {
                journal_renew(outbox->journal, outbox->must_rewrite);
                storage_drain(outbox->options.storage);
        }
        (void)disk_append(outbox, &closed, true);
        outbox->is_blocked = outbox->must_renew;
        disk_work(outbox);
        if (!list_is_empty(&outbox->unsynced))
                (void)journal_sync(outbox->journal);
}

Outbox *outbox_close(Outbox *outbox)
{
        if (!outbox)
                return NULL;
        outbox->closing = true;
        write_rest(outbox);
        if (!outbox_is_idle(outbox))
                storage_drain(outbox->options.storage);
        return outbox_free(outbox);
}
