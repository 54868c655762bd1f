#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of the outbox share.
 *
 * outbox.c         what its owner calls: the way of an entry through its states
 * outbox-entry.c   entries, how they are found, what they count for
 * outbox-offer.c   which WAITING entry may be sent when
 * outbox-disk.c    writing, syncing, and what to do when the disk fails
 * outbox-move.c    writing anew what keeps old segments
 * outbox-read.c    bodies from the disk
 * outbox-replay.c  what is found at a start
 * outbox-open.c    the start and the end
 *
 * An entry has three lives beside each other. Its state is what the owner sees. Its phase, while
 * WAITING, says how far it is with being sent. And it has a place: unwritten (its record is in the
 * journal's buffer), written to a segment, synced there. It is on the list of the segment that it
 * needs (its pin): the one with its last synced record, or with its first if none is. */

#include "outbox/journal.h"
#include "outbox/outbox.h"

/* A task that has no entry but n_crashes; not for the owner's eyes. */
#define ENTRY_CRASHED _OUTBOX_STATE_MAX

typedef enum Phase {
        PHASE_NONE,      /* not WAITING */
        PHASE_BEHIND,    /* an older message of its task is WAITING */
        PHASE_UNWRITTEN, /* not in the file yet */
        PHASE_READY,     /* on the list of those to be offered */
        PHASE_READING,   /* for which its body is being read */
        PHASE_OFFERED,   /* the owner's; it has the body */
        PHASE_POSTPONED,
} Phase;

typedef struct Entry {
        OutboxEntry public;
        TableLink by_number;
        TableLink by_id;
        ListLink of_state;
        ListLink of_disk;    /* unwritten, then unsynced */
        ListLink of_segment; /* the pin's live, or its leaving if the record is elsewhere */
        ListLink of_phase;   /* ready */
        Segment *segment;    /* where its record is; NULL: never written */
        Segment *pin;
        uint64_t turn;         /* among the messages of its task, and all others */
        char *body;            /* NULL: on disk only, or there is none */
        uint64_t offset;       /* in the segment; while unwritten, in the buffer */
        uint32_t written_msec; /* monotonic, cut off */
        uint32_t postponed_at; /* its place in the heap */
        uint8_t phase;
        bool is_unwritten; /* on that list: its last record is in the buffer */
        bool is_moving;    /* its body is being read so that it can be written elsewhere */
} Entry;

typedef enum ReadPurpose {
        READ_TO_OFFER,
        READ_TO_MOVE,
        READ_TO_SHOW,
        _READ_PURPOSE_MAX,
} ReadPurpose;

typedef struct Postponed {
        usec_t due_usec;
        Entry *entry;
} Postponed;

struct Outbox {
        OutboxOptions options;
        Journal *journal;
        sd_event_source *flush_source;  /* after what the pass brings */
        sd_event_source *urgent_source; /* before anything else: much has gathered */
        sd_event_source *timer;
        usec_t timer_usec; /* what it is set to; USEC_INFINITY: nothing */
        Table by_number;
        Table by_id;
        ListLink states[_OUTBOX_STATE_MAX + 1]; /* WAITING: in the order of turns */
        size_t n_states[_OUTBOX_STATE_MAX + 1];
        ListLink unwritten;
        ListLink unsynced; /* in the order of writing */
        ListLink ready;
        Postponed *postponed; /* heap */
        size_t n_postponed, postponed_capacity;
        uint64_t next_number; /* also of turns */
        uint64_t bytes;       /* of the records of what is alive */
        size_t body_bytes;    /* in memory */
        size_t offered_bytes; /* of bodies that are offered or being read for that */
        size_t n_offered;
        unsigned n_gathered;    /* records since the last flush */
        unsigned n_passed_over; /* times that other sources were dispatched instead */
        usec_t flush_by_usec;   /* for what needs no write of its own; USEC_INFINITY: nothing */
        ListLink reads;         /* under way */
        size_t n_reads[_READ_PURPOSE_MAX];
        uint64_t move_before; /* what needs a segment with a lower number is written anew */
        int error;            /* why the disk is not to be trusted; 0: it is */
        bool is_blocked;      /* nothing is written before retry_usec */
        bool must_renew;      /* not to this segment anyway */
        bool must_rewrite;    /* what was written is not to be trusted either */
        unsigned n_rewrites;  /* of all, since the disk worked */
        usec_t retry_usec;
        char *problem;
        bool told_high;
        bool problem_changed;
        bool is_clean;    /* the replay: the daemon before ended in order */
        bool offers_next; /* what becomes ready is offered in this very pass */
        bool closing;
};

static inline Entry *entry_of(OutboxEntry *public)
{
        return container_of(public, Entry, public);
}

/* outbox-entry.c */

/* In the tables, in no state. */
int entry_new(Outbox *outbox, uint64_t number, Slice id, Slice head, Entry **ret);
/* Out of everything; no record says so. */
void entry_free(Outbox *outbox, Entry *entry);
Slice entry_id(const Entry *entry);
Entry *entry_find(const Outbox *outbox, uint64_t number);
void entry_set_state(Outbox *outbox, Entry *entry, unsigned state);
void entry_set_body(Outbox *outbox, Entry *entry, char *body, size_t size);
/* The disk has it, memory no longer. */
void entry_drop_body(Outbox *outbox, Entry *entry);
/* The crash memory of a task, or NULL. */
Entry *entry_find_crashed(const Outbox *outbox, Slice id);
/* Of the other WAITING ones of the same task the first in the order of turns. */
Entry *entry_first_other(const Outbox *outbox, const Entry *entry);
/* Of its records. */
uint64_t entry_size(const Entry *entry);

/* outbox-offer.c */

/* It has become WAITING, or is no longer written or postponed: finds its phase. */
void offer_entry(Outbox *outbox, Entry *entry);
/* It is not WAITING any more, or gone: takes it out of its phase. */
void offer_withdraw(Outbox *outbox, Entry *entry);
/* The one before it is done with (NULL: there is none that waits for that). */
void offer_next(Outbox *outbox, Entry *entry);
void offer_postpone(Outbox *outbox, Entry *entry, usec_t due_usec);
void offer_due(Outbox *outbox, usec_t now);
/* Calls on_ready for some; whether there are more that can be offered now. */
bool offer_ready(Outbox *outbox);
/* Its body has been read (and is the entry's now), or an error. */
void offer_body(Outbox *outbox, Entry *entry, char *body, int error);

/* outbox-disk.c */

/* The record that says all of the entry, to the buffer; it is unwritten then. Its body must be in
 * memory. */
int disk_append_entry(Outbox *outbox, Entry *entry);
/* That it is DEAD, to follow the record of it. */
int disk_append_dead(Outbox *outbox, const Entry *entry);
/* Its record has come to stand in the segment, base bytes behind the offset it had so far; msec:
 * when. */
void disk_place(Outbox *outbox, Entry *entry, Segment *segment, uint64_t base, uint32_t msec);
/* A record without a place of its own. lazy: it may ride along with others'. */
int disk_append(Outbox *outbox, const Record *record, bool lazy);
typedef enum DiskError {
        DISK_RETRY,   /* the same once more */
        DISK_RENEW,   /* in a new segment */
        DISK_REWRITE, /* and all that is alive */
} DiskError;

void disk_set_error(Outbox *outbox, int error, DiskError kind);
/* Writes what has gathered, and does what follows from it. */
void disk_work(Outbox *outbox);
/* What is due: syncs, lets it be tried again. A pass follows. */
void disk_on_time(Outbox *outbox, usec_t now);
usec_t disk_next_usec(const Outbox *outbox);
void disk_on_synced(Outbox *outbox, int error);
void disk_on_renewed(Outbox *outbox, int error);

/* outbox-move.c */

/* Writes anew what keeps old segments, some in each pass; whether there is more to do now. */
bool move_step(Outbox *outbox);
/* Nothing that must be written anew is left in its old place. */
bool move_is_done(const Outbox *outbox);
/* The body of one that is to be moved has been read (and is the entry's now), or an error. */
void move_on_body(Outbox *outbox, Entry *entry, char *body, int error);

/* outbox-read.c */

/* -EAGAIN: enough are under way. */
int read_body(Outbox *outbox, Entry *entry, ReadPurpose purpose, outbox_body_t done,
              void *userdata);
bool reads_are_under_way(const Outbox *outbox);

/* outbox-replay.c */

int replay_record(Outbox *outbox, const Record *record, Segment *segment, uint64_t offset);
/* All is read: counts the crashes, puts what waits in order. */
int replay_end(Outbox *outbox);

/* outbox.c */

int outbox_on_pass(sd_event_source *source, void *userdata);
int outbox_on_timer(sd_event_source *source, uint64_t due_usec, void *userdata);
/* Soon, from the loop. */
void outbox_wake(Outbox *outbox, bool urgent);
void outbox_set_timer(Outbox *outbox, usec_t due_usec);
/* The entry's body is gone for good: a dead letter says so. */
void outbox_give_up(Outbox *outbox, Entry *entry, int error);
/* A record that it is gone, and no more of it. */
void outbox_remove(Outbox *outbox, Entry *entry);
