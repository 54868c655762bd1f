#pragma once
/* SPDX-License-Identifier: Apache-2.0 */

/* One SQLite database: opened with what makes it durable and small, brought to the schema's
 * version, its statements prepared once.
 *
 * WAL mode; checkpoints are the owner's (db_wal_pages, db_checkpoint), so that they happen when
 * there is time. A Db is used by one thread at a time. Errors: -ENOSPC (disk or quota full), -EIO,
 * -EBADMSG (damaged), -EBUSY (locked by another process), -ENOMEM, -EEXIST (a constraint), -EROFS,
 * -E2BIG; -EUCLEAN for all else. */

#include <sqlite3.h>
#include <stdint.h>
#include "base/slice.h"
#include "base/macro.h"

typedef struct Db Db;

typedef struct DbSchema {
        const char *what;       /* for messages: "queue" */
        int32_t application_id; /* stamped into the file */
        /* migrations[v] leads from version v to v + 1; version 0 is an empty file. */
        const char *const *migrations;
        int version;
        const char *const *statements; /* by index, prepared when first used */
        size_t n_statements;
} DbSchema;

/* The schema must outlive the Db. Refused, with *ret_error (fresh text) naming file and remedy: a
 * newer version, a damaged file, another program's; nothing is ever recreated over what is there.
 */
int db_open(Db **ret, const char *path, const DbSchema *schema, char **ret_error);
Db *db_close(Db *db);
DEFINE_CLEANUP(Db *, db_close);

sqlite3 *db_handle(Db *db);
/* Text of the last error, SQLite's words. */
const char *db_error_text(const Db *db);
/* A result code of SQLite's as -errno. */
int db_error(Db *db, int rc);

/* The statement, ready to bind: bindings of its last use are still there, bind all. */
int db_prepare(Db *db, size_t statement, sqlite3_stmt **ret);
/* 1: a row, 0: no more (and reset), -errno (and reset). */
int db_step(Db *db, sqlite3_stmt *statement);
/* Runs it to its end. */
int db_run(Db *db, sqlite3_stmt *statement);
/* Runs it and takes the first column of its first row; no row: *ret_value as fallback. */
int db_run_int64(Db *db, sqlite3_stmt *statement, int64_t fallback, int64_t *ret_value);
int db_exec(Db *db, const char *sql);

/* A slice is not copied: it must stay until the statement is reset. SLICE_NULL binds NULL. */
int db_bind_slice(sqlite3_stmt *statement, int parameter, Slice text);
Slice db_column_slice(sqlite3_stmt *statement, int column);

/* sync: the commit is on disk when db_commit returns. -ESTALE: path is not the file any more that
 * was opened. */
int db_begin(Db *db, bool sync);
int db_commit(Db *db);
void db_rollback(Db *db);

/* Pages that a checkpoint would move now. */
unsigned db_wal_pages(const Db *db);
/* Moves them as far as no reader is in the way. */
int db_checkpoint(Db *db);
/* Gives some pages back to the file system if most are free; part of a transaction. 1: there are
 * more. */
int db_shrink(Db *db);
/* Of the pages in use, without free ones. */
int db_size(Db *db, uint64_t *ret_bytes);
