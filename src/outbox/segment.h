#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One file of the journal: NUMBER.log, ten digits or more. It begins with SEGMENT_HEADER_SIZE
 * bytes: the magic "YMOUTBOX", then as little-endian u32 the format's version and the salt of its
 * records; then records. It is only ever appended to, by one daemon. */

#include "base/list.h"
#include "outbox/record.h"

#define SEGMENT_HEADER_SIZE 16
#define SEGMENT_VERSION     1
#define SEGMENT_NAME_SIZE   32

typedef struct Segment {
        ListLink link;
        uint64_t number;
        uint64_t size; /* up to the end of its last record */
        uint32_t salt;
        int fd;            /* until it is synced and full */
        bool is_unsynced;  /* something was written since */
        bool is_damaged;   /* some of it could not be read at the start */
        bool is_name_new;  /* the folder was not synced since it was made */
        ListLink live;     /* the owner's: what it is needed for */
        ListLink leaving;  /* the same: what is elsewhere too, but not synced there yet */
        bool is_unlinking; /* no longer the journal's, but the storage thread's */
} Segment;

Segment *segment_new(uint64_t number, uint32_t salt);
/* Closes; the file stays. */
Segment *segment_free(Segment *segment);
DEFINE_CLEANUP(Segment *, segment_free);

void segment_format_name(uint64_t number, char *ret_name); /* SEGMENT_NAME_SIZE */
/* Whether it is the name of a segment. */
bool segment_parse_name(const char *name, uint64_t *ret_number);

/* A new file with its header. */
int segment_create(int folder_fd, uint64_t number, uint32_t salt, int *ret_fd);

/* All of data at this offset, or an error. */
int segment_write(int fd, uint64_t offset, Slice data);
/* The record at this offset, its body only, fresh in *ret_body (NULL if it has none). -EBADMSG:
 * it is damaged. */
int segment_read_body(int folder_fd, uint64_t number, uint64_t offset, uint32_t salt,
                      char **ret_body, size_t *ret_size);

typedef int (*segment_record_t)(const Record *record, uint64_t offset, void *userdata);

typedef enum SegmentVerdict {
        SEGMENT_WHOLE,
        SEGMENT_EMPTY,   /* made ahead and never used: no header, or zeros for one */
        SEGMENT_TORN,    /* the last bytes are no whole record; before them all is well */
        SEGMENT_DAMAGED, /* there are bad bytes between the records */
        SEGMENT_FOREIGN, /* not ours */
        SEGMENT_NEWER,   /* of a later version */
} SegmentVerdict;

typedef struct SegmentScan {
        SegmentVerdict verdict;
        uint32_t salt;
        uint64_t good_size; /* up to the end of the last good record */
} SegmentScan;

/* Calls for each good record, in order; goes on behind damage if records are found there. */
int segment_scan(int fd, segment_record_t on_record, void *userdata, SegmentScan *ret);
