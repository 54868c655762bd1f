#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One payload on its way to or from a server's external storage: the server is asked where it lies
 * (or is to lie), then it is moved. Owned by whoever began it.
 *
 *   queue ─▶ locate ─▶ move ─▶ done
 *     ▲         └────────┴─▶ again after a pause, from the start: the place may have changed
 *     └─ at most TRANSFERS_MAX of a source at a time
 */

#include "source/conductor/internal.h"

typedef struct Transfer Transfer;

/* Each holds a payload in memory. */
#define TRANSFERS_MAX 4

typedef enum TransferResult {
        TRANSFER_DONE,
        TRANSFER_NO_STORAGE, /* the server names no place: it has no external storage */
        TRANSFER_REFUSED,    /* again and again: text says what */
        TRANSFER_LATER,      /* server or storage does not answer: text says what */
} TransferResult;

/* data: what was read; path: where what was written lies; both of TRANSFER_DONE. All is borrowed;
 * the transfer may be freed. */
typedef void (*transfer_done_t)(Transfer *transfer, TransferResult result, Slice data,
                                const char *path, const char *text, void *userdata);

typedef struct TransferOptions {
        const char *path; /* READ: of the payload; NULL: write body, and the server says where */
        Slice body;       /* must stay until the end */
        unsigned n_tries; /* without an answer, before it is TRANSFER_LATER */
        transfer_done_t done;
        void *userdata;
} TransferOptions;

/* Answered once, from the loop. */
int transfer_new(Transfer **ret, Conductor *conductor, const TransferOptions *options);
/* Without an answer. */
Transfer *transfer_free(Transfer *transfer);
