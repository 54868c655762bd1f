#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* An outbox in a folder of its own, and a source that writes down what it is offered. */

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include "outbox/outbox.h"
#include "unit.h"

typedef struct Offer {
        OutboxEntry *entry;
        uint64_t number;
        char id[64];
        char body[64]; /* its beginning */
        size_t body_size;
} Offer;

typedef struct Fixture {
        char base[64];
        char folder[96];
        sd_event *event;
        Storage *storage;
        Outbox *outbox;
        uint64_t max_bytes;
        Offer *offers;
        size_t n_offers, offers_capacity;
        unsigned n_changes;
        uint64_t gone; /* the last that was */
        /* What the source does with an offer besides writing it down. */
        void (*on_offer)(struct Fixture *fixture, OutboxEntry *entry, Slice body);
} Fixture;

static inline void fixture_on_ready(Outbox *outbox, OutboxEntry *entry, Slice body, void *userdata)
{
        Fixture *f = userdata;
        Offer *offer;

        ck_assert_int_eq(entry->state, OUTBOX_WAITING);
        ck_assert_uint_eq(entry->body_size, body.size);
        if (f->n_offers == f->offers_capacity) {
                f->offers_capacity = MAX((size_t)64, f->offers_capacity * 2);
                f->offers = reallocarray(f->offers, f->offers_capacity, sizeof(*f->offers));
                ck_assert_ptr_nonnull(f->offers);
        }
        offer = &f->offers[f->n_offers++];
        *offer = (Offer){ .entry = entry, .number = entry->number, .body_size = body.size };
        (void)snprintf(offer->id, sizeof(offer->id), "%s", entry->id);
        (void)snprintf(offer->body, sizeof(offer->body), "%.*s",
                       (int)MIN(body.size, sizeof(offer->body) - 1), body.data ? body.data : "");
        if (f->on_offer)
                f->on_offer(f, entry, body);
}

static inline void fixture_on_gone(Outbox *outbox, OutboxEntry *entry, void *userdata)
{
        ck_assert_int_eq(entry->state, OUTBOX_WAITING);
        ((Fixture *)userdata)->gone = entry->number;
}

static inline void fixture_on_change(Outbox *outbox, void *userdata)
{
        ((Fixture *)userdata)->n_changes++;
}

static inline int fixture_try_open(Fixture *f, char **ret_error)
{
        const OutboxOptions options = {
                .event = f->event,
                .storage = f->storage,
                .folder = f->folder,
                .max_bytes = f->max_bytes,
                .callbacks = { .on_ready = fixture_on_ready,
                               .on_gone = fixture_on_gone,
                               .on_change = fixture_on_change },
                .userdata = f,
        };

        return outbox_open(&f->outbox, &options, ret_error);
}

static inline void fixture_open(Fixture *f)
{
        char *error;

        ck_assert_int_eq(fixture_try_open(f, &error), 0);
        ck_assert_msg(!error, "%s", error);
}

static inline Fixture *fixture_new_closed(void)
{
        Fixture *f = calloc(1, sizeof(*f));

        ck_assert_ptr_nonnull(f);
        f->max_bytes = UINT64_C(1) << 40;
        strcpy(f->base, "/tmp/test-outbox-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(f->base));
        (void)snprintf(f->folder, sizeof(f->folder), "%s/outbox", f->base);
        ck_assert_int_ge(sd_event_new(&f->event), 0);
        ck_assert_int_eq(storage_new(&f->storage, f->event), 0);
        return f;
}

static inline Fixture *fixture_new(void)
{
        Fixture *f = fixture_new_closed();

        fixture_open(f);
        return f;
}

static inline int fixture_remove_one(const char *p, const struct stat *st, int flag,
                                     struct FTW *ftw)
{
        return remove(p);
}

static inline void fixture_free(Fixture *f)
{
        (void)outbox_close(f->outbox);
        (void)storage_free(f->storage);
        (void)sd_event_unref(f->event);
        (void)nftw(f->base, fixture_remove_one, 8, FTW_DEPTH | FTW_PHYS);
        free(f->offers);
        free(f);
}

static inline void fixture_reopen(Fixture *f)
{
        f->outbox = outbox_close(f->outbox);
        f->n_offers = 0;
        fixture_open(f);
}

/* Until nothing happens any more without time passing. */
static inline void fixture_turn(Fixture *f)
{
        while (sd_event_run(f->event, 0) > 0)
                ;
}

static inline void fixture_turn_until_idle(Fixture *f)
{
        fixture_turn(f);
        while (!outbox_is_idle(f->outbox))
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
        fixture_turn(f);
}

static inline void fixture_turn_until_offers(Fixture *f, size_t n)
{
        while (f->n_offers < n)
                ck_assert_int_ge(sd_event_run(f->event, UINT64_MAX), 0);
}

static inline OutboxEntry *hold(Fixture *f, const char *id)
{
        OutboxEntry *entry;

        ck_assert_int_eq(outbox_hold(f->outbox, id, SLICE_LITERAL("head"), &entry), 0);
        return entry;
}

static inline void put(Fixture *f, OutboxEntry *entry, const char *body)
{
        ck_assert_int_eq(outbox_put(f->outbox, entry, 1, slice_from_string(body), false), 0);
}

static inline OutboxEntry *add(Fixture *f, const char *id, const char *body)
{
        OutboxEntry *entry;

        ck_assert_int_eq(outbox_add(f->outbox, id, SLICE_LITERAL("head"), 2,
                                    slice_from_string(body), &entry),
                         0);
        return entry;
}

static inline OutboxStatus status(const Fixture *f)
{
        OutboxStatus s;

        outbox_get_status(f->outbox, &s);
        return s;
}

#define ck_assert_status(f, held, waiting, dead)            \
        do {                                                \
                OutboxStatus _s = status(f);                \
                ck_assert_uint_eq(_s.n_held, (held));       \
                ck_assert_uint_eq(_s.n_waiting, (waiting)); \
                ck_assert_uint_eq(_s.n_dead, (dead));       \
        } while (0)
